"""How many outcomes of a service's one table have come to count lately, asked about or not.

Where labels have a source of their own, live requests are the population, and the watch counts their labels. A table
that brings its own labels grows without any request. It is read anew when a commit has changed it.
"""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import ServiceName
from evertrain.core.time import Instant
from evertrain.data.commit import source_table
from evertrain.data.outcome import columns_of_outcomes, counted_from, is_one_table
from evertrain.store.state import State
from evertrain.store.table import Table

__all__ = ["Outcomes"]

_LOOK_S: Final = 1.0


class Outcomes:
    """The outcomes of all services, as their tables held them at the last look."""

    def __init__(self, state: State) -> None:
        self._tables = state.tables
        self._read: dict[ServiceName, tuple[Table, int, NDArray[np.int64]]] = {}
        self._looked: dict[ServiceName, float] = {}

    def count(self, spec: ServiceSpec, since: Instant, until: Instant) -> int:
        """How many came to count in (since, until]; 0 where labels have a source of their own."""
        if not is_one_table(spec):
            return 0
        found = self._look(spec)
        return int(np.searchsorted(found, until, side="right") - np.searchsorted(found, since, side="right"))

    def _look(self, spec: ServiceSpec) -> NDArray[np.int64]:
        now = time.monotonic()
        held = self._read.get(spec.name)
        if held is not None and now - self._looked[spec.name] < _LOOK_S:
            return held[2]
        self._looked[spec.name] = now
        name = source_table(spec.sources[0].name if spec.examples is None else spec.examples.source)
        table = held[0] if held is not None and held[0].name == name else Table(self._tables, name)
        version = table.version()
        if held is not None and held[0] is table and held[1] == version:
            return held[2]
        found = np.empty(0, dtype=np.int64)
        if version >= 0:
            found = counted_from(spec, table.read(version, columns=columns_of_outcomes(spec)))
        self._read[spec.name] = table, version, found
        return found
