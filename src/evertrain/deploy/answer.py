"""From checked rows to an answer: which arm, which score, the record in the log, and only then the response."""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Collection, Sequence
from typing import NamedTuple

import msgspec

from evertrain.core.cohort import arm_of, prediction_id
from evertrain.core.identity import VersionId, short
from evertrain.core.prediction import ArmName, Failed, Predicted, Record
from evertrain.core.routing import Arm
from evertrain.core.schema import Value
from evertrain.core.score import RowScore, best
from evertrain.core.time import Instant
from evertrain.core.trial import Predict
from evertrain.deploy.admission import Admission, NoPlaceError
from evertrain.deploy.mirror import Mirror
from evertrain.deploy.swap import Live
from evertrain.deploy.trial import AbsentError, Trials
from evertrain.deploy.version import Loaded, ScoreError
from evertrain.errors import ModelError
from evertrain.store.clock import BusinessClock
from evertrain.store.log import LogWriter
from evertrain.store.pseudonym import Pseudonyms
from evertrain.store.statistics import Label, Statistics

__all__ = ["Answering", "Span"]

_CHUNK = 128
"""Rows of a batch that are scored before other requests get their turn."""


class Span(NamedTuple):
    """When a request had been read, and until when its answer is of use: monotonic, in nanoseconds."""

    begun_ns: int
    until_ns: int


class _Draft(msgspec.Struct):
    """One row on its way to a prediction."""

    id: str
    key: str
    at: Instant
    row: tuple[Value, ...]


class _Scored(msgspec.Struct):
    """What an arm answered to all rows of a request."""

    version: VersionId
    arm: ArmName
    vectors: list[tuple[Value, ...]]
    scores: list[RowScore]


class _Request(msgspec.Struct):
    """A request in hand. It keeps the table and the champion that it started with, whatever changes meanwhile.

    name: the client's id of it, "" for none. who: whom it is about, "" where nothing is on trial. failures: of arms
    that could not answer; they are logged with the answer. hidden: places of the row that are personal; the log gets
    pseudonyms there.
    """

    live: Live
    champion: Loaded
    drafts: list[_Draft]
    received: Instant
    name: str
    load: bool
    span: Span
    who: str = ""
    failures: list[Record] = []
    hidden: tuple[int, ...] = ()

    def latency_us(self) -> int:
        return (time.perf_counter_ns() - self.span.begun_ns) // 1000

    def label(self, version: VersionId, arm: ArmName) -> Label:
        return Label(self.live.route.service, version, arm)


