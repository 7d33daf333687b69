"""The gate end to end: real trainings, real check servers, and versions that misbehave in every way we know."""

import re
import threading
import time
from pathlib import Path

import msgspec
import pytest

from evertrain import runtime
from evertrain.config.bundle import freeze
from evertrain.config.declaration import ServiceSpec
from evertrain.core.card import Card
from evertrain.core.identity import ServiceName, VersionId, canonical
from evertrain.core.metric import metric
from evertrain.core.schema import Column, Schema
from evertrain.core.stage import Assembled, Check, Evaluate, Evaluated, Train
from evertrain.core.time import HOUR, Instant
from evertrain.errors import UserError
from evertrain.model.assemble import read_parquet
from evertrain.model.executor import Done, LocalExecutor, Running, Task
from evertrain.model.importing import import_model
from evertrain.model.matrix import values_of
from evertrain.process.trainer.evaluation import check_version, evaluate_challenger, holdout_for
from evertrain.process.trainer.training import assemble, train
from evertrain.testing.shop import DECLARATION, Shop


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
        self,
        challenger: VersionId,
        champion: VersionId | None,
        deadline_s: float = 30.0,
        assembled: Assembled | None = None,
    ) -> tuple[Evaluated, Card]:
        task = Evaluate(
            service=self.shop.spec.name,
            cycle=self.shop.assembling().cycle,
            assembled=assembled or self.assembled,
            challenger=challenger,
            champion=champion,
            anchor=champion,
            timed=False,
            deadline_s=deadline_s,
        )
        done = evaluate_challenger(task, self.shop.state, self.folder)
        return done, msgspec.json.decode(self.shop.artifacts.blobs.get(done.card), type=Card)

    def imported(self, body: str) -> tuple[Evaluated, Card]:
        path = self.folder / "pushed.py"
        path.write_text(f"def predict(rows):\n    return {body}\n")
        schema = Schema((Column(name="amount", type="float64", low=0.0, high=100.0), Column(name="n", type="int64")))
        spec = ServiceSpec(name=ServiceName("pricing"), inputs=schema)
        artifacts = self.shop.artifacts
        declaration = artifacts.blobs.put(canonical(spec))
        version = import_model(artifacts, spec.name, path, schema, declaration=declaration).version
        artifacts.attest(self.shop.signer.sign_attestation("built", version, spec.name, Instant(0)))
        task = Check(service=spec.name, version=version, declaration=declaration, timed=False)
        done = check_version(task, self.shop.state, self.folder)
        return done, msgspec.json.decode(artifacts.blobs.get(done.card), type=Card)


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
    assert (card.environment, set(card.packages)) == ("", {"lightgbm", "numpy"})


def test_a_first_version_is_judged_by_health_and_a_constant_only(world: World) -> None:
    artifacts = world.shop.artifacts
    manifest = msgspec.structs.replace(
        artifacts.manifest(world.version("default")), parameters={"caution": "it knows too much"}
    )
    cautious = artifacts.put_manifest(manifest)
    artifacts.attest(world.shop.signer.sign_attestation("built", cautious, world.shop.spec.name, Instant(0)))
    done, card = world.judged(cautious, None)
    assert done.verdict == "health only", done.reasons
    assert card.claim == "health only"
    assert card.reasons[-1] == done.reasons[-1] == "caution: it knows too much"
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


def test_declared_weights_count_in_every_figure_and_the_card_says_so(world: World) -> None:
    spec, blobs = world.shop.spec, world.shop.artifacts.blobs
    rows = read_parquet(blobs.get(world.assembled.holdout))
    plain = world.judged(world.version("default"), None)[1].figures[0].metrics
    weighing = msgspec.structs.replace(spec, gate=msgspec.structs.replace(spec.gate, weight="amount"))
    weighed = msgspec.structs.replace(world.assembled, declaration=blobs.put(canonical(weighing)))
    done, card = world.judged(world.version("default"), None, assembled=weighed)
    assert done.verdict == "health only"
    assert card.weight == "amount"
    manifest = world.shop.artifacts.manifest(world.version("default"))
    model = runtime.load(manifest, blobs.path(manifest.model))
    scores = model.score(values_of(rows, ["feature." + name for name in spec.vector]))
    label, amount = rows["label"].to_numpy(), rows["request.amount"].to_numpy()
    figures = card.figures[0].metrics
    for name in ("log_loss", "auc", "brier", "accuracy"):
        assert figures[name] == pytest.approx(metric(name, label, scores, amount))
        assert plain[name] == pytest.approx(metric(name, label, scores))
    assert figures["log_loss"] != plain["log_loss"]


def test_weights_that_nobody_declared_a_column_for_are_refused(world: World) -> None:
    spec, blobs = world.shop.spec, world.shop.artifacts.blobs
    weighing = msgspec.structs.replace(spec, gate=msgspec.structs.replace(spec.gate, weight="colour"))
    weighed = msgspec.structs.replace(world.assembled, declaration=blobs.put(canonical(weighing)))
    with pytest.raises(UserError, match="Weight 'colour' is no request column and no feature"):
        world.judged(world.version("default"), None, assembled=weighed)


