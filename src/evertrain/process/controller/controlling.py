"""The controller: the loop, what it watches, and the control door.

    python -m evertrain.process.controller.controlling --dir DIR

On the system's clock it looks many times a second. On a story's clock it looks when the story has reached the instant
that it asked for, and the story waits there until everything due is done: the speed of the machine does not matter.
"""

import argparse
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from evertrain.config.settings import Settings, inherited
from evertrain.control.loop import Loop, Pulse
from evertrain.core.event import Draft, ProcessExited
from evertrain.core.identity import ServiceName
from evertrain.core.registry import Registry
from evertrain.core.time import DAY, Instant
from evertrain.core.wording import say_many
from evertrain.errors import CapacityError, EvertrainError
from evertrain.process.controller.action import OrderedActions
from evertrain.process.controller.clearing import clear_bundles, clear_models
from evertrain.process.controller.dispatch import dispatching
from evertrain.process.controller.doorway import Doorway
from evertrain.process.entry import ask_to_stop_at_signals, fault_of_disk, log_to_stderr
from evertrain.process.steering.planes import InstalledPlanes
from evertrain.process.steering.reference import ReferenceScoring, score_with_reference
from evertrain.process.view.reading import Observer
from evertrain.store.access import create_token
from evertrain.store.clock import BusinessClock, StoryClock, business_clock
from evertrain.store.exit import exit_notes, forget_exit_note
from evertrain.store.lease import Lease
from evertrain.store.ledger import Ledger
from evertrain.store.process import Heartbeat, beat, sign_in
from evertrain.store.room import NO_ROOM
from evertrain.store.signature import Signer
from evertrain.store.state import State

__all__ = ["Controller", "main"]

_LOOK_S, _BUSY_S, _AGAIN_S = 0.05, 0.1, 1.0
_STORY_LOOK_S = 0.002
_READING_S = 0.001
"""While there is more of the log to be read, so that others get to run."""
_AWAIT_S, _LONG_AWAIT_S, _SHORT_AWAITS = 0.003, 0.03, 20
_BEAT_S = 0.5
_log = logging.getLogger("controller")
_HOUSEKEEPING_S = 30.0
_QUIET_S = 1.0


