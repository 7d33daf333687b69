"""What is being done while somebody waits: one line in place on a terminal, now and then a line in a pipe."""

import threading
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

__all__ = ["ProgressLine"]

_FIRST_S = 10.0
"""What is over sooner is not told in a pipe. Then it is told after twice that time, and so on."""


_PATIENCE_S = 1.0


class ProgressLine:
    """The line of each service that is waited for; threads may share it. Once it has ended, nothing is shown."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._shown: dict[str, str] = {}
        self._told: dict[str, tuple[str, float]] = {}
        self._ended = False

    def show(self, service: str, kind: str, words: str, for_s: float) -> None:
        """Show what is done for a service. kind: what stays the same while it goes on; for_s: how long it has."""
        with self._lock:
            if self._ended:
                return
            if self._console.is_terminal:
                self._shown[service] = f"{service}: {words}"
                self._draw()
                return
            before, due = self._told.get(service, ("", 0.0))
            due = due if before == kind else _FIRST_S
            if for_s >= due:
                self._say(f"{service}: {words}")
                due = 2 * for_s
            self._told[service] = (kind, due)

    def clear(self, service: str, lines: Sequence[str] = ()) -> None:
        """Nothing is done for it any more; lines: what is said then, to stay."""
        with self._lock:
            self._shown.pop(service, None)
            self._draw()
            if self._ended:
                return
            for line in lines:
                self._say(line)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _draw(self) -> None:
        """The lines as they are now; the cursor is given back where there are none."""
        lines = [Text(line, no_wrap=True, overflow="ellipsis", style="dim") for line in self._shown.values()]
        if not lines:
            if self._live is not None:
                self._live.update(Group(), refresh=False)
                self._live.stop()
                self._live = None
            return
        if self._live is None:
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(Group(*lines), refresh=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        # A thread may be stuck in a write, to a terminal that was stopped by Ctrl-S: that hinders no end.
        if self._lock.acquire(timeout=_PATIENCE_S):
            self._shown.clear()
            self._draw()
            self._lock.release()
