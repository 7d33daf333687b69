"""What is told of a watched table: whole mature cohorts, segments with their multiplicity, periods, inputs."""

import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.core.metric import metric
from evertrain.core.time import DAY, Instant, Span
from evertrain.monitor.observed import look
from evertrain.monitor.report import Kind, Observations, Question, Report, Segment

START = 19_700 * DAY


def observations(
    seed: int = 1, days: int = 60, a_day: int = 100, *, bad: str = "west", unlike: float = 0.0
) -> Observations:
    """A score that knows the chance, but in one region, where it knows nothing. `shop` means nothing."""
    source = np.random.default_rng(seed)
    rows = days * a_day
    at = START + np.sort(source.integers(0, days * DAY, rows))
    region = source.choice(["north", "south", "west"], rows, p=[0.6, 0.3, 0.1])
    chance = source.uniform(0.05, 0.95, rows)
    label = (source.random(rows) < chance).astype(np.float64)
    score = np.where(region == bad, source.uniform(0.05, 0.95, rows), chance)
    frame = pl.DataFrame(
        {
            "p": score,
            "region": region,
            "shop": source.integers(0, 15, rows),
            "age": source.normal(40, 9, rows) + unlike * (at > START + days * DAY // 2),
        }
    )
    return Observations(at=at, score=score, label=label, rows=frame)


def told(
    seen: Observations, question: Question, kind: Kind = "probability", reference: Observations | None = None
) -> Report:
    return look("table", seen, question, kind=kind, reference=reference, inputs=tuple(seen.rows.columns))


def segment(report: Report, column: str, value: str) -> Segment:
    return next(one for one in report.segments if (one.column, one.value) == (column, value))


def test_the_worst_segment_is_found_and_its_multiplicity_is_said() -> None:
    report = told(observations(), Question(segments=("region", "shop")))
    worst = report.segments[0]
    assert (worst.column, worst.value, worst.outcome) == ("region", "west", "worse")
    assert worst.worse is not None
    assert worst.at_least is not None
    assert 0.0 < worst.at_least < worst.worse
    assert report.tested == 18
    assert report.worst.startswith("region = west is shown to be worse than all other rows: log loss worse by 0.")
    assert "whichever segment is picked (18 segments tested, Holm p < 0.001)" in report.worst
    assert [one.outcome for one in report.segments if one.column == "shop"] == ["open"] * 15


def test_where_nothing_is_worse_nothing_is_called_so() -> None:
    """24 segments that mean nothing, in 40 tables: any at all is called worse in at most 5 % of them."""
    question = Question(segments=("region", "shop"))
    called = [told(observations(seed, 30, 60, bad=""), question).segments[0].outcome for seed in range(40)]
    assert called.count("worse") <= 5  # more has a chance below 2 %
    report = told(observations(bad=""), question)
    assert report.worst == "No segment is shown to be worse than the rest (18 segments tested, Holm at 5%)."


def test_figures_are_those_of_the_mature_labelled_rows() -> None:
    seen = observations()
    late = seen.at > START + 50 * DAY
    label = np.where(late & (np.arange(len(late)) % 2 == 0), np.nan, seen.label)
    seen = msgspec.structs.replace(seen, label=label)
    report = told(seen, Question(segments=("region",), horizon=Span(7 * DAY), now=Instant(START + 60 * DAY)))
    due = seen.at + 7 * DAY <= START + 60 * DAY
    counted = due & ~np.isnan(label)
    assert (report.rows, report.labelled) == (6000, int(counted.sum()))
    assert (report.waiting, report.missing) == (int((~due).sum()), int((due & np.isnan(label)).sum()))
    assert report.figures["auc"].value == metric("auc", label[counted], seen.score[counted])
    assert sum(one.rows for one in report.segments) == int(due.sum())
    assert sum(one.figure.labels for one in report.segments) == report.labelled
    assert sum(one.rows for one in report.periods) == 6000
    assert sum(one.waiting for one in report.periods) == report.waiting
    assert sum(one.missing for one in report.periods) == report.missing


def test_labels_that_come_early_do_not_push_ahead() -> None:
    """Bad outcomes become known at once, good ones after ten days: without the horizon the newest rows look bad."""
    seen = observations(bad="")
    now = START + 60 * DAY
    known = (seen.label == 1.0) | (seen.at + 10 * DAY <= now)
    seen = msgspec.structs.replace(seen, label=np.where(known, seen.label, np.nan))
    naive = told(seen, Question(now=Instant(now)))
    patient = told(seen, Question(now=Instant(now), horizon=Span(10 * DAY)))
    assert naive.bias.high is not None
    assert naive.bias.high < 0.0  # more labels of 1 than were foreseen, it seems
    assert patient.missing == 0
    assert patient.bias.low is not None
    assert patient.bias.high is not None
    assert patient.bias.low < 0.0 < patient.bias.high


def test_few_labels_are_insufficient_and_no_pass() -> None:
    seen = observations()
    region = seen.rows["region"].to_list()
    region[:30] = ["tiny"] * 30
    seen = msgspec.structs.replace(seen, rows=seen.rows.with_columns(region=pl.Series(region)))
    tiny = segment(told(seen, Question(segments=("region",))), "region", "tiny")
    assert (tiny.outcome, tiny.p_value, tiny.words) == ("insufficient", None, "30 labels, 50 are needed")


def test_numbers_are_cut_at_quartiles_and_missing_values_are_a_segment() -> None:
    seen = observations()
    rows = seen.rows.with_columns(age=pl.when(pl.int_range(pl.len()) % 5 == 0).then(None).otherwise("age"))
    report = told(msgspec.structs.replace(seen, rows=rows), Question(segments=("age",)))
    names = {one.value for one in report.segments}
    assert len(names) == 5
    assert "missing" in names
    assert sum(one.rows for one in report.segments) == 6000


def test_rare_values_are_put_together() -> None:
    seen = observations()
    codes = pl.Series([f"c{number * number % 997}" for number in range(6000)])
    report = told(msgspec.structs.replace(seen, rows=seen.rows.with_columns(code=codes)), Question(segments=("code",)))
    assert len(report.segments) == 41
    assert segment(report, "code", "all other values").rows > 3000
    assert sum(one.rows for one in report.segments) == 6000


def test_a_regression_is_told_by_its_own_metrics() -> None:
    seen = observations(bad="")
    source = np.random.default_rng(2)
    truth = source.normal(100, 20, 6000)
    wrong = source.normal(0, 1, 6000) * np.where(seen.rows["region"] == "west", 9.0, 3.0)
    seen = msgspec.structs.replace(seen, label=truth, score=truth + wrong)
    report = told(seen, Question(segments=("region",), metric="rmse"), kind="value")
    assert list(report.figures) == ["rmse", "mae"]
    assert report.segments[0].value == "west"
    assert report.segments[0].figure.value == pytest.approx(9.0, rel=0.1)
    assert report.figures["rmse"].low is not None


def test_inputs_are_held_against_the_first_half_or_a_reference() -> None:
    report = told(observations(unlike=3.0), Question())
    assert report.inputs is not None
    assert [one.column for one in report.inputs.moved] == ["age"]
    assert "9,999 permutations of blocks of 1d; Holm over 4 columns" in report.inputs.method
    other = told(observations(unlike=3.0), Question(), reference=observations(seed=9))
    assert other.inputs is not None
    assert [one.column for one in other.inputs.moved] == ["age"]
    assert other.inputs.rows == (6000, 6000)
    calm = told(observations(), Question())
    assert calm.inputs is not None
    assert calm.inputs.moved == ()


def test_a_reference_without_times_is_dealt_by_rows_and_that_is_said() -> None:
    then = msgspec.structs.replace(observations(seed=9), at=np.empty(0, dtype=np.int64))
    report = told(observations(), Question(), reference=then)
    assert report.inputs is not None
    assert "rows of one day may err together" in report.inputs.method


def test_a_table_of_few_snapshots_says_that_its_rows_are_taken_as_independent() -> None:
    seen = observations()
    at = START + (seen.at - START) // (20 * DAY) * 20 * DAY  # three snapshot days
    report = told(msgspec.structs.replace(seen, at=at), Question(segments=("region",)))
    assert report.dependence.endswith("rows are taken as independent: intervals may be too narrow")
    assert report.segments[0].outcome == "worse"


def test_a_table_without_labels_is_told_by_its_inputs_alone() -> None:
    seen = msgspec.structs.replace(observations(), label=np.full(6000, np.nan))
    report = told(seen, Question(segments=("region",)))
    assert (report.labelled, report.missing, report.base) == (0, 6000, None)
    assert report.figures["log_loss"].value is None
    assert report.worst == "No segment could be tested."
    assert report.inputs is not None


def test_one_row_is_a_table() -> None:
    seen = Observations(
        at=np.array([START]),
        score=np.array([0.5]),
        label=np.array([1.0]),
        rows=pl.DataFrame({"p": [0.5], "region": ["x"]}),
    )
    report = told(seen, Question(segments=("region",)))
    assert (report.rows, report.inputs, len(report.periods)) == (1, None, 1)


def test_a_report_is_a_function_of_its_arguments() -> None:
    question = Question(segments=("region",))
    assert told(observations(), question) == told(observations(), question)
