"""A serving worker: answers requests on a socket that it shares with the other workers.

    python -m evertrain.process.worker.serving --dir DIR --name w0 --fd N

It needs the state directory's `serving/` and nothing else: it follows the routing table by a stat, starts from the
last table when everything else is gone, and says in its heartbeat what it obeys, what is ready and what failed.
Settings come from EVERTRAIN_* and evertrain.toml, as everywhere.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version as release_of
from pathlib import Path

import msgspec
import uvloop

from evertrain.config.settings import Settings, inherited
from evertrain.core.access import bearer
from evertrain.core.routing import seen_by
from evertrain.deploy.admission import Admission
from evertrain.deploy.answer import Answering
from evertrain.deploy.body import Intake, Limits
from evertrain.deploy.connection import Bounds
from evertrain.deploy.entrance import affordable
from evertrain.deploy.listener import Listener
from evertrain.deploy.server import Server
from evertrain.deploy.swap import Swap
from evertrain.deploy.trial import Trials, socket_name
from evertrain.deploy.version import Loader
from evertrain.errors import EvertrainError, UserError
from evertrain.process.entry import fault_of_disk, log_to_stderr
from evertrain.process.port import claim
from evertrain.process.worker.duty import Duty
from evertrain.process.worker.features import declaration_of, feature_function, model_code
from evertrain.process.worker.home import require_home
from evertrain.runtime.stall import TURN_S
from evertrain.store.access import credential
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import StoryClock, business_clock
from evertrain.store.log import LogWriter, claim_writer
from evertrain.store.occupancy import Occupancy
from evertrain.store.process import Heartbeat, alive, beat, forget, heartbeats, sign_in
from evertrain.store.pseudonym import Pseudonyms
from evertrain.store.room import Level
from evertrain.store.routing import RoutingFile
from evertrain.store.signature import Verifier
from evertrain.store.state import State
from evertrain.store.statistics import Statistics

__all__ = ["Worker", "main", "open_log"]

_log = logging.getLogger("worker")
_LOOK_S = 0.015
_BEAT_S = 0.25
_MIB = 1 << 20
_IDLE_S = 5.0
"""How long a stopping worker waits for another request of an idle connection, to answer it and then close."""


class Worker:
    """One worker, from its first look at the routing table to the last response."""

    def __init__(
        self, state: State, heartbeat: Heartbeat, settings: Settings, records: LogWriter, port: socket.socket
    ) -> None:
        self._state = state
        self._settings = settings
        self._stopping = asyncio.Event()
        self._changed = False
        self._is_up = False
        self._beat_at = 0.0
        self._heartbeat = heartbeat
        self._routing = RoutingFile(state.routing)
        self._seen = self._told = 0
        artifacts = Artifacts.at(state.artifacts)
        loader = Loader(
            artifacts,
            Verifier.load(state.trusted),
            lambda manifest: feature_function(state, artifacts, manifest),
            lambda manifest: declaration_of(artifacts, manifest),
            lambda manifest: model_code(state, artifacts, manifest),
            at_home=lambda manifest: require_home(state, manifest),
        )
        self._swap = Swap(loader, self._note_change)
        self._trials = Trials(state.socket, self._obey)
        self._records = records
        self._level: Level = "enough"
        self._intake = Intake(max_bytes=settings.max_body_bytes)
        self._admission = Admission(settings.max_concurrency)
        self._server = self._compose(heartbeat.name)
        bounds = Bounds(
            arrival_s=settings.body_timeout_s, keep_alive_s=settings.keep_alive_s, send_s=settings.shutdown_s
        )
        self._occupancy = Occupancy.of(state)
        self._listener = Listener(
            self._server,
            self._intake,
            bounds,
            occupancy=self._occupancy,
            most=affordable(settings.max_connections),
        )
        self._duty = Duty(state, heartbeat.name, heartbeat.pool, self._listener, port)

    def stop(self) -> None:
        """Finish what is in hand, and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopping.is_set():
            self._listener.tell()
            self._look()
            asleep = time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOOK_S)
            self._admission.note_lag(max(0.0, time.monotonic() - asleep - _LOOK_S))
        await self._drain()
        self._occupancy.close()
        self._swap.close()
        self._records.close()
        forget(self._state, self._heartbeat.name)

    def _compose(self, name: str) -> Server:
        state, settings = self._state, self._settings
        clock = business_clock(state.clock)
        statistics = Statistics(state.path / "serving" / "statistics", name)
        pseudonyms = Pseudonyms(state)
        return Server(
            swap=self._swap,
            answering=Answering(
                log=self._records,
                clock=clock,
                statistics=statistics,
                trials=self._trials,
                admission=self._admission,
                pseudonyms=pseudonyms,
            ),
            pseudonyms=pseudonyms,
            log=self._records,
            clock=clock,
            statistics=statistics,
            intake=self._intake,
            limits=Limits(max_rows=settings.max_rows, max_nesting=settings.max_nesting),
            admits=self._admits,
            steady=isinstance(clock, StoryClock),
            answer_timeout_s=settings.answer_timeout_s,
            release=release_of("evertrain"),
        )

    @property
    def _is_able(self) -> bool:
        """Whether every service can be answered, or nobody else can answer more of them."""
        if not self._swap.settled and not (self._is_up or (self._swap.failed and not self._others_ready())):
            return False
        if not self._is_up:
            self._is_up = True
            gc.collect()
            gc.freeze()
        return True

    def _others_ready(self) -> bool:
        own = self._heartbeat.name
        return any(
            other.role == "worker" and other.name != own and other.ready and alive(other)
            for other in heartbeats(self._state)
        )

    def _look(self) -> None:
        """Obey a new routing table, load what is missing, take or leave connections, and say how things stand."""
        self._obey()
        self._swap.look()
        self._duty.look(self._swap.generation, able=self._is_able)
        self._mind_room()
        now = time.monotonic()
        if self._changed or now >= self._beat_at or self._duty.obeyed != self._told:
            self._changed, self._beat_at, self._told = False, now + _BEAT_S, self._duty.obeyed
            self._beat()

    def _obey(self) -> None:
        try:
            table = self._routing.changed(self._seen)
        except EvertrainError as error:
            # A damaged table changes nothing: the last good one is obeyed.
            _log.error("%s", error)
            return
        if table is None:
            return
        self._seen = table.generation
        self._duty.follow(table)
        self._swap.offer(seen_by(table, self._heartbeat.pool))
        self._trials.keep(socket_name(*arm) for arm in self._swap.arms)

    def _mind_room(self) -> None:
        """Say at once when the log's disk gets scarce, and when it is not any more."""
        level, before = self._records.room.level, self._level
        if level == before:
            return
        self._level, self._changed = level, True
        if level == "enough":
            _log.info("The prediction log has room again.")
        else:
            _log.warning("Room for the prediction log is %s: %s", level, self._records.room.says)

    def _beat(self) -> None:
        beat(
            self._state,
            msgspec.structs.replace(
                self._heartbeat,
                generation=self._told,
                ready=self._swap.ready,
                failed=self._swap.failed,
                note=self._records.room.says,
                room=self._records.room,
            ),
        )

    def _note_change(self) -> None:
        self._changed = True

    def _admits(self, header: str) -> bool:
        try:
            return credential("data", self._state.trusted).admits(bearer(header))
        except UserError:
            return False

    async def _drain(self) -> None:
        """Take no new connection, answer what comes on the open ones with `connection: close`, then let go."""
        self._duty.leave()
        end = time.monotonic() + min(_IDLE_S, self._settings.shutdown_s)
        while self._listener.connections and time.monotonic() < end:
            self._server.draining = True  # at each look: connections that are given away may lift it
            self._beat()
            await asyncio.sleep(_LOOK_S)
        await self._listener.close(self._settings.shutdown_s)


