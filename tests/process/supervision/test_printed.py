"""The logs of trials: bounded in number."""

import os
from pathlib import Path

from evertrain.process.supervision.printed import keep_newest


def test_logs_of_ended_trials_give_way_and_those_of_running_ones_never(tmp_path: Path) -> None:
    for second, name in enumerate(["canary-a-0", "canary-b-0", "shadow-c-1", "canary-d-0"]):
        (tmp_path / f"{name}.log").touch()
        os.utime(tmp_path / f"{name}.log", (second, second))
    (tmp_path / "w0.json").touch()
    keep_newest(tmp_path, {"canary-a-0"}, most=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "canary-a-0.log",
        "canary-d-0.log",
        "shadow-c-1.log",
        "w0.json",
    ]
