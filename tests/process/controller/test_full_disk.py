"""The controller comes back on a disk that is full, and shows what is: a real small file system."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from evertrain.core.time import Instant
from evertrain.errors import UnavailableError
from evertrain.store.installation import install
from evertrain.store.state import State
from evertrain.testing.disk import SmallDisk, small_disk
from evertrain.testing.tree import free_port, wait_until


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with small_disk(tmp_path / "disk", 32 << 20) as found:
            yield found
    except UnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(f"{error} A full disk cannot be made here.")


@contextmanager
def _controller(state: State) -> Iterator[str]:
    """Its address, once it answers there; it is killed, as by a power cut."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "evertrain.process.controller.controlling", "--dir", str(state.path)],
        env=os.environ | {"EVERTRAIN_CONTROL_PORT": str(port)},
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: process.poll() is not None or _metrics(address) is not None, "the control port")
        yield address
        assert process.poll() is None
    finally:
        process.kill()
        assert process.wait(120) == -signal.SIGKILL


def _metrics(address: str) -> str | None:
    try:
        return httpx.get(f"{address}/metrics", trust_env=False, timeout=60).text
    except httpx.TransportError:
        return None


def test_a_controller_that_comes_back_on_a_full_disk_shows_metrics_and_the_page(disk: SmallDisk) -> None:
    state = install(disk.folder / "state", Instant(0))
    with _controller(state):
        pass
    disk.leave(0)
    with _controller(state) as address:
        wait_until(lambda: "evertrain_responses_total" in (_metrics(address) or ""), "the metrics")
        assert httpx.get(f"{address}/health", trust_env=False, timeout=60).status_code < 500