class Answering:
    """Answers requests of this worker. Used from the event loop alone."""

    def __init__(
        self,
        *,
        log: LogWriter,
        clock: BusinessClock,
        statistics: Statistics,
        trials: Trials,
        admission: Admission,
        pseudonyms: Pseudonyms,
        remember: int = 10_000,
    ) -> None:
        self._log = log
        self._clock = clock
        self._statistics = statistics
        self._trials = trials
        self._admission = admission
        self._mirror = Mirror(log=log, statistics=statistics, trials=trials, admission=admission)
        self._pseudonyms = pseudonyms
        self._remember = remember
        self._memory: OrderedDict[str, Predicted] = OrderedDict()

    def answer(
        self,
        live: Live,
        champion: Loaded,
        rows: Sequence[tuple[Value, ...]],
        *,
        name: str,
        cohort: str,
        load: bool,
        span: Span,
    ) -> list[Predicted] | Awaitable[list[Predicted]]:
        """Predictions, one a row, already in the log: at once where the champion answers a few rows, else to wait for.

        name: the client's id of this request, cohort: whom the client says that it is about; "" for none. ModelError
        when no version could answer, CapacityError when the log has no room or too many wait already, TooLargeError
        when they are more than it ever takes at once, LateError after the deadline: then nothing is answered.
        """
        self._admission.refuse_late(span.until_ns)
        received = self._clock.now()
        request = _Request(live, champion, _drafts(champion, rows, name, received), received, name, load, span)
        if live.route.personal:
            request.hidden = _places(champion.manifest.inputs.names, live.route.personal)
        if name:
            repeated = self._recall(request.drafts)
            if repeated is not None:
                self._log.append(*repeated)
                return repeated
        request.who = _who(request, cohort)
        assigned = arm_of(live.route, request.who)
        arm = self._arm_for(request, assigned)
        if arm is None and len(rows) <= _CHUNK:
            return self._at_once(request, assigned)
        return self._in_turns(request, assigned, arm)

    def _arm_for(self, request: _Request, assigned: ArmName) -> Arm | None:
        """The arm that answers; None: the champion does, also where an arm gives way: too many wait already, or the log
        has room for users' answers alone.
        """
        if assigned == "champion":
            return None
        route = request.live.route
        arm = route.canary if assigned == "canary" else route.control
        if arm is not None and not (self._admission.has_room_for_trials and self._log.room.for_trials):
            self._statistics.shed(request.label(arm.version, assigned))
            return None
        return arm

    def _at_once(self, request: _Request, assigned: ArmName) -> list[Predicted]:
        scored = _Scored(request.champion.version, "champion", [], [])
        self._score(request, scored, request.drafts)
        return self._settle(request, scored, assigned)

    async def _in_turns(self, request: _Request, assigned: ArmName, arm: Arm | None) -> list[Predicted]:
        if arm is not None:
            # Requests that came in the same turn of the event loop all saw room; those before this one have taken it.
            arm = self._arm_for(request, assigned)
            if arm is None and len(request.drafts) <= _CHUNK:
                return self._at_once(request, assigned)
        try:
            with self._admission:
                scored = None if arm is None else await self._on_trial(request, assigned, arm)
                if scored is None:
                    scored = await self._by_champion(request)
        except NoPlaceError:
            self._statistics.shed(request.label(request.champion.version, "champion"))
            raise
        return self._settle(request, scored, assigned)

    def _settle(self, request: _Request, scored: _Scored, assigned: ArmName) -> list[Predicted]:
        """Log what was answered, count it, and remember it for a retry."""
        latency = request.latency_us()
        first = request.drafts[0]
        request.live.recent.append((first.row, first.at))
        rows = [draft.row for draft in request.drafts]
        if request.hidden:
            self._hide(request, scored)
        answers = _predictions(request, scored, assigned, latency)
        self._log.append(*request.failures, *answers)
        self._statistics.answered(request.label(scored.version, scored.arm), len(answers), latency)
        if request.live.route.shadow is not None:
            self._mirror.offer(request.live.route, request.champion, answers, rows, request.who)
        if request.name:
            self._keep(answers)
        return answers

    def _hide(self, request: _Request, scored: _Scored) -> None:
        """Put pseudonyms in the place of what is personal: everything is computed, and the log is next.

        An input of the model that is such a value is hidden as well: whoever answers may be older than the declaration.
        """
        vectors, scored.vectors = scored.vectors, []
        for draft, vector in zip(request.drafts, vectors, strict=True):
            values = {draft.row[place] for place in request.hidden}
            named = [place for place, value in enumerate(vector) if isinstance(value, str) and value in values]
            scored.vectors.append(self._pseudonyms.hide(vector, named))
            draft.row = self._pseudonyms.hide(draft.row, request.hidden)
            draft.key = request.champion.key_of(draft.row)

    async def _on_trial(self, request: _Request, name: ArmName, arm: Arm) -> _Scored | None:
        """The arm's answer, or None with its failure noted: then the champion answers.

        Half of the time that a client waits is kept for the champion. That a client is more impatient than the arm's
        own deadline is no failure of the arm.
        """
        asks = [Predict(id=draft.id, row=draft.row, at=draft.at) for draft in request.drafts]
        patience_s = (request.span.until_ns - time.perf_counter_ns()) / 2e9
        hurried = msgspec.structs.replace(arm, deadline_s=min(arm.deadline_s, max(0.0, patience_s)))
        try:
            answers = await self._trials.ask(name, hurried, asks, request.champion.output)
        except AbsentError:
            self._statistics.shed(request.label(arm.version, name))
            return None
        except ScoreError as error:
            if error.cause == "deadline" and hurried.deadline_s < arm.deadline_s:
                self._statistics.shed(request.label(arm.version, name))
            else:
                self._fail(request, arm.version, name, error)
            return None
        return _Scored(arm.version, name, [answer.vector for answer in answers], [answer.score for answer in answers])

    async def _by_champion(self, request: _Request) -> _Scored:
        """The champion's answer; other requests get their turn between the chunks of a large batch."""
        scored = _Scored(request.champion.version, "champion", [], [])
        for start in range(0, len(request.drafts), _CHUNK):
            if start:
                await asyncio.sleep(0)
                self._admission.refuse_late(request.span.until_ns)
            self._score(request, scored, request.drafts[start : start + _CHUNK])
        return scored

    def _score(self, request: _Request, scored: _Scored, drafts: Sequence[_Draft]) -> None:
        """Add the champion's answers to these rows; ModelError, with the failure on record, when it has none."""
        champion = request.champion
        try:
            vectors, scores = champion.answer([draft.row for draft in drafts], [draft.at for draft in drafts])
        except ScoreError as error:
            self._fail(request, champion.version, "champion", error)
            self._log.append(*request.failures)
            raise ModelError(
                f"Version {short(champion.version)} could not answer: {error.kind}.",
                "The failure is on record with what it says; send it again later.",
            ) from error
        scored.vectors += vectors
        scored.scores += scores

    def _fail(self, request: _Request, version: VersionId, arm: ArmName, error: ScoreError) -> None:
        """Count the failure and note it; a batch fails once, under the id of its first row."""
        first = request.drafts[0]
        key = request.champion.key_of(self._pseudonyms.hide(first.row, request.hidden)) if request.hidden else first.key
        self._statistics.failed(request.label(version, arm), error.cause)
        failure = Failed(
            id=first.id,
            service=request.live.route.service,
            version=version,
            key=key,
            at=first.at,
            received=request.received,
            arm=arm,
            cause=error.cause,
            detail=error.told(hidden=bool(request.hidden))[:500],
            latency_us=request.latency_us(),
            load=request.load,
        )
        request.failures.append(failure)

    def _recall(self, drafts: Sequence[_Draft]) -> list[Predicted] | None:
        """The answers that this worker gave to the same request before, when it remembers all of them."""
        found = []
        for draft in drafts:
            answer = self._memory.get(draft.id)
            if answer is None:
                return None
            found.append(msgspec.structs.replace(answer, retry=True))
        return found if len({answer.version for answer in found}) == 1 else None

    def _keep(self, answers: Sequence[Predicted]) -> None:
        if len(answers) > self._remember // 10:
            return
        for answer in answers:
            self._memory[answer.id] = answer
        while len(self._memory) > self._remember:
            self._memory.popitem(last=False)


