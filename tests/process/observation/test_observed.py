"""A watched stream through a real worker: logged before it is answered, once in the tables, and on the report."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from evertrain.config.declaration import ServiceSpec
from evertrain.core.prediction import Predicted
from evertrain.core.routing import Route
from evertrain.core.time import DAY, HOUR, Instant, Span, parse_instant, say_instant
from evertrain.data.arrival import Patience
from evertrain.deploy.observe import OBSERVED
from evertrain.errors import NotFoundError, UnavailableError, UserError
from evertrain.monitor.gist import expose_gists
from evertrain.monitor.report import Report
from evertrain.process.ingestion.intake import Intake
from evertrain.process.observation.observed import observed_report
from evertrain.process.observation.observing import Wishes, declare_watched
from evertrain.process.observation.reports import ObservedReports
from evertrain.process.steering.importing import Request, import_file
from evertrain.process.view.advice import advise
from evertrain.process.view.looks import read_gists, read_looked_at_first
from evertrain.process.view.overseeing import Overseer
from evertrain.process.view.situation import look_at
from evertrain.store.access import create_token
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.log import LogWriter
from evertrain.store.table import Table
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.record import FIRST, ShopRecord
from evertrain.testing.worker import RunningWorker, until

NOW = parse_instant("2024-05-01T00:00:00Z")
WISHES = Wishes(segments=("region", "colour"), horizon=Span(DAY))


class Stream:
    """A watched service and what somebody's server posts to it: one region where the model knows nothing."""

    def __init__(self, folder: Path) -> None:
        self.installation = Installation(folder)
        self.state = self.installation.state
        self.spec: ServiceSpec = declare_watched(self.state, SHOP, WISHES)[0]
        token = create_token("data", self.state.keys, self.state.trusted)
        self.installation.route(Route(service=SHOP, observed=True))
        self.worker = RunningWorker(self.installation)
        self.bearer = {"authorization": f"Bearer {token}"}
        self.now = business_clock(self.state.clock).now()
        until(lambda: self.worker.heartbeat() is not None)
        until(lambda: self.ready().status_code == 200)

    def ready(self) -> httpx.Response:
        return self.worker.client.get("/v2/health/ready")

    def observe(self, *observations: object, headers: dict[str, str] | None = None) -> httpx.Response:
        sent = self.bearer if headers is None else headers
        return self.worker.client.post(f"/observe/{SHOP}", json={"observations": observations}, headers=sent)

    def label(self, *labels: object) -> httpx.Response:
        return self.worker.client.post(f"/labels/{SHOP}", json={"labels": labels}, headers=self.bearer)

    def post(self, first: int, count: int) -> None:
        """Predictions of the last forty days, four in five of them with a label."""
        source = np.random.default_rng(first)
        observations, labels = [], []
        for number in range(first, first + count):
            chance, region = source.uniform(0.05, 0.95), "west" if number % 5 == 0 else "north"
            observations.append(
                {
                    "id": f"r{number}",
                    "at": say_instant(self.now - DAY * 40 + number * DAY * 40 // 2000),
                    "score": 1.0 - chance if region == "west" else chance,
                    "row": {"region": region, "age": source.normal(40, 9), "vip": number % 3 == 0},
                }
            )
            if number % 7:
                labels.append({"key": f"r{number}", "value": int(source.random() < chance)})
        assert self.observe(*observations).json() == {"taken": count}
        assert self.label(*labels).status_code == 200

    def report(self) -> Report:
        return observed_report(self.state, self.spec, Instant(self.now))

    def commit(self) -> None:
        with Ledger.open(self.state.ledger) as ledger:
            intake = Intake(self.state, ledger, Patience(), self.now, log_keep=Span(DAY))
            with closing(intake._reader):
                intake.follow(self.now)
                intake.commit(self.now)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    made = Stream(tmp_path_factory.mktemp("watched") / "state")
    yield made
    made.worker.close()


def test_a_stream_is_told_from_log_and_tables_alike(stream: Stream) -> None:
    with pytest.raises(UnavailableError, match="Nothing was posted to /observe/shop yet"):
        stream.report()
    stream.post(0, 1000)
    early = stream.report()
    assert (early.rows, early.waiting) == (1000, 0)
    stream.commit()
    assert stream.report() == early
    stream.post(1000, 1000)
    stream.post(500, 100)  # somebody's server posts again what it posted before
    report = stream.report()
    assert report.rows == 2000
    assert report.waiting == 49  # the label of number 1950 is due at this very instant
    assert report.segments[0].value == "west"
    assert report.segments[0].outcome == "worse"
    assert report.inputs is not None
    assert {one.column for one in report.inputs.columns} == {"score", "region", "age", "vip"}
    assert any(one.startswith("No observation has a colour") for one in report.warnings)
    stream.commit()
    stream.commit()
    assert stream.report() == report
    (
        stream.state.path / "control" / "log.json"
    ).unlink()  # the log is read from its beginning: what is in the tables too counts once
    assert stream.report() == report
    assert Table(stream.state.tables, f"predictions.{SHOP}").read().height == 2100


def test_the_newest_label_counts_by_key_or_by_id(stream: Stream) -> None:
    before = stream.report()
    logged = next(one for one in stream.worker.records() if getattr(one, "key", "") == "r14")
    assert stream.label({"prediction_id": getattr(logged, "id", ""), "value": 1}).status_code == 200
    assert stream.report().labelled == before.labelled + 1
    assert stream.label({"key": "r0", "value": 1}, {"key": "r0", "value": 0}).status_code == 200
    assert stream.report().labelled == before.labelled + 2


def test_a_few_repeated_ids_are_noticed_and_many_are_warned_of(stream: Stream, tmp_path: Path) -> None:
    assert "100 of 2,100 rows repeat a value of id; the first of each counts." in stream.report().notices
    report = posted(tmp_path, [observed(number, f"customer-{number % 50}") for number in range(1000)])
    assert report.rows == 50
    assert report.warnings[0].startswith(
        "950 of 1,000 rows repeat a value of id, and only the first of each is looked at: does id name"
    )


def test_one_odd_cell_silences_no_alarm(tmp_path: Path) -> None:
    """Amounts have moved; that one of them, and those of another column, were posted as text changes nothing."""
    amounts: list[object] = [20.0 + number % 17 + 60 * (number >= 1500) for number in range(2000)]
    texts = [str(amount) for amount in amounts]
    odd, codes = [*amounts[:900], "$12", *amounts[901:]], [f"0{number % 9}139" for number in range(2000)]
    seen = [
        observed(number, f"r{number}", {"amount": one, "text": text, "zip": code})
        for number, (one, text, code) in enumerate(zip(odd, texts, codes, strict=True))
    ]
    report = posted(tmp_path, seen)
    assert "1 observation read as missing there: amount is '$12' in 'r900', which is no number." in report.notices
    assert report.inputs is not None
    assert {one.column for one in report.inputs.moved} == {"amount", "text"}
    assert {one.column for one in report.inputs.columns if one.center is not None} == {"score", "amount", "text"}


def observed(number: int, name: str, row: dict[str, object] | None = None) -> Predicted:
    """A record as the observe door logs it; one comes each hour of the last 2000."""
    return Predicted(
        id=f"id-{name}",
        service=SHOP,
        version=OBSERVED,
        key=name,
        at=Instant(NOW - (2000 - number) * HOUR),
        received=Instant(NOW - 2000 + number),
        row=(msgspec.json.encode(row or {}).decode(),),
        vector=(),
        score=0.3 + number % 5 / 10,
        arm="champion",
        assigned="champion",
        latency_us=0,
    )


def posted(folder: Path, records: Sequence[Predicted]) -> Report:
    """The report of an installation whose log holds these records."""
    state = Installation(folder / "posted").state
    spec = declare_watched(state, SHOP, Wishes())[0]
    log = LogWriter(state.log, "w0", segment_bytes=1 << 20)
    log.append(*records)
    log.close()
    return observed_report(state, spec, Instant(NOW))


def test_only_who_has_the_token_posts_and_only_to_a_watched_service(stream: Stream) -> None:
    refused = stream.observe({"id": "a", "score": 0.5}, headers={})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    answer = stream.worker.client.post(f"/predict/{SHOP}", json={"a": 1})
    assert answer.status_code == 404
    assert answer.json()["remedy"] == f"Post what was answered to /observe/{SHOP}."
    invalid = stream.observe({"id": "a", "score": "high"})
    assert (invalid.status_code, invalid.json()["field"]) == (400, "observations[0].score")
    for odd, field in (
        ({"id": "odd", "score": 17}, "score"),
        ({"id": "odd", "score": 0.5, "at": say_instant(stream.now + DAY)}, "at"),
    ):
        invalid = stream.observe(odd)
        assert (invalid.status_code, invalid.json()["field"]) == (400, f"observations[0].{field}")
    assert stream.label({"key": "r1", "value": 2.0}).json()["field"] == "labels[0].value"


def test_reports_are_asked_by_name(stream: Stream) -> None:
    with Ledger.open(stream.state.ledger) as ledger:
        reports = ObservedReports(stream.state, ledger)
        assert reports.of(SHOP) is reports.of(SHOP)
        with pytest.raises(NotFoundError, match="There is no watched service 'shp'") as caught:
            reports.of(type(SHOP)("shp"))
    assert caught.value.remedy == 'Did you mean "shop"?'


def test_the_same_declaration_is_on_record_once(stream: Stream) -> None:
    for _ in range(2):
        assert declare_watched(stream.state, SHOP, WISHES) == (stream.spec, ())
    with Ledger.open(stream.state.ledger) as ledger:
        assert len(ledger.read(kinds={"service.declared"})) == 1


def test_a_watched_service_takes_no_model(stream: Stream, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FIRST)
    with pytest.raises(UserError, match="Service 'shop' is only watched"):
        import_file(stream.state, tmp_path / "model.py", SHOP, Request(), "a test")


def test_a_service_with_a_model_is_not_watched(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path / "state")
    record.build(FIRST)
    with pytest.raises(UserError, match="has a model that answers here"):
        declare_watched(record.state, SHOP, Wishes())


def test_what_is_not_named_stays_as_it_is_on_record(tmp_path: Path) -> None:
    state = Installation(tmp_path / "state").state
    (tmp_path / "then.csv").write_text("at,region,age\n" + "2024-05-01T10:00:00Z,north,40\n" * 30)
    first, changed = declare_watched(
        state, SHOP, Wishes(segments=("region",), metric="brier", reference=tmp_path / "then.csv", time="at")
    )
    assert changed == ()
    (tmp_path / "then.csv").unlink()
    assert declare_watched(state, SHOP, Wishes()) == (first, ())
    again, changed = declare_watched(state, SHOP, Wishes(segments=("region", "age"), horizon=Span(DAY)))
    assert changed == ("segments: region before, now region, age", "horizon: none before, now 1d")
    assert again.watched is not None
    assert first.watched is not None
    assert (again.watched.metric, again.watched.reference) == ("brier", first.watched.reference)
    with pytest.raises(UserError, match="The metric 'rmse' does not fit: the score is a probability"):
        declare_watched(state, SHOP, Wishes(metric="rmse"))
    value, changed = declare_watched(state, SHOP, Wishes(kind="value"))
    assert value.watched is not None
    assert (value.watched.metric, len(changed)) == (None, 2)


def test_inputs_of_a_stream_are_held_against_the_reference(stream: Stream, tmp_path: Path) -> None:
    (tmp_path / "then.csv").write_text("region,age\n" + "north,70.5\nwest,71.5\n" * 100)
    spec, _ = declare_watched(stream.state, SHOP, Wishes(reference=tmp_path / "then.csv"))
    report = observed_report(stream.state, spec, Instant(stream.now))
    assert report.inputs is not None
    assert report.inputs.reference == "then.csv"
    assert report.inputs.columns[0].column == "age"
    assert "then.csv has no 'score', 'vip': not compared." in report.notices
    other, _ = declare_watched(stream.state, SHOP, Wishes(reference=unlike(tmp_path)))
    assert any("has none of the inputs" in one for one in observed_report(stream.state, other, stream.now).notices)


def unlike(folder: Path) -> Path:
    (folder / "unlike.csv").write_text("colour\nred\n")
    return folder / "unlike.csv"


def test_what_got_worse_is_left_for_status_and_for_prometheus(stream: Stream) -> None:
    with Ledger.open(stream.state.ledger) as ledger:
        overseer = Overseer(stream.state, ObservedReports(stream.state, ledger))
        overseer.oversee([SHOP])
        overseer.stop()
    assert read_looked_at_first(stream.state.reports)[SHOP] > 0
    (found,) = look_at(stream.state).services
    assert found.gist == overseer.gists[0] == read_gists(stream.state.reports)[SHOP]
    assert (found.gist.rows, found.gist.segments) == (2000, ("region = west",))
    (advice,) = (one for one in advise(look_at(stream.state)) if one.what.startswith("shop: "))
    assert "region = west is shown to be worse" in advice.what
    told = expose_gists(overseer.gists)
    assert 'evertrain_observed_rows{service="shop"} 2000' in told
    assert 'evertrain_observed_alarms{service="shop",claim="segment_worse"} 1' in told
    assert 'evertrain_observed_quality{service="shop",metric="log_loss"} 0.' in told


def test_nothing_is_looked_at_where_nothing_is_watched(stream: Stream, tmp_path: Path) -> None:
    state = Installation(tmp_path / "state").state
    declare_watched(state, SHOP, Wishes())
    with Ledger.open(state.ledger) as ledger:
        overseer = Overseer(state, ObservedReports(state, ledger))
        for services in ([], [SHOP]):
            overseer.oversee(services)
        overseer.stop()
    assert overseer.gists == ()
    assert read_gists(state.reports) == {}


def test_labels_of_no_prediction_are_told(stream: Stream) -> None:
    assert stream.label({"key": "who", "value": 1}).status_code == 200
    assert any(
        one.startswith("1 label of no prediction that was posted, such as 'who'") for one in stream.report().notices
    )


def test_labels_of_a_watched_service_are_taken_as_the_reference_says(stream: Stream) -> None:
    for label, field in (
        ({"key": "early", "value": "yes"}, "value"),
        ({"key": "early", "value": 1, "known_at": "2024-05-01T10:00:00"}, "known_at"),
    ):
        refused = stream.label(label)
        assert (refused.status_code, refused.json()["field"]) == (400, f"labels[0].{field}")
    before = stream.report().labelled
    assert stream.label({"key": "early", "value": True}).status_code == 200
    assert stream.observe({"id": "early", "score": 0.5, "at": say_instant(Instant(stream.now - DAY * 2))}).is_success
    assert stream.report().labelled == before + 1


def test_each_service_is_told_as_soon_as_it_was_looked_at_and_who_asks_does_not_wait(stream: Stream) -> None:
    """Another report is being made: the one that there is, or how many were taken, is told at once."""
    with Ledger.open(stream.state.ledger) as ledger:
        reports = ObservedReports(stream.state, ledger)
        with (
            reports.turn,
            pytest.raises(UnavailableError, match=r"predictions of shop taken; the first look is under"),
        ):
            reports.of(SHOP, patience_s=0.0)
        overseer = Overseer(stream.state, reports)
        overseer.look([SHOP])
        assert set(read_gists(stream.state.reports)) == {SHOP}


def test_a_segment_that_no_row_has_takes_none_away_and_is_told(stream: Stream) -> None:
    spec, told = declare_watched(stream.state, SHOP, Wishes(segments=("regoin",)))
    assert set(spec.segments) == {"regoin", *stream.spec.segments}
    said = 'segments: no row that was posted has a regoin, so those on record stay beside it. Did you mean "region"?'
    assert told[-1] == said
    report = observed_report(stream.state, spec, Instant(stream.now))
    assert any(one.startswith("No observation has a regoin") and "region" in one for one in report.warnings)
    assert "region" in {one.column for one in report.segments}


def test_a_label_that_is_posted_again_is_told_and_the_newest_counts(stream: Stream) -> None:
    for value in (1, 0):
        assert stream.label({"key": "r1", "value": value}).status_code == 200
    said = r"\d+ predictions got labels that differ, and the newest counts: that of 'r\d+' was 1 and is 0\."
    assert any(re.fullmatch(said, one) for one in stream.report().notices)


def test_observations_without_a_segment_are_counted(stream: Stream) -> None:
    assert stream.observe({"id": "bare", "score": 0.5}).status_code == 200
    said = r"\d+ of [\d,]+ observations (has|have) no region, and (is|are) the segment region = missing\."
    assert any(re.fullmatch(said, one) for one in stream.report().warnings)
