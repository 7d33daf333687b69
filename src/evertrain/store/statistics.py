"""What a worker counts, in a small memory-mapped file that outlives it: `serving/statistics/<worker>.bin`.

    header  64 bytes: magic, number of series
    series  512 bytes each: label (JSON, 192 bytes, padded with zeros), 40 counters of 64 bits

A counter is one aligned word with one writer, so a reader sees it before or after an increment. A worker that starts
again goes on from the file, so that the sums never fall.

There is room for 1,024 series. One that finds none is counted with its service, arm and status, and without its
version; so are the oldest ones when a worker starts and the file is crowded. Sums over a service stay right.
"""

import contextlib
import mmap
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from evertrain.core.prediction import SeenArm
from evertrain.core.score import Cause
from evertrain.store.file import write_atomically

__all__ = ["CAUSES", "LATENCY_BOUNDS_US", "OFF", "SHED", "Label", "Series", "Statistics", "read_statistics"]

LATENCY_BOUNDS_US: tuple[int, ...] = tuple(round(50 * 1.5**step) for step in range(30))
"""Upper bounds (inclusive) of the latency buckets in microseconds, 50 us to 6.4 s; one more bucket takes the rest."""

CAUSES: tuple[Cause, ...] = ("error", "deadline", "crash", "nan", "range", "protocol")

SHED: Final = -1
"""In the place of a status: not answered, or not by whom it was for, because there was too much to do."""

OFF: Final = -2
"""In the place of a status: refused with 503 while the service was turned off, by order of a person."""

_HEAD = b"evstats1"
_HEADER, _LABEL, _COUNTERS, _CAPACITY = 64, 192, 40, 1024
_NAMED = 896
"""So many series have a version of their own; the other places are for those that have none."""
_CROWDED, _KEPT = 640, 320
_SLOT = _LABEL + 8 * _COUNTERS
_SIZE = _HEADER + _SLOT * _CAPACITY
_SUM, _ANSWERS, _ROWS, _FAILURES = 31, 32, 33, 34