def _who(request: _Request, cohort: str) -> str:
    """Whom a request is about, and so which version answers all of it: whom its client names, else the entity of its
    first row, else it stands alone. It goes into no record.
    """
    route, first = request.live.route, request.drafts[0]
    if route.canary is None and route.control is None and route.shadow is None:
        return ""
    return cohort or request.champion.entity_of(first.row) or first.id


def _places(names: Sequence[str], wanted: Collection[str]) -> tuple[int, ...]:
    return tuple(place for place, name in enumerate(names) if name in wanted)


_unused: list[str] = []


def _random_id() -> str:
    """32 random hexadecimal digits; the system is asked for many at a time."""
    if not _unused:
        block = secrets.token_hex(16 * 256)
        _unused.extend(block[start : start + 32] for start in range(0, len(block), 32))
    return _unused.pop()


def _drafts(champion: Loaded, rows: Sequence[tuple[Value, ...]], name: str, received: Instant) -> list[_Draft]:
    service = champion.manifest.service
    return [
        _Draft(
            id=prediction_id(service, name, position, row) if name else _random_id(),
            key=champion.key_of(row),
            at=champion.at_of(row, received),
            row=row,
        )
        for position, row in enumerate(rows)
    ]


def _predictions(request: _Request, scored: _Scored, assigned: ArmName, latency_us: int) -> list[Predicted]:
    drafts = request.drafts
    batch = drafts[0].id if len(drafts) > 1 else ""
    return [
        Predicted(
            id=draft.id,
            service=request.live.route.service,
            version=scored.version,
            key=draft.key,
            at=draft.at,
            received=request.received,
            row=draft.row,
            vector=() if vector is draft.row else vector,
            score=best(score),
            arm=scored.arm,
            assigned=assigned,
            latency_us=latency_us,
            batch=batch,
            load=request.load,
            scores=score if isinstance(score, tuple) else (),
        )
        for draft, vector, score in zip(drafts, scored.vectors, scored.scores, strict=True)
    ]
