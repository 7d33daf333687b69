"""A story: history replayed through the live system, faster than life, through its real doors.

The story owns the clock. What becomes known in an hour is delivered while the hour before it is told; a row counts from
its own known-at on, so being early changes nothing. When the clock shows the hour, the story waits until its rows are
visible online and, where the controller has something to do, until that is done; then it asks for the hour's
predictions, each in a request of its own. Nothing depends on how fast the machine is: two tellings with
one script give the same training sets, models, verdicts and rollouts at the same hours, and the same scores.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl

from evertrain.core.event import Draft, OrderGiven, StoryMarked
from evertrain.core.identity import VersionId
from evertrain.core.registry import Registry
from evertrain.core.time import DAY, HOUR, Instant, say_instant
from evertrain.errors import UnavailableError
from evertrain.store.clock import StoryClock
from evertrain.store.ledger import Ledger
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State
from evertrain.story.front import Front, Reply, Request
from evertrain.story.script import Accident, Asked, HourOfStory, Outcome, Script

__all__ = ["Storyteller", "Told"]

_CONNECTIONS = 8
_LOOK_S, _LOOKS, _LATER_LOOK_S = 0.0005, 40, 0.005
_STUCK_S = 300.0
_LABELS_AT_ONCE = 5_000
_LOAD_PAUSE_S = 0.1
_LOAD_BATCH = 4


class _Prediction(msgspec.Struct):
    id: str
    score: float
    version: VersionId


class _Predictions(msgspec.Struct):
    predictions: list[_Prediction]


_decoder = msgspec.json.Decoder(_Predictions)


class Told(msgspec.Struct, kw_only=True):
    """What the storyteller saw from outside.

    answered: distinct predictions that got an answer, the load's too. accidents: when each of them happened.
    """

    requests: int = 0
    failed: int = 0
    retried: int = 0
    mixed_versions: int = 0
    answered: int = 0
    labels: int = 0
    load_requests: int = 0
    failures: list[str] = []
    accidents: dict[str, Instant] = {}
    first_answer_s: float | None = None
    first_promotion_s: float | None = None

    def count(self, replies: list[Reply], rows: int) -> list[_Predictions]:
        """Take in replies to requests of `rows` rows each; returns the good ones' bodies."""
        good = []
        for reply in replies:
            self.retried += reply.attempts > 1
            body = _decoded(reply)
            if body is None or len(body.predictions) != rows:
                self.failed += 1
                self.failures.append(f"{reply.status}: {reply.body[:200].decode(errors='replace')}")
                del self.failures[20:]
                continue
            versions = {one.version for one in body.predictions}
            self.mixed_versions += versions != {reply.version}
            self.answered += rows
            good.append(body)
        return good


def _decoded(reply: Reply) -> _Predictions | None:
    if reply.status != 200:
        return None
    with contextlib.suppress(msgspec.DecodeError):
        return _decoder.decode(reply.body)
    return None


