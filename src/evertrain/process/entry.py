"""How a process of the tree begins and ends: its log lines, its signals, its last words."""

import errno
import json
import logging
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from evertrain.core.trial import LACKING
from evertrain.errors import CapacityError, EvertrainError, PackageError, UserError
from evertrain.store.room import NO_ROOM

__all__ = [
    "EXIT_FAULT",
    "LOOKED",
    "Fault",
    "ask_to_stop_at_signals",
    "await_folder",
    "fault_of_disk",
    "log_to_stderr",
    "run",
    "tell_fault",
]

EXIT_FAULT = 1
"""Exit code of a process that gave up for a reason that it named."""

_PASSING = NO_ROOM | {errno.EACCES, errno.EPERM, errno.ENOENT, errno.EIO}

LOOKED = "looked\n"
"""What a process prints that has looked at a file and would put it on record."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The last line on stderr of a process that another one waits for: what was wrong, and what to do about it."""

    what: str
    remedy: str
    code: str = UserError.code


def tell_fault(error: EvertrainError) -> int:
    """Leave a fault to the process that waits for this one; returns the exit code."""
    fault = Fault(what=error.what, remedy=error.remedy, code=error.code)
    sys.stderr.write(msgspec.json.encode(fault).decode() + "\n")
    return EXIT_FAULT


def await_folder() -> Path | None:
    """Say that a file was looked at and holds, and wait to be told on whose record to put it; None: on nobody's."""
    sys.stdout.write(f"\n{LOOKED}")  # on a line of its own, whatever a library has printed
    sys.stdout.flush()
    told = sys.stdin.readline().rstrip("\n")
    return Path(told) if told else None


class _Line(logging.Formatter):
    """One JSON object a line: when, how bad, which process, what."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line = {"at": moment, "level": record.levelname.lower(), "process": self._process, "says": record.getMessage()}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr(process: str) -> None:
    """Log lines for people on a terminal, one JSON object a line everywhere else."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter(f"%(asctime)s {process}: %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(_Line(process))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def ask_to_stop_at_signals(stop: Callable[[], None], *more: signal.Signals) -> None:
    """Call `stop` at each SIGTERM and SIGINT (and at `more`), in a thread of its own.

    A handler runs in the main thread, between two of its instructions: where it sets an event that the main thread is
    about to wait for, both would wait for the same lock for ever. So the handler only puts a word into a queue, whose
    put is safe there.
    """
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()

    def obey() -> None:
        while True:
            asked.get()
            stop()

    def note(number: int, _: FrameType | None) -> None:
        asked.put(number)

    threading.Thread(target=obey, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT, *more):
        signal.signal(number, note)


def fault_of_disk(error: OSError) -> EvertrainError:
    """A disk that takes nothing now, or a folder that is gone, as a fault with a name; any other error as it is."""
    if error.errno not in _PASSING:
        raise error
    return CapacityError(
        f"{error.filename or 'A file'} cannot be used: {error.strerror}.",
        "It is tried again; `evertrain doctor` looks.",
    )


def run(name: str, work: Callable[[threading.Event], None]) -> int:
    """The whole life of a process that works until its event is set; returns its exit code.

    A fault with a name is one log line; anything else ends in a traceback, because it is a defect of evertrain's.
    """
    log_to_stderr(name)
    stopping = threading.Event()
    ask_to_stop_at_signals(stopping.set)
    try:
        work(stopping)
    except EvertrainError as error:
        logging.getLogger(name).error("%s", error)
        return LACKING if isinstance(error, PackageError) else EXIT_FAULT
    return 0
