"""What a version is asked about and does not know: categories that its training never saw, and rows of nothing.

Both are answered, the first as if they were missing, the second by what is left of a model without inputs. That is
what clients want of a door that must not stop answering, and nobody should learn of it from the quality months later.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Predicted
from evertrain.core.schema import Input, Value
from evertrain.core.wording import say_many

__all__ = ["Unfamiliar", "Unknown", "expose_unknown", "say_absent"]

NEWEST = 10_000
"""Rows that a share is of."""

_BLOCK = NEWEST // 10
_WORTH_SAYING = 0.01
_FEWEST = 20
_FEWEST_WITHOUT = 100
_MOST_NAMED = 8
_MOST_VERSIONS = 8
"""More than answer at once. What an older one knows is read again, should it answer once more."""


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """Of the newest `of` rows so many hold in `column` what their version does not know, most often `example`.

    column "": they hold nothing at all, every input is null. absent: so many hold no value in `column`.
    """

    column: str
    rows: int
    of: int
    example: str = ""
    absent: bool = False

    @property
    def share(self) -> float:
        return self.rows / self.of

    @property
    def says(self) -> str:
        """In words.

        >>> Unknown(column="device", rows=310, of=10_000, example="foldable").says
        "3.1% of the last 10,000 rows hold a 'device' that the version does not know, most often 'foldable'"
        """
        of = f"{self.share:.1%} of the last {self.of:,} rows"
        if self.absent:
            return f"{of} hold no {self.column!r}"
        if not self.column:
            return f"{of} hold nothing but nulls"
        return f"{of} hold a {self.column!r} that the version does not know, most often {self.example!r}"

    @property
    def is_worth_saying(self) -> bool:
        """Whether a person should hear of it: one row in a hundred, and twenty of them; what is absent, from all."""
        if self.absent:
            return self.rows == self.of >= _FEWEST_WITHOUT
        return self.rows >= _FEWEST and self.share >= _WORTH_SAYING


class _Block(msgspec.Struct):
    rows: int = 0
    unknown: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    absent: Counter[str] = msgspec.field(default_factory=Counter)


class Unfamiliar:
    """Counts over the newest rows of one service. `vector` gives the inputs of a version.

    columns: gives those of a request, in the order of its row; none: what clients leave out is not counted.
    """

    def __init__(
        self, vector: Callable[[VersionId], Sequence[Input]], columns: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self._vector = vector
        self._columns = columns
        self._known: dict[VersionId, list[tuple[int, str, frozenset[Value]]]] = {}
        self._names: dict[VersionId, tuple[str, ...]] = {}
        self._blocks: deque[_Block] = deque([_Block()], maxlen=NEWEST // _BLOCK + 1)

    def see(self, record: Predicted) -> None:
        """Count one answered row."""
        block = self._blocks[-1]
        if block.rows == _BLOCK:
            block = _Block()
            self._blocks.append(block)
        block.rows += 1
        vector = record.inputs
        for place, name, known in self._categories(record.version):
            value = vector[place] if place < len(vector) else None
            # An empty text that no training knew is what an empty cell of a file is: missing, and answered as that.
            if value is not None and value != "" and value not in known:
                block.unknown[name, str(value)[:60]] += 1
        if vector and vector.count(None) == len(vector):
            block.unknown["", ""] += 1
        if None in record.row:
            names = self._names.get(record.version, ())
            block.absent.update(name for name, value in zip(names, record.row, strict=False) if value is None)

    def found(self) -> tuple[Unknown, ...]:
        """What was seen in the newest rows, the most frequent first; () where all is known."""
        rows = sum(block.rows for block in self._blocks)
        together = sum((block.unknown for block in self._blocks), Counter[tuple[str, str]]())
        columns: dict[str, list[tuple[int, str]]] = {}
        for (column, value), count in together.items():
            columns.setdefault(column, []).append((count, value))
        every = [
            Unknown(column=column, rows=sum(count for count, _ in seen), of=rows, example=max(seen)[1])
            for column, seen in columns.items()
        ]
        missing = sum((block.absent for block in self._blocks), Counter[str]())
        every += [
            Unknown(column=column, rows=count, of=rows, absent=True)
            for column, count in missing.items()
            if 2 * count > rows
        ]
        return tuple(sorted(every, key=lambda one: (one.absent, -one.rows, one.column)))

    def _categories(self, version: VersionId) -> list[tuple[int, str, frozenset[Value]]]:
        found = self._known.get(version)
        if found is None:
            if len(self._known) >= _MOST_VERSIONS:
                first = next(iter(self._known))
                del self._known[first], self._names[first]
            self._names[version] = tuple(self._columns())
            found = self._known[version] = [
                (place, item.name, frozenset(item.categories))
                for place, item in enumerate(self._vector(version))
                if item.categories is not None
            ]
        return found


def say_absent(found: Sequence[Unknown]) -> str:
    """Which columns no row had lately, in words; "" where each was in some.

    >>> say_absent([Unknown(column="hour", rows=300, of=300, absent=True)])
    "1 column was in none of the last 300 rows: 'hour'"
    """
    gone = [one for one in found if one.absent and one.is_worth_saying]
    if not gone:
        return ""
    named = ", ".join(repr(one.column) for one in gone[:_MOST_NAMED])
    more = f" and {len(gone) - _MOST_NAMED} more" if len(gone) > _MOST_NAMED else ""
    were = "was" if len(gone) == 1 else "were"
    return f"{say_many(len(gone), 'column')} {were} in none of the last {gone[0].of:,} rows: {named}{more}"


def expose_unknown(found: Mapping[ServiceName, Sequence[Unknown]]) -> str:
    """By service, in the text format 0.0.4 of Prometheus; nothing where all is known.

    >>> print(expose_unknown({ServiceName("shop"): [Unknown(column="device", rows=31, of=1000)]}).splitlines()[-1])
    evertrain_unknown_share{service="shop",column="device"} 0.031
    """
    return "".join(f"{line}\n" for line in _lines(found)) if any(found.values()) else ""


def _lines(found: Mapping[ServiceName, Sequence[Unknown]]) -> Iterator[str]:
    families = (
        (False, "evertrain_unknown_share", "those with a category that their version does not know"),
        (True, "evertrain_absent_share", "those without a value in this column, where most are"),
    )
    for absent, family, which in families:
        told = [(service, one) for service, every in sorted(found.items()) for one in every if one.absent is absent]
        if told:
            yield f"# HELP {family} Of the newest rows, {which}."
            yield f"# TYPE {family} gauge"
        for service, one in told:
            column = one.column.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            yield f'{family}{{service="{service}",column="{column}"}} {one.share:.9g}'
