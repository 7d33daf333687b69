"""One service, as the data process knows it: its declaration, the tables of its records, its posted labels."""

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import ServiceName, SourceName
from evertrain.core.prediction import Labelled
from evertrain.data.label import PostedLabels
from evertrain.data.prediction import ServiceTables
from evertrain.store.segment import Position
from evertrain.store.state import State

__all__ = ["TakenService"]


class TakenService:
    """What is taken in of one service. spec: None of one that only the log knows.

    posted: labels that clients posted and that are no rows yet, each with the place after it.
    """

    def __init__(self, state: State, name: ServiceName, spec: ServiceSpec | None) -> None:
        self.spec = spec
        self.tables = ServiceTables(state.tables, name)
        self.posted: list[tuple[Position, Labelled]] = []
        self.labels: PostedLabels | None = None
        if spec is not None and spec.label is not None:
            self.labels = PostedLabels(spec, spec.label, state)

    def reads(self, source: SourceName) -> bool:
        return self.spec is not None and any(source == own.name for own in self.spec.sources)

    def is_told_by(self, source: SourceName) -> bool:
        """Whether its labels are rows of the source."""
        return self.spec is not None and self.spec.label is not None and self.spec.label.source == source
