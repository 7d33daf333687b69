"""A look at a table before it is declared: what is in it, what is wrong with it, and what should be left out.

Nothing is written, and none of the user's code runs.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import polars as pl

from evertrain.config.table import DEFAULT_GATE, FEW_CLASSES
from evertrain.config.wording import suggestion
from evertrain.core.model import FEWEST_CLASSES
from evertrain.core.proposal import Proposal, propose_gate
from evertrain.core.schema import Column
from evertrain.core.time import Instant
from evertrain.data.arrival import Arrivals
from evertrain.data.column import UNFIT, parse, refuse_drift
from evertrain.data.profile import Finding, Found, Held, Labels, as_numbers, find, findings, hold, label_of, settle
from evertrain.data.source import ROW, Cells, read_cells
from evertrain.errors import SourceError, UserError

__all__ = ["Roles", "Survey", "candidates", "open_table", "survey"]

_REASONS: Final = 5
_FEW_VALUES: Final = 20
_OFFSET: Final = r"(Z|[+-]\d{2}:?\d{2})$"


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of a table. horizon: microseconds."""

    key: tuple[str, ...]
    at: str
    label: str
    horizon: int
    zone: str = "UTC"
    exclude: tuple[str, ...] = ()


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found. rows: that fit; aside: how many rows will be set aside, by reason, the most first.

    naive: times at `at` without an offset, which are read in the zone. faults: files that cannot be read. mended: the
    columns that are text only because of a few cells, and are declared as numbers.
    """

    files: int
    faults: tuple[str, ...]
    rows: int
    aside: dict[str, int]
    columns: tuple[Found, ...]
    naive: int
    held: Held
    labels: Labels
    findings: tuple[Finding, ...]
    proposal: Proposal
    mended: tuple[Column, ...] = ()

    @property
    def inputs(self) -> tuple[Found, ...]:
        """The columns that nothing speaks against."""
        out = {one.column for one in self.findings if one.kind != "suspect"}
        return tuple(one for one in self.columns if one.column.name not in out)


class Opened(NamedTuple):
    """The files of a table: the cells of each, and those that cannot be read, with the reason."""

    cells: tuple[Cells, ...]
    faults: tuple[str, ...]


def open_table(pattern: Path) -> Opened:
    """The files of a glob; UserError where there is none that can be read."""
    arrivals = Arrivals(pattern, None)
    cells: list[Cells] = []
    faults: list[str] = []
    for name in arrivals.ready(0.0):
        try:
            read = read_cells(name, (arrivals.folder / name).read_bytes())
            if cells:
                refuse_drift(read, [Column(name=one, type="string") for one in cells[0].names] if read.text else ())
            cells.append(read)
        except SourceError as error:
            faults.append(f"{name}: {error.what}")
    if not cells:
        raise UserError(
            f"{pattern} holds no rows{': ' + faults[0] if faults else ': there is no such file.'}",
            "Name a CSV or Parquet file, a folder of them, or a glob.",
        )
    return Opened(tuple(cells), tuple(faults))


def survey(opened: Opened, roles: Roles, now: Instant) -> Survey:
    """Look at the whole table; UserError names a role that no column has, with the nearest one."""
    first = opened.cells[0]
    asked = (("--key", roles.key), ("--at", (roles.at,)), ("--label", (roles.label,)), ("--exclude", roles.exclude))
    for option, names in asked:
        for name in names:
            if name not in first.names:
                raise UserError(f"{option}: there is no column {name!r}.", suggestion(name, first.names))
    settled = settle(first, roles.key, (roles.at,), roles.zone, label=roles.label)
    kept = {*roles.key, roles.at, roles.label, *roles.exclude}
    columns = tuple(
        told if told.name in kept else number
        for told, number in zip(settled, as_numbers(first, settled, roles.zone), strict=True)
    )
    typed = [parse(cells, columns, roles.zone).collect() for cells in opened.cells]
    whole = pl.concat(typed)
    needed = (*roles.key, roles.at)
    reason = pl.coalesce(UNFIT, *(_absent(name) for name in needed))
    aside = Counter(broken.reason for cells in opened.cells for broken in cells.broken)
    aside.update(whole.select(reason.alias(UNFIT)).to_series().drop_nulls().to_list())
    rows = whole.filter(reason.is_null()).drop(ROW, UNFIT)
    if rows.is_empty():
        raise UserError(f"No row of the table fits: {aside.most_common(1)[0][0]}.", "Mend the file, or name another.")
    _refuse_label(rows[roles.label], columns)
    labels = label_of(rows, roles.label, roles.at, roles.horizon, now)
    labelled = rows.filter(pl.col(roles.label).is_not_null())
    inputs = [one for one in columns if one.name not in roles.exclude]
    return Survey(
        files=len(opened.cells) + len(opened.faults),
        faults=opened.faults,
        rows=rows.height,
        aside=dict(aside.most_common()),
        columns=_add([find(cells, columns, roles.zone) for cells in opened.cells]),
        naive=sum(_naive(cells, roles.at) for cells in opened.cells),
        held=hold(rows, roles.key, roles.at),
        labels=labels,
        findings=findings(rows, inputs, key=roles.key, at=roles.at, label=roles.label),
        proposal=propose_gate(
            labelled[roles.at].dt.epoch("us").to_numpy(),
            roles.horizon,
            DEFAULT_GATE,
            spread=None if labels.binary or labels.classes else labels.spread,
            classes=bool(labels.classes),
        ),
        mended=tuple(one for one in columns if one not in settled),
    )


def _refuse_label(values: pl.Series, columns: Sequence[Column]) -> None:
    """Refuse a label that is neither a number nor one of a few classes."""
    kind = next(column.type for column in columns if column.name == values.name)
    distinct = values.drop_nulls().unique().sort()
    few = FEWEST_CLASSES <= distinct.len() <= FEW_CLASSES
    if kind in ("bool", "int64", "float64") or (kind == "string" and few):
        return
    said = ", ".join(map(repr, distinct.head(4).cast(pl.String).to_list()))
    raise UserError(
        f"--label: column {values.name!r} is {kind}, with {distinct.len():,} values such as {said}.",
        "A label is true or false, yes or no, 1 or 0, a number, or one of "
        f"{FEWEST_CLASSES} to {FEW_CLASSES} classes; write it so, or name another column.",
    )


def _absent(name: str) -> pl.Expr:
    return pl.when(pl.col(name).is_null()).then(pl.lit(f"{name}: missing"))


def _naive(cells: Cells, at: str) -> int:
    values = cells.frame[at].drop_nulls()
    if values.dtype == pl.String:
        return int((~values.str.contains(_OFFSET)).sum())
    return 0 if getattr(values.dtype, "time_zone", None) is not None else values.len()


def _add(found: Sequence[tuple[Found, ...]]) -> tuple[Found, ...]:
    """One account of several files; distinct values are those of the file that has most."""
    return tuple(
        msgspec.structs.replace(
            same[0],
            filled=sum(one.filled for one in same),
            distinct=max(one.distinct for one in same),
            empty=sum(one.empty for one in same),
            misfits=sum(one.misfits for one in same),
            samples=tuple(dict.fromkeys(sample for one in same for sample in one.samples))[:3],
        )
        for same in zip(*found, strict=True)
    )


# What is missing from the command line --------------------------------------------------------------------------------


def candidates(cells: Cells, zone: str) -> Mapping[str, tuple[str, ...]]:
    """Columns that could be the key, the time and the label, the likeliest first."""
    columns = settle(cells, (), (), zone)
    distinct = {name: cells.frame[name].drop_nulls().n_unique() for name in cells.names}
    times = [one.name for one in columns if one.type == "timestamp"]
    keys = [one.name for one in columns if one.type in ("string", "int64") and distinct[one.name] > _FEW_VALUES]
    numbers = [one.name for one in columns if one.type in ("int64", "float64") and distinct[one.name] > 2]
    return {
        "key": tuple(sorted(keys, key=lambda name: (not re.search(r"(?i)(^|_)id$", name), -distinct[name]))),
        "at": tuple(sorted(times, key=lambda name: cells.frame[name].null_count())),
        "label": tuple(name for name in cells.names if distinct[name] == 2),
        "value": tuple(numbers),
        "classes": tuple(
            one.name
            for one in columns
            if one.type == "string" and FEWEST_CLASSES <= distinct[one.name] <= min(FEW_CLASSES, _FEW_VALUES)
        ),
    }
