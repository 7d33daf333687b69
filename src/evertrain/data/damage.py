"""Damage in the prediction log, on record: what is lost, and when a restored file has brought it back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from evertrain.core.event import AlertCleared, AlertRaised, Draft, Event, SegmentDamaged
from evertrain.core.time import Instant
from evertrain.data.commit import ACTOR
from evertrain.data.prediction import place_of
from evertrain.store.gap import Gap
from evertrain.store.reader import LogReader
from evertrain.store.segment import Position
from evertrain.store.table import Table

__all__ = ["DAMAGES", "Damages"]

DAMAGES = frozenset({"segment.damaged", "alert.cleared"})
"""The kinds of events that tell what is damaged."""


class Damages:
    """What was ever damaged, and what of it still is. events: those of the ledger about damage, in order."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.gaps: list[Gap] = []
        self._open: dict[str, Gap] = {}
        for event in events:
            if isinstance(event.fact, SegmentDamaged):
                gap = msgspec.convert(msgspec.structs.asdict(event.fact), Gap)
                self.gaps.append(gap)
                self._open[event.fact.alert] = gap
            elif isinstance(event.fact, AlertCleared):
                self._open.pop(event.fact.alert, None)

    @property
    def open(self) -> tuple[Gap, ...]:
        """What is lost now."""
        return tuple(self._open.values())

    def covers(self, place: Position) -> bool:
        """Whether the record before this place is read under the name of a gap, and not of its writer."""
        return any(gap.holds(place) for gap in self.gaps)

    def pass_over(
        self, reader: LogReader, positions: dict[str, Position], tables: Sequence[Table], now: Instant
    ) -> Iterator[Draft]:
        """What goes on record of damage that was met since the last time; the positions are after it from now on.

        What the tables hold already is not lost: the log was read up to there before it was damaged.
        """
        for gap in reader.pass_gaps(positions):
            if all(table.position(gap.writer) < place_of(gap.after) for table in tables):
                yield from self._found(gap, now)
            else:
                positions[gap.name] = msgspec.structs.replace(gap.begin, offset=gap.until)

    def judge(self, reader: LogReader, positions: Mapping[str, Position], now: Instant) -> list[Draft]:
        """What is no longer lost, as everything in it has been read."""
        mended = {alert: gap for alert, gap in self._open.items() if reader.is_filled(positions[gap.name])}
        for alert in mended:
            del self._open[alert]
        return [
            _draft(
                f"mended/{gap.name}",
                gap,
                now,
                f"Log segment {gap.file} was restored, and its records are taken in.",
                AlertCleared(alert=alert),
            )
            for alert, gap in mended.items()
        ]

    def _found(self, gap: Gap, now: Instant) -> Iterator[Draft]:
        alert = f"log/{gap.name}"
        self.gaps.append(gap)
        self._open[alert] = gap
        reason = f"{gap.says} Restore the file from a backup: what it brings back is taken in by itself."
        raised = AlertRaised(alert=alert, owner="", severity="critical")
        yield _draft(
            f"damaged/{gap.name}", gap, now, reason, SegmentDamaged(alert=alert, **msgspec.structs.asdict(gap))
        )
        yield _draft(f"damaged/{gap.name}/alert", gap, now, reason, raised)


def _draft(name: str, gap: Gap, now: Instant, reason: str, fact: SegmentDamaged | AlertRaised | AlertCleared) -> Draft:
    return Draft(id=name, at=now, actor=ACTOR, subject=f"log/{gap.writer}", reason=reason, fact=fact)
