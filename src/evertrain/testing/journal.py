"""A ledger in memory, for whatever appends to one and reads it again."""

from collections.abc import Collection

from evertrain.core.event import Draft, Event, kind_of

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """The ledger's promises: numbered, idempotent by id, all drafts of a call or none."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._by_id: dict[str, Event] = {}

    def append(self, *drafts: Draft) -> list[Event]:
        appended = []
        for draft in drafts:
            event = self._by_id.get(draft.id)
            if event is None:
                event = Event(
                    sequence=len(self.events),
                    id=draft.id,
                    at=draft.at,
                    actor=draft.actor,
                    subject=draft.subject,
                    reason=draft.reason,
                    fact=draft.fact,
                )
                self.events.append(event)
                self._by_id[draft.id] = event
            appended.append(event)
        return appended

    def read(self, after: int = -1, kinds: Collection[str] | None = None) -> list[Event]:
        found = self.events[after + 1 :]
        return found if kinds is None else [event for event in found if kind_of(event.fact) in kinds]
