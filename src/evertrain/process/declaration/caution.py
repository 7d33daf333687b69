"""What `evertrain init` says against a table and a script, said again of a declaration for as long as it holds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import SourceName
from evertrain.core.time import Instant
from evertrain.data.batch import Resolve
from evertrain.data.outcome import is_one_table
from evertrain.data.profile import findings
from evertrain.errors import EvertrainError
from evertrain.process.declaration.supply import read_source
from evertrain.process.draft.drafting import arrival_of, cautions_of_script

__all__ = ["cautions_of", "cautions_on_files"]

_LEAKS: Final = {"leak": "a leak: ", "later": "a leak: ", "suspect": ""}


def cautions_of(spec: ServiceSpec, frames: Mapping[SourceName, pl.DataFrame], folder: Path) -> tuple[str, ...]:
    """Each in one line. frames: the rows of each source as they are. folder: of the declaration, with its scripts."""
    return (*_leaks(spec, frames), *_scripts(spec, folder))


def cautions_on_files(spec: ServiceSpec, data: Path, folder: Path, find: Resolve, now: Instant) -> tuple[str, ...]:
    """The same of a declaration that is in force already, on the files in `data`; they are read where it helps.

    What cannot be read is told of by ingestion, so it is no reason to say that nothing was applied.
    """
    frames: dict[SourceName, pl.DataFrame] = {}
    try:
        if spec.label is not None and is_one_table(spec):
            read = [read_source(source, data, find, now) for source in spec.sources]
            frames = {plan.name: rows for plan, rows in read if rows is not None}
        return cautions_of(spec, frames, folder)
    except (EvertrainError, OSError):
        return ()


def _leaks(spec: ServiceSpec, frames: Mapping[SourceName, pl.DataFrame]) -> Iterator[str]:
    """Inputs that know the label. Only of one table is it known which rows they stand in."""
    if spec.examples is None or spec.label is None or not is_one_table(spec):
        return
    rows, at = frames.get(spec.examples.source), spec.examples.at.column
    if rows is None or rows.is_empty():
        return
    for one in findings(rows, spec.inputs.columns, key=spec.examples.key, at=at, label=spec.label.value):
        if one.kind in _LEAKS:
            says = f"{_LEAKS[one.kind]}{one.words}"
            yield f"{one.column}: {says}: is it known at {at}? exclude=[{one.column!r}] leaves it out"


def _scripts(spec: ServiceSpec, folder: Path) -> Iterator[str]:
    if spec.label is None:
        return
    for recipe in spec.recipes.values():
        if recipe.script is not None:
            arrives = arrival_of(spec.output.kind)
            file, columns = folder / recipe.script.path, spec.inputs.columns
            told = cautions_of_script(file, spec.label.value, arrives, columns)
            yield from (f"{recipe.script.path}: {words}" for words in told)
