"""What differs between two declarations of one service, part by part, in words; and from when it holds. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from evertrain.config.declaration import ServiceSpec, outputs_of
from evertrain.core.identity import Digest, short
from evertrain.core.time import say_span
from evertrain.core.trigger import name_of

__all__ = ["Change", "changes_of", "code_changes"]

_AT_ONCE: Final = "holds from the next decision on"
_NEW_VERSIONS: Final = "holds from the next training on; versions that are there keep what they were made with"
_NEW_ROWS: Final = "what was set aside, and files that come or change, are read by it; rows that are in the tables stay"
_NEXT_HOLD: Final = "holds for versions that are held from now on; `evertrain retrain` ends a hold that stands"
_HOLDS: Final[Mapping[str, str]] = {
    "triggers": _AT_ONCE,
    "gate": _AT_ONCE,
    "rollout": "holds from the next canary on",
    "owner": _AT_ONCE,
    "cooldown": _AT_ONCE,
    "sources": _NEW_ROWS,
    "gate.hold": _NEXT_HOLD,
}
_LENGTHS: Final = ("holdout", "block", "hold", "window", "overlap", "start", "end", "ttl", "duration", "cooldown")
_SPANS: Final = frozenset({*_LENGTHS, "every", "horizon", "fresh_within"})
"""Fields that hold microseconds."""
_MOST = 120


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. part: of the declaration ("gate.margin"), or "code". before, after: "" where there is none.

    holds: from when, and for what.
    """

    part: str
    before: str
    after: str
    holds: str


def changes_of(before: ServiceSpec, after: ServiceSpec) -> tuple[Change, ...]:
    """What differs, part by part, in the order of the declaration.

    >>> from evertrain.core.identity import ServiceName
    >>> from evertrain.core.schema import Schema
    >>> old = ServiceSpec(name=ServiceName("s"), inputs=Schema(()))
    >>> [change] = changes_of(old, msgspec.structs.replace(old, cooldown=3_600_000_000))
    >>> change.part, change.before, change.after
    ('cooldown', '1d', '1h')
    """
    found: list[Change] = []
    for name in ServiceSpec.__struct_fields__:
        then, now = _named(name, getattr(before, name)), _named(name, getattr(after, name))
        told = [*_differences(name, then, now)]
        if not told and getattr(before, name) != getattr(after, name):
            told = [(name, "one order", "another order")]
        for part, old, new in told:
            holds = _HOLDS.get(part) or _HOLDS.get(name, _NEW_VERSIONS)
            found.append(Change(part=part, before=old, after=new, holds=holds))
    return tuple(found)


def code_changes(before: Mapping[str, Digest], after: Mapping[str, Digest]) -> tuple[Change, ...]:
    """The files of the code that differ, by name and digest."""
    return tuple(
        Change(
            part=f"code {name}",
            before=before.get(name, "")[:10],
            after=after.get(name, "")[:10],
            holds=_NEW_VERSIONS,
        )
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )


def _named(part: str, value: Any) -> Any:
    """Plain values; lists of things that have names become tables by name, so that an insertion is one difference."""
    if value is msgspec.UNSET:
        return None
    match part:
        case "features":
            return {", ".join(outputs_of(one)): msgspec.to_builtins(one) for one in value}
        case "triggers":
            told = {name_of(one): msgspec.to_builtins(one) for one in value}
            # The name says by which recipe, where that is not the usual one.
            return {name: {key: one for key, one in parts.items() if key != "recipe"} for name, parts in told.items()}
        case "sources":
            return {one.name: msgspec.to_builtins(one) for one in value}
        case "environment":
            return f"{value.name}, {short(value.content)}"
        case _:
            return msgspec.to_builtins(value)


def _differences(part: str, before: Any, after: Any) -> Iterator[tuple[str, str, str]]:
    before, after = _by_name(before), _by_name(after)
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _differences(f"{part}.{name}", before.get(name), after.get(name))
        return
    yield part, _said(part, before), _said(part, after)


def _by_name(value: Any) -> Any:
    """Columns as a table by name, so that each that comes, goes or changes is one difference."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, dict) and "name" in one for one in value):
        return {one["name"]: {key: each for key, each in one.items() if key != "name"} for one in value}
    return value


def _said(part: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and part.rpartition(".")[2] in _SPANS:
        return say_span(value)
    if isinstance(value, dict):
        known = {name: one for name, one in value.items() if one is not None and name != "type"}
        text = ", ".join(f"{name} {_said(f'{part}.{name}', one)}" for name, one in known.items())
    elif isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        text = ", ".join(value)
    elif isinstance(value, str):
        text = value
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MOST else f"{text[: _MOST - 4]} ..."
