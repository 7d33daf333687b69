"""How successors of a served file enter, as a person says it when the file is served for the first time."""

import argparse
from collections.abc import Mapping
from typing import Any

from evertrain.config.declaration import ServiceSpec
from evertrain.core.approval import GATES
from evertrain.core.time import parse_span
from evertrain.errors import UserError

__all__ = ["add_entering", "refuse_other_way", "said_of"]

_OPTIONS = {"back": "blue-green", "by_pool": "blue-green", "steps": "blue-green"}
"""Fields of a CanarySpec that are said by an option of another name."""


def add_entering(parser: argparse.ArgumentParser) -> None:
    """The options that say it."""
    parser.add_argument("--max-bad-answers", type=float, default=None)
    parser.add_argument("--blue-green", type=int, default=None, help="microseconds; no canary")
    parser.add_argument("--step-for", type=parse_span, default=None)
    parser.add_argument("--slower-by", type=parse_span, default=None)
    parser.add_argument("--approval", action="append", choices=GATES, default=[])


def said_of(given: argparse.Namespace) -> dict[str, Any]:
    """What was said, as fields of a CanarySpec."""
    said = {
        "max_bad_answers": given.max_bad_answers,
        "step_for": given.step_for,
        "slower_by": given.slower_by,
        "approval": tuple(given.approval) or None,
        "back": given.blue_green,
    }
    by_pool = {} if given.blue_green is None else {"by_pool": True, "steps": (1.0,)}
    return {name: value for name, value in said.items() if value is not None} | by_pool


def refuse_other_way(spec: ServiceSpec, enters: Mapping[str, Any]) -> None:
    """It is said when a service is new: otherwise than it is on record it would change nothing, and nobody be told."""
    others = [name for name, value in enters.items() if getattr(spec.rollout, name) != value]
    if others:
        options = sorted({f"--{_OPTIONS.get(name, name.replace('_', '-'))}" for name in others})
        raise UserError(
            f"How successors of {spec.name!r} enter is on record, and otherwise: {', '.join(options)}.",
            "Leave that out; or begin anew with it in another folder: --dir FOLDER.",
        )
