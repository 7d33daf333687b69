"""The table that inputs are held against: it needs no scores, no labels and no times."""

from collections.abc import Sequence

import msgspec
import numpy as np

from evertrain.errors import SourceError
from evertrain.monitor.report import Observations
from evertrain.process.observation.rows import cells_of, say_names, typed_rows
from evertrain.process.observation.strays import without_odd_cells

__all__ = ["Reference", "reference_of"]


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A table that inputs are compared with. inputs: the columns that it shares with what is compared."""

    name: str
    observations: Observations
    inputs: tuple[str, ...]
    notices: tuple[str, ...]


def reference_of(
    name: str, content: bytes, inputs: Sequence[str], *, time: str | None = None, zone: str | None = None
) -> Reference:
    """The same of a file's content. Without times, which `time` may name, its rows are dealt one by one.

    inputs: the columns that are wanted, an empty sequence for all. SourceError where it has none of them.
    """
    cells = cells_of(name, content)
    notices: list[str] = []
    has_time = time is not None and time in cells.names
    when = time if has_time else None
    wanted = inputs or [each for each in cells.names if each != time]
    cells = without_odd_cells(cells, [each for each in wanted if each in cells.names], notices)
    frame = typed_rows(cells, when, zone, notices, required=() if when is None else (when,))
    shared = tuple(each for each in wanted if each in frame.columns)
    if not shared:
        raise SourceError(
            f"{name} has none of the inputs: it holds {say_names(cells.names)}.",
            f"Give a reference with columns such as {say_names(inputs)}.",
        )
    lacking = [each for each in wanted if each not in shared]
    if lacking:
        notices.append(f"{name} has no {say_names(lacking)}: not compared.")
    if not has_time:
        missing = "no column of times" if time is None else f"no column {time}"
        notices.append(f"{name} has {missing}: its rows are taken as independent of each other.")
    at = np.empty(0, dtype=np.int64) if when is None else frame[when].to_physical().to_numpy()
    nothing = np.empty(0)
    seen = Observations(at=at, score=nothing, label=nothing, rows=frame.select(shared))
    return Reference(name=name, observations=seen, inputs=shared, notices=tuple(notices))