def test_a_champion_of_other_feature_code_is_scored_with_its_own(world: World, tmp_path: Path) -> None:
    before = world.version("default")
    shop = world.shop
    (tmp_path / "service.py").write_text(DECLARATION.replace("% 24", "% 24 * 1000"))
    bundle = shop.artifacts.blobs.put(freeze(tmp_path, "service").content)
    task = msgspec.structs.replace(shop.assembling(), bundle=bundle)
    assembled = assemble(task, shop.state, world.folder)
    assert assembled.features != world.assembled.features
    assert assembled.holdout != world.assembled.holdout
    manifest = shop.artifacts.manifest(before)
    rows = read_parquet(shop.artifacts.blobs.get(assembled.holdout))
    own = holdout_for(manifest, assembled, rows, shop.state)
    wanted = read_parquet(shop.artifacts.blobs.get(world.assembled.holdout))
    assert own.select(wanted.columns).equals(wanted)
    assert rows["feature.clock"].max() == 1000 * wanted["feature.clock"].max()  # type: ignore[operator]


def test_a_pushed_model_that_answers_is_health_only(world: World) -> None:
    done, card = world.imported("[row['amount'] / 100 for row in rows]")
    assert done.verdict == card.verdict == card.claim == "health only", done.reasons
    assert card.measured is not None
    assert card.measured.requests == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[row['amount'] for row in rows]", "above 1.0"),
        ("[row['colour'] for row in rows]", "KeyError: 'colour'"),
        ("[float('nan')] * len(rows)", "nan"),
    ],
)
def test_a_pushed_model_that_does_not_is_an_error_that_names_it(world: World, body: str, words: str) -> None:
    done, _ = world.imported(body)
    assert done.verdict == "error"
    assert any(words in reason for reason in done.reasons), done.reasons


def test_the_evaluator_runs_as_a_task_and_is_as_good_as_its_arguments(world: World) -> None:
    shop = world.shop
    task = Evaluate(
        service=shop.spec.name,
        cycle=shop.assembling().cycle,
        assembled=world.assembled,
        challenger=world.version("default", seed=1),
        champion=world.version("default"),
        timed=False,
    )
    executor = LocalExecutor(shop.state)
    work = msgspec.to_builtins(task)
    # At its own nice 19 it would get nothing beside the other tests.
    executor.submit(Task(id="evaluate", module="evertrain.process.trainer.evaluation", arguments=work, nice=0))
    tick, end = threading.Event(), time.monotonic() + 400
    while isinstance(outcome := executor.poll("evaluate"), Running):
        assert time.monotonic() < end
        tick.wait(0.02)
    assert isinstance(outcome, Done), outcome
    done = msgspec.json.decode(outcome.result, type=Evaluated)
    assert done.verdict == "pass"
    told, again = (
        msgspec.structs.replace(
            msgspec.json.decode(shop.artifacts.blobs.get(card), type=Card), measured=None, criteria=(), reasons=()
        )
        for card in (done.card, evaluate_challenger(task, shop.state, world.folder).card)
    )
    assert told == again  # but for what a clock measured


def checked_on_table(world: World, version: VersionId, spec: ServiceSpec | None = None) -> tuple[Evaluated, Card]:
    """A version as if it had been pushed to the shop, of whose requests nobody has told an outcome."""
    shop = world.shop
    task = Check(
        service=shop.spec.name,
        version=version,
        declaration=shop.declaration if spec is None else shop.artifacts.blobs.put(canonical(spec)),
        champion=world.version("default"),
        tables=shop.tables,
        timed=False,
    )
    done = check_version(task, shop.state, world.folder)
    return done, msgspec.json.decode(shop.artifacts.blobs.get(done.card), type=Card)


def test_a_pushed_file_that_is_worse_on_the_declared_table_fails_without_any_logged_label(world: World) -> None:
    done, card = checked_on_table(world, world.version("inverted"))
    assert (done.verdict, card.claim, done.worse) == ("fail", "table", True), done.reasons
    told = " ".join(card.reasons)
    assert f"judged on the newest {card.holdout_rows:,} labelled rows of deliveries" in told
    assert "the champion was trained on none of them" in told
    assert "it may have been trained on them, so they speak against it only" in told
    assert [one.who for one in card.figures] == ["challenger", "champion", "constant"]


def test_one_that_is_as_good_on_the_declared_table_is_told_so_and_stays_health_only(world: World) -> None:
    done, card = checked_on_table(world, world.version("default", seed=1))
    assert (done.verdict, card.claim, done.hold) == ("health only", "health only", ""), done.reasons
    own = card.figures[0].metrics["log_loss"]
    assert f"log_loss {own:.4f} of the challenger" in " ".join(done.reasons)
    assert "they speak against it only" in " ".join(done.reasons)
    assert done.evidence["table"] == card.holdout_rows > 50
    assert not any(one.name.startswith("not worse") for one in card.criteria)


def test_a_table_that_holds_too_little_to_judge_on_is_said_to(world: World) -> None:
    gate = msgspec.structs.replace(world.shop.spec.gate, holdout=HOUR)
    spec = msgspec.structs.replace(world.shop.spec, gate=gate)
    done, card = checked_on_table(world, world.version("default", seed=1), spec)
    assert (done.verdict, card.figures) == ("health only", ())
    assert re.search(r"the declared table has \d+ labelled rows? to judge it on, 50 are needed", card.reasons[1])
