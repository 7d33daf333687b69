"""The demonstration: an installation of its own, brought up by the command that users type, and a story told to it."""

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import msgspec
import uvloop

from evertrain.core.time import Instant
from evertrain.errors import UnavailableError, UserError
from evertrain.process.steering.watch import has_remembered
from evertrain.process.supervision.errand import run_module
from evertrain.store.access import token
from evertrain.store.clock import StoryClock
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, at_work, heartbeats
from evertrain.store.request import CommitRequest, CommitRequests
from evertrain.story.memory import TreeMemory
from evertrain.story.report import Promise, StoryReport, judge_story, report_story
from evertrain.story.script import Script
from evertrain.story.teller import Storyteller, Told

__all__ = ["Demo", "Ending", "free_port", "load_script"]

_UP_S = 120.0
_COMMIT_S = 120.0
_LOOK_S = 0.1
_DRAIN_S = 15.0


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a demonstration ended."""

    report: StoryReport
    promises: tuple[Promise, ...]

    @property
    def kept(self) -> bool:
        return all(promise.kept for promise in self.promises)


class Demo:
    """One telling of a script to an installation under `folder`; a context manager that ends what it started.

    tell: called with (business time, what was seen so far) after each story hour.
    """

    def __init__(
        self, folder: Path, script: Script, *, port: int, control_port: int, tell: Callable[[Instant, Told], None]
    ) -> None:
        self.script = script
        self.port = port
        self.control_port = control_port
        self._tell = tell
        self.state = install(folder, script.begin, actor="story")
        Storyteller.prepare(self.state, script)
        self._memory = TreeMemory(self.state)
        self._up: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._guard = threading.Thread(target=self._keep_up, name="demo-up", daemon=True)

    def __enter__(self) -> Self:
        self._declare(self.script.declaration)
        self._start()
        self._guard.start()
        self._memory.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._guard.join()
        self._memory.stop()
        if self._up is not None and self._up.poll() is None:
            self._up.send_signal(signal.SIGTERM)
            self._up.wait()
        self._end_orphans()

    def run(self) -> Ending:
        """Tell the story, commit what is left, and judge it."""
        self._await_up()
        began = time.monotonic()
        with Ledger.open(self.state.ledger) as ledger:
            teller = Storyteller(
                self.state,
                self.script,
                port=self.port,
                token=token("data", self.state.keys),
                declare=self._declare,
                progress=self._tell,
            )
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                told = runner.run(teller.tell(ledger))
            wall_s = time.monotonic() - began
            self._commit()
            _await(lambda: has_remembered(self.state), "The controller did not write down its memory.")
            report = report_story(
                self.state, self.script, told, ledger, wall_s=wall_s, peak_rss_mb=self._memory.peak_mb
            )
            return Ending(report=report, promises=judge_story(report, self.script, told, ledger))

    def linger(self) -> None:
        """Keep everything up until somebody interrupts.

        The story's clock stands. A person's order moves it on to the controller's next look, so that it is obeyed.
        """
        clock = StoryClock(self.state.clock)
        with contextlib.suppress(KeyboardInterrupt), Ledger.open(self.state.ledger) as ledger:
            read = ledger.count() - 1
            while True:
                time.sleep(_LOOK_S)
                orders = ledger.read(after=read, kinds={"order.given"})
                if orders:
                    read = orders[-1].sequence
                    clock.advance(max(clock.now(), clock.control_due))

    # The installation -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", "evertrain", "up", "--dir", str(self.state.path)]
        command += ["--port", str(self.port), "--control-port", str(self.control_port)]
        with (self.state.path / "story" / "up.log").open("ab") as log:
            self._up = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment())

    def _keep_up(self) -> None:
        """Whoever kills the supervisor sees it come again: a person would type `evertrain up` again."""
        while not self._stopping.wait(_LOOK_S):
            if self._up is not None and self._up.poll() is not None and self._up.returncode < 0:
                self._start()

    def _end_orphans(self) -> None:
        """A supervisor that was killed at the very end left its processes to a next one, which does not come."""
        number, end = signal.SIGTERM, time.monotonic() + _DRAIN_S
        while left := [found for found in heartbeats(self.state) if alive(found)]:
            for found in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found.pid, number)
            time.sleep(_LOOK_S)
            number = signal.SIGTERM if time.monotonic() < end else signal.SIGKILL

    def _await_up(self) -> None:
        end = time.monotonic() + _UP_S
        while time.monotonic() < end:
            if self._up is not None and self._up.poll() is not None and self._up.returncode >= 0:
                log = (self.state.path / "story" / "up.log").read_text(errors="replace")
                raise UnavailableError(f"`evertrain up` ended: {log.strip()[-500:]}")
            roles = [beat.role for beat in heartbeats(self.state) if at_work(beat)]
            if {"worker", "controller", "data"} <= set(roles):
                return
            time.sleep(_LOOK_S)
        raise UnavailableError(f"`evertrain up` is not ready after {_UP_S:g} s.", "Look into story/up.log.")

    def _declare(self, file: Path) -> None:
        words = ["--dir", str(self.state.path), "--data", str(self.state.path / "story"), str(file)]
        run_module("declaration.declaring", words)

    def _commit(self) -> None:
        """Have the data process put everything that was logged into its tables."""
        requests = CommitRequests(self.state)
        requests.ask(CommitRequest(id="story-end", service=self.script.service))
        _await(lambda: requests.answered("story-end") is not None, "The data process did not commit the story's end.")


def _await(done: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + _COMMIT_S
    while not done():
        if time.monotonic() > end:
            raise UnavailableError(complaint, "Look into story/up.log.")
        time.sleep(_LOOK_S)


def _environment() -> dict[str, str]:
    """Settings that suit a year in minutes: a story waits for its trainings, and a day of it is a second."""
    threads = str(min(2, os.cpu_count() or 1))
    return {"EVERTRAIN_TRAINER_THREADS": threads, "EVERTRAIN_COMMIT_EVERY": "7d", **os.environ}


def load_script(folder: Path, days: int | None, into: Path) -> Script:
    """The script of an example folder: what `script(days, folder)` of its story.py makes."""
    if days is not None and days < 1:
        raise UserError(f"A story of {days} days cannot be told.", "Give at least --days 1.")
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module("story")
    except ModuleNotFoundError as error:
        raise UserError(f"The story of {folder} needs {error.name}.", 'pip install "evertrain[demo]"') from error
    return cast("Script", module.script(days, into))


def free_port(preferred: Sequence[int]) -> int:
    """The first of these ports that nobody listens on, else any free one."""
    for port in [*preferred, 0]:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise UnavailableError("No port is free on 127.0.0.1.")