def open_log(state: State, name: str, settings: Settings) -> LogWriter:
    """The prediction log of a worker of this name."""
    return claim_writer(
        state.log,
        name,
        segment_bytes=settings.segment_mb * _MIB,
        sync_interval_s=settings.fsync_interval_ms / 1000,
        min_free_bytes=settings.min_free_mb * _MIB,
        warn_free_bytes=settings.warn_free_mb * _MIB,
    )


async def _serve(
    state: State, heartbeat: Heartbeat, settings: Settings, listener: socket.socket, records: LogWriter
) -> None:
    worker = Worker(state, heartbeat, settings, records, listener)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()


def _listener(state: State, handle: int | None, settings: Settings) -> socket.socket:
    """The inherited socket; a worker that is started by hand claims the port beside, or from, its own kind."""
    if handle is not None:
        return socket.socket(fileno=handle)
    own = {found.pid for found in heartbeats(state) if alive(found)}
    return claim(settings.host, settings.port, own=own)


def main(arguments: Sequence[str], log: Callable[[State, str, Settings], LogWriter] = open_log) -> int:
    """The command line; returns the exit code. log: opens the prediction log."""
    parser = argparse.ArgumentParser(prog="evertrain.process.worker.serving")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--pool", type=int, default=0)
    given = parser.parse_args(arguments)
    log_to_stderr(given.name)
    sys.setswitchinterval(TURN_S)
    try:
        settings = inherited(os.environ)
        state = State.open(given.dir)
        first = sign_in(state, given.name, "worker")
        if first is None:
            return 0
        heartbeat = msgspec.structs.replace(first, pool=given.pool)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            records = log(state, given.name, settings)
            runner.run(_serve(state, heartbeat, settings, _listener(state, given.fd, settings), records))
    except (EvertrainError, OSError) as error:
        _log.error("%s", fault_of_disk(error) if isinstance(error, OSError) else error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
