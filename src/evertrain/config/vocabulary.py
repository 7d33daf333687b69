"""The vocabulary of features: request columns and functions, windows, look-ups, what is open.

Each function returns `Features`: definitions with the sources that they read, for `et.Service(features=[...])`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from evertrain.config.declaration import FeatureSpec, LookupSpec, OpenSpec, RequestSpec, SourceSpec, WindowSpec
from evertrain.config.function import refer
from evertrain.config.option import Names, closed, expect, expect_each, read_names, read_spec
from evertrain.config.wording import read_pairs, read_window
from evertrain.core.time import parse_span, say_span
from evertrain.errors import DeclarationError

__all__ = ["Features", "Lookup", "column", "latest", "open_count", "request_features", "windows"]

Pairs = str | Sequence[str] | Mapping[str, str] | None


class Features(msgspec.Struct, frozen=True):
    """Feature definitions with the sources that they read."""

    specs: tuple[FeatureSpec, ...]
    sources: tuple[SourceSpec, ...] = ()


class Lookup(Features, frozen=True):
    """A look-up, which another one may go on from with `then=`."""


@closed
def column(*names: str) -> Features:
    """Request columns as features, as they are."""
    return Features(tuple(RequestSpec(outputs=(name,), inputs=(name,)) for name in names))


@closed
def request_features(function: Callable[..., Any], inputs: Names, outputs: Names) -> Features:
    """Features by a plain function of arrays: `function(columns, q)` with a dict of arrays and q in microseconds."""
    spec = RequestSpec(
        outputs=read_names(outputs), inputs=read_names(inputs), function=refer(function, "request features")
    )
    return Features((spec,))


def windows(
    source: SourceSpec,
    *counts: str,
    entity: Pairs = None,
    over: Literal["event", "known"] = "event",
    where: str | None = None,
    scale: int = 1,
    **columns: Names,
) -> Features:
    """Folds of the entity's rows in (q - length, q], as known by q: "FOLD [LENGTH] [until LENGTH] [as NAME]".

    counts: "count 4h", of rows. columns: a column with its folds, `delay=["mean 4h", "max 4h as worst"]`. over: which
    time of a row must lie in the window. where: a bool column; only rows where it is true count. scale: what a sum or
    mean of integers is divided by, as the last operation. The default name is SOURCE_COLUMN_FOLD_LENGTH.
    """
    expect("The source of et.windows", source, SourceSpec, "what et.Source(...) made")
    expect_each("the windows of et.windows", counts, str, 'each by itself, "count 4h", "count 7d"')
    wanted: list[tuple[str | None, str]] = [(None, text) for text in counts]
    wanted += [(name, text) for name, texts in columns.items() for text in read_names(texts)]
    specs = []
    for name, text in wanted:
        window = read_window(text)
        if name is None and window.fold != "count":
            raise DeclarationError(
                f"Window {text!r} of source {source.name!r} folds no column.", f'Write COLUMN=["{text}"].'
            )
        length = say_span(window.start).replace(" ", "") if window.start is not None else ""
        default = "_".join(part for part in (source.name, name or "", window.fold, length) if part)
        described = {
            "output": window.name or default.replace("-", "_"),
            "source": source.name,
            "entity": read_pairs(entity),
            "fold": window.fold,
            "column": name,
            "start": window.start,
            "end": window.end,
            "over": over,
            "filter": where,
            "scale": scale if window.fold != "count" else 1,
        }
        specs.append(read_spec(described, WindowSpec, f"Window {text!r} of source {source.name!r}"))
    return Features(tuple(specs), (source,))


@closed
def latest(
    source: SourceSpec,
    *,
    entity: Pairs = None,
    columns: Pairs = None,
    ttl: str | None = None,
    age: str | None = None,
    then: Lookup | None = None,
) -> Lookup:
    """The entity's newest row as known by q. columns: source columns, or source columns to feature names.

    ttl: an older row is expired and gives nothing (one as old as that still counts). age: name of a feature with the
    minutes since the row's event time. then: a look-up that starts from this row's columns.
    """
    spec = LookupSpec(
        source=source.name,
        entity=read_pairs(entity),
        outputs=tuple((feature, name) for name, feature in read_pairs(columns)),
        age=age,
        ttl=parse_span(ttl) if ttl else None,
        then=_step(then),
    )
    return Lookup((spec,), (source, *(then.sources if then else ())))


@closed
def open_count(
    name: str,
    *,
    opened: SourceSpec,
    closed: SourceSpec,
    opens: str,
    start: str,
    end: str = "0s",
    entity: Pairs = None,
) -> Features:
    """How many opened in (q - start, q - end] by `opened`'s event time and were not closed by q.

    closed: its known time closes; `opens` is the column of it that holds the opening time.
    """
    spec = OpenSpec(
        output=name,
        opened=opened.name,
        closed=closed.name,
        opens=opens,
        entity=read_pairs(entity),
        start=parse_span(start),
        end=parse_span(end),
    )
    return Features((spec,), (opened, closed))


def _step(then: Lookup | None) -> LookupSpec | None:
    if then is None:
        return None
    spec = then.specs[0]
    if not isinstance(spec, LookupSpec):
        raise DeclarationError("then= of et.latest is no look-up.", "Give it another et.latest(...).")
    return spec
