"""What becomes of the prediction log's segments: on record when they are sealed, removed when they were kept enough."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from evertrain.core.event import Draft, SegmentRetired, SegmentSealed
from evertrain.core.time import Instant, Span, say_span
from evertrain.data.commit import ACTOR
from evertrain.errors import IntegrityError
from evertrain.store.ledger import Ledger
from evertrain.store.reader import LogReader
from evertrain.store.segment import Position, recover

__all__ = ["Segments"]


class Segments:
    """The sealed segments of one installation's log, as the ledger knows them. keep: how long they stay."""

    def __init__(self, reader: LogReader, ledger: Ledger, keep: Span) -> None:
        self._reader, self._keep = reader, keep
        self._sealed: dict[tuple[str, int], tuple[SegmentSealed, Instant]] = {}
        for event in ledger.read(kinds={"segment.sealed"}):
            if isinstance(event.fact, SegmentSealed):
                self._sealed[event.fact.writer, event.fact.sequence] = (event.fact, event.at)

    def seal(self, now: Instant) -> Iterator[Draft]:
        """What is to go on record of segments that will not change any more; those of dead writers are sealed here."""
        self._reader.seal_orphans()
        for writer, sequence, path in self._reader.sealed():
            if (writer, sequence) in self._sealed:
                continue
            try:
                sealed = recover(path)
            except IntegrityError:  # its damage is on record, or is when it is read; whole, it is sealed on record
                continue
            fact = SegmentSealed(
                writer=writer, sequence=sequence, digest=sealed.digest, frames=sealed.frames, bytes=sealed.bytes
            )
            self._sealed[writer, sequence] = (fact, now)
            yield Draft(
                id=f"segment/{writer}/{sequence}",
                at=now,
                actor=ACTOR,
                subject=f"log/{writer}",
                reason=f"Segment {sequence} holds {sealed.frames} records and will not change any more.",
                fact=fact,
            )

    def retire(self, now: Instant, read: Mapping[str, Position]) -> Iterator[tuple[Draft, Path]]:
        """What is to go on record of segments that nobody needs any more, each with the file to remove after that.

        read: how far the tables have the log. A writer's newest segment stays: the next one is numbered after it.
        """
        present = list(self._reader.sealed())
        newest = {writer: sequence for writer, sequence, _ in present}  # they come in order
        for writer, sequence, path in present:
            fact, sealed_at = self._sealed.get((writer, sequence), (None, now))
            position = read.get(writer)
            is_read = position is not None and position.sequence > sequence
            if fact is None or not is_read or sequence == newest[writer] or now - sealed_at < self._keep:
                continue
            yield self._retirement(fact, now), path

    def _retirement(self, fact: SegmentSealed, now: Instant) -> Draft:
        return Draft(
            id=f"segment/{fact.writer}/{fact.sequence}/retired",
            at=now,
            actor=ACTOR,
            subject=f"log/{fact.writer}",
            reason=f"Segment {fact.sequence} is in the tables, and was kept for {say_span(self._keep)}.",
            fact=SegmentRetired(writer=fact.writer, sequence=fact.sequence, digest=fact.digest),
        )
