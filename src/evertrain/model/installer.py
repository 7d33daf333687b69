"""uv, which resolves and installs packages: found, run at the lowest priority, its words turned into ours."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from evertrain.errors import PackageError
from evertrain.model.obituary import say_line
from evertrain.store.environment import Environments

__all__ = ["BUILD_S", "Installer", "UnsatisfiableError", "find_uv"]

BUILD_S: Final = 900
"""Seconds that building an environment may take: a first one downloads everything."""
_NICE: Final = "import os, sys; os.nice(19); os.execv(sys.argv[1], sys.argv[1:])"
_PROGRESS: Final = ("Resolved", "Downloading", "Downloaded", "Building", "Built", "Prepared", "Installed")
_LOOK_S: Final = 0.2
_NOT_INHERITED: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
_MISFITS: Final = (
    "Choose versions of your index that stand beside each other and what evertrain requires, and lock them anew."
)
_REMEDIES: Final = (
    ("network was disabled", "Unset UV_OFFLINE, or bring the packages into uv's cache."),
    ("no solution found|unsatisfiable", _MISFITS),
    ("hash mismatch", "The index has other files than were locked: find out why before you lock anew."),
    (
        "failed to fetch|error sending request|dns|connect|timed out|certificate",
        "A new lock needs the index; uv finds it by its own configuration (uv.toml, UV_DEFAULT_INDEX).",
    ),
    ("no space left", "Free space where the state and uv's cache lie."),
)
"""What to do, by what uv says; the first that is found in it."""


def find_uv() -> str | None:
    """The program, of the installation's own or on the path."""
    with contextlib.suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin

        return str(find_uv_bin())
    return shutil.which("uv")


class UnsatisfiableError(PackageError):
    """The versions that are asked for cannot stand beside each other."""


class Installer:
    """Runs uv for one environment: at the lowest priority, within its time, its words turned into ours."""

    def __init__(self, name: str, places: Environments, environment: str, folder: Path) -> None:
        found = find_uv()
        if found is None:
            raise PackageError(
                f"{name} is built by uv, which is not installed.", "Install it: pip install 'evertrain[environments]'."
            )
        self._path = found
        self._name = name
        self._places = places
        self._environment = environment
        self._folder = folder
        self._log = folder / "uv.log"
        self._until = time.monotonic() + BUILD_S
        self._variables = self._variables_of(os.environ)

    def run(self, does: str, *words: str) -> None:
        """Run a command of uv; PackageError says why it failed. does: for whoever looks how it goes."""
        self._run(does, [self._path, *words, "--no-progress", "--color", "never"])

    def _run(self, does: str, command: Sequence[str]) -> None:
        self._places.note(self._environment, does)
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _NICE, *command],
                env=self._variables,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._follow(process, does)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        if process.returncode:
            raise self._failure(self._said())

    def prove(self, python: Path, modules: Sequence[str]) -> None:
        """See that these modules can be imported; that compiles them as well, and nothing that nobody uses."""
        self._run("tries evertrain in it", [str(python), "-P", "-c", f"import {', '.join(modules)}"])

    def _follow(self, process: "subprocess.Popen[bytes]", does: str) -> None:
        before = ""
        while process.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
            if time.monotonic() > self._until:
                raise PackageError(
                    f"{self._name} was not built within {BUILD_S // 60} minutes; said last: {self._said()[-1:]}.",
                    "Try again: what was downloaded is kept.",
                )
            said = [line for line in self._said() if line.startswith(_PROGRESS)][-1:]
            if said and said[0] != before:
                before = said[0]
                self._places.note(self._environment, f"{does}: {say_line(before)}")

    def _said(self) -> list[str]:
        text = _CREDENTIALS.sub("://", self._log.read_text("utf-8", "replace"))
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _failure(self, said: Sequence[str]) -> PackageError:
        why = _say_failure(said)
        remedy = next(
            (remedy for pattern, remedy in _REMEDIES if re.search(pattern, why, re.IGNORECASE)),
            "Mend the lock, and try again.",
        )
        kind = UnsatisfiableError if remedy == _MISFITS else PackageError
        return kind(f"{self._name} cannot be built: {why}", remedy)

    def _variables_of(self, given: Mapping[str, str]) -> dict[str, str]:
        """The user's own configuration of uv; its cache lies in the state where that of the user cannot be written."""
        own = {name: value for name, value in given.items() if name not in _NOT_INHERITED}
        asked = subprocess.run(
            [self._path, "cache", "dir"], env=own, cwd=self._folder, capture_output=True, text=True, check=False
        )
        place = Path(asked.stdout.strip())
        try:
            place.mkdir(parents=True, exist_ok=True)
            usable = not asked.returncode and os.access(place, os.W_OK)
        except OSError:
            usable = False
        if not usable:
            own["UV_CACHE_DIR"] = str(self._places.path.parent / "uv")
        return own


def _say_failure(said: Sequence[str]) -> str:
    """What uv gave as the reason, in one line.

    >>> _say_failure(["Using Python 3.11", "error: No solution found", "cause: Because you require a==1 and a>=2."])
    'No solution found: Because you require a==1 and a>=2.'
    >>> _say_failure(["  × No solution found:", "╰─▶ Because a was not found."])
    'No solution found: Because a was not found.'
    >>> _say_failure([])
    'nothing was said.'
    """
    bare = [re.sub(r"^[\s×╰─▶├│]*(error: |cause: |Caused by: )?", "", line).rstrip(":") for line in said]
    marked = [place for place, line in enumerate(said) if re.match(r"\s*(×|error: )", line)]
    kept = [line for line in bare[marked[0] if marked else -1 :] if line]
    return re.sub(r"\.?: hint: ", ". ", ": ".join(kept))[:1_000] or "nothing was said."
