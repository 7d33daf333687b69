"""What is told of a watched table: whole mature cohorts, segments with their multiplicity, periods, inputs."""

import re

import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.core.metric import metric
from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, Instant, Span
from evertrain.errors import UserError
from evertrain.monitor.observed import look
from evertrain.monitor.report import Kind, Observations, Question, Report, Segment, to_json

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
    first = report.segments[0]
    assert (first.column, first.value, first.outcome) == ("region", "west", "worse")
    assert first.worse is not None
    assert first.at_least is not None
    assert 0.0 < first.at_least < first.worse
    assert report.tested == 18
    worst = "Over the whole time region = west is shown to be worse than all other rows: calibration would take 0.2"
    assert report.worst.startswith(worst)
    assert "whichever segment is picked (18 segments tested, Holm p < 0.001)" in report.worst
    assert [one.outcome for one in report.segments if one.column == "shop"] == ["open"] * 15


def test_where_nothing_is_worse_nothing_is_called_so() -> None:
    """24 segments that mean nothing, in 40 tables: any at all is called worse in at most 5 % of them."""
    question = Question(segments=("region", "shop"))
    called = [told(observations(seed, 30, 60, bad=""), question).segments[0].outcome for seed in range(40)]
    assert called.count("worse") <= 5  # more has a chance below 2 %
    report = told(observations(bad=""), question)
    nothing = "Over the whole time no segment is shown to be worse than the rest (18 segments tested, Holm at 5%)."
    assert report.worst == nothing
    assert report.headline == "Nothing is shown to be worse: not of late, and no segment over the whole time."


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
    assert "of the labels that have come the share of positives is" in naive.warnings[0]
    assert naive.warnings[0].endswith("by these rows it is --horizon 10d, in which 100% of the labels have come.")
    assert [one.words for one in naive.periods if one.words] == ["labels in part"] * 2
    assert [one.outcome for one in naive.changes] == ["open"]  # what came early does not count as getting worse
    assert patient.warnings == ()
    assert (patient.missing, naive.missing > 400) == (0, True)
    assert (naive.periods[-1].base, patient.periods[-1].base) == (1.0, None)
    for report in (naive, patient):
        assert report.bias.low is not None
        assert report.bias.high is not None
        assert report.bias.low < 0.0 < report.bias.high
    assert naive.labelled > naive.bias.labels == patient.bias.labels


def test_segments_are_not_worse_because_their_outcome_is_nearer_to_even() -> None:
    """One model, right everywhere; the outcome is rare in one region and common in another."""
    source = np.random.default_rng(4)
    rows = 20_000
    region = source.choice(["rare", "common", "even"], rows)
    offset = np.select([region == "rare", region == "common"], [-3.0, 1.5], 0.0)
    chance = 1.0 / (1.0 + np.exp(-(offset + source.normal(0, 1, rows))))
    seen = Observations(
        at=START + np.sort(source.integers(0, 60 * DAY, rows)),
        score=chance,
        label=(source.random(rows) < chance).astype(np.float64),
        rows=pl.DataFrame({"region": region}),
    )
    names: tuple[MetricName, ...] = ("log_loss", "brier")
    for name in names:
        report = told(seen, Question(segments=("region",), metric=name))
        assert [one.outcome for one in report.segments] == ["open"] * 3
        figures = {one.value: one for one in report.segments}
        assert (figures["even"].figure.value or 0.0) > 2 * (figures["rare"].figure.value or 1.0)
        assert all(one.avoidable is not None and one.avoidable < 0.002 for one in report.segments)
        assert all(one.skill is not None and one.skill > 0.05 for one in report.segments)


def worsening(seed: int = 1, *, days: int = 80, since: int = 50, a_day: int = 100, bad: str = "west") -> Observations:
    """A model that is right, until from one day on it knows nothing of one region any more."""
    source = np.random.default_rng(seed)
    rows = days * a_day
    at = START + np.sort(source.integers(0, days * DAY, rows))
    region = source.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2])
    chance = source.beta(1, 2, rows)
    blind = (region == bad) & (at >= START + since * DAY)
    score = np.where(blind, source.beta(1, 2, rows), chance)
    label = (source.random(rows) < chance).astype(np.float64)
    return Observations(at=at, score=score, label=label, rows=pl.DataFrame({"region": region}))


def test_where_it_got_worse_and_since_when() -> None:
    report = told(worsening(), Question(segments=("region",)))
    worst = report.changes[0] if report.changes[0].column else report.changes[1]
    assert (worst.name, worst.outcome) == ("region = west", "worse")
    assert worst.since is not None
    assert abs(worst.since - (START + 50 * DAY)) <= 3 * DAY
    assert worst.figure[0] is not None
    assert worst.figure[1] is not None
    assert worst.figure[1] > worst.figure[0] + 0.15
    assert report.since == START + 60 * DAY
    assert report.changed.startswith("region = west got worse since about ")
    assert "Holm p" in report.changed
    calm = [one.outcome for one in report.changes if one.value in ("north", "south")]
    assert calm == ["open", "open"]


