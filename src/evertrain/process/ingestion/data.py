"""The data process: files and the prediction log, into tables and online states.

    python -m evertrain.process.ingestion.data --dir DIR [--commit-every DURATION] [--log-keep DURATION] [--scan-s S]

On the system's clock it looks at the sources every so often and follows the log all the time. On a story's clock it
works whenever the story has advanced, and says so when everything that was known by then is visible online.
"""

import argparse
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from evertrain.core.time import DAY, Instant, Span, parse_span
from evertrain.data.arrival import Patience
from evertrain.errors import EvertrainError
from evertrain.process.entry import fault_of_disk, log_to_stderr
from evertrain.process.ingestion.intake import Intake
from evertrain.store.clock import BusinessClock, StoryClock, business_clock
from evertrain.store.lease import Lease
from evertrain.store.ledger import Ledger
from evertrain.store.process import Heartbeat, beat, sign_in
from evertrain.store.request import CommitRequests
from evertrain.store.state import State

__all__ = ["DataProcess", "main"]

_LOOK_S, _READING_S = 0.05, 0.001
_SOON_S = 1.0
"""A file that was seen is looked at again so soon: it may be whole by then."""
_STORY_LOOK_S, _IDLE_LOOK_S, _PATIENCE = 0.0005, 0.003, 1.1
"""Seconds between two looks at a story's clock: few after it moved, and longer the longer it stands."""
_LOOKS_AN_ANSWER = 8
_LOG_KEEP = Span(30 * DAY)
_BEAT_S = 0.5
_log = logging.getLogger("data")


class DataProcess:
    """One installation's intake, run until it is told to stop."""

    def __init__(
        self,
        state: State,
        clock: BusinessClock,
        ledger: Ledger,
        heartbeat: Heartbeat,
        *,
        commit_every: int = DAY,
        log_keep: Span = _LOG_KEEP,
        scan_s: float = 1.0,
    ) -> None:
        self._state, self._clock = state, clock
        self._commit_every, self._scan_s = commit_every, scan_s
        # A plain flag: setting an event in a signal handler can meet its own lock, held by the thread that waits.
        self.stopping = False
        patience = None if isinstance(clock, StoryClock) else Patience()
        now = clock.now()
        self._intake = Intake(state, ledger, patience, now, log_keep=log_keep)
        self._requests = CommitRequests(state)
        self._committed = now // commit_every
        self._settled = Instant(0)
        self._idle = 0
        self._scanned = self._beaten = float("-inf")
        self._beat = heartbeat

    def run(self) -> None:
        """Take in until `stop` is called; what waits then is committed."""
        while not self.stopping:
            clock = self._clock
            pause = self._story_look(clock) if isinstance(clock, StoryClock) else self._look()
            self._tell()
            time.sleep(pause)
        self._intake.close()
        self._intake.commit(self._clock.now())
        self._beaten = float("-inf")
        self._tell()

    def stop(self, *_: object) -> None:
        """Let `run` end after what it has in hand; fit to be a signal's handler."""
        self.stopping = True

    def _look(self) -> float:
        now, tick = self._clock.now(), time.monotonic()
        rest = min(self._scan_s, _SOON_S) if self._intake.expects_files else self._scan_s
        if tick - self._scanned >= rest:
            self._scanned = tick
            self._intake.hear(now)
            self._intake.look(now, tick)
            self._intake.watch(now)
        self._intake.follow(now)
        if self._intake.more:
            return _READING_S
        self._keep_up(now)
        self._settled = now
        return _LOOK_S

    def _story_look(self, clock: StoryClock) -> float:
        now, tick, delivered = clock.now(), time.monotonic(), clock.delivered
        if delivered > self._settled:
            self._intake.hear(now)
            self._intake.look(now, tick)
            self._intake.follow(now)
            self._intake.watch(delivered)
            self._settled = delivered
            clock.data_settled = delivered
            self._idle = 0
        elif tick - self._scanned >= _LOOK_S:
            # Between two deliveries the log grows.
            self._scanned = tick
            self._intake.hear(now)
            self._intake.follow(now)
        self._idle += 1
        if self._idle == 1 or self._idle % _LOOKS_AN_ANSWER == 0:
            self._keep_up(now)
        return min(_STORY_LOOK_S * _PATIENCE ** min(self._idle, 50), _IDLE_LOOK_S)

    def _keep_up(self, now: Instant) -> None:
        """Commit when a new stretch of business time has begun, or somebody asks."""
        if now // self._commit_every > self._committed:
            self._committed = now // self._commit_every
            self._intake.commit(now)
        self._answer()

    def _answer(self) -> None:
        pending = self._requests.pending()
        if not pending:
            return
        now = self._clock.now()  # whoever asks may know of a later instant than this look began with
        # Whoever asks may know of a newer declaration too, by which files are read again. And a story may deliver
        # nothing more before it has its answer: whether everything is read is seen here.
        self._intake.hear(now)
        self._intake.look(now, time.monotonic())
        pending = [one for one in pending if self._intake.has_begun(one.service)]
        if pending:
            self._intake.follow(now)
        if pending and not self._intake.more:
            self._intake.commit(now)
            for request in pending:
                self._requests.answer(request, self._intake.versions(request.service))

    def _tell(self) -> None:
        if time.monotonic() - self._beaten < _BEAT_S:
            return
        self._beaten = time.monotonic()
        self._intake.report()
        told = self._intake
        self._beat = msgspec.structs.replace(
            self._beat, settled=self._settled, known_to=told.known_to, note=told.note()
        )
        beat(self._state, self._beat)


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--commit-every", type=parse_span, default=DAY)
    parser.add_argument("--log-keep", type=parse_span, default=_LOG_KEEP)
    parser.add_argument("--scan-s", type=float, default=1.0)
    given = parser.parse_args(arguments)
    log_to_stderr("data")
    try:
        state = State.open(given.dir)
        heartbeat = sign_in(state, "data", "data")
        if heartbeat is None:
            return 0
        with (
            Lease.take(state.path / "control" / "data.lease", "the data process"),
            Ledger.open(state.ledger) as ledger,
        ):
            process = DataProcess(
                state,
                business_clock(state.clock),
                ledger,
                heartbeat,
                commit_every=given.commit_every,
                log_keep=given.log_keep,
                scan_s=given.scan_s,
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, process.stop)
            process.run()
    except (EvertrainError, OSError) as error:
        fault = fault_of_disk(error) if isinstance(error, OSError) else error
        _log.error("%s", fault)
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
