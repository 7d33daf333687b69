"""Wait until a served file answers or is refused, and say which.

    python -m evertrain.process.greeting --dir DIR --service NAME --version ID [--seconds N]

A process of its own, so that the supervisor never loads a database. It prints an `Outcome` as JSON.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from evertrain.core.golden import Golden
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.registry import Registry
from evertrain.core.schema import Value
from evertrain.errors import EvertrainError
from evertrain.process.entry import tell_fault
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

__all__ = ["Outcome", "await_outcome", "main"]

_LOOK_S = 0.1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a version. ordinal: its number. why: of a refusal. example: a request that it answers."""

    state: Literal["answers", "refused", "waits"]
    ordinal: int = 0
    why: str = ""
    example: dict[str, Value] = {}


def await_outcome(state: State, service: ServiceName, version: VersionId, seconds: float) -> Outcome:
    """Look until the version answers or is refused, at most so many seconds."""
    end = time.monotonic() + seconds
    with Ledger.open(state.ledger) as ledger:
        while True:
            record = Registry(ledger.read()).service(service)
            known = record.versions.get(version)
            if known is not None and known.refused:
                return Outcome(state="refused", ordinal=known.ordinal, why=known.refused)
            if known is not None and record.champion == version:
                return Outcome(state="answers", ordinal=known.ordinal, example=_example(state, version))
            if known is not None and not record.open_cycles and record.open_rollout is None and record.decisions:
                why = record.decisions[-1].reason
                return Outcome(state="waits", ordinal=known.ordinal, why=why)
            if time.monotonic() > end:
                return Outcome(state="waits", ordinal=0 if known is None else known.ordinal)
            time.sleep(_LOOK_S)


def _example(state: State, version: VersionId) -> dict[str, Value]:
    """The first golden request, which every version that came as a file was asked in its check server."""
    artifacts = Artifacts.at(state.artifacts)
    manifest = artifacts.manifest(version)
    if manifest.golden is None:
        return {}
    golden = msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden)
    return dict(zip(manifest.inputs.names, golden.requests[0].row, strict=True)) if golden.requests else {}


def main(arguments: Sequence[str]) -> int:
    """The command line; prints the outcome."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--seconds", type=float, default=120.0)
    given = parser.parse_args(arguments)
    try:
        state = State.open(given.dir)
        found = await_outcome(state, ServiceName(given.service), VersionId(given.version), given.seconds)
    except EvertrainError as error:
        return tell_fault(error)
    sys.stdout.write(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
