"""Processes that do one thing and say what came of it: `python -m evertrain.process.MODULE`, a fault as a last line."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from evertrain.errors import EvertrainError, error_of
from evertrain.process.entry import LOOKED, Fault
from evertrain.store.process import PARENT

__all__ = ["Submission", "command_of", "follow_module", "run_module"]


def run_module(name: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What a module of this package prints; a fault that it tells is raised here."""
    done = subprocess.run(
        command_of(name, words), env=os.environ | (environment or {}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise _error_of(name, done.returncode, done.stderr)
    return done.stdout


def follow_module(name: str, words: Sequence[str]) -> Iterator[str]:
    """What a module of this package prints, line by line as it comes; the module ends when this process does."""
    with subprocess.Popen(
        command_of(name, words),
        env=os.environ | {PARENT: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield from process.stdout or ()


def command_of(name: str, words: Sequence[str]) -> list[str]:
    """The command line of a module of this package."""
    return [sys.executable, "-P", "-m", f"evertrain.process.{name}", *words]


class Submission:
    """A declaration or a model file that somebody starts an installation with.

    Where the installation is new, the file is looked at before anything is written; the process that looked puts it on
    record then. It is one process for both, because to load its libraries takes longer than its work.
    instead: the command that brings the file where the installation runs already.
    """

    def __init__(self, name: str, words: Sequence[str], instead: str = "") -> None:
        self.instead = instead
        self._name = name
        self._words = tuple(words)
        self._looking: _Looking | None = None
        self.answer = ""
        """What the process printed when it was done."""

    def look(self, environment: Mapping[str, str]) -> None:
        """Refuse what could not be put on record; nothing is written."""
        process = subprocess.Popen(
            command_of(self._name, self._words),
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._looking = _Looking(process)
        if not any(line == LOOKED for line in process.stdout or ()):
            self._end("")

    def record(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Have the installation in this folder completed, and what was submitted put on its record."""
        if self._looking is None:
            self.answer = run_module(self._name, ["--dir", str(folder), "--install", *self._words], environment)
        else:
            self._end(f"{folder}\n")

    def withdraw(self) -> None:
        """End the process if it still looks, or waits; it has written nothing."""
        if self._looking is not None:
            self._looking.process.kill()
            self._looking.finish("")

    def _end(self, word: str) -> None:
        """Let the process go on with this word; raises the fault that it tells."""
        if self._looking is None:
            return
        looking, self._looking = self._looking, None
        self.answer, said = looking.finish(word)
        if looking.process.returncode:
            raise _error_of(self._name, looking.process.returncode, said)


class _Looking:
    """The process of a submission that has not been put on record.

    What it says on stderr is read all the while: user code may say more than a pipe holds, and a file for it could not
    be made where the root file system is read-only.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._said: list[str] = []
        self._reading = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reading.start()

    def finish(self, word: str) -> tuple[str, str]:
        """Give it the word that it waits for, and let it end; what it answered, and what it said."""
        process = self.process
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended
                process.stdin.write(word)
                process.stdin.close()
        answer = "" if process.stdout is None else process.stdout.read()
        process.wait()
        self._reading.join()
        if process.stdout is not None:
            process.stdout.close()
        return answer, "".join(self._said)

    def _read(self, stderr: IO[str] | None) -> None:
        if stderr is not None:
            with stderr:
                self._said.extend(stderr)


def _error_of(name: str, code: int, stderr: str) -> EvertrainError:
    """The fault that a process told last; of one that told none, all that it said."""
    said = stderr.strip()
    try:
        fault = msgspec.json.decode(said.rpartition("\n")[2], type=Fault)
    except msgspec.DecodeError:
        return EvertrainError(f"{name} failed with code {code}:\n{said}")
    return error_of(fault.code, fault.what, fault.remedy)
