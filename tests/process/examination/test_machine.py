"""What the doctor sees of a machine: limits read from real files, ports from real sockets."""

import os
import socket
from pathlib import Path

import pytest

from evertrain.config.settings import Settings
from evertrain.process.examination.finding import Finding
from evertrain.process.examination.machine import (
    Limits,
    limits_of,
    look_at_disk,
    look_at_handles,
    look_at_limits,
    look_at_ports,
)
from evertrain.testing.tree import free_port


def groups(folder: Path, **files: str) -> tuple[Path, Path]:
    """A mounted tree of groups, this process in a/b; "__" in a name stands for a folder."""
    root = folder / "cgroup"
    (root / "a" / "b").mkdir(parents=True)
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text("0::/a/b\n")
    return root, folder / "own"


@pytest.mark.parametrize(
    ("files", "processors", "memory"),
    [
        ({}, None, None),
        ({"a__b__cpu_dot_max": "max 100000\n", "a__b__memory_dot_max": "max\n"}, None, None),
        ({"a__b__cpu_dot_max": "150000 100000\n", "a__cpu_dot_max": "50000 100000\n"}, 0.5, None),
        ({"a__memory_dot_max": "1073741824\n", "a__b__memory_dot_max": "max\n"}, None, 1 << 30),
        ({"cpu__cpu_dot_cfs_quota_us": "-1\n", "cpu__cpu_dot_cfs_period_us": "100000\n"}, None, None),
        ({"cpu__cpu_dot_cfs_quota_us": "200000\n", "cpu__cpu_dot_cfs_period_us": "100000\n"}, 2.0, None),
        ({"memory__memory_dot_limit_in_bytes": "9223372036854771712\n"}, None, None),
        ({"memory__memory_dot_limit_in_bytes": "536870912\n"}, None, 512 << 20),
    ],
    ids=["none", "unlimited", "narrowest", "above", "old-unlimited", "old", "old-no-memory", "old-memory"],
)
def test_the_narrowest_limit_of_all_groups_counts(
    tmp_path: Path, files: dict[str, str], processors: float | None, memory: int | None
) -> None:
    found = limits_of(*groups(tmp_path, **files))
    assert (found.processors, found.memory) == (processors, memory)


def tones(findings: list[Finding]) -> list[str]:
    return [one.tone for one in findings]


def test_more_workers_than_processors_are_told() -> None:
    half = Limits(processors=0.5, memory=None)
    processors, memory = look_at_limits(Settings(workers=2), half, ())
    assert (processors.tone, "Set workers to 1" in processors.remedy) == ("watch", True)
    assert memory.tone == "good"
    assert tones(list(look_at_limits(Settings(workers=1, trainer_threads=4), half, ()))) == ["watch", "good"]
    assert tones(list(look_at_limits(Settings(workers=1), Limits(None, None), ()))) == ["good", "good"]


def test_a_limit_of_memory_that_is_nearly_reached_is_told() -> None:
    tiny = Limits(processors=None, memory=1 << 20)

    assert tones(list(look_at_limits(Settings(workers=1), tiny, [os.getpid()]))) == ["good", "watch"]


def test_a_disk_that_is_nearly_full_is_told_before_and_when_it_refuses(tmp_path: Path) -> None:
    everything = 1 << 40
    missing = tmp_path / "not" / "there" / "yet"
    assert look_at_disk(missing, Settings()).tone == "good"
    assert look_at_disk(missing, Settings(warn_free_mb=everything)).tone == "watch"
    full = look_at_disk(missing, Settings(warn_free_mb=everything, min_free_mb=everything))
    assert (full.tone, "min_free_mb" in full.why) == ("bad", True)


def test_a_port_that_somebody_else_has_is_named_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        settings = Settings(port=stranger.getsockname()[1], control_port=free_port())
        predict, control = look_at_ports(settings, (), up=False)
        assert (predict.tone, control.tone) == ("bad", "good")
        assert str(settings.port) in predict.what
        assert "process" in predict.what
        assert tones(list(look_at_ports(settings, (), up=True))) == ["good"]


def test_too_few_file_handles_are_told() -> None:
    assert look_at_handles(Settings(), limit=4096).tone == "good"
    few = look_at_handles(Settings(max_connections=8192), limit=1024)
    assert (few.tone, "ulimit -Hn 8448" in few.remedy) == ("bad", True)
