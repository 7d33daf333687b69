"""What is said of a stream holds at all looks together: simulated, with a look after each block of time."""

import msgspec
import numpy as np
import polars as pl

from evertrain.core.identity import ServiceName
from evertrain.core.time import DAY, Instant, Span
from evertrain.monitor.anytime import mixture_p, rising_p
from evertrain.monitor.estimate import t_tail
from evertrain.monitor.gist import expose_gists, gist_of
from evertrain.monitor.observed import look
from evertrain.monitor.report import Observations, Question, Report

START = 19_700 * DAY
STREAMS = 400


def test_got_worse_is_ever_said_of_a_calm_stream_as_rarely_as_is_stated() -> None:
    """The richest that a game ever was is what a look after each of 70 blocks would have seen."""
    source = np.random.default_rng(5)
    ever = np.array([rising_p(source.gamma(2.0, 0.3, 70), seed) for seed in range(STREAMS // 2)])
    assert np.mean(ever <= 0.05) <= 0.05  # of 1,000 such streams it was 1.2 %
    assert np.mean(ever <= 0.2) <= 0.2
    assert np.mean(ever < 1.0) > 0.3  # it plays


def test_worse_than_the_rest_is_ever_said_as_rarely_too_and_a_test_for_one_look_is_not() -> None:
    looks = np.arange(20, 200)
    sums = np.random.default_rng(6).normal(0.0, 1.0, (STREAMS, 199)).cumsum(axis=1)[:, looks - 1]
    ever = {"anytime": 0, "one look": 0}
    for stream in sums / np.sqrt(looks):
        ever["anytime"] += min(mixture_p(float(z), int(n)) for z, n in zip(stream, looks, strict=True)) <= 0.05
        ever["one look"] += t_tail(float(stream.max()), 10_000) <= 0.05
    assert ever["anytime"] <= 0.05 * STREAMS
    assert ever["one look"] > 0.2 * STREAMS


def test_looks_at_blocks_that_were_there_cost_nothing() -> None:
    losses = np.random.default_rng(7).normal(0.0, 1.0, 60)
    looks = [rising_p(losses[:count], 0) for count in range(1, 61)]
    assert looks == sorted(looks, reverse=True)  # what was won stays won, and is not played for again
    assert rising_p(losses, 0) == looks[-1]


def stream(seed: int, days: int, *, worse_from: int | None) -> Observations:
    source = np.random.default_rng(seed)
    rows = days * 60
    at = START + np.sort(source.integers(0, days * DAY, rows))
    chance = source.beta(1, 2, rows)
    region = source.choice(["north", "west"], rows)
    blind = np.zeros(rows, dtype=bool) if worse_from is None else (region == "west") & (at >= START + worse_from * DAY)
    return Observations(
        at=at,
        score=np.where(blind, source.beta(1, 2, rows), chance),
        label=(source.random(rows) < chance).astype(np.float64),
        rows=pl.DataFrame({"region": region}),
    )


def looked(seen: Observations, day: int) -> Report:
    question = Question(segments=("region",), continual=True, now=Instant(START + day * DAY))
    return look("churn", seen, question, kind="probability")


def test_a_stream_that_got_worse_is_told_within_weeks_and_not_before() -> None:
    seen = stream(1, 90, worse_from=60)
    told = {day: [one.name for one in looked(seen, day).changes if one.outcome == "worse"] for day in range(40, 90, 4)}
    assert all(names == [] for day, names in told.items() if day <= 60)
    assert "region = west" in told[76]
    assert "however often the page is loaded" in looked(seen, 80).guarantee


def test_a_change_is_told_by_its_ranks_soon() -> None:
    """Two standard deviations of a block, after eight weeks: a bet on single ranks took 18 days, and this one 12."""
    losses = np.random.default_rng(11).normal(0.0, 1.0, (9, 70))
    losses[:, 56:] += 2.0
    assert np.median([rising_p(one, 0) for one in losses]) < 0.05 / 20


def test_calm_streams_are_left_alone_at_all_looks() -> None:
    """A p-value at the end is the smallest of all looks. Of 200 such streams one in fifty was called worse."""
    called = 0
    for seed in range(20):
        report = looked(stream(seed, 90, worse_from=None), 90)
        p_values = [one.p_value for one in report.changes] + [one.p_value for one in report.segments]
        called += any(one is not None and one <= 0.05 for one in p_values)
    assert called <= 2


def test_what_one_look_would_call_worse_is_suspicious_and_nothing_calm_is_said_above_it() -> None:
    """Five days after the change a table of the same rows says it; over all looks it takes longer."""
    seen = stream(2, 90, worse_from=60)
    question = Question(segments=("region",), now=Instant(START + 65 * DAY), recent=Span(5 * DAY))
    once = look("churn", seen, question, kind="probability")
    assert [one.name for one in once.changes if one.outcome == "worse" and one.column] == ["region = west"]
    report = look("churn", seen, msgspec.structs.replace(question, continual=True), kind="probability")
    told = next(one for one in report.changes if one.name == "region = west")
    assert (told.outcome, told.words) == ("suspicious", "not shown over all looks")
    assert told.look_p is not None
    assert told.p_value is not None
    assert told.look_p <= 0.05 < told.p_value
    assert report.headline.startswith("Suspicious: ")
    assert "Nothing" not in report.headline
    assert (
        "A single look at a table would call this worse (5% for one look); over all looks it is not" in report.headline
    )
    gist = gist_of(ServiceName("churn"), report)
    assert "region = west" in gist.suspicious
    assert f'claim="suspicious"}} {len(gist.suspicious)}\n' in expose_gists([gist])
    assert 'claim="worse_now"} 0\n' in expose_gists([gist])
