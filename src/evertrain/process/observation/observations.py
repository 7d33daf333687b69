"""A table of somebody else's predictions, read strictly: what stands in it, how it was read, what was left out.

Nothing is cast or dropped in silence. A row whose time or score cannot be read is set aside and told with the reason;
a label that is missing is a label that has not come yet. A column that was named and is not there is refused with the
nearest names.
"""

from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
import numpy as np
import polars as pl

from evertrain.config.wording import suggestion
from evertrain.data.source import ROW
from evertrain.errors import UserError
from evertrain.monitor.report import Kind, Observations
from evertrain.process.observation.classes import are_classes, hits_of, names_of, refuse_positive, refuse_unsaid
from evertrain.process.observation.outcomes import kind_of, labels_of, say_swapped, scores_of, with_positive
from evertrain.process.observation.references import Reference, reference_of
from evertrain.process.observation.repeats import without_repeats
from evertrain.process.observation.rows import cells_of, content_of, require_columns, typed_rows
from evertrain.process.observation.strays import (
    is_zero_or_one,
    without_odd_cells,
    without_odd_labels,
    without_odd_scores,
    without_odd_times,
    without_odd_words,
)

__all__ = ["Named", "Seen", "read_reference", "read_table"]

_NO_KEY = "Without --key all rows count."


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a table that mean something.

    zone: of times that bring none; None: they are read as UTC, and the report says so. positive: the label's value
    that counts as 1, for labels that are words. kind None: told by labels and scores. label None: there is none.
    """

    score: str
    label: str | None
    time: str
    key: str | None = None
    segments: tuple[str, ...] = ()
    zone: str | None = None
    positive: str | None = None
    kind: Kind | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(one for one in (self.label, self.time, self.key) if one is not None)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A table as it was read. inputs: the columns to compare, the score first. warnings: what to know first.

    classes: the columns of the class that came and of the one that was predicted, which make segments.
    """

    observations: Observations
    kind: Kind
    inputs: tuple[str, ...]
    notices: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


def read_table(file: Path, named: Named) -> Seen:
    """Read a table of predictions. SourceError with the remedy where it cannot be what it was said to be."""
    _check_names(named)
    cells = cells_of(file.name, content_of(file))
    require_columns(cells.names, (named.score, *named.roles, *named.segments), file.name)
    notices: list[str] = []
    warnings: list[str] = []
    cells = with_positive(cells, named.label, named.positive)
    numbers = [named.score, *([] if named.label is None else [named.label])]
    if named.kind == "classes":
        refuse_positive(named.positive)
        numbers = []
    cells = without_odd_words(cells, numbers, notices)
    others = [name for name in cells.names if name not in (named.score, *named.roles, *named.segments)]
    cells = without_odd_cells(cells, others, notices)
    frame = typed_rows(cells, named.time, named.zone, notices, required=(named.time, named.score))
    by_class = named.kind == "classes" or (
        named.kind is None and are_classes(frame[named.score], None if named.label is None else frame[named.label])
    )
    if by_class:
        named = msgspec.structs.replace(named, kind="classes")
    frame = _without_odd_rows(frame, named, notices)
    if named.key is not None:
        frame = without_repeats(frame, named.key, _NO_KEY, notices, warnings)
    if by_class:
        return _seen_of_classes(frame, named, notices, warnings)
    values = None if named.label is None else frame[named.label]
    if named.kind is None:
        refuse_unsaid(frame[named.score], values)
    score = scores_of(frame[named.score], values)
    label = np.full(frame.height, np.nan) if values is None else labels_of(values)
    kind = kind_of(label, score, named.kind, (named.score, named.label))
    if named.label is not None and (said := say_swapped(label, score, (named.score, named.label))):
        warnings.insert(0, said)
    rows = frame.drop(*named.roles, ROW)
    return Seen(
        observations=Observations(at=frame[named.time].to_physical().to_numpy(), score=score, label=label, rows=rows),
        kind=kind,
        inputs=(named.score, *(name for name in rows.columns if name != named.score)),
        notices=tuple(notices),
        warnings=tuple(warnings),
    )


def _seen_of_classes(frame: pl.DataFrame, named: Named, notices: list[str], warnings: list[str]) -> Seen:
    """The table of a model of classes: whether the predicted class came, and both columns as segments."""
    columns = tuple(name for name in (named.label, named.score) if name is not None)
    frame = frame.with_columns(names_of(frame[name]).alias(name) for name in columns)
    came = None if named.label is None else frame[named.label]
    rows = frame.drop(named.time, *([] if named.key is None else [named.key]), ROW)
    return Seen(
        observations=Observations(
            at=frame[named.time].to_physical().to_numpy(),
            score=np.ones(frame.height),
            label=hits_of(frame[named.score], came),
            rows=rows,
        ),
        kind="classes",
        inputs=(named.score, *(name for name in rows.columns if name not in columns)),
        notices=tuple(notices),
        warnings=tuple(warnings),
        classes=columns,
    )


def _without_odd_rows(frame: pl.DataFrame, named: Named, notices: list[str]) -> pl.DataFrame:
    """Times first: then labels tell the kind of the score, and that what a score may be."""
    frame = without_odd_times(frame, named.time, notices)
    if named.kind in ("value", "classes"):
        return frame
    is_binary = named.label is None
    if named.label is not None:
        frame = without_odd_labels(frame, named.label, notices)
        label = frame[named.label].drop_nulls()
        is_number = label.dtype.is_numeric()
        is_binary = label.is_empty() or label.dtype == pl.Boolean or (is_number and bool(is_zero_or_one(label).all()))
    if is_binary and frame[named.score].dtype.is_numeric():
        frame = without_odd_scores(frame, named.score, notices)
    return frame


def _check_names(named: Named) -> None:
    """Refuse a column in two roles, and a zone that nobody knows."""
    wanted = (named.score, *named.roles)
    twice = next((name for name in wanted if wanted.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"Column {twice!r} is named twice.", "Score, label, time and key are columns of their own.")
    odd = next((name for name in named.segments if name in named.roles), None)
    if odd is not None:
        raise UserError(f"Column {odd!r} cannot make segments.", "It is the label, the time or the key.")
    if named.zone is not None:
        try:
            ZoneInfo(named.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise UserError(
                f"There is no time zone {named.zone!r}.", suggestion(named.zone, available_timezones(), limit=0)
            ) from error


def read_reference(file: Path, named: Named, present: Seen) -> Reference:
    """The table that inputs are compared with. It needs no scores and no labels."""
    return reference_of(file.name, content_of(file), present.inputs, time=named.time, zone=named.zone)
