"""What an annotated type says of its values beside their kind: bounds and a unit, as people read them."""

from typing import Annotated, Any, Final, get_args, get_origin

from msgspec import Meta

from evertrain.core.time import say_span

__all__ = ["SPAN", "metas", "say_bounds", "unit_of"]

SPAN: Final = "duration"
"""The unit of what is counted in microseconds and written as "90m"."""


def unit_of(kind: Any) -> str:
    """The unit, "" where none is said."""
    return next((str(meta.extra["unit"]) for meta in metas(kind) if meta.extra), "")


def say_bounds(kind: Any, unit: str = "") -> str:
    """The bounds in words, "" without any. unit: where the type itself says none.

    >>> say_bounds(Annotated[int, Meta(ge=1, le=4_000)]), say_bounds(Annotated[int, Meta(ge=60_000_000)], SPAN)
    ('from 1 to 4,000', 'from 1m')
    """
    spans = (unit or unit_of(kind)) == SPAN

    def say(number: float) -> str:
        return say_span(int(number)) if spans else f"{number:,}"

    parts = []
    for meta in metas(kind):
        parts += [f"over {say(meta.gt)}"] if meta.gt is not None else []
        parts += [f"from {say(meta.ge)}"] if meta.ge is not None else []
        parts += [f"to {say(meta.le)}"] if meta.le is not None else []
    return " ".join(parts)


def metas(kind: Any) -> list[Meta]:
    """All Meta of an annotated type, the innermost first."""
    if get_origin(kind) is not Annotated:
        return []
    inner, *given = get_args(kind)
    return [*metas(inner), *(meta for meta in given if isinstance(meta, Meta))]
