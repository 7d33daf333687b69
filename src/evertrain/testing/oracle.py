"""Features by brute force, in plain Python: slow, and obviously what the declaration says.

Rows are dicts of plain values with `_known_at`; instants are int microseconds. Both real paths are tested against it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from evertrain.config.declaration import LookupSpec, OpenSpec, ServiceSpec, SourceSpec, WindowSpec
from evertrain.core.schema import Value

__all__ = ["Row", "believed", "features", "lookup_values", "open_value", "window_value"]

Row = Mapping[str, Value]


def features(service: ServiceSpec, tables: Mapping[str, Sequence[Row]], asked: Row, at: int) -> dict[str, Value]:
    """All features of one example, those of the user's functions left out."""
    values: dict[str, Value] = dict(asked)
    for spec in service.features:
        match spec:
            case WindowSpec():
                values[spec.output] = window_value(spec, tables[spec.source], service.source(spec.source), values, at)
            case OpenSpec():
                values[spec.output] = open_value(spec, tables, service, values, at)
            case LookupSpec():
                values |= lookup_values(spec, tables, service, values, at)
            case _:
                continue
    return {name: None if values[name] != values[name] else values[name] for name in service.vector}


def believed(rows: Iterable[Row], source: SourceSpec, at: int) -> list[Row]:
    """What was believed at an instant: of each row (key and event time) the version that was known last."""
    versions: dict[tuple[Value, ...], Row] = {}
    for row in rows:
        if _int(row["_known_at"]) > at:
            continue
        identity = tuple(row[name] for name in (*source.key, source.event_time))
        held = versions.get(identity)
        if held is None or _rank(row) > _rank(held):
            versions[identity] = row
    return list(versions.values())


def _rank(row: Row) -> tuple[int, list[tuple[int, Value]]]:
    """Later known is newer; of two known at one instant the one with the larger values: null, number or text, NaN."""
    return _int(row["_known_at"]), [_order(row[name]) for name in sorted(row)]


def _order(value: Value) -> tuple[int, Value]:
    if value is None:
        return 0, 0
    return (2, 0) if value != value else (1, value)  # noqa: PLR0124 - only NaN differs from itself


def window_value(spec: WindowSpec, rows: Iterable[Row], source: SourceSpec, asked: Row, at: int) -> Value:
    """One window of one example."""
    axis = "_known_at" if spec.over == "known" else source.event_time
    values = []
    for row in believed(rows, source, at):
        inside = _int(row[axis]) <= at - spec.end and (spec.start is None or _int(row[axis]) > at - spec.start)
        chosen = spec.filter is None or row[spec.filter] in (1, True)
        if inside and chosen and _same(spec.entity, asked, row):
            values.append(row[spec.column] if spec.column is not None else 1)
    fractional = any(column.name == spec.column and column.type == "float64" for column in source.columns)
    return _fold(spec, [value for value in values if value is not None], math.fsum if fractional else sum)


def _fold(spec: WindowSpec, values: Sequence[Value], add: Callable[[Sequence[float]], float]) -> Value:
    numbers = [value for value in values if isinstance(value, int | float)]
    if spec.fold == "count":
        return len(values)
    if any(value != value for value in numbers):  # noqa: PLR0124 - only NaN differs from itself
        return None
    if spec.fold == "sum":
        total = add(numbers)
        return total if spec.scale == 1 else total / spec.scale
    if not numbers:
        return None
    if spec.fold in ("min", "max"):
        return min(numbers) if spec.fold == "min" else max(numbers)
    return add(numbers) / (len(numbers) * spec.scale)


def open_value(spec: OpenSpec, tables: Mapping[str, Sequence[Row]], service: ServiceSpec, asked: Row, at: int) -> int:
    """One count of what is open: opened in the window less what of the window is known to have closed."""
    source = service.source(spec.opened)
    opened = [row[source.event_time] for row in _entity(spec, tables[spec.opened], source, asked, at)]
    closing = service.source(spec.closed)
    closed = [row[spec.opens] for row in _entity(spec, tables[spec.closed], closing, asked, at)]

    def inside(times: list[Value]) -> int:
        return sum(time is not None and at - spec.start < _int(time) <= at - spec.end for time in times)

    return inside(opened) - inside(closed)


def _entity(spec: OpenSpec, rows: Iterable[Row], source: SourceSpec, asked: Row, at: int) -> list[Row]:
    return [row for row in believed(rows, source, at) if _same(spec.entity, asked, row)]


def lookup_values(
    spec: LookupSpec, tables: Mapping[str, Sequence[Row]], service: ServiceSpec, asked: Row, at: int
) -> dict[str, Value]:
    """The features of a look-up and of those that go on from it."""
    source = service.source(spec.source)
    rows = [
        row
        for row in believed(tables[spec.source], source, at)
        if _int(row[source.event_time]) <= at and _same(spec.entity, asked, row)
    ]
    newest = max(rows, key=lambda row: (row[source.event_time], *(row[name] for name in source.key)), default=None)
    age = None if newest is None else at - _int(newest[source.event_time])
    held = newest if age is not None and (spec.ttl is None or age <= spec.ttl) else None
    values: dict[str, Value] = {name: held[column] if held else None for name, column in spec.outputs}
    if spec.age is not None:
        values[spec.age] = None if age is None else age / 60_000_000
    if spec.then is not None:
        onward = {left: held[left] if held else None for left, _ in spec.then.entity}
        values |= lookup_values(spec.then, tables, service, onward, at)
    return values


def _same(pairs: Sequence[tuple[str, str]], asked: Row, row: Row) -> bool:
    return all(asked[left] is not None and asked[left] == row[right] for left, right in pairs)


def _int(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no instant")
    return value
