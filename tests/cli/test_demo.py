"""What `evertrain demo` refuses before it begins; the story itself is played elsewhere."""

import subprocess
import sys
from pathlib import Path

from evertrain.core.time import Instant
from evertrain.store.installation import install
from evertrain.store.process import beat, heartbeat_of


def demo(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", "demo", "--headless", "--days", "1", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_demonstration_that_runs_is_left_alone(tmp_path: Path) -> None:
    state = install(tmp_path / "demo", Instant(0), actor="story")
    (state.path / "story").mkdir()
    (state.path / "story" / "told.txt").write_text("once upon a time")
    beat(state, heartbeat_of("w0", "worker"))
    done = demo("--dir", str(state.path))
    assert done.returncode == 1
    assert f"A demonstration runs in {state.path}." in done.stderr
    assert (state.path / "story" / "told.txt").read_text() == "once upon a time"


def test_a_report_that_cannot_be_written_is_said_before_the_story(tmp_path: Path) -> None:
    done = demo("--dir", str(tmp_path / "demo"), "--report", str(tmp_path / "nowhere" / "report.json"))
    assert done.returncode == 1
    assert "report.json cannot be written: No such file or directory." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    done = demo("--dir", str(tmp_path))
    assert done.returncode == 1
    assert "is no state directory" in done.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_installation_that_is_no_demonstration_is_left_alone(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(0))
    before = sorted(tmp_path.rglob("*"))
    done = demo("--dir", str(state.path))
    assert done.returncode == 1
    assert "is an installation of yours, no demonstration." in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
