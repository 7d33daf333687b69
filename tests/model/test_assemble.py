"""The split is out of time, whole by cohort, and does not depend on the order of arrival."""

from collections.abc import Sequence

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.time import DAY, HOUR, Instant, Span
from evertrain.model.assemble import parquet, read_parquet, split


def examples(rows: Sequence[tuple[str, int, int, float | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        rows,
        schema={"key": pl.String, "at": pl.Int64, "mature_at": pl.Int64, "label": pl.Float64},
        orient="row",
    )


def hourly(hours: int) -> pl.DataFrame:
    return examples([(f"k{h:04d}", h * HOUR, (h + 5) * HOUR, float(h % 2)) for h in range(hours)])


def test_training_labels_were_all_known_before_the_first_holdout_request() -> None:
    parts = split(hourly(24 * 20), cut=Instant(20 * DAY), holdout=Span(7 * DAY))
    newest_label = parts.training["mature_at"].max()
    first_request = parts.holdout["at"].min()
    assert isinstance(newest_label, int)
    assert isinstance(first_request, int)
    assert newest_label <= parts.boundary < first_request


def test_the_holdout_ends_with_the_last_whole_cohort() -> None:
    fast = [(f"f{h:04d}", h * HOUR, (h + 1) * HOUR, 0.0) for h in range(240)]
    slow = [(f"s{h:04d}", h * HOUR, (h + 12) * HOUR, 1.0) for h in range(240)]
    parts = split(examples(fast + slow), cut=Instant(230 * HOUR), holdout=Span(2 * DAY))
    assert parts.end == 218 * HOUR
    assert parts.holdout["label"].mean() == 0.5  # nobody is missing because it takes long


def test_nothing_immature_is_counted_as_negative() -> None:
    parts = split(hourly(24 * 20), cut=Instant(10 * DAY), holdout=Span(3 * DAY))
    both = pl.concat([parts.training, parts.holdout])
    assert both["mature_at"].max() <= 10 * DAY  # type: ignore[operator]


def test_mature_rows_without_a_label_are_left_out_and_their_share_is_said() -> None:
    frame = hourly(24 * 10).with_columns(
        label=pl.when(pl.col("at") % (4 * HOUR) == 0).then(None).otherwise(pl.col("label"))
    )
    parts = split(frame, cut=Instant(11 * DAY), holdout=Span(2 * DAY))
    assert parts.missing == 0.25
    assert parts.training["label"].null_count() == parts.holdout["label"].null_count() == 0


def test_short_history_gives_empty_sides_and_no_error() -> None:
    parts = split(hourly(24), cut=Instant(2 * DAY), holdout=Span(7 * DAY))
    assert (parts.training.height, parts.holdout.height) == (0, 24)
    parts = split(hourly(24), cut=Instant(HOUR), holdout=Span(DAY))
    assert (parts.training.height, parts.holdout.height, parts.missing) == (0, 0, 0.0)


def test_a_history_that_ended_long_ago_has_a_holdout() -> None:
    history = hourly(24 * 20)
    parts = split(history, cut=Instant(400 * DAY), holdout=Span(4 * DAY))
    assert parts.holdout["at"].max() == history["at"].max()
    assert parts.holdout.height == 24 * 7 // 2
    assert parts.training.height > 24 * 15


@given(st.lists(st.integers(0, 60), min_size=2, max_size=2, unique=True), st.integers(1, 30))
def test_a_later_split_judges_on_nothing_that_an_earlier_one_trained_on(days: list[int], ended: int) -> None:
    earlier, later = (split(hourly(24 * ended), cut=Instant(day * DAY), holdout=Span(7 * DAY)) for day in sorted(days))
    assert later.boundary >= earlier.boundary or not earlier.training.height
    assert not {*earlier.training["key"]} & {*later.holdout["key"]}


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_arrival_changes_no_byte(seed: int) -> None:
    frame = hourly(24 * 12)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed)
    parts = [split(one, cut=Instant(12 * DAY), holdout=Span(2 * DAY)) for one in (frame, shuffled)]
    assert parquet(parts[0].training) == parquet(parts[1].training)
    assert parquet(parts[0].holdout) == parquet(parts[1].holdout)


def test_parquet_gives_back_the_frame() -> None:
    frame = hourly(10).with_columns(pl.lit(None).cast(pl.String).alias("feature.shop"))
    assert read_parquet(parquet(frame)).equals(frame)
