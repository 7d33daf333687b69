"""Which states of which sources a service's features need: one plan for the offline and the online path.

A *stream* is the rows of one source, by entity, on one time axis, perhaps filtered. Two kinds of state are kept of it:

*Sums* are cumulative counts and integer sums over time. Let a row have the base time b (its event time, known-at or a
declared column), the known-at k, and let it be corrected at u (never: the end of time). It lies in the window
(q - s, q - t] as known by q exactly when  max(b + t, k) <= q < min(b + s, u). With

    F_o(q) = total of the rows with  min(max(b + o, k), u) <= q

the window's total is F_t(q) - F_s(q): both terms of a row that never counts fall on the same instant and cancel.
Integers add without error, so late, corrected and out-of-order rows change nothing but the totals that they should.

*Lists* are the rows themselves, newest first: for look-ups, minima, maxima and sums of floats (math.fsum), which are
folded from the rows of the window on both paths.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from evertrain.config.declaration import FeatureSpec, LookupSpec, OpenSpec, ServiceSpec, WindowSpec
from evertrain.core.identity import SourceName

__all__ = ["EVENT", "KNOWN", "NEVER", "Plan", "Stream", "Sums", "closing", "is_summed", "opening", "plan", "stream_of"]

EVENT: Final = ""
KNOWN: Final = "_known"
NEVER: Final = 2**63 - 1


class Stream(msgspec.Struct, frozen=True):
    """Rows of a source by entity (source columns) on a time axis: EVENT, KNOWN, or the name of a timestamp column."""

    source: SourceName
    entity: tuple[str, ...]
    base: str = EVENT
    filter: str | None = None


class Sums(msgspec.Struct, frozen=True):
    """What is added up: the rows, and for each column its non-null values and their sum; at which offsets.

    The offset None means "since ever": the F of rows that were corrected.
    """

    columns: tuple[str, ...] = ()
    offsets: tuple[int | None, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """All states of a service. `columns` names what is read of a source, sorted: key, time and provenance left out."""

    sums: dict[Stream, Sums]
    lists: dict[Stream, tuple[str, ...]]

    def columns(self, source: SourceName) -> tuple[str, ...]:
        names: set[str] = set()
        for stream, sums in self.sums.items():
            if stream.source == source:
                names.update(_read_by(stream), sums.columns)
        for stream, columns in self.lists.items():
            if stream.source == source:
                names.update(_read_by(stream), columns)
        return tuple(sorted(names))


def _read_by(stream: Stream) -> Iterator[str]:
    yield from stream.entity
    if stream.filter is not None:
        yield stream.filter
    if stream.base not in (EVENT, KNOWN):
        yield stream.base


def stream_of(feature: WindowSpec | LookupSpec) -> Stream:
    """The stream that a window or look-up reads."""
    entity = tuple(right for _, right in feature.entity)
    if isinstance(feature, LookupSpec):
        return Stream(feature.source, entity)
    return Stream(feature.source, entity, KNOWN if feature.over == "known" else EVENT, feature.filter)


def opening(feature: OpenSpec) -> Stream:
    """The stream of openings, by their event time."""
    return Stream(feature.opened, tuple(right for _, right in feature.entity))


def closing(feature: OpenSpec) -> Stream:
    """The stream of closings on the axis of their opening time; a closing counts from when it is known."""
    return Stream(feature.closed, tuple(right for _, right in feature.entity), feature.opens)


def is_summed(spec: ServiceSpec, window: WindowSpec) -> bool:
    """Whether a window is folded from sums: counts, and sums and means of columns declared as integers or bools."""
    if window.column is None:
        return True
    if window.fold in ("min", "max"):
        return False
    kinds = {column.name: column.type for column in spec.source(window.source).columns}
    return kinds.get(window.column) in ("int64", "bool")


def plan(spec: ServiceSpec) -> Plan:
    """The states that a service's features read, features that share a stream sharing its states."""
    sums: dict[Stream, tuple[set[str], set[int | None]]] = {}
    lists: dict[Stream, set[str]] = {}
    for feature in spec.features:
        _plan(spec, feature, sums, lists)
    return Plan(
        sums={
            stream: Sums(tuple(sorted(columns)), tuple(sorted(offsets, key=lambda one: (one is None, one or 0))))
            for stream, (columns, offsets) in sums.items()
        },
        lists={stream: tuple(sorted(columns)) for stream, columns in lists.items()},
    )


def _plan(
    spec: ServiceSpec,
    feature: FeatureSpec,
    sums: dict[Stream, tuple[set[str], set[int | None]]],
    lists: dict[Stream, set[str]],
) -> None:
    match feature:
        case WindowSpec() if is_summed(spec, feature):
            columns, offsets = sums.setdefault(stream_of(feature), (set(), set()))
            columns.update([feature.column] if feature.column is not None else [])
            offsets.update((feature.start, feature.end))
        case WindowSpec():
            lists.setdefault(stream_of(feature), set()).add(feature.column or "")
        case OpenSpec():
            for stream in (opening(feature), closing(feature)):
                sums.setdefault(stream, (set(), set()))[1].update((feature.start, feature.end))
        case LookupSpec():
            wanted = {column for _, column in feature.outputs}
            if feature.then is not None:
                wanted.update(left for left, _ in feature.then.entity)
                _plan(spec, feature.then, sums, lists)
            lists.setdefault(stream_of(feature), set()).update(wanted)
        case _:
            return
