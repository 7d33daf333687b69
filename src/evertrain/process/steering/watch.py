"""What the controller knows of live traffic: the prediction log, folded into performance, trial evidence and traffic.

Records that different workers wrote at one time come in no order of their own. So they are folded in the order
(prediction time, key), and on a story's clock only when their hour is over: two runs of one story then fold the same
records in the same order.

After an outage there is more to read than fits into one look, or into memory. It is read piece by piece, the oldest
first, and meanwhile everything is known up to `Watch.known_to`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.aftermath import Aftermath, Served
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Failed, Labelled, Predicted, Record, SeenArm, Shadowed
from evertrain.core.schema import Input, Value
from evertrain.core.time import DAY, HOUR, Instant
from evertrain.monitor.join import LabelJoin, Unjoined
from evertrain.monitor.performance import Performance
from evertrain.monitor.performance import Snapshot as PerformanceSnapshot
from evertrain.monitor.trial import Trial, TrialSnapshot
from evertrain.monitor.unfamiliar import Unfamiliar
from evertrain.store.file import write_atomically
from evertrain.store.reader import LogReader, known_to
from evertrain.store.room import NO_ROOM
from evertrain.store.segment import Position
from evertrain.store.state import State

__all__ = ["ServiceWatch", "Watch", "has_remembered"]

_FILE = "watch.msgpack"
_PIECE = 20_000
"""Records that are folded at once: a third of a second's work."""
_REMEMBERED = 20_000
"""Records that are known again when they come a second time: a client sends again within seconds."""


def has_remembered(state: State) -> bool:
    """Whether what a watch wrote down goes as far as the log does now, but for load."""
    try:
        place = msgspec.msgpack.decode((state.cache / _FILE).read_bytes(), type=_Place)
    except FileNotFoundError:
        return False
    with LogReader(state.log) as reader:
        while found := reader.tail(place.positions):
            if any(_counts(record) for _, record in found):
                return False
            place.positions.update({position.writer: position for position, _ in found})
            reader.pass_gaps(place.positions)
    return True


def _counts(record: Record) -> bool:
    return isinstance(record, Labelled | Shadowed) or not record.load


class ServiceWatch:
    """One service's traffic as the controller knows it.

    performance: stays empty where no label will ever come. join: fills it where labels are posted that nobody declared;
    labelled: where they are declared. answered, failed: by the hour in which a request came. unfamiliar: what was asked
    and is not known to the version that answered; it is counted anew after a restart.
    A request that was sent again because its worker died counts once, though two workers logged it.
    """

    def __init__(
        self,
        performance: Performance,
        unfamiliar: Unfamiliar,
        *,
        labelled: bool,
        trial: Trial | None = None,
        join: LabelJoin | None = None,
    ) -> None:
        self.performance = performance
        self.join = join
        self.unfamiliar = unfamiliar
        self._labelled = labelled
        self.trial = trial or Trial()
        self.answered: dict[Instant, dict[VersionId, int]] = {}
        self.failed: dict[Instant, dict[VersionId, int]] = {}
        self._recent: OrderedDict[tuple[str, SeenArm | None], None] = OrderedDict()

    def fold(self, records: Sequence[Record]) -> None:
        """Take in records that are in the order in which they count."""
        records = [record for record in records if isinstance(record, Labelled) or self._is_first(record)]
        self.trial.see(records)
        for record in records:
            match record:
                case Predicted():
                    _count(self.answered, record)
                    self.unfamiliar.see(record)
                    if self._labelled:
                        self.performance.predicted(record)
                    elif self.join is not None:
                        self.join.predicted(record)
                case Failed():
                    _count(self.failed, record)
                case Labelled() if self._labelled:
                    self.performance.labelled(record)
                case Labelled() if self.join is not None:
                    self.join.labelled(record)

    def aftermath(self, version: VersionId, before: VersionId, since: Instant) -> Aftermath:
        """Of a version that answers everything since then, and of the one before it on the day before, by the hour."""
        switch = Instant(since - since % HOUR)
        return Aftermath(
            before=self._served(before, Instant(switch - DAY), since),
            after=self._served(version, switch, None),
        )

    def _served(self, version: VersionId, begin: Instant, end: Instant | None) -> Served:
        def count(hours: dict[Instant, dict[VersionId, int]]) -> int:
            inside = (found for hour, found in hours.items() if hour >= begin and (end is None or hour <= end))
            return sum(found.get(version, 0) for found in inside)

        return Served(answered=count(self.answered), failed=count(self.failed))

    def _is_first(self, record: Predicted | Failed | Shadowed) -> bool:
        """Whether this is no second record of one prediction. An answer and the failure before it are two."""
        name: tuple[str, SeenArm | None] = (record.id, record.arm if isinstance(record, Failed) else None)
        name = (record.id, "shadow") if isinstance(record, Shadowed) else name
        if name in self._recent:
            return False
        self._recent[name] = None
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return True


def _count(hours: dict[Instant, dict[VersionId, int]], record: Predicted | Failed) -> None:
    if record.load:
        return
    hour = hours.setdefault(Instant(record.received - record.received % HOUR), {})
    hour[record.version] = hour.get(record.version, 0) + 1


class _ServiceMemory(msgspec.Struct, frozen=True, kw_only=True):
    performance: PerformanceSnapshot
    trial: TrialSnapshot
    answered: dict[Instant, dict[VersionId, int]]
    failed: dict[Instant, dict[VersionId, int]]
    unjoined: Unjoined = Unjoined()


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """How far the log was read."""

    positions: dict[str, Position]


