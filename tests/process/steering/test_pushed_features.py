"""A file is pushed to a service that computes features: it takes them, and is judged on logged requests with them."""

from collections.abc import Mapping
from pathlib import Path

import lightgbm
import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.core.card import Card
from evertrain.core.event import Draft, ServiceDeclared, VersionBuilt
from evertrain.core.identity import VersionId
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.stage import Check, Evaluated, Train
from evertrain.core.time import DAY, HOUR, Instant
from evertrain.data.prediction import ServiceTables
from evertrain.errors import ModelError, UserError
from evertrain.process.steering.importing import Request, import_file
from evertrain.process.trainer.evaluation import check_version
from evertrain.process.trainer.training import assemble, train
from evertrain.store.ledger import Ledger
from evertrain.store.segment import Position
from evertrain.testing.orders import CUT, order_examples
from evertrain.testing.shop import Shop

GOOD = "1 / (1 + 2.718 ** (3.0 - 0.04 * row['amount'] - 0.05 * row['clock'] - 1.5 * (row['shop'] == 'south')))"
BAD = f"1 - {GOOD}"


class World:
    """A shop in service: a version that was trained, requests that were logged, and what became of them."""

    def __init__(self, folder: Path) -> None:
        self.shop, self.folder = Shop(folder), folder
        self.state, self.service = self.shop.state, self.shop.spec.name
        with Ledger.open(self.state.ledger, make=True) as ledger:
            ledger.append(self._draft("declared", self._declared()))
        self.tables = dict(self.shop.tables)
        self.champion = VersionId("")

    def _declared(self) -> ServiceDeclared:
        return ServiceDeclared(service=self.service, declaration=self.shop.declaration, bundle=self.shop.bundle)

    def _draft(self, name: str, fact: ServiceDeclared | VersionBuilt) -> Draft:
        return Draft(
            id=name, at=CUT, actor="test", subject=f"service/{self.service}", reason="For the test.", fact=fact
        )

    def train(self) -> None:
        """The first version: the champion."""
        work = self.folder / "work"
        work.mkdir()
        assembled = assemble(self.shop.assembling(), self.state, work)
        cycle = self.shop.assembling().cycle
        made = train(Train(service=self.service, cycle=cycle, assembled=assembled), self.state, work)
        self._attest(made.version)
        built = VersionBuilt(
            service=self.service, version=made.version, fingerprint=made.fingerprint, ordinal=1, cycle=None
        )
        with Ledger.open(self.state.ledger) as ledger:
            ledger.append(self._draft("built", built))
        self.champion = made.version

    def log(self) -> None:
        """Requests of the last ten days, and their labels by key; those of the newest hours came too early to count."""
        orders = order_examples().filter(pl.col("at") >= CUT - 11 * DAY)
        tables = ServiceTables(self.state.tables, self.service)
        place = 0
        for key, at, label, shop, amount in orders.select(
            "key", "at", "label", "request.shop", "request.amount"
        ).iter_rows():
            for record in (self._asked(key, at, shop, amount), self._told(key, at, label)):
                place += 1
                tables.add(Position(writer="w0", sequence=1, offset=place), record)
        tables.commit(CUT)
        self.tables |= {one.table.name: one.table.version() for one in tables.all if one.table.version() >= 0}

    def _asked(self, key: str, at: int, shop: str, amount: float) -> Predicted:
        return Predicted(
            id=f"p-{key}",
            service=self.service,
            version=VersionId("0" * 64),
            key=key,
            at=Instant(at),
            received=Instant(at),
            row=(key, shop, at, amount),
            vector=(),
            score=0.5,
            arm="champion",
            assigned="champion",
            latency_us=100,
        )

    def _told(self, key: str, at: int, label: float) -> Labelled:
        known = Instant(at + 2 * HOUR)
        return Labelled(service=self.service, prediction="", key=key, value=label, known=known, received=known)

    def push(self, score: str) -> VersionId:
        path = self.folder / "pushed.py"
        path.write_text(f"def predict(rows):\n    return [{score} for row in rows]\n")
        version = import_file(self.state, path, self.service, Request(), "pushed").version
        self._attest(version)
        return version

    def _attest(self, version: VersionId) -> None:
        self.shop.artifacts.attest(self.shop.signer.sign_attestation("built", version, self.service, CUT))

    def judged(self, version: VersionId, tables: Mapping[str, int] | None = None) -> tuple[Evaluated, Card]:
        task = Check(
            service=self.service,
            version=version,
            declaration=self.shop.declaration,
            champion=self.champion,
            tables=dict(tables or self.tables),
            timed=False,
        )
        done = check_version(task, self.state, self.folder)
        return done, msgspec.json.decode(self.shop.artifacts.blobs.get(done.card), type=Card)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def trained(world: World) -> World:
    """With a champion and a log. Whoever needs a world without them asks for it before."""
    world.train()
    world.log()
    return world


def test_before_the_first_training_there_is_nothing_to_try_a_file_with(world: World) -> None:
    with pytest.raises(UserError, match="computes features, and no version has been trained with them yet"):
        world.push(GOOD)


def test_a_file_takes_the_features_and_is_judged_on_requests_with_them(trained: World) -> None:
    good, bad = trained.push(GOOD), trained.push(BAD)
    manifest = trained.shop.artifacts.manifest(good)
    assert [item.name for item in manifest.vector] == ["shop", "amount", "clock", "recent"]
    assert (manifest.bundle, manifest.declaration) == (trained.shop.bundle, trained.shop.declaration)
    done, card = trained.judged(good)
    assert (done.verdict, card.claim) == ("pass", "traffic"), done.reasons
    asked = order_examples().filter(pl.col("at") >= CUT - 11 * DAY)
    newest = asked["at"].to_list()[-1] + 2 * HOUR  # when the last label was received
    assert card.holdout_rows == asked.filter(pl.col("mature_at") <= newest).height < asked.height
    assert [one.who for one in card.figures] == ["challenger", "champion", "constant"]
    assert card.figures[1].metrics["auc"] > 0.65  # with the features that the champion was trained on
    done, card = trained.judged(bad)
    assert (done.verdict, card.claim) == ("fail", "traffic"), done.reasons


def test_where_features_cannot_be_computed_the_verdict_says_why(trained: World) -> None:
    lacking = {name: version for name, version in trained.tables.items() if name != "source.orders"}
    done, card = trained.judged(trained.push(GOOD), lacking)
    assert (done.verdict, card.claim) == ("health only", "health only"), done.reasons
    assert any("nothing is said of its quality: Source 'orders' has no rows" in one for one in card.reasons)


def test_a_file_that_takes_what_nobody_computes_is_refused(trained: World, tmp_path: Path) -> None:
    rows = lightgbm.Dataset(
        np.eye(40, 2), np.arange(40) % 2, feature_name=["amount", "colour"], params={"verbosity": -1}
    )
    path = tmp_path / "model.txt"
    lightgbm.train({"verbosity": -1, "num_threads": 1}, rows, 1).save_model(path)
    with pytest.raises(ModelError, match="colour"):
        import_file(trained.state, path, trained.service, Request(), "pushed")
