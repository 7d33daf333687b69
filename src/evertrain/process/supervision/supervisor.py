"""The root of the process tree: starts everything, watches it, starts it again, and takes over what outlived it.

It does little, so that little can go wrong in it: no user code, no database, no data frames. What it knows it reads
from the state directory: the routing table says which versions need processes, heartbeats say who is ready. It may be
killed at any moment: workers, controller and the rest go on, and the next supervisor drains or adopts them.
"""

import itertools
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from evertrain.config.settings import Settings
from evertrain.core.pool import Pool
from evertrain.core.routing import RoutingTable, seen_by
from evertrain.errors import IntegrityError
from evertrain.process.supervision.child import Child
from evertrain.process.supervision.obituaries import leave_obituary
from evertrain.process.supervision.posts import controller_post, data_post, trial_post, worker_post
from evertrain.process.supervision.printed import keep_newest
from evertrain.process.supervision.restarting import Restarting, Standing
from evertrain.process.supervision.roster import hides, lacks, serves, trials
from evertrain.process.supervision.watchdog import Watchdog
from evertrain.store.exit import ExitNotes
from evertrain.store.process import Heartbeat, Role, alive, beat, forget, heartbeat_of, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = ["Supervisor"]

_STEP_S = 0.02
_LOOK_S = 0.25
_FIRST_LOOK_S = 0.05
"""Until all workers answer, since somebody waits for it."""
_HAND_OVER_S = 10.0
_GRACE_S = 5.0
_STARTING_S = 60.0
"""On top of what a worker gives itself for its drain, so that it is not killed at its last request."""
_log = logging.getLogger("supervisor")


