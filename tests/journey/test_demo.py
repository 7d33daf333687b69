"""`evertrain demo`, as a person runs it: short, headless, with nothing left behind however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.store.ledger import Ledger
from evertrain.store.process import heartbeats
from evertrain.store.state import State
from evertrain.testing.retelling import running_in
from evertrain.testing.tree import free_port, wait_until

KEYS = [
    "days",
    "requests",
    "failed",
    "mixed_versions",
    "swaps",
    "rollbacks",
    "refusals",
    "decisions",
    "retrains",
    "champion_auc",
    "static_auc",
    "champion_log_loss",
    "static_log_loss",
    "rows_ingested",
    "rows_quarantined",
    "predictions_logged",
    "predictions_answered",
    "labels_joined",
    "ledger_events",
    "ledger_verified",
    "wall_s",
    "peak_rss_mb",
]


class Telling:
    """One run of the command."""

    def __init__(self, folder: Path, *, headless: bool = True) -> None:
        self.folder = folder / "my demo"
        self.report = folder / "report.json"
        self.log = folder / "demo.log"
        ports = ["--port", str(free_port()), "--control-port", str(free_port())]
        words = ["demo", "--days", "1", "--dir", str(self.folder), "--report", str(self.report), *ports]
        words += ["--headless"] if headless else []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "evertrain", *words], stdout=log, stderr=log)

    def pid_of(self, name: str) -> int:
        """The process of that name, once it is there."""
        wait_until(lambda: name in self._names(), f"{name}: {self.log.read_text()[-2000:]}")
        return self._names()[name]

    def expect_nothing_left(self) -> None:
        wait_until(lambda: not running_in(self.folder), "the end of every process")

    def _names(self) -> dict[str, int]:
        if not (self.folder / "serving" / "processes").is_dir():
            return {}
        return {found.name: found.pid for found in heartbeats(State.open(self.folder))}


@pytest.fixture
def telling(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Telling]:
    made = Telling(tmp_path, headless=getattr(request, "param", True))
    yield made
    made.process.kill()
    made.process.wait()
    for process in running_in(made.folder):
        process.kill()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("telling", [False], indirect=True, ids=["with its page"])
def test_a_short_story_is_told_by_one_command(telling: Telling) -> None:
    wait_until(lambda: "The page stays up until Ctrl-C" in telling.log.read_text(), telling.log.read_text(), 700)
    words = ["rollback", "--service", "late-flights", "--reason", "to see what happens", "--dir", str(telling.folder)]
    done = subprocess.run([sys.executable, "-m", "evertrain", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 1  # the loop's answer: there is nothing to go back to
    with Ledger.open(State.open(telling.folder).ledger) as ledger:
        [answer] = ledger.read(kinds={"order.answered"})
    assert answer.reason in done.stdout
    telling.process.send_signal(signal.SIGINT)
    assert telling.process.wait(180) == 0, telling.log.read_text()
    report = msgspec.json.decode(telling.report.read_bytes())
    assert set(KEYS) <= report.keys()
    assert report["requests"] > 500
    assert report["failed"] == report["mixed_versions"] == 0
    assert report["predictions_logged"] == report["predictions_answered"]
    assert report["ledger_verified"] is True
    telling.expect_nothing_left()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_story_that_is_ended_early_leaves_nothing_running(telling: Telling, number: signal.Signals) -> None:
    telling.pid_of("data")
    telling.process.send_signal(number)
    assert telling.process.wait(180) != 0
    telling.expect_nothing_left()


@pytest.mark.timeout(900)
def test_a_killed_supervisor_comes_back(telling: Telling) -> None:
    killed = telling.pid_of("supervisor")
    telling.pid_of("data")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: telling.pid_of("supervisor") != killed, "another supervisor")
    telling.process.send_signal(signal.SIGINT)
    telling.process.wait(180)
    telling.expect_nothing_left()
