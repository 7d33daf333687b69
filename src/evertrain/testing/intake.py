"""A state directory with one declared service whose files and log a test writes, and its real data process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import polars as pl

from evertrain.config.declaration import ExamplesSpec, LabelSpec, ServiceSpec, SourceSpec, WindowSpec
from evertrain.core.event import Draft, ServiceDeclared
from evertrain.core.identity import ServiceName, SourceName, VersionId, canonical
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.schema import Column, Schema
from evertrain.core.time import HOUR, Instant, Moment, from_datetime
from evertrain.data.online import online_features
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import StoryClock
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.log import LogWriter
from evertrain.store.request import CommitRequest, CommitRequests
from evertrain.store.state import State
from evertrain.store.table import Table

__all__ = ["DEADLINE_S", "SERVICE", "START", "IntakeHouse", "labelled", "predicted"]

START = from_datetime(datetime(2024, 1, 1, 10, tzinfo=UTC))
SERVICE = ServiceName("late")
DEADLINE_S = 180.0
_Fact = TypeVar("_Fact")

_SPEC = ServiceSpec(
    name=SERVICE,
    inputs=Schema(
        (
            Column(name="id", type="string"),
            Column(name="shop", type="string"),
            Column(name="due", type="timestamp"),
        )
    ),
    sources=(
        SourceSpec(
            name=SourceName("orders"),
            files="orders/*.csv",
            key=("id",),
            event_time="due",
            known_at=Moment(column="due", offset=-2 * HOUR),
        ),
        SourceSpec(
            name=SourceName("outcomes"),
            files="outcomes/*.csv",
            key=("id",),
            event_time="due",
            known_at=Moment(column="certain"),
            columns=(
                Column(name="id", type="string"),
                Column(name="due", type="timestamp"),
                Column(name="shop", type="string"),
                Column(name="late", type="int64"),
                Column(name="certain", type="timestamp"),
            ),
        ),
    ),
    examples=ExamplesSpec(
        source=SourceName("orders"), key=("id",), at=Moment(column="due", offset=-2 * HOUR), request=Schema(())
    ),
    label=LabelSpec(
        source=SourceName("outcomes"),
        value="late",
        known_at=Moment(column="certain"),
        mature_at=Moment(column="due", offset=HOUR),
    ),
    features=(
        WindowSpec(
            output="outcomes", source=SourceName("outcomes"), entity=(), fold="count", column="late", over="known"
        ),
    ),
)


class IntakeHouse:
    """A state directory with one declared service, its source folders, and its data process."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "given"
        for name in ("orders", "outcomes"):
            (self.data / name).mkdir(parents=True)
        self.state: State = install(folder / "state", Instant(START))
        self.clock = StoryClock.create(self.state.clock, Instant(START))
        self.spec = _SPEC
        self.declare(_SPEC)
        self.process: subprocess.Popen[bytes] | None = None

    def declare(self, spec: ServiceSpec) -> None:
        """Put a declaration of the service on record."""
        declaration = Artifacts.at(self.state.artifacts).blobs.put(canonical(spec))
        with Ledger.open(self.state.ledger) as ledger:
            ledger.append(
                Draft(
                    id=f"declared:{declaration}",
                    at=Instant(START),
                    actor="test",
                    subject=f"service/{SERVICE}",
                    reason="For the test.",
                    fact=ServiceDeclared(service=SERVICE, declaration=declaration, bundle=None, folder=str(self.data)),
                )
            )

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start the data process. words: more of its command line."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "evertrain.process.ingestion.data", "--dir", str(self.state.path), *words],
            env=os.environ | environment,
        )
        return self.process

    def stop(self) -> int:
        if self.process is None:
            raise RuntimeError("It was never started")
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def give(self, name: str, *rows: str) -> None:
        """A file that appears whole, as a story writes it."""
        path = self.data / name
        header = "id,due,shop" if name.startswith("orders") else "id,due,shop,late,certain"
        beside = path.with_name(f".{path.name}")
        beside.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        beside.rename(path)

    def advance(self, hours: int) -> None:
        """Move the story's clock and wait until everything known by then is visible."""
        target = Instant(START + hours * HOUR)
        self.clock.advance(target)
        _until(lambda: self.clock.data_settled >= target)

    def commit(self, name: str = "c1") -> dict[str, int]:
        requests = CommitRequests(self.state)
        requests.ask(CommitRequest(id=name, service=SERVICE))
        _until(lambda: requests.answered(name) is not None)
        return requests.answered(name) or {}

    def facts(self, kind: type[_Fact]) -> list[_Fact]:
        with Ledger.open(self.state.ledger) as ledger:
            return [event.fact for event in ledger.read() if isinstance(event.fact, kind)]

    def table(self, name: str) -> pl.DataFrame:
        return Table(self.state.tables, name).read()

    def outcomes_online(self, at: int) -> int:
        """How many outcomes a request that is made at this instant would know of, by the online states."""
        features = online_features(_SPEC, self.state, None)
        try:
            return int(features.values({"id": "o", "shop": "s0", "due": at}, Instant(at))["outcomes"] or 0)
        finally:
            features.close()

    def log(self, writer: str = "w0") -> LogWriter:
        return LogWriter(self.state.log, writer, segment_bytes=1 << 16)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"It did not happen within {DEADLINE_S:g} s")
        time.sleep(0.002)


def predicted(number: int, *, load: bool = False) -> Predicted:
    """A prediction of the order "o<number>"."""
    return Predicted(
        id=f"{number:032x}",
        service=SERVICE,
        version=VersionId("v1"),
        key=f"o{number}",
        at=Instant(START),
        received=Instant(START + number),
        row=(f"o{number}", f"s{number % 3}", START + 2 * HOUR),
        vector=(number, None, f"s{number % 3}", 0.1),
        score=number / 1000,
        arm="champion",
        assigned="champion",
        latency_us=900,
        load=load,
    )


def labelled(number: int, value: float, known: int = 3 * HOUR) -> Labelled:
    """A label posted for the order "o<number>"."""
    return Labelled(
        service=SERVICE,
        prediction="",
        key=f"o{number}",
        value=value,
        known=Instant(START + known),
        received=Instant(START + HOUR),
    )
