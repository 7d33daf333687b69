"""What is shown while somebody waits: in place on a terminal, a line now and then in a pipe."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from evertrain.cli.progress import ProgressLine
from evertrain.testing.record import ShopRecord
from evertrain.testing.terminal import Terminal
from evertrain.testing.tree import wait_until

WAITS = """
import signal, sys, threading
from pathlib import Path
from types import SimpleNamespace

from evertrain.cli.greeting import greet
from evertrain.cli.progress import ProgressLine
from evertrain.store.state import State

stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
startup = SimpleNamespace(state=State.open(Path(sys.argv[1])), address="http://127.0.0.1:1")
with ProgressLine() as line:
    line.show("other", "training", "training, for 3.0 s; the first of its kind here", 3.0)
    threading.Thread(target=greet, args=(startup, "shop", None, "", line), daemon=True).start()
    while not stopped.wait(0.05):
        pass
"""


def test_in_a_pipe_only_what_takes_long_is_told_and_seldom() -> None:
    shown = io.StringIO()
    with ProgressLine(Console(file=shown)) as line:
        for second in range(100):
            line.show("churn", "training", f"training, for {second} s", float(second))
        for second in range(15):
            line.show("churn", "judging", f"judging, for {second} s", float(second))
        line.clear("churn", ["Version 1 of churn answers. " + "x" * 200])
    line.show("churn", "training", "training, for 1 h", 3600.0)
    assert shown.getvalue().splitlines() == [
        "churn: training, for 10 s",
        "churn: training, for 20 s",
        "churn: training, for 40 s",
        "churn: training, for 80 s",
        "churn: judging, for 10 s",
        "Version 1 of churn answers. " + "x" * 200,
    ]


def test_on_a_terminal_each_service_has_its_line_and_the_cursor_comes_back() -> None:
    shown = io.StringIO()
    with ProgressLine(Console(file=shown, force_terminal=True, width=60)) as line:
        line.show("churn", "training", "training [1/2], for 1 s" + "x" * 90, 1.0)
        line.show("fraud", "training", "training, for 2 s", 2.0)
        line.clear("churn", ["Version 1 of churn answers."])
        line.clear("unknown")
    told = shown.getvalue()
    assert "churn: training [1/2], for 1 s" in told
    assert "x" * 60 not in told
    assert "Version 1 of churn answers.\n" in told
    assert told.rindex("\x1b[?25l") < told.rindex("\x1b[?25h")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_end_gives_the_terminal_back_and_leaves_no_process(tmp_path: Path, ending: signal.Signals) -> None:
    record = ShopRecord(tmp_path / "state")
    with Terminal() as terminal:
        command = [sys.executable, "-c", WAITS, str(record.state.path)]
        waiting = subprocess.Popen(
            command, stdout=terminal.theirs, stderr=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"}
        )
        wait_until(lambda: len(psutil.Process(waiting.pid).children()) == 1, "a process that looks")
        [looking] = psutil.Process(waiting.pid).children()
        wait_until(lambda: "this says when it answers" in terminal.text, "the greeting")
        waiting.send_signal(ending)
        waiting.wait(120)
        wait_until(lambda: not looking.is_running(), "its end")
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l") >= 0
