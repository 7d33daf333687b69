"""What a table holds, before anything is declared of it: types, dirt, duplicates, columns that should be no inputs.

Types are settled as a person would: a column of numbers with a few words in it is a column of numbers, and the rows
with the words are set aside at ingestion. A column in which something that has digits does not fit (a postal code, an
amount with its currency) stays text, because such values are codes and no dirt.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.leak import LEAK, MISSING, SUSPECT, Tell, bins_of, tell
from evertrain.core.schema import Column, Kind
from evertrain.core.time import Instant
from evertrain.data.column import fix_columns, parse_text, says_yes_or_no
from evertrain.data.source import Cells

__all__ = ["Finding", "Found", "Held", "Labels", "as_numbers", "find", "findings", "hold", "label_of", "settle"]

_DIRT: Final = 0.05
"""The share of values that may not fit a column's type before it counts as text."""
_SAMPLES: Final = 3
_MOSTLY: Final = 0.9
"""The share of a text column's values that are numbers, from which on the others may be dirt."""
_DISGUISED: Final = r"^[€$£]?\s*[+-]?(?:0|[1-9]\d{0,2}(?:[.,' ]?\d{3})*)(?:[.,]\d+)?\s*(?:[€$£%]|[A-Za-z]{3})?$"
"""A number as people write it: 12,50 and 1,234.50 and 12 EUR; never a code, like 02139 or K1A 0B1."""
_ROWS: Final = 50_000
"""Leaks are looked for in so many rows at most, drawn evenly."""
_NEAR_ALL: Final = 0.9
_LATER: Final = 0.01
_FEW: Final = 50
_ORDER: Final[tuple[Kind, ...]] = ("int64", "float64", "bool", "timestamp")
_ID_NAME: Final = r"(?i)(^|_)(id|uuid|guid|key|no|nr|number|code|email|mail|phone)$"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One column. misfits: values that do not fit its type, with the most frequent ones; their rows are set aside."""

    column: Column
    filled: int
    distinct: int
    empty: int = 0
    misfits: int = 0
    samples: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Why a column should not be an input, or (suspect) should be looked at."""

    column: str
    kind: Literal["leak", "later", "constant", "identifier", "suspect"]
    words: str
    figure: float | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The rows as entities at times. repeated: rows whose key and time stood before; disputed: those whose label or
    inputs then differ. keys: distinct entities; times: distinct instants.
    """

    rows: int
    keys: int
    times: int
    first: Instant | None
    last: Instant | None
    repeated: int
    disputed: int


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The labels. mature: rows whose label's clock has run out; missing: those of them without a label.

    mean: over all that are there (the share of 1 where they are 0 and 1); spread: their standard deviation. classes: of
    a label that is a text, with the share of each; mean and spread then say nothing.
    """

    labelled: int
    mature: int
    missing: int
    distinct: int
    binary: bool
    mean: float
    spread: float
    classes: dict[str, float] = {}


# Types ----------------------------------------------------------------------------------------------------------------


def settle(
    cells: Cells,
    key: Sequence[str],
    times: Sequence[str],
    zone: str | None,
    *,
    label: str = "",
    declared: Sequence[Column] = (),
) -> tuple[Column, ...]:
    """The types of a table by one of its files; `declared` ones hold, `times` are timestamps.

    label: a column that is true or false where it says yes or no.
    """
    strict = fix_columns(cells, [name for name in key if name in cells.names], times, zone)
    given = {column.name: column for column in declared}
    if cells.text:
        strict = tuple(
            msgspec.structs.replace(one, type=_tolerant(cells.frame[one.name], zone, is_label=one.name == label))
            if one.type == "string"
            else one
            for one in strict
        )
    return tuple(given.get(one.name, one) for one in strict)


def _tolerant(values: pl.Series, zone: str | None, *, is_label: bool) -> Kind:
    """The type that all but a few values fit, when those are plainly no values of another kind."""
    there = values.drop_nulls()
    if is_label and says_yes_or_no(there):
        return "bool"
    for kind in _ORDER:
        unfit = _unfit(there, kind, zone)
        if kind == "bool" and there.str.to_lowercase().is_in(["yes", "no"]).any():
            continue
        few = 0 < unfit.len() <= _DIRT * there.len()
        if few and (kind == "timestamp" or not unfit.str.contains(r"\d").any()):
            return kind
    return "string"