class Label(msgspec.Struct, frozen=True, array_like=True):
    """What a series is about: answers of a version in an arm of a service, or (status > 0) responses of a status.

    status SHED: requests that were for this version in this arm, and for which there was no place or time. OFF: those
    that were refused while the service was turned off.
    """

    service: str = ""
    version: str = ""
    arm: SeenArm = "champion"
    status: int = 0


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of one label, summed over workers.

    latency: requests by bucket of `LATENCY_BOUNDS_US`, one more for the slower. sum_us: of all latencies. answers:
    requests that were answered (or responses, of a status). rows: predictions in them. failures: by cause, in the order
    of `CAUSES`.
    """

    label: Label
    latency: tuple[int, ...]
    sum_us: int
    answers: int
    rows: int
    failures: tuple[int, ...]


class Statistics:
    """The counters of this worker. One thread writes."""

    def __init__(self, folder: Path, worker: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{worker}.bin"
        _make_places(path)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # Written, not only cut to length: a hole in a full disk would be a signal later.
            if os.fstat(handle).st_size != _SIZE or os.pread(handle, 8, 0) != _HEAD:
                os.pwrite(handle, _HEAD.ljust(_SIZE, b"\0"), 0)
                os.ftruncate(handle, _SIZE)
            self._map = mmap.mmap(handle, _SIZE)
        finally:
            os.close(handle)
        self._words = memoryview(self._map).cast("q")
        self._slots = {label: slot for slot, label in enumerate(_labels(self._map))}

    def answered(self, label: Label, rows: int, latency_us: int) -> None:
        """Count a request that was answered."""
        base, words = self._base(label), self._words
        words[base + bisect_left(LATENCY_BOUNDS_US, latency_us)] += 1
        words[base + _SUM] += latency_us
        words[base + _ANSWERS] += 1
        words[base + _ROWS] += rows

    def failed(self, label: Label, cause: Cause) -> None:
        """Count a request that this arm could not answer."""
        self._words[self._base(label) + _FAILURES + CAUSES.index(cause)] += 1

    def shed(self, label: Label) -> None:
        """Count a request for which this arm had no place, no time or no room."""
        self._words[self._base(msgspec.structs.replace(label, status=SHED)) + _ANSWERS] += 1

    def responded(self, service: str, status: int) -> None:
        """Count a response of the door."""
        self._words[self._base(Label(service=service, status=status)) + _ANSWERS] += 1

    def _base(self, label: Label) -> int:
        slot = self._slots.get(label)
        if slot is None:
            slot = self._add(label)
        return (_HEADER + slot * _SLOT + _LABEL) // 8

    def _add(self, label: Label) -> int:
        """Give a label a place: its own, or the one of all that have none."""
        for name in (label, _unversioned(label)):
            if name in self._slots:
                return self._slots[name]
            text = msgspec.json.encode(name)
            if len(text) <= _LABEL and len(self._slots) < (_NAMED if name.version else _CAPACITY - 1):
                return self._place(name, text)
        rest = Label()
        return self._slots[rest] if rest in self._slots else self._place(rest, msgspec.json.encode(rest))

    def _place(self, label: Label, text: bytes) -> int:
        slot = len(self._slots)
        start = _HEADER + slot * _SLOT
        self._map[start : start + _SLOT] = text.ljust(_LABEL, b"\0") + bytes(8 * _COUNTERS)
        self._slots[label] = slot
        self._words[1] = slot + 1
        return slot


def _unversioned(label: Label) -> Label:
    return msgspec.structs.replace(label, version="")


def _is_whole(content: bytes) -> bool:
    return len(content) == _SIZE and content[:8] == _HEAD


def _make_places(path: Path) -> None:
    """Fold the oldest series of a crowded file; where that cannot be written, it stays crowded."""
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        if _is_whole(content) and int.from_bytes(content[8:16], "little") > _CROWDED:
            write_atomically(path, _folded(content), durable=False)


def _folded(content: bytes) -> bytes:
    """The same counters, the oldest versions' under labels without a version."""
    found = list(_counted(content))
    kept: dict[Label, list[int]] = {}
    for number, (label, counters) in enumerate(found):
        place = label if number >= len(found) - _KEPT else _unversioned(label)
        kept[place] = [sum(pair) for pair in zip(kept.get(place, [0] * _COUNTERS), counters, strict=True)]
    slots = b"".join(
        msgspec.json.encode(label).ljust(_LABEL, b"\0") + b"".join(count.to_bytes(8, "little") for count in counters)
        for label, counters in kept.items()
    )
    head = _HEAD + len(kept).to_bytes(8, "little")
    return (head.ljust(_HEADER, b"\0") + slots).ljust(_SIZE, b"\0")


def read_statistics(folder: Path) -> list[Series]:
    """All series, summed over all workers that ever were, in the order of their labels."""
    sums: dict[Label, list[int]] = {}
    for path in sorted(folder.glob("*.bin")):
        content = path.read_bytes()
        if not _is_whole(content):
            continue
        for label, counters in _counted(content):
            sums[label] = [sum(pair) for pair in zip(sums.get(label, [0] * _COUNTERS), counters, strict=True)]
    ordered = sorted(sums.items(), key=lambda item: msgspec.structs.astuple(item[0]))
    return [_series(label, counters) for label, counters in ordered]


def _series(label: Label, counters: list[int]) -> Series:
    return Series(
        label=label,
        latency=tuple(counters[:_SUM]),
        sum_us=counters[_SUM],
        answers=counters[_ANSWERS],
        rows=counters[_ROWS],
        failures=tuple(counters[_FAILURES:]),
    )


def _counted(content: bytes) -> Iterator[tuple[Label, list[int]]]:
    """Each series in the order in which it came."""
    words = memoryview(content).cast("q")
    for slot, label in enumerate(_labels(content)):
        base = (_HEADER + slot * _SLOT + _LABEL) // 8
        yield label, words[base : base + _COUNTERS].tolist()


def _labels(content: bytes | mmap.mmap) -> Iterable[Label]:
    count = int.from_bytes(content[8:16], "little")
    for slot in range(min(count, _CAPACITY)):
        start = _HEADER + slot * _SLOT
        text = content[start : start + _LABEL].rstrip(b"\0")
        yield msgspec.json.decode(text, type=Label)
