"""The gate end to end: real trainings, real check servers, and versions that misbehave in every way we know."""

from pathlib import Path

import msgspec
import pytest

from evertrain.core.card import Card
from evertrain.core.identity import VersionId
from evertrain.core.stage import Assembled, Evaluate, Evaluated, Train
from evertrain.core.time import Instant
from evertrain.process.evaluation import evaluate_challenger
from evertrain.process.training import assemble, train
from evertrain.testing.shop import Shop


class World:
    """A shop with assembled rows and a champion; versions are trained once."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder)
        self.folder = folder / "work"
        self.folder.mkdir()
        self.assembled: Assembled = assemble(self.shop.assembling(), self.shop.state, self.folder)
        self.versions: dict[tuple[str, int], VersionId] = {}

    def version(self, recipe: str, seed: int = 0) -> VersionId:
        if (recipe, seed) not in self.versions:
            task = Train(
                service=self.shop.spec.name,
                cycle=self.shop.assembling().cycle,
                assembled=self.assembled,
                recipe=recipe,
                seed=seed,
            )
            made = train(task, self.shop.state, self.folder).version
            self.shop.artifacts.attest(
                self.shop.signer.sign_attestation("built", made, self.shop.spec.name, Instant(0))
            )
            self.versions[recipe, seed] = made
        return self.versions[recipe, seed]

    def judged(
        self, challenger: VersionId, champion: VersionId | None, deadline_s: float = 30.0
    ) -> tuple[Evaluated, Card]:
        task = Evaluate(
            service=self.shop.spec.name,
            cycle=self.shop.assembling().cycle,
            assembled=self.assembled,
            challenger=challenger,
            champion=champion,
            anchor=champion,
            timed=False,
            deadline_s=deadline_s,
        )
        done = evaluate_challenger(task, self.shop.state, self.folder)
        return done, msgspec.json.decode(self.shop.artifacts.blobs.get(done.card), type=Card)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_an_honest_challenger_passes_and_its_card_says_why(world: World) -> None:
    champion = world.version("default")
    done, card = world.judged(world.version("default", seed=1), champion)
    assert done.verdict == card.verdict == "pass", done.reasons
    assert [figures.who for figures in card.figures] == ["challenger", "champion", "constant"]
    assert card.figures[0].metrics["auc"] > 0.65
    assert card.holdout_rows == world.assembled.holdout_rows
    assert {one.value for one in card.segments} == {"east", "north", "south", "west"}
    assert len(card.calibration) == 10
    assert card.null_score == card.unseen_score is not None
    assert card.measured is not None
    assert card.measured.requests == 200
    assert 0 < card.measured.p50_ms <= card.measured.p99_ms


def test_a_first_version_is_judged_by_health_and_a_constant_only(world: World) -> None:
    done, card = world.judged(world.version("default"), None)
    assert done.verdict == "health only", done.reasons
    assert card.claim == "health only"
    assert [figures.who for figures in card.figures] == ["challenger", "constant"]


def test_inverted_scores_fail(world: World) -> None:
    done, card = world.judged(world.version("inverted"), world.version("default"))
    assert done.verdict == "fail"
    assert card.figures[0].metrics["auc"] < 0.5
    assert any("constant" in reason for reason in done.reasons)


@pytest.mark.parametrize(
    ("recipe", "words", "deadline_s"),
    [
        ("segfaulting", "SIGSEGV", 30.0),
        ("hanging", "did not answer within 4 s", 4.0),
        ("silent", "nan", 30.0),
        ("greedy", "emory", 30.0),
    ],
)
def test_a_version_that_misbehaves_is_an_error_with_its_cause(
    world: World, recipe: str, words: str, deadline_s: float
) -> None:
    done, card = world.judged(world.version(recipe), world.version("default"), deadline_s)
    assert done.verdict == "error", done.reasons
    assert any(words in reason for reason in done.reasons), done.reasons
    assert card.verdict == "error"