def _unfit(values: pl.Series, kind: Kind, zone: str | None) -> pl.Series:
    reason = parse_text(Column(name=values.name, type=kind), zone)[1]
    return values.to_frame().filter(reason.is_not_null())[values.name]


def as_numbers(cells: Cells, columns: Sequence[Column], zone: str | None) -> tuple[Column, ...]:
    """The columns, those as numbers that are text only because of a few cells that a person would mend.

    Of such a column nine values in ten are numbers. The others are words without a digit, or numbers in a disguise; a
    single code among them, and it stays what it is.
    """
    return tuple(
        Column(name=one.name, type="float64", nullable=True)
        if cells.text and one.type == "string" and _is_dirty_number(cells.frame[one.name], zone)
        else one
        for one in columns
    )


def _is_dirty_number(values: pl.Series, zone: str | None) -> bool:
    there = values.drop_nulls()
    unfit = _unfit(there, "float64", zone)
    if not 0 < unfit.len() <= (1.0 - _MOSTLY) * there.len():
        return False
    return bool((unfit.str.contains(_DISGUISED) | ~unfit.str.contains(r"\d")).all())


def _frequent(values: pl.Series) -> list[str]:
    counted = values.alias("value").to_frame().group_by("value", maintain_order=True).len()
    return counted.sort("len", descending=True, maintain_order=True)["value"].head(_SAMPLES).to_list()


def find(cells: Cells, columns: Sequence[Column], zone: str | None) -> tuple[Found, ...]:
    """Each column with its dirt."""
    found = []
    for column in columns:
        values = cells.frame[column.name]
        unfit = _unfit(values, column.type, zone) if cells.text else values.clear().cast(pl.String)
        found.append(
            Found(
                column=column,
                filled=values.len() - values.null_count(),
                empty=values.null_count(),
                distinct=values.drop_nulls().n_unique(),
                misfits=unfit.len(),
                samples=tuple(_frequent(unfit)),
            )
        )
    return tuple(found)


# Rows -----------------------------------------------------------------------------------------------------------------


def hold(rows: pl.DataFrame, key: Sequence[str], at: str) -> Held:
    """The rows as entities at times; `rows` has the table's own columns, typed."""
    identity = list(dict.fromkeys((*key, at)))
    groups = rows.unique().group_by(identity).len()
    distinct = rows.select(identity).n_unique()
    instants = rows[at].dt.epoch("us")
    first, last = instants.min(), instants.max()
    return Held(
        rows=rows.height,
        keys=rows.select(key).n_unique(),
        times=rows[at].n_unique(),
        first=Instant(first) if isinstance(first, int) else None,
        last=Instant(last) if isinstance(last, int) else None,
        repeated=rows.height - distinct,
        disputed=groups.filter(pl.col("len") > 1).height,
    )


def numbered(rows: pl.DataFrame, label: str) -> pl.DataFrame:
    """The rows with the texts of a label as places among them, sorted; other labels stay as they are."""
    if rows[label].dtype != pl.String:
        return rows
    return rows.with_columns((pl.col(label).rank("dense") - 1).cast(pl.Float64))


def label_of(rows: pl.DataFrame, label: str, at: str, horizon: int, now: Instant) -> Labels:
    """How the labels stand at `now`; the column holds numbers or bools, or the names of classes."""
    classes = {}
    if rows[label].dtype == pl.String:
        counts = rows[label].drop_nulls().value_counts(normalize=True, sort=False).sort(label)
        classes = dict(counts.iter_rows())
    values = numbered(rows, label)[label].cast(pl.Float64)
    mature = rows[at].dt.epoch("us") + horizon <= now
    there = values.drop_nulls().to_numpy()
    return Labels(
        labelled=len(there),
        mature=int(mature.sum()),
        missing=int((mature & values.is_null()).sum()),
        distinct=len(np.unique(there)),
        binary=not classes and bool(np.isin(there, (0.0, 1.0)).all()),
        mean=float(there.mean()) if len(there) else 0.0,
        spread=float(there.std()) if len(there) else 0.0,
        classes=classes,
    )


# What should not be an input ------------------------------------------------------------------------------------------


