"""Servers of one model, kept busy in turn by the same clients."""

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import psutil

from evertrain.testing.rival import running
from evertrain.testing.traffic import Seen, keep_busy
from evertrain.testing.tree import free_port

__all__ = ["Contender", "Question", "Round", "Serving", "serving"]

_PORT = "{port}"
_DEADLINE_S = 120.0


class Question(msgspec.Struct, frozen=True):
    """What is asked. score: a number that the answer must hold; None where it says nothing of a model."""

    path: str
    body: bytes
    score: float | None


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """A server. questions: by their number of rows. files: a folder that it is started in a copy of.

    commands: typed one after the other, the last one stays; "{port}" stands for the port, in the environment too.
    programs: where its own commands lie; None for those of this environment.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    questions: Mapping[int, Question]
    files: Path
    programs: Path | None = None
    environment: Mapping[str, str] = {}


class Round(msgspec.Struct, frozen=True):
    """What the clients saw, and the CPU time that the server took a request, in microseconds."""

    seen: Seen
    cpu_us: float


class Serving(msgspec.Struct, frozen=True):
    """A contender that answers."""

    contender: Contender
    port: int
    process: psutil.Process

    def round(self, rows: int, connections: int, seconds: float) -> Round:
        """Keep it busy for so long."""
        question = self.contender.questions[rows]
        before = self._cpu_s()
        seen = keep_busy(self.port, question.path, question.body, connections=connections, seconds=seconds)
        return Round(seen, 1e6 * (self._cpu_s() - before) / max(seen.requests, 1))

    def _cpu_s(self) -> float:
        spent = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                spent += sum(process.cpu_times()[:2])
        return spent


@contextlib.contextmanager
def serving(contender: Contender) -> Iterator[Serving]:
    """Start it, wait until it answers each of its questions rightly, and end it. RuntimeError when it does not."""
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "served"
        shutil.copytree(contender.files, folder)
        programs = contender.programs or Path(sys.executable).parent
        own = {name: value.replace(_PORT, str(port)) for name, value in contender.environment.items()}
        environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"} | own
        *before, last = [[word.replace(_PORT, str(port)) for word in words] for words in contender.commands]
        for command in before:
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        with running(tuple(last), folder, environment) as process:
            for question in contender.questions.values():
                _wait(contender, process, port, question, folder / "log.txt")
            yield Serving(contender, port, psutil.Process(process.pid))


def _wait(contender: Contender, process: subprocess.Popen[bytes], port: int, question: Question, log: Path) -> None:
    end = time.monotonic() + _DEADLINE_S
    while True:
        answer = _answer(port, question)
        right = answer is not None and (question.score is None or _holds(answer, question.score))
        if right:
            return
        # Who answers numbers, and others than these, serves another model: waiting would not mend it.
        other = isinstance(answer, dict | list)
        if other or process.poll() is not None or time.monotonic() > end:
            said = log.read_text(errors="replace")[-1_000:]
            raise RuntimeError(f"{contender.name} does not answer {question.score} but {answer!r}:\n{said}")
        time.sleep(0.1)


def _answer(port: int, question: Question) -> object:
    """What comes back, the reason of a refusal included; None while nobody is there."""
    url = f"http://127.0.0.1:{port}{question.path}"
    request = urllib.request.Request(url, question.body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - as above
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")[:500]
    except (OSError, ValueError):
        return None


def _holds(answer: object, score: float) -> bool:
    """Whether this number is anywhere in an answer."""
    if isinstance(answer, dict):
        return any(_holds(one, score) for one in answer.values())
    if isinstance(answer, list):
        return any(_holds(one, score) for one in answer)
    return isinstance(answer, float) and math.isclose(answer, score, rel_tol=1e-6)
