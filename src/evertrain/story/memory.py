"""The peak memory of a process tree: the sum, over the processes that live at one time, of each one's own peak."""

import contextlib
import threading
from pathlib import Path

import psutil

from evertrain.store.process import alive, heartbeats
from evertrain.store.state import State

__all__ = ["TreeMemory"]

_INTERVAL_S = 1.0


class TreeMemory:
    """Looks at an installation's processes and their children once a second, on a thread of its own.

    A process's own peak is VmHWM where the kernel tells it (it starts anew at exec, unlike ru_maxrss), else its
    resident memory at the time.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tree-memory", daemon=True)
        self.peak_mb = 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.peak_mb = max(self.peak_mb, self._look())
            self._stopping.wait(_INTERVAL_S)

    def _look(self) -> float:
        """Megabytes (10^6 bytes) now."""
        tree = {beat.pid for beat in heartbeats(self._state) if alive(beat)}
        parents = {process.pid: process.info["ppid"] for process in psutil.process_iter(["ppid"])}
        grown = True
        while grown:
            children = {pid for pid, parent in parents.items() if parent in tree} - tree
            tree |= children
            grown = bool(children)
        return sum(_peak_bytes(pid) for pid in tree) / 1e6


def _peak_bytes(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(psutil.Process(pid).memory_info().rss)
    return 0
