"""A leak passes every comparison on rows that hold it too: the version is doubted, and held beside an honest one."""

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.core.card import Card, Figures
from evertrain.core.gate import Judgement
from evertrain.core.identity import CycleId, Digest, VersionId
from evertrain.core.model import DatasetRef
from evertrain.core.schema import Input
from evertrain.core.stage import Assembled, Evaluate
from evertrain.core.time import Instant
from evertrain.model.assemble import parquet
from evertrain.process.trainer.plausibility import Doubts, doubted, doubts_of
from evertrain.testing.installation import SHOP, Installation

ROWS = 600


class World:
    """Versions that take these columns, and training rows in which `refund` is the label."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = Installation(folder).artifacts
        source = "def predict(rows):\n    return [0.5 for _ in rows]\n"
        self._made = self.artifacts.manifest(Installation(folder).add(source))

    def version(self, *columns: str) -> VersionId:
        vector = tuple(Input(name=name) for name in columns)
        return self.artifacts.put_manifest(msgspec.structs.replace(self._made, vector=vector))

    def doubts(self, challenger: VersionId, champion: VersionId | None, *aucs: float) -> Doubts:
        rng = np.random.default_rng(0)
        label = rng.integers(0, 2, ROWS).astype(float)
        frame = pl.DataFrame(
            {
                "key": [f"k{place}" for place in range(ROWS)],
                "at": np.arange(ROWS),
                "mature_at": np.arange(ROWS),
                "label": label,
                "request.refund": label,
                "feature.refund": label,
                "feature.plan": rng.choice(["basic", "pro"], ROWS),
                "feature.amount": rng.normal(size=ROWS),
            }
        )
        task = Evaluate(
            service=SHOP,
            cycle=CycleId("shop/c1"),
            assembled=assembled(self.artifacts.blobs.put(parquet(frame))),
            challenger=challenger,
            champion=champion,
            anchor=None,
            timed=False,
        )
        figures = tuple(
            Figures(who=who, version=None, rows=100, metrics={"auc": auc})
            for who, auc in zip(("challenger", "champion"), aucs, strict=False)
        )
        return doubts_of(task, card(challenger, figures), self.artifacts)


def assembled(training: Digest) -> Assembled:
    nothing = Digest("")
    return Assembled(
        dataset=DatasetRef(digest=nothing, tables={}, cut=Instant(0), rows=ROWS),
        declaration=nothing,
        bundle=None,
        features=nothing,
        training=training,
        holdout=nothing,
        training_rows=ROWS,
        holdout_rows=100,
        boundary=Instant(0),
        end=Instant(0),
        missing_labels=0.0,
        base_rate=0.5,
    )


def card(version: VersionId, figures: tuple[Figures, ...]) -> Card:
    return Card(
        service=SHOP,
        version=version,
        cycle=None,
        claim="digest",
        verdict="pass",
        reasons=("better",),
        holdout_rows=100,
        figures=figures,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world") / "state")


def test_an_honest_version_is_not_doubted(world: World) -> None:
    honest = world.version("plan", "amount")
    assert world.doubts(honest, honest, 0.91, 0.90) == Doubts()


def test_a_column_that_gives_the_label_away_holds_a_version_whatever_its_figures(world: World) -> None:
    leaking, honest = world.version("plan", "refund"), world.version("plan", "amount")
    found = world.doubts(leaking, honest, 0.99, 0.9)
    assert found.hold == ("a leak: refund: alone it gives the label with AUC 1.000: is it known at the prediction?")
    assert found.words == (found.hold,)


def test_one_that_is_all_but_perfect_beside_one_that_is_not_is_held_without_a_column(world: World) -> None:
    honest = world.version("plan", "amount")
    found = world.doubts(honest, honest, 0.9987, 0.9)
    assert found.hold == "an AUC of 0.9987 on 100 rows is too good to be believed: look for a leak"


def test_what_the_champion_shares_is_told_and_holds_nothing(world: World) -> None:
    leaking = world.version("plan", "refund")
    found = world.doubts(leaking, world.version("amount", "refund"), 0.9987, 0.9951)
    assert [words.partition(":")[0] for words in found.words] == [
        "a leak",
        "an AUC of 0.9987 on 100 rows is too good to be believed",
    ]
    assert found.hold == ""


def test_a_first_version_is_told_and_not_held(world: World) -> None:
    found = world.doubts(world.version("refund"), None, 1.0)
    assert len(found.words) == 2
    assert found.hold == ""


def test_doubts_stand_on_the_card_and_leave_the_verdict(world: World) -> None:
    judgement = Judgement(verdict="pass", reasons=("better",), criteria=())
    before = card(world.version("refund"), ())
    assert doubted(judgement, before, Doubts()) == (judgement, before)
    told, after = doubted(judgement, before, Doubts(words=("too good",)))
    assert (told.verdict, after.verdict) == ("pass", "pass")
    assert told.reasons == after.reasons == ("better", "caution: too good")
    assert after.doubts == ("too good",)