class Controller:
    """One installation's loop, run until it is told to stop."""

    def __init__(
        self, state: State, clock: BusinessClock, ledger: Ledger, settings: Settings, heartbeat: Heartbeat
    ) -> None:
        self._state = state
        self._clock = clock
        self._ledger = ledger
        self._signer = Signer.load(state.keys)
        self.stopping = threading.Event()
        registry = Registry(ledger.read())
        self.planes = InstalledPlanes(state, clock, registry, settings)
        self.loop = Loop(ledger, self.planes, registry)
        self._references = ReferenceScoring(state)
        self.observer = Observer(state, ledger, self.loop, self.planes, clock.now)
        self._beat = heartbeat
        self._beat_at = 0.0
        self._kept_at = 0.0
        self._kept_day = -1
        self._awaits = 0
        self._settings = settings
        self._stamp: tuple[int, ...] | None = None
        self._ticked = float("-inf")
        self._busy = False
        self._remembered = self._rested = float("-inf")
        self._shown = Instant(-1)
        self._unremembered = True  # what an earlier controller knew may never have been written down

    def run(self) -> None:
        """Look and act until `stopping` is set."""
        self.loop.refresh()
        while not self.stopping.is_set():
            pause = self._take_turn()
            self.observer.look(self._clock.now())
            self.stopping.wait(pause)
        try:
            self._ledger.sign_head(self._signer, self._clock.now())
        except (CapacityError, OSError) as error:
            _log.error("The head of the ledger is not signed: %s", _say_no_room(error))

    def _take_turn(self) -> float:
        """One look. Where the disk takes nothing, the next one takes up what it left; meanwhile people are told why."""
        try:
            pause = (
                self._story_look(self._clock) if isinstance(self._clock, StoryClock) else self._look(self._clock.now())
            )
            self._tell()
        except (CapacityError, OSError) as error:
            self._stand_still(_say_no_room(error))
            return _AGAIN_S
        self._stand_still("")
        return pause

    def _stand_still(self, why: str) -> None:
        """Say why nothing is decided, "" when it is again."""
        if why != self.observer.standstill:
            _log.error("%s It is tried again.", why) if why else _log.info("There is room again: it goes on")
        self.observer.standstill = why
        self._beat = msgspec.structs.replace(self._beat, note=why)
        if why:
            self._ticked = float("-inf")  # whether there is room again shows who tries

    def _look(self, now: Instant) -> float:
        """On the system's clock: at once when anything went on record, often while something is under way."""
        tick, stamp = time.monotonic(), self._ledger.stamp()
        self._references.take_up()
        pause = _BUSY_S if self._busy else self._settings.tick_s
        pause = 0.0 if self.planes.watch.more else pause
        if stamp == self._stamp and tick - self._ticked < pause:
            return _LOOK_S
        self._ticked = tick
        self.planes.watch.follow_on(now)
        pulse = self._tick(now)
        # As it was before the tick: what others append while it lasts is looked at next.
        self._stamp = stamp if not pulse.moves else None
        self._busy = bool(pulse.awaiting) or any(one.open_rollout for one in self.loop.registry.services.values())
        if time.monotonic() - self._kept_at > _HOUSEKEEPING_S:
            self._keep_house(now)
            self._remember()
        return _READING_S if self.planes.watch.more else _LOOK_S

    def _story_look(self, clock: StoryClock) -> float:
        now = clock.now()
        if now != self._shown:
            self._shown, self._rested = now, time.monotonic()
        if now < clock.control_due or now <= clock.control_settled:
            if time.monotonic() - max(self._ticked, self._rested) > _QUIET_S:
                self._rest(now)
            return _STORY_LOOK_S
        self._ticked, self._unremembered = time.monotonic(), True
        self.planes.watch.follow(now)
        pulse = self._tick(now)
        if pulse.awaiting:
            # What is done soon is seen at once; a training does not need to be asked a hundred times a second.
            self._awaits += 1
            return _AWAIT_S if self._awaits < _SHORT_AWAITS else _LONG_AWAIT_S
        self._awaits = 0
        day = now // DAY
        if day != self._kept_day:
            self._kept_day = day
            self._keep_house(now)
            if time.monotonic() - self._remembered > _HOUSEKEEPING_S:
                self._remember()
        tomorrow = Instant((day + 1) * DAY)
        clock.control_due = tomorrow if pulse.until is None else min(pulse.until, tomorrow)
        clock.control_settled = now
        return _STORY_LOOK_S

    def _rest(self, now: Instant) -> None:
        """While a story pauses, or after its end: score and write down what came since the last time, if anything."""
        self.planes.watch.follow(now)
        if self._unremembered or self.planes.watch.has_news:
            for name in self.loop.registry.services:
                self._score_reference(name)
            self._remember()
        self._rested = time.monotonic()

    def _tick(self, now: Instant) -> Pulse:
        pulse = self.loop.tick(now)
        for name, record in self.loop.registry.services.items():
            if record.open_rollout is None:
                self.planes.watch.service(name).trial.rest()
            else:  # while it is paused or held nobody asks what it shows, and what comes in must not pile up
                self.planes.evidence(name, record.open_rollout, now)
        return pulse

    def _keep_house(self, now: Instant) -> None:
        """What may lag: reference scores, a signed head of the ledger, the end of what nobody needs."""
        for name in self.loop.registry.services:
            self._score_reference(name)
        self._ledger.sign_head(self._signer, now)
        clear_bundles(self._state, self.planes.routing(), self.loop.registry.services.values())
        clear_models(self._state, self.loop.registry.services.values())
        self._kept_at = time.monotonic()

    def _remember(self) -> None:
        """Write down what the watch knows. It is all that was ever predicted, so this is not done at each look."""
        self.planes.watch.remember()
        self._remembered, self._unremembered = time.monotonic(), False

    def _score_reference(self, service: ServiceName) -> None:
        anchor = self.loop.registry.service(service).anchor
        performance = self.planes.watch.service(service).performance
        if anchor is None:
            return
        if not self.planes.paced():
            self._references.begin(service, anchor, performance)
            return
        positions, vectors = performance.unscored()
        scores = score_with_reference(self._state, anchor, vectors) if positions else None
        if scores is not None:
            performance.scored(positions, scores)

    def _take_exit_notes(self) -> None:
        """What the supervisor wrote down about processes that ended goes on record."""
        for note in exit_notes(self._state):
            self._ledger.append(_with_untold(note))
            forget_exit_note(self._state, note)

    def _tell(self) -> None:
        if time.monotonic() - self._beat_at < _BEAT_S:
            return
        self._beat_at = time.monotonic()
        known_to = self.planes.watch.known_to
        self._beat = msgspec.structs.replace(self._beat, settled=self._clock.now(), known_to=known_to)
        beat(self._state, self._beat)
        self._take_exit_notes()


def _say_no_room(error: CapacityError | OSError) -> str:
    """What a disk does not take now, and may again; any other error of it is raised."""
    if isinstance(error, CapacityError):
        return error.what
    if error.errno not in NO_ROOM:
        raise error
    return fault_of_disk(error).what


def _with_untold(note: Draft) -> Draft:
    """The note, whose reason says as well what is not on record because of it."""
    fact = note.fact
    if not (isinstance(fact, ProcessExited) and fact.untold):
        return note
    untold = f"{say_many(fact.untold, 'end')} of it before that"
    return msgspec.structs.replace(note, reason=f"{note.reason} {untold} left no record: nobody came for the notes.")


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    given = parser.parse_args(arguments)
    log_to_stderr("controller")
    try:
        state = State.open(given.dir)
        heartbeat = sign_in(state, "controller", "controller")
        if heartbeat is None:
            return 0
        settings = inherited(os.environ)
        clock = business_clock(state.clock)
        with (
            Lease.take(state.path / "control" / "controller.lease", "the controller"),
            Ledger.open(state.ledger) as ledger,
        ):
            controller = Controller(state, clock, ledger, settings, heartbeat)
            ask_to_stop_at_signals(controller.stopping.set)
            controller.observer.look(clock.now())  # who opens the page at once sees what was there before
            board = controller.observer.board
            actions = OrderedActions(state, ledger, board)
            token = create_token("control", state.keys, state.trusted)
            with (
                controller.observer.verification,
                dispatching(controller.planes.hooks, state, ledger, clock.now),
                Doorway(settings.control_host, settings.control_port, board, actions, token),
            ):
                controller.run()
                board.overseer.stop()
    except (EvertrainError, OSError) as error:
        fault = fault_of_disk(error) if isinstance(error, OSError) else error
        _log.error("%s", fault)
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
