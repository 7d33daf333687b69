"""Watch a declaration in development, and apply it whenever it, or code that it imports, has changed.

    python -m evertrain.process.declaration.reloading --dir DIR FILE [--data FOLDER]

It ends with the supervisor that started it. A file that is refused is told, and what runs stays as it is.
"""

import argparse
import contextlib
import logging
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from evertrain.errors import EvertrainError
from evertrain.process.declaration.applying import Applied
from evertrain.process.declaration.change import Change
from evertrain.process.entry import ask_to_stop_at_signals, log_to_stderr
from evertrain.process.supervision.errand import run_module
from evertrain.store.process import parent_lives

__all__ = ["main", "reload"]

_LOOK_S = 0.25
_log = logging.getLogger("reload")

_Stamps = dict[Path, tuple[int, int]]


def reload(state: Path, file: Path, data: Path | None, stopping: threading.Event) -> None:
    """Apply `file` when it has changed and was then left alone for one look, until `stopping` is set."""
    folder = file.resolve().parent
    words = ["--dir", str(state), *([] if data is None else ["--data", str(data)]), str(file)]
    watched = {file.resolve()}
    known: _Stamps = {}  # what changed since the start, before this process looked first, is applied, too
    pending: _Stamps | None = None
    while not stopping.wait(_LOOK_S) and parent_lives():
        seen = _stamps({*watched, *folder.glob("*.py")})
        if seen == known:
            pending = None
        elif seen == pending:  # written whole, as far as can be told
            known, pending = seen, None
            watched |= {folder / name for name in _apply(words, file)}
            known |= _stamps(watched - known.keys())
        else:
            pending = seen


def _stamps(paths: Iterable[Path]) -> _Stamps:
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            known = path.stat()
            found[path] = (known.st_mtime_ns, known.st_size)
    return found


def _apply(words: Sequence[str], file: Path) -> tuple[str, ...]:
    """Apply, and tell what came of it; returns the files of the code, none where it was refused."""
    try:
        applied = msgspec.json.decode(run_module("declaration.applying", words), type=Applied)
    except EvertrainError as error:
        _log.error("%s is not applied, and what runs stays as it is. %s (%s)", file.name, error, error.code)
        return ()
    for one in applied.services:
        said = "is new" if one.new else "; ".join(map(_said, one.changes))
        if said:
            _log.info("%s: %s", one.service, said)
    return applied.files


def _said(change: Change) -> str:
    return f"{change.part}: {change.before or 'nothing'} becomes {change.after or 'nothing'}"


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("file", type=Path)
    given = parser.parse_args(arguments)
    log_to_stderr("reload")
    stopping = threading.Event()
    ask_to_stop_at_signals(stopping.set)
    reload(given.dir, given.file, given.data, stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
