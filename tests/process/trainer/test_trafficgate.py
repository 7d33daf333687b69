"""A pushed file is judged on the logged requests that have a label, in real check servers."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.config.declaration import GateSpec, LabelSpec, ServiceSpec
from evertrain.core.card import Card
from evertrain.core.identity import ServiceName, SourceName, VersionId, canonical
from evertrain.core.likeness import LostCategories, Retyped
from evertrain.core.model import Output
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.schema import Column, Schema
from evertrain.core.stage import Check, Evaluated
from evertrain.core.time import HOUR, SECOND, Instant, Moment, parse_instant
from evertrain.data.commit import labels_table, predictions_table
from evertrain.data.logged import LabelledRequests, labelled_requests
from evertrain.data.prediction import ServiceTables
from evertrain.model.importing import import_model
from evertrain.process.trainer.evaluation import check_version, how_often
from evertrain.process.trainer.trafficgate import lacking_in
from evertrain.store.artifact import Artifacts
from evertrain.store.installation import install
from evertrain.store.segment import Position
from evertrain.store.signature import Signer

SERVICE = ServiceName("pricing")
BEGIN = parse_instant("2024-05-01T00:00:00Z")
SCHEMA = Schema((Column(name="amount", type="float64"), Column(name="shop", type="string", nullable=True)))


def asked(number: int, amount: float, *, load: bool = False, retry: bool = False, at: int = 0) -> Predicted:
    moment = Instant(BEGIN + at)
    return Predicted(
        id=f"p{number}",
        service=SERVICE,
        version=VersionId("0" * 64),
        key="",
        at=moment,
        received=moment,
        row=(amount, None if number % 9 == 0 else "north"),
        vector=(amount, None if number % 9 == 0 else "north"),
        score=0.5,
        arm="champion",
        assigned="champion",
        latency_us=100,
        load=load,
        retry=retry,
    )


def told(number: int, value: float, *, received: int = 0) -> Labelled:
    moment = Instant(BEGIN + received)
    return Labelled(service=SERVICE, prediction=f"p{number}", key="", value=value, known=moment, received=moment)


class World:
    """A service with a log, and files that are pushed to it."""

    def __init__(self, folder: Path, output: Output) -> None:
        self.folder = folder
        self.state = install(folder / ".evertrain", BEGIN)
        self.artifacts = Artifacts.at(self.state.artifacts)
        self.signer = Signer.load(self.state.keys)
        gate = GateSpec(primary="rmse" if output.kind == "value" else "log_loss")
        self.spec = ServiceSpec(name=SERVICE, inputs=SCHEMA, output=output, gate=gate)
        self.declaration = self.artifacts.blobs.put(canonical(self.spec))
        self.tables: dict[str, int] = {}

    def log(self, records: Iterable[Predicted | Labelled]) -> None:
        tables = ServiceTables(self.state.tables, SERVICE)
        for number, record in enumerate(records, start=1):
            tables.add(Position(writer="w0", sequence=number, offset=64), record)
        tables.commit(BEGIN)
        self.tables = {table.table.name: table.table.version() for table in tables.all if table.table.version() >= 0}

    def file(self, body: str) -> VersionId:
        path = self.folder / "model.py"
        path.write_text(f"def predict(rows):\n    return {body}\n")
        manifest = import_model(
            self.artifacts, SERVICE, path, SCHEMA, output=self.spec.output, declaration=self.declaration
        )
        self.artifacts.attest(self.signer.sign_attestation("built", manifest.version, SERVICE, BEGIN))
        return manifest.version

    def judged(self, challenger: VersionId, champion: VersionId) -> tuple[Evaluated, Card]:
        task = Check(
            service=SERVICE,
            version=challenger,
            declaration=self.declaration,
            champion=champion,
            tables=self.tables,
            timed=False,
        )
        done = check_version(task, self.state, self.folder)
        return done, msgspec.json.decode(self.artifacts.blobs.get(done.card), type=Card)


GOOD = "[min(max(row['amount'], 0.02), 0.98) for row in rows]"
TIMID = "[0.45 + 0.1 * row['amount'] for row in rows]"
BAD = "[min(max(1 - row['amount'], 0.02), 0.98) for row in rows]"


def burst(count: int) -> list[Predicted | Labelled]:
    """Requests within a few seconds, and whether each came true with the chance that its amount says."""
    draws = np.random.default_rng(5)
    amounts = draws.uniform(size=count)
    came_true = draws.uniform(size=count) < amounts
    requests = [asked(number, float(amount), at=number * 1000) for number, amount in enumerate(amounts)]
    return [*requests, *(told(number, float(value), received=SECOND) for number, value in enumerate(came_true))]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("traffic"), Output())
    made.log(burst(600))
    return made


def test_how_many_requests_carry_a_lost_category_is_counted() -> None:
    rows = pl.DataFrame({"feature.shop": ["north", "south", None, "north"]})
    lost = LostCategories(column="shop", texts=("north", "west"), whole=False)
    assert how_often(lost, rows) == "; 2 of 4 logged requests carry that, and it takes it for missing"
    assert how_often(lost, None) == how_often(lost, rows.clear()) == ""
    assert how_often(Retyped(column="shop", before="int64", after="float64"), rows) == ""


def test_a_worse_file_fails_and_a_better_one_passes(world: World) -> None:
    good = world.file(GOOD)
    done, card = world.judged(world.file(BAD), good)
    assert (done.verdict, card.claim) == ("fail", "traffic"), done.reasons
    done, card = world.judged(good, world.file(TIMID))
    assert (done.verdict, card.claim, card.holdout_rows, card.training_rows) == ("pass", "traffic", 600, 0), (
        done.reasons
    )
    assert any("blocks are 15 requests in a row" in reason for reason in done.reasons)
    assert card.boundary is not None
    assert card.end is not None
    assert BEGIN - SECOND < card.boundary < card.end < BEGIN + SECOND


def test_a_file_that_is_as_good_as_the_champion_passes(world: World) -> None:
    champion = world.file(GOOD)
    done, _ = world.judged(world.file(GOOD.replace("0.98", "0.979")), champion)
    assert done.verdict == "pass", done.reasons


def test_a_file_that_fails_in_the_check_server_is_an_error(world: World) -> None:
    done, card = world.judged(world.file("[row['nothing'] for row in rows]"), world.file(GOOD))
    assert done.verdict == "error"
    assert any("KeyError" in reason for reason in card.reasons)


def test_too_few_labels_leave_it_at_health_only(tmp_path: Path) -> None:
    world = World(tmp_path, Output())
    world.log([*burst(30), *(asked(number, 0.5, at=SECOND + number) for number in range(100, 130))])
    done, card = world.judged(world.file(GOOD), world.file(BAD))
    assert (done.verdict, card.claim) == ("health only", "health only")
    assert any("30 logged requests have a label, 50 are needed" in reason for reason in card.reasons)


DICHOTOMY = ServiceSpec(name=SERVICE, inputs=SCHEMA)


def logged(label: list[float]) -> LabelledRequests:
    rows = pl.DataFrame({"label": label})
    return LabelledRequests(rows, 0.0, rows)


@pytest.mark.parametrize("positive", [0, 6, 54, 60])
def test_a_few_labels_of_a_rare_thing_say_nothing(positive: int) -> None:
    rows = logged([1.0] * positive + [0.0] * (60 - positive))
    rare = min(positive, 60 - positive)
    assert lacking_in(rows, DICHOTOMY).startswith(f"of 60 labels {rare} are not of the commonest kind, 10 are needed")
    assert lacking_in(rows, msgspec.structs.replace(DICHOTOMY, output=Output.of_values())) == ""
    assert lacking_in(logged([1.0] * 50 + [0.0] * 10), DICHOTOMY) == ""


def test_labels_that_are_not_mature_yet_are_not_said_to_be_missing(world: World) -> None:
    label = LabelSpec(
        source=SourceName("outcomes"),
        value="late",
        known_at=Moment.parse("known"),
        mature_at=Moment.parse("at + 30d"),
    )
    found = labelled_requests(world.state.tables, msgspec.structs.replace(world.spec, label=label), world.tables)
    assert (found.rows.height, found.early) == (0, 600)
    assert lacking_in(found, msgspec.structs.replace(world.spec, label=label)) == (
        "600 logged requests have a label and none is mature yet (a label is certain from at + 30d on; the first "
        "matures on 2024-05-31), 50 are needed to say more than that it is healthy"
    )


def test_the_constant_to_beat_is_what_was_known_before(tmp_path: Path) -> None:
    """Positives come late: no constant could know how many, and a file that sees them coming is not refused."""
    world = World(tmp_path, Output())
    requests = [asked(number, 0.01 if number < 40 else 0.6, at=number * 1000) for number in range(60)]
    world.log([*requests, *(told(number, float(number >= 48)) for number in range(60))])
    done, card = world.judged(world.file(GOOD), world.file(GOOD.replace("0.98", "0.979")))
    assert card.base_rate == pytest.approx(1 / 32)
    assert done.verdict == "pass", done.reasons


def test_without_labels_scores_are_held_beside_the_champions(tmp_path: Path) -> None:
    world = World(tmp_path, Output())
    world.log(one for one in burst(200) if isinstance(one, Predicted))
    good = world.file(GOOD)
    turned, card = world.judged(world.file(BAD), good)
    assert turned.verdict == "health only"
    assert turned.hold == "it ranks requests the other way round than the champion (rank correlation -1.00)"
    assert turned.evidence == {"labelled": 0.0, "compared": 200.0}
    assert "it gets no traffic before labels or a person speak" in " ".join(card.reasons)
    assert any("on 200 logged requests, rank correlation" in one.words for one in card.criteria)
    broken, card = world.judged(world.file("[1 / 0 if 0.9 < row['amount'] < 1 else 0.5 for row in rows]"), good)
    assert (broken.verdict, broken.hold) == ("health only", ""), broken.reasons
    assert any("it was not compared with the champion" in one.words for one in card.criteria)


def test_the_margin_of_a_value_is_a_share_of_the_spread(tmp_path: Path) -> None:
    world = World(tmp_path, Output(kind="value", low=None, high=None))
    draws = np.random.default_rng(6)
    amounts = draws.uniform(0, 4000, 800)
    requests = [asked(number, float(amount), at=number * HOUR) for number, amount in enumerate(amounts)]
    world.log([*requests, *(told(number, float(amount) * 2) for number, amount in enumerate(amounts))])
    champion = world.file("[row['amount'] * 2 + 40 * (-1) ** int(row['amount']) for row in rows]")
    done, card = world.judged(
        world.file("[row['amount'] * 2 + 41 * (-1) ** int(row['amount']) for row in rows]"), champion
    )
    assert done.verdict == "pass", done.reasons
    assert any("of the labels' spread" in reason for reason in card.reasons)
    assert not any("in a row" in reason for reason in card.reasons)
    done, _ = world.judged(
        world.file("[row['amount'] * 2 + 140 * (-1) ** int(row['amount']) for row in rows]"), champion
    )
    assert done.verdict == "fail", done.reasons


def test_the_newest_label_of_each_request_counts_once(tmp_path: Path) -> None:
    world = World(tmp_path, Output())
    world.log(
        [
            asked(1, 0.25),
            asked(2, 0.5, load=True),
            asked(1, 0.25, retry=True),
            asked(3, 0.75, at=SECOND),
            asked(4, 0.9, at=2 * SECOND),
            told(1, 1.0, received=SECOND),
            told(1, 0.0, received=2 * SECOND),
            told(2, 1.0),
            told(3, 1.0),
            told(77, 1.0),
        ]
    )
    found = labelled_requests(world.state.tables, world.spec, world.tables)
    assert found.rows.select("key", "label", "request.amount", "request.shop").rows() == [
        ("p1", 0.0, 0.25, "north"),
        ("p3", 1.0, 0.75, "north"),
    ]
    assert found.unlabelled == pytest.approx(1 / 3)


def test_versions_of_the_tables_are_kept_to(tmp_path: Path) -> None:
    world = World(tmp_path, Output())
    assert labelled_requests(world.state.tables, world.spec, {}).rows.height == 0
    world.log(burst(60))
    assert set(world.tables) == {predictions_table(SERVICE), labels_table(SERVICE)}
    only_predictions = {predictions_table(SERVICE): world.tables[predictions_table(SERVICE)]}
    assert labelled_requests(world.state.tables, world.spec, only_predictions).rows.height == 0


OF_CLASSES = {
    name: f"[{body} for p in (min(max(row['amount'], 0.02), 0.98) for row in rows)]"
    for name, body in (
        ("good", "[1 - p, p / 2, p / 2]"),
        ("timid", "[0.4 - p / 10, 0.3, 0.3 + p / 10]"),
        ("bad", "[p, (1 - p) / 2, (1 - p) / 2]"),
    )
}


def test_a_file_of_classes_is_judged_by_the_probability_of_the_class_that_came(tmp_path: Path) -> None:
    world = World(tmp_path, Output.of_classes(("left", "right", "straight")))
    draws = np.random.default_rng(7)
    records = burst(600)
    came = [one.value * draws.integers(1, 3) if isinstance(one, Labelled) else 0.0 for one in records]
    world.log(
        msgspec.structs.replace(one, value=float(place)) if isinstance(one, Labelled) else one
        for one, place in zip(records, came, strict=True)
    )
    files = {name: world.file(body) for name, body in OF_CLASSES.items()}
    done, card = world.judged(files["bad"], files["good"])
    assert (done.verdict, card.claim) == ("fail", "traffic"), done.reasons
    done, card = world.judged(files["good"], files["timid"])
    assert (done.verdict, card.claim) == ("pass", "traffic"), done.reasons
    older = np.bincount([int(one) for one in came[600:900]]) + 1
    assert card.base_rate == pytest.approx(tuple(older / 303))  # the older half, and one of each class
    assert [one.who for one in card.figures] == ["challenger", "champion", "constant"]
    assert {*card.figures[0].metrics} == {"log_loss", "accuracy", "brier"}
    assert sum(one.rows for one in card.calibration) == 600
    assert {one.value for one in card.segments if one.column == "class"} == {"left", "right", "straight"}
    assert card.segments[0].figures[0].metrics["accuracy"] > 0.5
    done, _ = world.judged(world.file("[[0.5, 0.5] for row in rows]"), files["good"])
    assert done.verdict == "error"
    assert any("probabilities" in reason for reason in done.reasons), done.reasons
