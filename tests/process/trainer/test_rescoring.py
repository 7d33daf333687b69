"""Logged requests with labels are put to two versions in real check servers, each of them once."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.config.declaration import RequestSpec, ServiceSpec
from evertrain.core.identity import Digest, ServiceName, VersionId, canonical, digest_of
from evertrain.core.paired import LoggedLabels
from evertrain.core.policy import GateSpec
from evertrain.core.prediction import Predicted
from evertrain.core.schema import Column, Schema
from evertrain.core.stage import Rescore, Rescored
from evertrain.core.time import Instant, parse_instant
from evertrain.data.prediction import ServiceTables
from evertrain.errors import ModelError
from evertrain.model.importing import import_model
from evertrain.process.trainer.evaluation import LoggedRows
from evertrain.process.trainer.rescoring import rescore
from evertrain.store.artifact import Artifacts
from evertrain.store.installation import install
from evertrain.store.segment import Position
from evertrain.store.signature import Signer

SERVICE = ServiceName("pricing")
BEGIN = parse_instant("2024-05-01T00:00:00Z")
SCHEMA = Schema((Column(name="amount", type="float64"),))
COUNT = 400
GOOD = "[min(max(row['amount'], 0.02), 0.98) for row in rows]"
BAD = "[0.5 + 0.4 * (0.5 - row['amount']) for row in rows]"


class World:
    """A service whose requests were answered by two versions in turn, and the labels of them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = install(folder / ".evertrain", BEGIN)
        self.artifacts = Artifacts.at(self.state.artifacts)
        self.signer = Signer.load(self.state.keys)
        spec = ServiceSpec(name=SERVICE, inputs=SCHEMA, gate=GateSpec(primary="log_loss"))
        self.declaration = self.artifacts.blobs.put(canonical(spec))
        self.good, self.bad = self.file(GOOD), self.file(BAD)
        draws = np.random.default_rng(5)
        self.amounts = draws.uniform(size=COUNT)
        self.labels = (draws.uniform(size=COUNT) < self.amounts).astype(float)
        tables = ServiceTables(self.state.tables, SERVICE)
        for number in range(COUNT):
            tables.add(Position(writer="w0", sequence=number + 1, offset=64), self.asked(number))
        tables.commit(BEGIN)
        self.tables = {table.table.name: table.table.version() for table in tables.all if table.table.version() >= 0}

    def file(self, body: str) -> VersionId:
        path = self.folder / "model.py"
        path.write_text(f"def predict(rows):\n    return {body}\n")
        manifest = import_model(self.artifacts, SERVICE, path, SCHEMA, declaration=self.declaration)
        self.artifacts.attest(self.signer.sign_attestation("built", manifest.version, SERVICE, BEGIN))
        return manifest.version

    def asked(self, number: int) -> Predicted:
        """Every third request was answered by the bad version, whose answers are told by another number here."""
        moment, amount = Instant(BEGIN + number), float(self.amounts[number])
        on_canary = number % 3 == 0
        return Predicted(
            id=f"{number:032x}"[::-1],
            service=SERVICE,
            version=self.bad if on_canary else self.good,
            key="",
            at=moment,
            received=moment,
            row=(amount,),
            vector=(amount,),
            score=0.5 + 0.4 * (0.5 - amount) if on_canary else min(max(amount, 0.02), 0.98),
            arm="canary" if on_canary else "champion",
            assigned="canary" if on_canary else "champion",
            latency_us=100,
        )

    def look(self, first: int, last: int, before: Digest | None = None) -> Rescore:
        numbers = range(first, last)
        logged = LoggedLabels(
            ids=tuple(self.asked(number).id for number in numbers),
            at=tuple(BEGIN + number for number in numbers),
            label=tuple(float(self.labels[number]) for number in numbers),
        )
        return Rescore(
            service=SERVICE,
            version=self.bad,
            against=self.good,
            declaration=self.declaration,
            tables=self.tables,
            rows=self.artifacts.blobs.put(canonical(logged)),
            before=before,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("rescoring"))


