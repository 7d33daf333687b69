"""How soon controller and data process know what was answered while they were away, and how much memory that takes.

    python benchmarks/outage.py [--quick] [--json FILE]

`evertrain serve` answers a file for some seconds at its capacity, and ends. Then an answer of it is put into the logs
of its two workers as often as an outage of so many records would have left it, and it is started again: from their
heartbeats is seen up to when each process knows the log. Twice, for an outage and for one that is four times as long.
"""

import itertools
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import msgspec

from evertrain.core.prediction import Predicted
from evertrain.core.time import SECOND, Instant
from evertrain.store.log import LogWriter
from evertrain.store.process import heartbeats
from evertrain.testing.report import Row, main
from evertrain.testing.served import SHOP, Served, train
from evertrain.testing.traffic import keep_busy
from evertrain.testing.tree import wait_until

READERS = ("controller", "data")
WORKERS = 2
BODY = b'{"a": 0.5, "b": -0.5, "c": 0.0}'


class Caught(msgspec.Struct, frozen=True):
    """What one process needed. seconds: from the command on; peak: bytes that were resident at most."""

    seconds: float
    peak: int


class Outage(msgspec.Struct, frozen=True):
    """per_s: requests that were answered in a second before it."""

    records: int
    per_s: float
    caught: dict[str, Caught]


def outage(folder: Path, records: int, seconds: float) -> Outage:
    """So many records that nobody has read; seconds: for how long the capacity is measured."""
    folder.mkdir()
    train(5, folder / "model.txt")
    served = Served(folder, "model.txt")
    try:
        served.serve()
        per_s = keep_busy(served.port, f"/predict/{SHOP}", BODY, seconds=seconds).per_s
        stop(served)
        fill(served, records)
        begun = time.time_ns() // 1000
        served.serve()
        caught: dict[str, Caught] = {}
        wait_until(lambda: all_caught(served, begun, caught), "the log being read", 1800)
    finally:
        served.end()
    return Outage(records, per_s, caught)


def stop(served: Served) -> None:
    """End all of it, in order."""
    if served.supervisor is None:
        raise AssertionError("Nothing was started")
    served.supervisor.terminate()
    served.supervisor.wait(180)


def fill(served: Served, records: int) -> None:
    """What two workers would have logged, ten thousand a second, up to now."""
    asked = served.logged(Predicted)[-1]
    begin = time.time_ns() // 1000 - records * SECOND // 10_000
    with ExitStack() as open_logs:
        logs = [LogWriter(served.state.log, f"w{number}") for number in range(WORKERS)]
        for log in logs:
            open_logs.callback(log.close)
        for number, log in zip(range(records), itertools.cycle(logs), strict=False):
            at = Instant(begin + number * SECOND // 10_000)
            log.append(msgspec.structs.replace(asked, id=uuid4().hex, at=at, received=at))


def all_caught(served: Served, begun: int, caught: dict[str, Caught]) -> bool:
    """Whether all readers know the log; what each needed is noted when it does."""
    for beat in heartbeats(served.state):
        if beat.name in READERS and beat.name not in caught and beat.known_to is None and beat.settled > begun:
            status = Path(f"/proc/{beat.pid}/status").read_text()
            peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
            caught[beat.name] = Caught(time.time() - begun / SECOND, peak * 1024)
    return len(caught) == len(READERS)


def measure(quick: bool) -> list[Row]:
    """The rows of the report."""
    records, seconds = (50_000, 1.0) if quick else (500_000, 5.0)
    with tempfile.TemporaryDirectory() as folder:
        short, long = (outage(Path(folder) / f"{times}", times * records, seconds) for times in (1, 4))
    rows = [Row(measure="requests answered in a second before", value=long.per_s, unit="/s")]
    for name in READERS:
        took = long.caught[name]
        per_s = long.records / took.seconds
        grown = took.peak / short.caught[name].peak
        rows += [
            Row(measure=f"{name}: seconds until {long.records:,} records are known", value=took.seconds, unit="s"),
            Row(
                measure=f"{name}: records a second, to those that are answered in one",
                value=per_s / long.per_s,
                unit="x",
                rival=f"{per_s:,.0f} to {long.per_s:,.0f}",
                target=">= 2",
                holds=per_s >= 2 * long.per_s,
            ),
            Row(
                measure=f"{name}: its memory at most, to that after a quarter of the records",
                value=grown,
                unit="x",
                rival=f"{took.peak >> 20} to {short.caught[name].peak >> 20} MiB",
                target="<= 1.1",
                holds=grown <= 1.1,
            ),
        ]
    return rows


if __name__ == "__main__":
    sys.exit(main("outage", measure))