def findings(
    rows: pl.DataFrame, columns: Sequence[Column], *, key: Sequence[str], at: str, label: str
) -> tuple[Finding, ...]:
    """What is the matter with each column that would be an input, the worst first for each; in the table's order."""
    labelled = rows.filter(pl.col(label).is_not_null())
    drawn = labelled.gather_every(max(1, labelled.height // _ROWS))
    truth = numbered(drawn, label)[label].cast(pl.Float64).to_numpy()
    side = _sides(drawn, key)
    found: list[Finding] = []
    for column in columns:
        if column.name in {*key, at, label}:
            continue
        one = (
            _constant(rows, column)
            or _identifier(rows, column, key)
            or _later(rows, column, at)
            or _telling(drawn, column, at=at, label=label, truth=truth, side=side)
        )
        found += [one] if one is not None else []
    return tuple(found)


def _constant(rows: pl.DataFrame, column: Column) -> Finding | None:
    values = rows[column.name]
    if values.n_unique() > 1:
        return None
    says = "has no value" if values.null_count() == rows.height else f"is {values[0]!r} in every row"
    return Finding(column=column.name, kind="constant", words=says)


def _identifier(rows: pl.DataFrame, column: Column, key: Sequence[str]) -> Finding | None:
    """A text or whole number that names the row or the entity, instead of describing it."""
    if column.type not in ("string", "int64"):
        return None
    values = rows[column.name].drop_nulls()
    distinct, keys = values.n_unique(), rows.select(key).n_unique()
    if distinct < _FEW or values.len() < _NEAR_ALL * rows.height:
        return None
    named = pl.Series([column.name]).str.contains(_ID_NAME).item()
    if column.type == "int64" and not (named or (distinct == values.len() and values.is_sorted())):
        return None
    if distinct >= _NEAR_ALL * values.len():
        return Finding(column=column.name, kind="identifier", words=f"{distinct:,} values in {values.len():,} rows")
    if distinct >= _NEAR_ALL * keys:
        return Finding(column=column.name, kind="identifier", words=f"{distinct:,} values for {keys:,} entities")
    return None


def _later(rows: pl.DataFrame, column: Column, at: str) -> Finding | None:
    """A time that was not over yet: whoever wrote it knew more than could be known at the prediction."""
    if column.type != "timestamp":
        return None
    there = rows.filter(pl.col(column.name).is_not_null())
    later = there.filter(pl.col(column.name) > pl.col(at)).height
    if not later or later < _LATER * there.height:
        return None
    words = f"{later:,} of {there.height:,} values lie after {at}: known only later"
    return Finding(column=column.name, kind="later", words=words, figure=later / there.height)


def _telling(
    rows: pl.DataFrame, column: Column, *, at: str, label: str, truth: NDArray[np.float64], side: NDArray[np.bool_]
) -> Finding | None:
    if rows.height < _FEW or np.ptp(truth) == 0.0:
        return None
    said = tell(_bins(rows, column, at), truth, side)
    if not said.figure >= SUSPECT:
        return None
    kind: Literal["leak", "suspect"] = "leak" if said.figure >= LEAK else "suspect"
    return Finding(column=column.name, kind=kind, words=_says(said, label), figure=said.figure)


def _says(said: Tell, label: str) -> str:
    if said.by == "missing" and said.missing is not None:
        zero, one = said.missing
        return f"missing in {zero:.1%} of the rows with {label} 0 and in {one:.1%} of those with 1"
    return f"alone it gives {label} with {said.metric} {said.figure:.3f}"


def _bins(rows: pl.DataFrame, column: Column, at: str) -> NDArray[np.int64]:
    values = rows[column.name]
    if column.type == "string":
        codes: NDArray[np.int64] = values.rank("dense").cast(pl.Int64).fill_null(MISSING).to_numpy()
        return codes
    if column.type == "timestamp":
        values = rows.select((pl.col(at) - pl.col(column.name)).dt.total_seconds()).to_series()
    return bins_of(values.cast(pl.Float64).fill_null(float("nan")).to_numpy())


def _sides(rows: pl.DataFrame, key: Sequence[str]) -> NDArray[np.bool_]:
    """Halves that share no entity, so that a column that names entities tells nothing of the other half."""
    order = rows.select(pl.struct(key).rank("dense").cast(pl.Int64)).to_series()
    mixed = (order * 2_654_435_761 % (1 << 32)) >= (1 << 31)
    return mixed.to_numpy()
