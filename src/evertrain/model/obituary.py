"""How a process that ran user code ended, in words for the person who wrote that code."""

import re
import signal

import msgspec

__all__ = ["say_exit", "say_line", "say_tail"]

_LINES = 40
_OWN = re.compile(r'File "[^"]*(/evertrain/(?!examples)|<frozen )')
_OUT_OF_MEMORY = ("MemoryError", "std::bad_alloc", "Cannot allocate memory", "memory allocation of")


class _Logged(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a process of evertrain's own, as `process.entry` writes them where nobody watches."""

    at: str
    level: str
    process: str
    says: str
    trace: str = ""


_log_line = msgspec.json.Decoder(_Logged)


def say_exit(code: int | None, printed: str, memory_mb: int) -> str:
    """One sentence. code: as of `Popen.returncode` (a signal is negative); None when nobody was there to see it.

    >>> say_exit(-11, "", 512)
    'It was killed by SIGSEGV.'
    >>> say_exit(1, "Traceback (most recent call last):\\nValueError: no rows", 512)
    'It exited with code 1: ValueError: no rows'
    >>> say_exit(1, "MemoryError", 512)
    'It ran out of memory: its limit is 512 MiB.'
    >>> say_exit(None, "", 512)
    'It ended without a result while nobody watched it.'
    """
    if any(sign in printed for sign in _OUT_OF_MEMORY):
        return f"It ran out of memory: its limit is {memory_mb} MiB."
    if code is None:
        return _with_last_line("It ended without a result while nobody watched it", printed)
    if code < 0:
        return f"It was killed by {_signal_name(-code)}."
    if code == 0:
        return "It exited without a result."
    return _with_last_line(f"It exited with code {code}", printed)


def say_tail(printed: str) -> str:
    """The last lines, without the frames of evertrain's own that only lead to the user's code.

    >>> print(say_tail('''Traceback (most recent call last):
    ...   File "/x/evertrain/process/trainer/training.py", line 9, in main
    ...     run()
    ...   File "/home/me/train.py", line 3, in train
    ...     raise ValueError
    ... ValueError'''))
    Traceback (most recent call last):
      File "/home/me/train.py", line 3, in train
        raise ValueError
    ValueError
    """
    kept, skipping = [], False
    for line in "\n".join(map(_unwrapped, printed.splitlines())).splitlines():
        if line.startswith('  File "'):
            skipping = _OWN.search(line) is not None
        elif not line.startswith("    "):
            skipping = False
        if not skipping:
            kept.append(line)
    return "\n".join(kept[-_LINES:])


def say_line(line: str) -> str:
    """What one line of a process's output says to a person: the words of a log line without its JSON.

    >>> say_line('{"at": "2013-02-06T05:00:00.000Z", "level": "error", "process": "check", "says": "boom"}')
    'boom'
    >>> say_line("  ValueError: no rows")
    'ValueError: no rows'
    """
    logged = _logged(line)
    return (logged.says if logged else line).strip()[:300]


def _unwrapped(line: str) -> str:
    logged = _logged(line)
    return f"{logged.says}\n{logged.trace}".strip() if logged else line


def _logged(line: str) -> _Logged | None:
    """The log line that this is; None for anything else that a process may print."""
    try:
        return _log_line.decode(line)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def _with_last_line(sentence: str, printed: str) -> str:
    lines = printed.strip().splitlines()
    return f"{sentence}: {say_line(lines[-1])}" if lines else f"{sentence}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