class _Memory(_Place, frozen=True, kw_only=True):
    held: list[Record]
    services: dict[ServiceName, _ServiceMemory]


class Watch:
    """Follows the log for all services. Its memory is a cache: without it the log is read from its beginning."""

    def __init__(
        self,
        state: State,
        specs: Callable[[ServiceName], ServiceSpec | None],
        vector: Callable[[VersionId], Sequence[Input]],
        *,
        paced: bool,
    ) -> None:
        """vector: the inputs of a version, () of one that cannot be read."""
        self._vector = vector
        self._file = state.cache / _FILE
        self._specs = specs
        self._paced = paced
        self._reader = LogReader(state.log)
        self._positions: dict[str, Position] = {}
        self._held: list[Record] = []
        self._left = 0
        self._followed = Instant(-1)
        self.more = False
        """Whether the last look left something unread."""
        self.known_to: Instant | None = None
        """Up to when the log is known, while what came in an outage is still read; None once it is known up to now."""
        self.has_news = False
        """Whether anything that counts was read since it was last written down."""
        self.services: dict[ServiceName, ServiceWatch] = {}
        self._remember()

    def service(self, name: ServiceName) -> ServiceWatch:
        """The watch of a declared service."""
        watch = self.services.get(name)
        if watch is None:
            watch = self.services[name] = self._watch(name, Performance(self._matures(name)), Trial(), Unjoined())
        return watch

    def _watch(self, name: ServiceName, performance: Performance, trial: Trial, unjoined: Unjoined) -> ServiceWatch:
        """What joins labels to predictions follows from the declaration; of a watched service its report does."""
        spec = self._specs(name)
        labelled = spec is not None and spec.label is not None
        posted = spec is not None and spec.label is None and spec.watched is None
        join = LabelJoin(performance, unjoined) if posted else None
        unfamiliar = Unfamiliar(self._vector, lambda: self._columns(name))
        return ServiceWatch(performance, unfamiliar, labelled=labelled, trial=trial, join=join)

    def _columns(self, name: ServiceName) -> Sequence[str]:
        spec = self._specs(name)
        return () if spec is None else spec.inputs.names

    def follow(self, now: Instant) -> int:
        """Fold all that the log holds by now; returns how many records that were."""
        folded = self.follow_on(now)
        while self.more:
            folded += self.follow_on(now)
        return folded

    def follow_on(self, now: Instant) -> int:
        """Fold the next piece of the log; `more` says whether that was not all. Returns how many records that were."""
        found = self._reader.tail(self._positions, _PIECE)
        for position, record in found:
            self._positions[position.writer] = position
            if _counts(record):
                self._held.append(record)
        self._reader.pass_gaps(self._positions)
        self.more, self.known_to = len(found) >= _PIECE, known_to(found, _PIECE, now)
        if self._paced and self.more:
            return 0  # an hour of a story is folded whole
        if len(self._held) == self._left and now == self._followed:
            return 0
        self._followed, self.has_news = now, True
        ready = [record for record in self._held if not self._paced or record.received < now]
        self._held = [record for record in self._held if self._paced and record.received >= now]
        self._left = len(self._held)
        for name, records in _by_service(ready).items():
            if self._specs(name) is not None:
                self.service(name).fold(sorted(records, key=_order))
        return len(ready)

    def close(self) -> None:
        """Let go of the log's files."""
        self._reader.close()

    def remember(self) -> None:
        """Write down everything up to the positions that were read, so that a restart reads little."""
        services = {
            name: _ServiceMemory(
                performance=watch.performance.snapshot(),
                trial=watch.trial.snapshot(),
                answered=watch.answered,
                failed=watch.failed,
                unjoined=watch.join.unjoined() if watch.join is not None else Unjoined(),
            )
            for name, watch in self.services.items()
        }
        memory = _Memory(positions=self._positions, held=self._held, services=services)
        try:
            write_atomically(self._file, msgspec.msgpack.encode(memory), durable=False)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return  # it is a cache: on a full disk a restart reads more, and nobody goes without the page for that
        self.has_news = False

    def _remember(self) -> None:
        try:
            memory = msgspec.msgpack.decode(self._file.read_bytes(), type=_Memory)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return
        self._positions, self._held = memory.positions, memory.held
        for name, kept in memory.services.items():
            performance = Performance.restore(kept.performance, self._matures(name))
            watch = self._watch(name, performance, Trial.restore(kept.trial), kept.unjoined)
            watch.answered = kept.answered
            watch.failed = kept.failed
            self.services[name] = watch

    def _matures(self, name: ServiceName) -> Callable[[Sequence[Value], Instant], Instant]:
        """When a prediction of this service matures, from its request row; without a label, at once."""
        spec = self._specs(name)
        if spec is None or spec.label is None:
            return lambda row, at: at  # noqa: ARG005
        moment = spec.label.mature_at
        if moment.column == "at":
            return lambda row, at: Instant(at + moment.offset)  # noqa: ARG005
        place = spec.inputs.names.index(moment.column)
        return lambda row, at: _moved(row[place], moment.offset, at)


def _moved(value: Value, offset: int, at: Instant) -> Instant:
    return Instant(value + offset) if isinstance(value, int) else at


def _by_service(records: Iterable[Record]) -> dict[ServiceName, list[Record]]:
    found: dict[ServiceName, list[Record]] = {}
    for record in records:
        found.setdefault(record.service, []).append(record)
    return found


def _order(record: Record) -> tuple[int, str, str]:
    """Labels of an hour come before its predictions: they were known first."""
    if isinstance(record, Labelled):
        return (record.received, "", record.key)
    return (record.at, record.key, record.id)