class Supervisor:
    """Keeps one installation's processes running. The caller holds the installation's lease and the bound socket.

    environment: what every process gets on top of the supervisor's own. ready: called once, when all workers answer.
    """

    def __init__(
        self,
        state: State,
        settings: Settings,
        listener: socket.socket,
        *,
        environment: dict[str, str],
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._settings = settings
        self._environment = environment
        self._ready = ready
        self._routing = RoutingFile(state.routing)
        self._table = RoutingTable(generation=0, routes={})
        self._watchdog = Watchdog(state)
        self._orphans: dict[Child, float] = {}
        self._trials: dict[str, Child] = {}
        self._looked = 0.0
        self._hurry = threading.Event()
        self._is_ready = False
        self._notes = ExitNotes(state)
        self._restarting = Restarting(state, self, self._notes)
        host, port = listener.getsockname()[:2]
        self._heartbeat = msgspec.structs.replace(
            heartbeat_of("supervisor", "supervisor"),
            starting=True,
            note=f"predictions on http://{host}:{port}",
            page=f"http://{settings.control_host}:{settings.control_port}/",
        )
        self._begun = time.monotonic()
        self._listener = listener
        self._workers: list[Child] = []
        self._successors: list[Child] = []
        self._planes = [Child(controller_post(state, environment)), Child(data_post(state, settings, environment))]
        self._follow_routing()

    def run(self, stopping: threading.Event, hurry: threading.Event | None = None) -> None:
        """Keep everything running until `stopping` is set, then drain and return. hurry: do not wait for the drain."""
        self._hurry = hurry or self._hurry
        self._take_over()
        while not stopping.is_set():
            self._step()
            stopping.wait(_STEP_S)
        self._shut_down()

    # What an earlier supervisor left ---------------------------------------------------------------------------------

    def _take_over(self) -> None:
        wanted = trials(self._table)
        for found in heartbeats(self._state):
            if not alive(found):
                forget(self._state, found.name)
            elif found.role == "candidate" and found.name in wanted:
                _log.info("%s, process %d, goes on", found.name, found.pid)
                self._trials[found.name].adopt(found)
            elif found.role in ("worker", "controller", "data", "candidate"):
                self._drain_later(found)

    def _drain_later(self, found: Heartbeat) -> None:
        _log.info("%s, process %d, was left by an earlier supervisor and is replaced", found.name, found.pid)
        post = msgspec.structs.replace(self._planes[0].post, name=found.name, role=found.role)
        orphan = Child(post)
        orphan.adopt(found)
        self._orphans[orphan] = 0.0
        if found.role != "worker":
            self._end_orphan(orphan)

    def _end_orphan(self, orphan: Child) -> None:
        patience = self._settings.shutdown_s + _GRACE_S if orphan.post.role == "worker" else _HAND_OVER_S
        self._orphans[orphan] = time.monotonic() + patience
        orphan.signal(signal.SIGTERM)

    def _look_after_orphans(self) -> None:
        for orphan, deadline in list(self._orphans.items()):
            if orphan.vanished():
                del self._orphans[orphan]
                forget(self._state, orphan.post.name)
            elif deadline == 0.0 and self._is_ready:
                self._end_orphan(orphan)
            elif deadline and time.monotonic() > deadline:
                orphan.signal(signal.SIGKILL)

    def _has_orphan(self, role: Role) -> bool:
        return any(orphan.post.role == role for orphan in self._orphans)

    def _is_awaited(self, child: Child) -> bool:
        """Whether somebody has to end before this one can start: of one plane, one socket, there is one at a time."""
        if child in self._planes:
            return self._has_orphan(child.post.role)
        return any(orphan.post.name == child.post.name for orphan in self._orphans)

    # What a restart asks for -----------------------------------------------------------------------------------------

    @property
    def workers(self) -> Sequence[Child]:
        return self._workers

    @property
    def planes(self) -> Sequence[Child]:
        return self._planes

    def nominate(self, old: Child) -> Child:
        """Start a worker beside `old`, under a name of its own."""
        successor = self._new_worker(old.post.pool)
        self._successors.append(successor)
        _log.info("%s is to be replaced by %s", old.post.name, successor.post.name)
        return successor

    def appoint(self, old: Child, successor: Child) -> None:
        """Give the place of `old` to its successor, and let `old` drain."""
        self._successors.remove(successor)
        self._workers[self._workers.index(old)] = successor
        self._leave(old)

    def reject(self, successor: Child) -> None:
        """End a worker that was to replace another one."""
        self._successors.remove(successor)
        self._dismiss(successor)

    def make_room(self, old: Child) -> Child:
        """Let a plane end; the process that follows it starts when it has."""
        successor = Child(old.post)
        self._planes[self._planes.index(old)] = successor
        self._leave(old)
        return successor

    def has_left(self, old: Child) -> bool:
        """Whether a process that was told to end is gone."""
        return old not in self._orphans

    def standing_of(self, child: Child) -> Standing:
        """Whether a process does its work; why not, where that is known and will not change by itself."""
        found = next((one for one in heartbeats(self._state) if one.pid == child.pid), None)
        if child.post.role != "worker":
            return Standing(found is not None and not found.starting)
        if child.fate or found is None or found.starting:
            return Standing(is_up=False, fault=child.fate)
        table = seen_by(self._table, child.post.pool.number)
        is_up = serves(table, found.generation, found.ready)
        return Standing(is_up, "" if is_up else lacks(table, found.failed))

    def _leave(self, old: Child) -> None:
        self._watchdog.forget(old)
        if old.running:
            self._end_orphan(old)

    def _new_worker(self, pool: Pool) -> Child:
        taken = {found.name for found in heartbeats(self._state) if alive(found)}
        taken |= {child.post.name for child in [*self._workers, *self._successors, *self._orphans]}
        name = next(name for number in itertools.count() if (name := f"w{number}") not in taken)
        return Child(worker_post(self._state, name, pool, self._listener.fileno(), self._environment))

    # The loop --------------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        self._reap()
        self._follow_routing()
        if self._is_ready:
            self._restarting.look()
        for child in self._everybody():
            if child.is_due and not self._is_awaited(child):
                forget(self._state, child.post.name)  # what stands there was said by a process that is gone
                self._start(child)
        if time.monotonic() - self._looked > (_LOOK_S if self._is_ready else _FIRST_LOOK_S):
            self._looked = time.monotonic()
            self._look()

    def _start(self, child: Child) -> None:
        """Start a process; where the system cannot, as on a full disk, it is tried again like one that has ended."""
        try:
            child.start()
        except OSError as error:
            _log.error("%s cannot be started: %s. It is tried again in %.1f s.", child.post.name, error, child.ended())
        else:
            _log.info("%s is process %s", child.post.name, child.pid)

    def _look(self) -> None:
        beat(self._state, self._said())
        self._notes.leave_rest()
        self._look_after_orphans()
        for child in [*self._workers, *self._successors, *self._trials.values()]:
            self._watchdog.look(child)
        if not self._is_ready and self._all_ready():
            self._is_ready = True
            _log.info("all workers answer")
            self._ready()

    def _said(self) -> Heartbeat:
        """Its heartbeat: it is starting until everything came up once, with what it waits for."""
        if self._heartbeat.starting:
            if waits := self._coming_up():
                return msgspec.structs.replace(self._heartbeat, note=f"waits for {', '.join(waits)}")
            self._heartbeat = msgspec.structs.replace(self._heartbeat, starting=False)
        return self._heartbeat

    def _coming_up(self) -> list[str]:
        """Who is still to come up for the first time; nobody once one has ended instead, or all took too long."""
        children = [*self._planes, *(() if self._is_ready else self._workers)]
        if time.monotonic() - self._begun > _STARTING_S or any(child.fate for child in children):
            return []
        return [child.post.name for child in children if not self.standing_of(child).is_up]

    def _all_ready(self) -> bool:
        """Whether each worker answers all that is routed. Without orphans it may say what it cannot load instead.

        Those of a pool that takes no connections are not waited for.
        """
        said = {found.pid: found for found in heartbeats(self._state)}
        taking = [child for child in self._workers if child.post.pool.number == self._table.accepting]
        own = [said.get(child.pid or 0) for child in taking]
        alone = not self._has_orphan("worker")
        return all(
            found is not None
            and not found.starting
            and (serves(self._table, found.generation, found.ready) or (alone and bool(found.failed)))
            for found in own
        )

    def _keep_pools(self) -> None:
        """Start the workers of each pool that is to stand, and let those of others end."""
        standing = {pool.number for pool in self._table.pools}
        for worker in [child for child in self._workers if child.post.pool.number not in standing]:
            if not self._restarting.is_under_way:  # it counts on who is there
                self._workers.remove(worker)
                self._leave(worker)
        for pool in self._table.pools:
            here = sum(child.post.pool.number == pool.number for child in self._workers)
            for _ in range(here, self._settings.workers):
                self._workers.append(self._new_worker(pool))  # one by one: each takes a name that is free

    def _follow_routing(self) -> None:
        self._follow_table()
        self._keep_pools()

    def _follow_table(self) -> None:
        try:
            table = self._routing.changed(self._table.generation)
        except IntegrityError as error:
            if not self._table.generation:
                _log.warning("%s", error)
            return
        if table is None:
            return
        self._table = table
        wanted = trials(table)
        for name in self._trials.keys() - wanted.keys():
            self._dismiss(self._trials.pop(name))
        for name in wanted.keys() - self._trials.keys():
            self._trials[name] = Child(trial_post(self._state, wanted[name], self._environment))
        keep_newest(self._state.processes, self._trials.keys())

    def _dismiss(self, child: Child) -> None:
        """Stop a process that is not routed to any more."""
        self._watchdog.forget(child)
        if child.running:
            self._orphans[child] = time.monotonic() + _HAND_OVER_S
            child.signal(signal.SIGTERM)
        forget(self._state, child.post.name)

    def _everybody(self) -> list[Child]:
        return [*self._workers, *self._successors, *self._planes, *self._trials.values()]

    def _reap(self) -> None:
        codes = _ended_children()
        for child in [*self._everybody(), *self._orphans]:
            if child.pid in codes:
                self._bury(child, codes[child.pid])
            elif child.vanished() and child not in self._orphans:
                self._bury(child, None)

    def _bury(self, child: Child, code: int | None) -> None:
        child.sweep()
        if child in self._orphans:
            del self._orphans[child]
            forget(self._state, child.post.name)
            return
        pid = child.pid
        cause = leave_obituary(self._state, self._notes, child, code, hidden=hides(self._table, child.post.version))
        pause = child.ended(cause)
        self._watchdog.forget(child)
        _log.warning("%s, process %s: %s It starts again in %.1f s.", child.post.name, pid, cause, pause)

    # The end ---------------------------------------------------------------------------------------------------------

    def _shut_down(self) -> None:
        """Planes first, so that nothing changes any more; workers next; trial processes last: workers ask them.

        Who comes when the workers leave is refused at once, and goes elsewhere: were our handle of the socket still
        open, they would wait for workers that take nobody any more, and be reset in the end.
        """
        _log.info("stopping")
        end = time.monotonic() + self._settings.shutdown_s
        self._stop([*self._planes, *self._orphans], until=end - self._settings.shutdown_s / 2)
        self._listener.close()
        self._stop([*self._workers, *self._successors], until=end)
        self._stop(list(self._trials.values()), until=max(end, time.monotonic() + 1.0))
        forget(self._state, "supervisor")
        self._state.clear_sockets()
        _log.info("stopped")

    def _stop(self, children: list[Child], until: float) -> None:
        for child in children:
            child.signal(signal.SIGTERM)
        waiting = [child for child in children if child.running]
        while waiting:
            _ended_children()  # nobody waits for their codes any more, but what is not reaped stays as a zombie
            waiting = [child for child in waiting if not child.is_over()]
            if time.monotonic() > until or self._hurry.is_set():
                for child in waiting:
                    _log.warning("%s did not stop in time and is killed", child.post.name)
                    child.signal(signal.SIGKILL)
                until = time.monotonic() + 1.0
            if waiting:
                time.sleep(_STEP_S)
        for child in children:
            child.sweep()
            child.pid = None
            forget(self._state, child.post.name)


def _ended_children() -> dict[int, int]:
    """Number to exit code of every child that has ended; as process 1 of a container these may be anybody's."""
    codes: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return codes
        if pid == 0:
            return codes
        codes[pid] = os.waitstatus_to_exitcode(status)
