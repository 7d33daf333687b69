"""Tells a hook what happens: at least once, in order within a lane, and never in the way of the loop.

A thread reads the ledger behind the loop and sends. What it has told is on file when it goes on, so after SIGKILL the
new controller goes on where the old one was, and tells at most one event twice. An event that cannot be told holds up
its own lane (a service, or the machine) until it is told or given up; the others go on.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec

from evertrain.config.hook import Hook, secret_of
from evertrain.core.event import Event, InstallationCreated, kind_of
from evertrain.core.time import SECOND, Instant
from evertrain.core.webhook import cloud_event, headers_of, lane_of, pause_after
from evertrain.errors import EvertrainError, SettingsError
from evertrain.process.controller.post import Posted, post
from evertrain.process.controller.question import QUESTION, QUESTION_KINDS, Questions
from evertrain.store.hook import MOST_DEAD, Failing, HookProgress, HookShelf, letter_of
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

__all__ = ["Messenger"]

_LOOK_S = 0.1
_READ_S = 5.0
"""The ledger is read so often although nothing seems to have been appended."""
_READ_AT_ONCE = 500
_MOST_WAITING = 100_000
"""So many events are looked ahead; the others wait in the ledger."""
_SAVE_S = 30.0
_END_S = 3.0

_log = logging.getLogger(__name__)


class Messenger:
    """The thread of one hook, started once.

    now: the business time; clock: seconds since 1970, by which an event is given up.
    """

    def __init__(
        self,
        hook: Hook,
        state: State,
        ledger: Ledger,
        now: Callable[[], Instant],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hook = hook
        self._ledger = ledger
        self._clock = clock
        self._shelf = HookShelf(state, hook.name)
        self._installation = _installation(ledger)
        at_head = HookProgress(hook=hook.name, host=hook.host, floor=ledger.count() - 1)
        self._progress = msgspec.structs.replace(self._shelf.load() or at_head, host=hook.host, active=True)
        self._questions = Questions(hook, ledger, self._send, now)
        for event in ledger.read(kinds=QUESTION_KINDS) if hook.veto else ():
            if event.sequence <= self._progress.floor:
                self._questions.fold(event)
        self._lanes: dict[str, deque[int]] = {}
        self._due: dict[str, float] = {}
        self._read_to = self._progress.floor
        self._stamp: tuple[int, ...] = ()
        self._read_at = self._saved_at = float("-inf")
        self._chance = random.Random()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"hook {hook.name}", daemon=True)

    def start(self) -> None:
        """Begin, where it was left last; a new hook begins with what happens from now on."""
        self._shelf.save(self._progress)
        self._thread.start()

    def stop(self) -> None:
        """End, without waiting for an answer that does not come."""
        self._stopping.set()

    def join(self) -> None:
        self._thread.join(_END_S)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self.look()
            except EvertrainError as error:
                _log.warning("hook %s waits: %s", self.hook.name, error)
                busy = False
            except Exception:  # noqa: BLE001 - a hook never ends the loop, and goes on when what failed is mended
                _log.exception("hook %s could not look", self.hook.name)
                busy = False
            self._stopping.wait(0 if busy else _LOOK_S)

    def look(self) -> bool:
        """Send what is due, one message at the most. Whether there was one."""
        self._look_ahead()
        for sequence in self._shelf.asked_again():
            self._send_again(sequence)
            return True
        asked = self._questions.look()
        self._note_questions()
        if asked:
            return True
        now = time.monotonic()
        ready = [lane for lane, waiting in self._lanes.items() if waiting and self._due.get(lane, now) <= now]
        if not ready:
            self._rest()
            return False
        self._send_next(min(ready, key=lambda lane: self._lanes[lane][0]))
        return True

    # Reading ahead --------------------------------------------------------------------------------------------------

    def _look_ahead(self) -> None:
        stamp, now = self._ledger.stamp(), time.monotonic()
        waiting = sum(map(len, self._lanes.values()))
        if (stamp == self._stamp and now - self._read_at < _READ_S) or waiting >= _MOST_WAITING:
            return
        found = self._ledger.read(after=self._read_to, limit=_READ_AT_ONCE)
        for event in found:
            lane = lane_of(event)
            self._questions.fold(event)
            settled = event.sequence <= self._progress.settled.get(lane, -1) or self._questions.is_its_own(event)
            if self.hook.tells(kind_of(event.fact), lane) and not settled:
                self._lanes.setdefault(lane, deque()).append(event.sequence)
            self._read_to = event.sequence
        if len(found) < _READ_AT_ONCE:
            self._stamp, self._read_at = stamp, now

    def _rest(self) -> None:
        """Now and then note how far the ledger was read, although none of it was to be told."""
        if time.monotonic() - self._saved_at > _SAVE_S and self._floor() != self._progress.floor:
            self._save(self._progress)

    # Sending --------------------------------------------------------------------------------------------------------

    def _send_next(self, lane: str) -> None:
        sequence = self._lanes[lane][0]
        [event] = self._ledger.read(after=sequence - 1, limit=1)
        sent = self._send(event)
        if not sent.trouble:
            self._settle(lane, self._told())
            return
        before = self._progress.failing.get(lane)
        if before is None or before.sequence != sequence:
            before = Failing(sequence=sequence, since_s=self._clock(), attempts=0, error="")
        failing = msgspec.structs.replace(before, attempts=before.attempts + 1, error=sent.trouble)
        if self._clock() - failing.since_s >= self.hook.give_up_after / SECOND:
            _log.error("hook %s was not told event %d: %s", self.hook.name, sequence, sent.trouble)
            self._settle(lane, self._given_up(event, failing))
            return
        self._due[lane] = time.monotonic() + pause_after(failing.attempts, self._chance.random())
        self._save(msgspec.structs.replace(self._progress, failing={**self._progress.failing, lane: failing}))

    def _send(self, event: Event) -> Posted:
        body = cloud_event(event, self._installation)
        try:
            headers = headers_of(event, body, secret_of(self.hook), int(self._clock()))
        except SettingsError as error:
            return Posted(trouble=error.what)
        hook = self.hook
        return post(hook.url, body, headers, timeout_s=hook.timeout_s, ca_file=hook.ca_file)

    def _send_again(self, sequence: int) -> None:
        """A dead letter that a person wants sent once more: it goes, or stays with the newest error."""
        found = [one for one in self._progress.dead if one.sequence == sequence]
        if found:
            [event] = self._ledger.read(after=sequence - 1, limit=1)
            sent = self._send(event)
            failed = msgspec.structs.replace(
                found[0], at_s=self._clock(), attempts=found[0].attempts + 1, error=sent.trouble
            )
            rest = tuple(one for one in self._progress.dead if one.sequence != sequence)
            progress = self._progress if sent.trouble else self._told()
            dead = (*rest, failed) if sent.trouble else rest
            self._save(msgspec.structs.replace(progress, dead=dead))
        self._shelf.forget(sequence)

    # Noting ---------------------------------------------------------------------------------------------------------

    def _told(self) -> HookProgress:
        return msgspec.structs.replace(self._progress, told=self._progress.told + 1, told_s=self._clock())

    def _given_up(self, event: Event, failing: Failing) -> HookProgress:
        dead = (*self._progress.dead, letter_of(event, failing, self._clock()))
        lost = self._progress.lost + max(0, len(dead) - MOST_DEAD)
        return msgspec.structs.replace(self._progress, dead=dead[-MOST_DEAD:], lost=lost)

    def _settle(self, lane: str, progress: HookProgress) -> None:
        """The first event of a lane is told, or given up."""
        sequence = self._lanes[lane].popleft()
        self._due.pop(lane, None)
        failing = {name: one for name, one in progress.failing.items() if name != lane}
        settled = {**progress.settled, lane: sequence}
        self._save(msgspec.structs.replace(progress, settled=settled, failing=failing))

    def _note_questions(self) -> None:
        failing = self._progress.failing
        told = {name: one for name, one in failing.items() if not name.startswith(QUESTION)}
        if {**told, **self._questions.trouble} != failing:
            self._save(msgspec.structs.replace(self._progress, failing={**told, **self._questions.trouble}))

    def _floor(self) -> int:
        return min((waiting[0] - 1 for waiting in self._lanes.values() if waiting), default=self._read_to)

    def _save(self, progress: HookProgress) -> None:
        floor = self._floor()
        settled = {lane: sequence for lane, sequence in progress.settled.items() if sequence > floor}
        waiting = sum(map(len, self._lanes.values()))
        self._progress = msgspec.structs.replace(progress, floor=floor, settled=settled, waiting=waiting)
        self._shelf.save(self._progress)
        self._saved_at = time.monotonic()


def _installation(ledger: Ledger) -> str:
    """What tells the ids of this installation from those of another: the key that it was made with."""
    first = ledger.read(kinds={"installation.created"}, limit=1)
    fact = first[0].fact if first else None
    return fact.key if isinstance(fact, InstallationCreated) else ""