def log_loss(label: float, score: float) -> float:
    return float(-np.log(score if label else 1.0 - score))


def test_both_versions_score_every_row_and_no_row_twice(world: World, tmp_path: Path) -> None:
    first = rescore(world.look(0, 150), world.state, tmp_path)
    rows = range(150)
    good = [log_loss(world.labels[row], min(max(world.amounts[row], 0.02), 0.98)) for row in rows]
    bad = [log_loss(world.labels[row], 0.5 + 0.4 * (0.5 - world.amounts[row])) for row in rows]
    assert first.metric == "log_loss"
    assert first.evidence.rows == len(first.counted) == 150
    assert first.evidence.loss == pytest.approx(sum(bad))
    assert first.evidence.other == pytest.approx(sum(good))
    # The next look holds older rows as well, and goes on from the evidence.
    kept = world.artifacts.blobs.put(canonical(first))
    second = rescore(world.look(50, COUNT, kept), world.state, tmp_path)
    assert second.evidence.rows == COUNT
    assert second.evidence.value > 1_000
    assert len(second.counted) == COUNT - 50
    whole = rescore(world.look(0, COUNT), world.state, tmp_path)
    assert whole.evidence.loss == pytest.approx(second.evidence.loss)
    assert whole.evidence.value == pytest.approx(second.evidence.value)


def test_a_version_that_cannot_score_is_named_with_its_cause(world: World, tmp_path: Path) -> None:
    broken = world.file("[1 / 0 for row in rows]")
    task = msgspec.structs.replace(world.look(0, 60), version=broken)
    with pytest.raises(ModelError, match="ZeroDivisionError"):
        rescore(task, world.state, tmp_path)


def test_rows_without_a_score_are_left_out(world: World, tmp_path: Path) -> None:
    halting = world.file("[row['amount'] if row['amount'] < 0.5 else float('nan') for row in rows]")
    found = rescore(msgspec.structs.replace(world.look(0, 60), version=halting), world.state, tmp_path)
    assert found.evidence.rows == np.count_nonzero(world.amounts[:60] < 0.5)
    assert len(found.counted) == 60


def test_it_runs_as_a_task(world: World, tmp_path: Path) -> None:
    (tmp_path / "task.json").write_bytes(canonical(world.look(0, 60)))
    words = [sys.executable, "-P", "-m", "evertrain.process.trainer.rescoring"]
    words += ["--task", str(tmp_path), "--dir", str(world.state.path)]
    subprocess.run(words, check=True)
    found = msgspec.json.decode((tmp_path / "result.json").read_bytes(), type=Rescored)
    assert found.evidence.rows == 60


def test_what_needs_a_personal_column_is_not_made_up_of_pseudonyms(world: World, tmp_path: Path) -> None:
    """A version with features of its own, that read what the log has no more: nobody knows what it would have said."""
    blobs, artifacts = world.artifacts.blobs, world.artifacts
    own = (RequestSpec(outputs=("a",), inputs=("amount",)),)
    spec = msgspec.json.decode(blobs.get(world.declaration), type=ServiceSpec)
    hiding = blobs.put(canonical(msgspec.structs.replace(spec, personal=("amount",), features=own)))
    manifest = msgspec.structs.replace(artifacts.manifest(world.good), features=digest_of(own), declaration=hiding)
    other = artifacts.put_manifest(manifest)
    task = msgspec.structs.replace(world.look(0, 60), version=other, declaration=hiding)
    found = rescore(task, world.state, tmp_path)
    assert (found.evidence.rows, len(found.counted)) == (0, 60)
    hidden = msgspec.json.decode(blobs.get(hiding), type=ServiceSpec)
    obstacle = LoggedRows(world.state, hidden, pl.DataFrame(), world.tables).obstacle([artifacts.manifest(other)])
    assert "need amount: that is personal, and the log holds pseudonyms of it only" in obstacle