def test_a_segment_that_contains_the_bad_one_is_not_named_beside_it() -> None:
    """Half of the west is on android, and nobody else but a few: without the west android is as good as ever."""
    seen = worsening(days=80, a_day=200)
    source = np.random.default_rng(3)
    west = (seen.rows["region"] == "west").to_numpy()
    android = source.random(len(west)) < np.where(west, 0.9, 0.2)
    rows = seen.rows.with_columns(device=pl.Series(np.where(android, "android", "ios")))
    report = told(msgspec.structs.replace(seen, rows=rows), Question(segments=("device", "region")))
    assert report.headline.startswith("Got worse: region = west since about ")
    assert "android" not in report.headline
    assert report.headline.endswith("Worse than the rest over the whole time: region = west.")
    for found in (report.changes, report.segments):
        (one,) = (one for one in found if one.value == "android")
        assert (one.outcome, one.words) == ("open", "not without region = west")
    both = np.where(west | (source.random(len(west)) < 0.3), "pro", "basic")
    blind = (both == "pro") & (seen.at >= START + 50 * DAY)
    rows = seen.rows.with_columns(plan=pl.Series(both))
    seen = msgspec.structs.replace(seen, rows=rows, score=np.where(blind, source.beta(1, 2, len(west)), seen.score))
    headline = told(seen, Question(segments=("plan", "region"))).headline
    assert "plan = pro since about" in headline  # it is bad without the west as well


