"""A whole installation on disk for tests: a declared service with its bundle, tables and recipes, and no process."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from evertrain.config.authoring import load
from evertrain.config.bundle import freeze
from evertrain.config.declaration import ServiceSpec
from evertrain.config.environment import files_of_locks, with_locks
from evertrain.config.script import files_of_scripts
from evertrain.core.identity import CycleId, Digest, SourceName, canonical
from evertrain.core.stage import Assemble
from evertrain.core.time import HOUR
from evertrain.data.online import OnlineWriter
from evertrain.store.artifact import Artifacts
from evertrain.store.signature import Signer
from evertrain.store.state import State
from evertrain.store.table import TIME, Table
from evertrain.testing.orders import CUT, order_examples

__all__ = ["DECLARATION", "Shop", "order_tables"]

DECLARATION: Final = """
import lightgbm
import numpy as np

import evertrain as et

orders = et.Source(
    "orders",
    et.files("orders/*.csv"),
    key="order",
    event_time="placed",
    columns={"order": "string", "shop": "string", "placed": "timestamp", "amount": "float64"},
)
deliveries = et.Source(
    "deliveries",
    et.files("deliveries/*.csv"),
    key="order",
    event_time="delivered",
    columns={"order": "string", "delivered": "timestamp", "late": "bool"},
)
asked = et.Examples(orders, key="order", at="placed", request=["order", "shop", "placed", "amount"])


def clock(columns, q):
    return q // 3_600_000_000 % 24


def train(data, run):
    parameters = {
        "objective": "binary",
        "learning_rate": run.parameter("learning_rate", 0.1),
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "seed": run.seed,
        "num_threads": run.threads,
        "deterministic": True,
        "verbose": -1,
    }
    categorical = [data.names.index(name) for name in data.categories]
    return lightgbm.train(parameters, lightgbm.Dataset(data.X, data.y, categorical_feature=categorical), 30)


def inverted(data, run):
    data.y = 1.0 - data.y
    return train(data, run)


def crashing(data, run):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


def python(body):
    def write(data, run):
        path = run.path("model.py")
        path.write_text("def predict(rows):\\n" + body)
        return path

    return write


def segfaulting(data, run):
    return python(
        "    import os, signal\\n"
        "    if len(rows) == 1: os.kill(os.getpid(), signal.SIGSEGV)\\n"
        "    return [row['amount'] / 1e4 for row in rows]\\n"
    )(data, run)


def hanging(data, run):
    return python(
        "    while len(rows) == 1: pass\\n"
        "    return [row['amount'] / 1e4 for row in rows]\\n"
    )(data, run)


def silent(data, run):
    return python(
        "    return [float('nan') if len(rows) == 1 else row['amount'] / 1e4 for row in rows]\\n"
    )(data, run)


def greedy(data, run):
    return python(
        "    global kept\\n"
        "    if len(rows) == 1: kept = bytearray(4 << 30)\\n"
        "    return [row['amount'] / 1e4 for row in rows]\\n"
    )(data, run)


service = et.Service(
    "late-orders",
    examples=asked,
    label=et.Label(source=deliveries, of=asked, value="late", horizon="3h"),
    features=[
        et.column("shop", "amount"),
        et.request_features(clock, inputs=["placed"], outputs=["clock"]),
        et.windows(orders, "count 6h as recent", entity="shop"),
    ],
    categories="shop",
    segments="shop",
    train={
        "default": train,
        "inverted": inverted,
        "crashing": crashing,
        "segfaulting": segfaulting,
        "hanging": hanging,
        "silent": silent,
        "greedy": greedy,
    },
    gate=et.Gate(holdout="10d", block="6h", margin=0.02, max_memory_mb=512),
)
"""


class Shop:
    """An installation under `folder`, with the rows of `testing.orders` in its tables."""

    def __init__(
        self,
        folder: Path,
        *,
        shuffled: int | None = None,
        files: int = 1,
        text: str = DECLARATION,
        beside: Mapping[str, str] | None = None,
    ) -> None:
        """beside: text of further files of the project, by name."""
        source = folder / "project"
        source.mkdir(parents=True)
        for name, content in {"service.py": text, **(beside or {})}.items():
            (source / name).write_text(content)
        self.state = State.create(folder / "state")
        self.artifacts = Artifacts.at(self.state.artifacts)
        self.signer = Signer.create(self.state.keys, self.state.trusted)
        sys.modules.pop("service", None)
        self.spec: ServiceSpec = with_locks(load(source / "service.py"), source)[0]
        locks = files_of_locks([self.spec])
        for name in locks:
            self.artifacts.blobs.put((source / name).read_bytes())
        frozen = freeze(source, "service", (*files_of_scripts(source, [self.spec]), *locks))
        self.bundle: Digest = self.artifacts.blobs.put(frozen.content)
        self.declaration: Digest = self.artifacts.blobs.put(canonical(self.spec))
        self.tables = {
            f"source.{name}": _commit(Table(self.state.tables, f"source.{name}"), frame, shuffled, files)
            for name, frame in order_tables().items()
        }
        self._show_online()

    def _show_online(self) -> None:
        writer = OnlineWriter(self.spec, self.state)
        for name, frame in order_tables().items():
            writer.write(name, frame)
            writer.complete(SourceName(name))

    def assembling(self) -> Assemble:
        """The task of assembling everything that is mature."""
        return Assemble(
            service=self.spec.name,
            cycle=CycleId(f"{self.spec.name}/c1"),
            declaration=self.declaration,
            bundle=self.bundle,
            tables=self.tables,
            cut=CUT,
        )

    def folder(self, name: str, task: msgspec.Struct) -> Path:
        """A task's folder with its arguments in it, as an executor would make it."""
        folder = self.state.tasks / name
        folder.mkdir(exist_ok=True)
        (folder / "task.json").write_bytes(canonical(task))
        return folder


def order_tables() -> dict[str, pl.DataFrame]:
    """The rows of both sources; an order is delivered within three hours."""
    frame = order_examples()
    time = pl.col("at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIME)
    orders = frame.select(
        pl.col("key").alias("order"),
        pl.col("request.shop").alias("shop"),
        time.alias("placed"),
        pl.col("request.amount").alias("amount"),
        time.alias("_known_at"),
    )
    delivered = (pl.col("at") + 2 * HOUR).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIME)
    deliveries = frame.select(
        pl.col("key").alias("order"),
        delivered.alias("delivered"),
        (pl.col("label") == 1.0).alias("late"),
        delivered.alias("_known_at"),
    )
    return {"orders": orders, "deliveries": deliveries}


def _commit(table: Table, frame: pl.DataFrame, shuffled: int | None, files: int) -> int:
    if shuffled is not None:
        frame = frame.sample(fraction=1.0, shuffle=True, seed=shuffled)
    size = -(-frame.height // files)
    for number, part in enumerate(frame.iter_slices(size)):
        table.append(part, writer="test", sequence=number)
    return table.version()
