"""The page about one table is followed: its data are made, its commands are typed, and they say what it promises."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec

from evertrain.process.declaration.plan import Plan

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "table.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    make, declare = blocks("python")
    run(tmp_path, "-c", make)
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    init, plan, up = (line for line in commands if re.match(r"evertrain (init|plan|up)\b", line))
    said = run(tmp_path, "-m", *shlex.split(init))
    assert "refund: a leak" in said
    assert len((tmp_path / "service.py").read_text().splitlines()) <= 15
    assert up == "evertrain up service.py"
    assert "the model takes 2 inputs" in run(tmp_path, "-m", *shlex.split(plan))
    (tmp_path / "own.py").write_text(declare)
    written, own = (
        msgspec.json.decode(run(tmp_path, "-m", "evertrain", "plan", file, "--json"), type=Plan).services[0]
        for file in ("service.py", "own.py")
    )
    assert (written.sources, written.history, written.gate) == (own.sources, own.history, own.gate)