def test_outcomes_that_are_missing_and_written_as_no_are_told() -> None:
    seen = observations(bad="")
    late = seen.at >= START + 50 * DAY
    filled = msgspec.structs.replace(seen, label=np.where(late, 0.0, seen.label))
    first = told(filled, Question()).warnings[0]
    assert re.fullmatch(
        r"No positive since 2[67] Jan 2024 among 1,0\d\d labels, while (49|50|51)% were before: are missing outcomes "
        r"written as 0\? Leave them empty, or give --horizon\.",
        first,
    )
    assert "give a longer --horizon" in told(filled, Question(horizon=Span(2 * DAY))).warnings[0]
    patient = told(filled, Question(horizon=Span(10 * DAY), now=Instant(START + 60 * DAY)))
    assert patient.warnings == told(seen, Question()).warnings == ()
    bursts = np.where((seen.at - START) // (10 * DAY) % 2 == 0, seen.label, 0.0)
    assert "No positive" not in "".join(told(msgspec.structs.replace(seen, label=bursts), Question()).warnings)


def test_a_look_of_the_past_says_that_labels_are_those_of_today() -> None:
    now = Instant(START + 50 * DAY)
    (said,) = told(observations(), Question(now=now)).warnings
    assert said.startswith("--now leaves out later rows, not labels that came later: ")
    assert told(observations(), Question(now=now, horizon=Span(DAY))).warnings == ()
    assert told(observations(), Question(now=now, continual=True)).warnings == ()


def test_stray_rows_in_the_newest_stretch_have_not_moved() -> None:
    seen = observations(unlike=30.0, days=40)
    at = seen.at.copy()
    at[-2:] += 200 * DAY
    report = told(msgspec.structs.replace(seen, at=at), Question(recent=Span(30 * DAY)))
    assert report.inputs is not None
    assert {one.outcome for one in report.inputs.columns} == {"insufficient"}
    assert report.inputs.columns[0].words == "3,998 and 2 rows, 50 are needed"


def test_the_headline_tells_of_late_and_the_whole_time_apart() -> None:
    """One that got worse a short while ago may not be worse than the rest over the whole time: both are said."""
    report = told(worsening(since=72, bad="south", a_day=300), Question(segments=("region",), recent=Span(8 * DAY)))
    assert [one.name for one in report.changes if one.outcome == "worse" and one.column] == ["region = south"]
    assert all(one.outcome == "open" for one in report.segments)
    assert report.headline.startswith("Got worse: ")
    assert "region = south since about " in report.headline
    assert report.headline.endswith(" No segment is shown to be worse than the rest over the whole time.")
    both = told(observations(), Question(segments=("region",))).headline
    assert both == (
        "Worse than the rest over the whole time: region = west. Nothing is shown to have got worse of late."
    )


def test_an_option_that_leaves_nothing_to_claim_is_told_with_its_remedy() -> None:
    seen = observations(days=60)
    recent = told(seen, Question(segments=("region",), recent=Span(100 * DAY)))
    (said,) = recent.warnings
    assert said == (
        "Nothing is said of what got worse and what moved: the newest stretch of 100d leaves no time before it in the "
        "60d of rows whose label counts. Name a shorter one, such as --recent 15d, or leave it out for a "
        "quarter of the time."
    )
    assert recent.headline.endswith("What got worse cannot be told.")
    horizon = told(seen, Question(segments=("region",), horizon=Span(100 * DAY)))
    (said,) = horizon.warnings
    assert said == (
        "No label is due yet, so nothing is said of quality: the horizon of 100d is longer than the 60d from the first "
        "row to the look. Name a shorter --horizon if labels are due sooner; else look again from 18 Mar 2024 on."
    )
    assert horizon.headline == "Whether anything is worse cannot be told, which is no pass."


def test_the_worst_segments_have_a_course_of_their_own() -> None:
    report = told(worsening(), Question(segments=("region",)))
    course = next(one for one in report.courses if one.value == "west")
    assert course.since == next(one.since for one in report.changes if one.value == "west")
    assert [point.start for point in course.points] == [one.start for one in report.periods]
    assert sum(point.labels for point in course.points) == segment(report, "region", "west").figure.labels
    above = [(point.figure or 0.0) > (point.rest or 0.0) + 0.1 for point in course.points]
    assert above[-3:] == [True] * 3
    assert above[:4] == [False] * 4
    calm = told(worsening(bad=""), Question(segments=("region",))).courses
    assert [(one.column, one.since) for one in calm] == [("region", None)]  # the worst that was tested
    assert told(worsening(), Question()).courses == ()


def test_what_did_not_get_worse_is_called_so_as_rarely_as_it_says() -> None:
    called = 0
    for seed in range(40):
        report = told(worsening(seed, days=40, bad=""), Question(segments=("region",)))
        called += any(one.outcome == "worse" for one in report.changes)
    assert called <= 5  # 5 % of 40 is 2; more than 5 has a chance below 2 %


def test_an_outcome_that_becomes_common_is_no_fault_of_the_model() -> None:
    source = np.random.default_rng(11)
    rows = 8000
    at = START + np.sort(source.integers(0, 80 * DAY, rows))
    offset = np.where(at >= START + 60 * DAY, 0.0, -2.5)
    chance = 1.0 / (1.0 + np.exp(-(offset + source.normal(0, 1, rows))))
    label = (source.random(rows) < chance).astype(np.float64)
    (change,) = told(
        Observations(at=at, score=chance, label=label, rows=pl.DataFrame({"p": chance})), Question()
    ).changes
    assert change.worse is not None
    assert change.worse > 0.1
    assert (change.outcome, change.p_value) == ("open", 0.0001)
    assert "the skill did not fall" in change.words


def test_years_of_days_are_looked_at() -> None:
    """There are more ways to deal 1,100 days than a float can hold."""
    report = told(worsening(days=1100, since=800, a_day=4), Question(segments=("region",)))
    assert report.changes[0].p_value is not None
    assert report.inputs is not None
    assert "blocks of 1d" in report.inputs.method


def test_two_rows_tell_nothing_of_inputs() -> None:
    seen = observations()
    few = Observations(at=seen.at[:2], score=seen.score[:2], label=seen.label[:2], rows=seen.rows.head(2))
    report = told(few, Question())
    assert report.inputs is not None
    assert {one.outcome for one in report.inputs.columns} == {"insufficient"}


def test_the_newest_stretch_can_be_named() -> None:
    report = told(worsening(), Question(segments=("region",), recent=Span(7 * DAY)))
    assert report.since == START + 73 * DAY


def test_a_few_old_rows_do_not_make_one_period_of_the_rest() -> None:
    seen = observations(days=25)
    at = seen.at.copy()
    at[:40] = START - np.arange(40)[::-1] * 45 * DAY
    report = told(msgspec.structs.replace(seen, at=at), Question())
    assert 25 < len(report.periods) < 32
    assert report.periods[-1].width == DAY
    assert min(one.rows for one in report.periods[:-1]) >= 12
    assert sum(one.rows for one in report.periods) == 2500


def test_rows_after_the_look_are_not_looked_at() -> None:
    """Nor are they by the comparison of inputs: what moved later has not moved yet."""
    seen, now = observations(unlike=30.0), Instant(START + 29 * DAY)
    report = told(seen, Question(now=now))
    assert report.rows == int((seen.at <= now).sum())
    assert report.last <= now
    assert report.inputs is not None
    assert report.inputs.moved == ()
    assert "rows of a later time than the look: left out." in report.notices[0]
    with pytest.raises(UserError, match="All rows are of a later time"):
        told(seen, Question(now=Instant(0)))


def test_scores_that_are_the_wrong_way_round_are_told() -> None:
    seen = observations(bad="")
    report = told(msgspec.structs.replace(seen, score=1.0 - seen.score), Question())
    assert report.warnings[0].startswith("The scores order the labels the wrong way round: the AUC is 0.2")
    assert report.warnings[0].endswith("or of a table name it with --positive.")
    assert report.warnings[1].startswith("The scores are worse than none: their log loss is ")


def test_without_a_label_scores_and_inputs_are_told() -> None:
    seen = msgspec.structs.replace(observations(), label=np.full(6000, np.nan))
    report = told(seen, Question(segments=("region",), labelled=False))
    assert (report.missing, report.waiting, report.segments, report.changes) == (0, 0, (), ())
    assert report.inputs is not None


def test_machines_read_times_as_times() -> None:
    found = msgspec.json.decode(to_json(told(worsening(), Question(segments=("region",), horizon=Span(DAY)))))
    assert found["first"].startswith("2023-12-09T")
    assert found["horizon"] == "1d"
    assert found["periods"][0]["width"] == "7d"
    assert found["inputs"]["start"].endswith("T00:00:00Z")
    assert isinstance(found["rows"], int)


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


def test_inputs_are_held_against_the_time_before_or_a_reference() -> None:
    report = told(observations(unlike=3.0), Question())
    assert report.inputs is not None
    assert [one.column for one in report.inputs.moved] == ["age"]
    assert report.inputs.start == START + 45 * DAY
    age = report.inputs.columns[0]
    assert age.since is not None
    assert abs(age.since - (START + 30 * DAY)) <= 2 * DAY
    assert len(age.over_time) == len(report.periods)
    assert None not in age.over_time
    assert "9,999 permutations of blocks of 1d; Holm over 4 columns" in report.inputs.method
    other = told(observations(unlike=3.0), Question(), reference=observations(seed=9))
    assert other.inputs is not None
    assert [one.column for one in other.inputs.moved] == ["age"]
    assert other.inputs.rows[0] == 6000
    assert 1300 < other.inputs.rows[1] < 1700  # the newest quarter
    calm = told(observations(), Question())
    assert calm.inputs is not None
    assert calm.inputs.moved == ()


def test_what_moved_before_all_rows_were_seen_moved_from_the_start() -> None:
    seen, then = observations(), observations(seed=9)
    then = msgspec.structs.replace(then, rows=then.rows.with_columns(pl.col("age") - 5))
    report = told(seen, Question(), reference=then)
    assert report.inputs is not None
    assert (report.inputs.columns[0].column, report.inputs.columns[0].since) == ("age", START)


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


def test_a_model_that_got_worse_everywhere_is_not_headlined_as_one_of_its_regions() -> None:
    seen = observations(bad="", days=80, a_day=200)
    source = np.random.default_rng(9)
    blind = seen.at >= START + 62 * DAY
    seen = msgspec.structs.replace(seen, score=np.where(blind, source.uniform(0.05, 0.95, len(blind)), seen.score))
    report = told(seen, Question(segments=("region",)))
    assert report.headline.startswith("Got worse: all rows since about ")
    assert report.changed.startswith("all rows got worse since about ")
    assert "and the others got worse without it too." in report.changed
    assert "its scores say next to nothing of late, skill 0." in report.changed


def test_scores_that_came_to_say_nothing_are_told_where_nothing_is_shown() -> None:
    seen = worsening(since=60, days=80, a_day=60)
    few = msgspec.structs.replace(Question(segments=("region",)), alpha=1e-6)
    headline = told(seen, few).headline
    assert headline.startswith("In the newest stretch scores say next to nothing of region = west (skill -0.")
    assert "Nothing is shown" not in headline


def test_a_change_that_began_before_the_newest_stretch_is_told_first() -> None:
    """Three weeks of it, and the newest week is held against a time that holds two of them."""
    seen = worsening(since=59, days=80, a_day=100)
    report = told(seen, Question(segments=("region",), recent=Span(7 * DAY)))
    (said,) = report.warnings
    assert re.match(r"region = west got worse since about \d+ Feb 2024, which is before the newest 7d: ", said)
    advised = re.search(r"Compare with --recent (\d+)d\.$", said)
    assert advised is not None
    assert abs(int(advised[1]) - 21) <= 3
    again = told(seen, Question(segments=("region",), recent=Span(int(advised[1]) * DAY)))
    assert again.headline.startswith("Got worse: region = west since about ")
    assert again.warnings == ()
    fresh = told(worsening(since=73, days=80, a_day=300), Question(segments=("region",), recent=Span(7 * DAY)))
    assert fresh.headline.startswith("Got worse: region = west since about ")
    assert "edge" not in fresh.headline
    assert fresh.warnings == ()