class Storyteller:
    """Tells one script to one installation that is up.

    declare: puts a declaration file on record, in a process of its own. progress: called after each hour.
    """

    def __init__(
        self,
        state: State,
        script: Script,
        *,
        port: int,
        token: str,
        declare: Callable[[Path], None],
        progress: Callable[[Instant, Told], None],
    ) -> None:
        self._state = state
        self._script = script
        self._clock = StoryClock(state.clock)
        self._port = port
        self._token = token
        self._declare = declare
        self._progress = progress
        self._folder = state.path / "story" / "data"
        self._began = time.monotonic()
        self._recent: list[Asked] = []
        self._mend_at: Instant | None = None
        self._telling = True
        self._routing = RoutingFile(state.routing)
        self._champion: VersionId | None = None
        self.told = Told()
        self.scores: list[float] = []

    @staticmethod
    def prepare(state: State, script: Script) -> None:
        """Before the processes start: the clock, and history as files."""
        StoryClock.create(state.clock, script.begin)
        for file in _write(state.path / "story" / "data", "history", script.begin, script.history()):
            file.show()

    async def tell(self, ledger: Ledger) -> Told:
        """The whole story, to its end and until the last label has come."""
        script = self._script
        self._mark(ledger, "begun", script.begin)
        async with Front("127.0.0.1", self._port, _CONNECTIONS) as front, Front("127.0.0.1", self._port, 1) as door:
            await self._settle(script.begin)
            hour = await self._deliver(door, self._prepare(script.begin))
            # The clock shows this hour already, and the data process has settled it. So it is told of a moment more,
            # and waited for: what it read after the next hour has struck would count as known only then.
            self._clock.delivered = Instant(script.begin + 1)
            await self._settle_data(self._clock.delivered)
            following = self._prepare(Instant(script.begin + HOUR))
            load = asyncio.create_task(self._steady_load())
            now = script.begin
            try:
                while now < script.drained:
                    await self._stage_accidents(ledger, now)
                    hour, following = await self._hour(front, door, now, hour, following)
                    now = Instant(now + HOUR)
                    self._progress(now, self.told)
            finally:
                # It ends by itself, so that no answer is on its way to nobody.
                self._telling = False
                await load
        self._mark(ledger, "ended", script.drained)
        return self.told

    async def _hour(
        self, front: Front, door: Front, now: Instant, hour: HourOfStory, following: "_Prepared"
    ) -> tuple[HourOfStory, "_Prepared"]:
        """Tell an hour that was delivered; returns the one that follows, delivered by now, and what comes after it."""
        if now > self._script.begin:
            self._clock.advance(now)
        await self._settle(now)
        self._look_for_promotion()
        delivered = await self._deliver(door, following)
        prepared = self._prepare(Instant(following.at + HOUR))  # while what was delivered is taken in
        await self._ask(front, hour)
        return delivered, prepared

    def _prepare(self, at: Instant) -> "_Prepared":
        """What becomes known in the hour that begins at `at`, as files that nobody sees yet."""
        hour = self._script.hour(at)
        return _Prepared(at, hour, _write(self._folder, str(at), at, hour.frames))

    async def _deliver(self, door: Front, prepared: "_Prepared") -> HourOfStory:
        """Let it become known; the hour's requests are for when the clock shows it."""
        for file in prepared.files:
            file.show()
        await self._post_labels(door, prepared.hour.labels)
        self._clock.delivered = prepared.at
        return prepared.hour

    async def _ask(self, front: Front, hour: HourOfStory) -> None:
        if not hour.requests:
            return
        path = f"/predict/{self._script.service}"
        requests = [Request(path=path, body=asked.body, id=asked.key) for asked in hour.requests]
        replies = await front.send_all(requests)
        self.told.requests += len(requests)
        for body in self.told.count(replies, 1):
            self.scores.append(body.predictions[0].score)
        if self.told.first_answer_s is None and self.told.answered:
            self.told.first_answer_s = time.monotonic() - self._began
        self._recent = hour.requests

    def _look_for_promotion(self) -> None:
        if self.told.first_promotion_s is not None:
            return
        route = self._routing.read().routes.get(self._script.service)
        champion = route.champion if route else None
        if self._champion is not None and champion != self._champion:
            self.told.first_promotion_s = time.monotonic() - self._began
        self._champion = champion

    async def _post_labels(self, front: Front, labels: list[Outcome]) -> None:
        for start in range(0, len(labels), _LABELS_AT_ONCE):
            part = labels[start : start + _LABELS_AT_ONCE]
            body = msgspec.json.encode(
                {"labels": [{"key": one.key, "value": one.value, "known_at": one.known} for one in part]}
            )
            reply = await front.send(Request(path=f"/labels/{self._script.service}", body=body, token=self._token))
            if reply.status != 200:
                self.told.failed += 1
                self.told.failures.append(f"labels: {reply.status}: {reply.body[:200].decode(errors='replace')}")
            else:
                self.told.labels += len(part)

    async def _settle(self, now: Instant) -> None:
        """Wait until all that was delivered is visible, and all that was due is done."""
        clock = self._clock
        await self._settle_data(now)
        await _until(
            lambda: clock.control_due > now or clock.control_settled >= now,
            f"The controller did not reach {say_instant(now)}",
        )

    async def _settle_data(self, at: Instant) -> None:
        """Wait until all that was delivered by then is visible."""
        await _until(lambda: self._clock.data_settled >= at, f"The data process did not reach {say_instant(at)}")

    # Accidents --------------------------------------------------------------------------------------------------------

    async def _stage_accidents(self, ledger: Ledger, now: Instant) -> None:
        if self._mend_at == now:
            await asyncio.to_thread(self._declare, self._script.declaration)
        due = next((one for one in self._script.accidents if one.name not in self.told.accidents), None)
        if due is None or now < due.at or now % DAY or not self._at_rest(ledger):
            return
        file = self._script.commit(due, now)
        await asyncio.to_thread(self._declare, file)
        self._order(ledger, due, now)
        self.told.accidents[due.name] = now
        self._mend_at = Instant(now + DAY)

    def _at_rest(self, ledger: Ledger) -> bool:
        """Whether an order would begin a run of its own. The controller has settled, so this is no race."""
        record = Registry(ledger.read()).service(self._script.service)
        return not record.open_cycles

    def _order(self, ledger: Ledger, accident: Accident, now: Instant) -> None:
        words = ledger.keep_words(accident.reason)
        order = OrderGiven(service=self._script.service, verb="retrain", role="story", words=words)
        ledger.append(
            Draft(
                id=f"story:{accident.name}:order",
                at=now,
                actor="story",
                subject=f"service/{self._script.service}",
                reason="A retraining was ordered.",
                fact=order,
            )
        )

    def _mark(self, ledger: Ledger, mark: str, at: Instant) -> None:
        ledger.append(
            Draft(
                id=f"story:{mark}",
                at=at,
                actor="story",
                subject=f"service/{self._script.service}",
                reason=f"The story has {mark}.",
                fact=StoryMarked(mark=mark, figures={"ends": float(self._script.drained)}),
            )
        )

    # Steady load ------------------------------------------------------------------------------------------------------

    async def _steady_load(self) -> None:
        """Tagged requests, single ones and small batches, so that whatever happens, happens under load.

        Each has an id, so that one that is sent again after its worker died is still one request.
        """
        async with Front("127.0.0.1", self._port, 1) as front:
            while self._telling:
                if self._recent:
                    await self._one_load(front)
                await asyncio.sleep(_LOAD_PAUSE_S)

    async def _one_load(self, front: Front) -> None:
        path = f"/predict/{self._script.service}"
        name = f"load-{self.told.load_requests}"
        single = await front.send(Request(path=path, body=self._recent[0].body, id=name, load=True))
        rows = [msgspec.Raw(asked.body) for asked in self._recent[:_LOAD_BATCH]]
        body = msgspec.json.encode({"rows": rows})
        batch = await front.send(Request(path=path, body=body, id=f"{name}-batch", load=True))
        self.told.load_requests += 2
        self.told.count([single], 1)
        self.told.count([batch], len(rows))


async def _until(holds: Callable[[], bool], complaint: str) -> None:
    end, looks = time.monotonic() + _STUCK_S, 0
    while not holds():
        if time.monotonic() > end:
            raise UnavailableError(f"{complaint} within {_STUCK_S:g} s.", "`evertrain status` says what it waits for.")
        looks += 1
        await asyncio.sleep(_LOOK_S if looks < _LOOKS else _LATER_LOOK_S)


class _File(NamedTuple):
    """A file that is whole from the moment that it can be seen."""

    hidden: Path
    shown: Path

    def show(self) -> None:
        self.hidden.replace(self.shown)


class _Prepared(NamedTuple):
    """What becomes known in the hour that begins at `at`."""

    at: Instant
    hour: HourOfStory
    files: list[_File]


def _write(folder: Path, name: str, at: Instant, frames: Mapping[str, pl.DataFrame]) -> list[_File]:
    """New files, one a source, in a folder for each month."""
    files = []
    for source, frame in frames.items():
        if frame.height == 0:
            continue
        target = folder / source / say_instant(at)[:7] / f"{name}.arrows"
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _File(target.with_name(f".{target.name}.writing"), target)
        frame.write_ipc_stream(file.hidden)
        files.append(file)
    return files
