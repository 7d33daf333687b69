"""What counters in real files say, as figures and as text."""

from pathlib import Path

import pytest

from evertrain.core.identity import ServiceName
from evertrain.monitor.health import expose, latencies, quantile_ms, totals
from evertrain.store.statistics import OFF, Label, Statistics, read_statistics

SHOP = ServiceName("shop")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two workers: version aa answered 100 requests, its canary bb 10 and failed once; another service 1."""
    for worker in ("w0", "w1"):
        counted = Statistics(tmp_path, worker)
        for latency in range(50):
            counted.answered(Label("shop", "aa"), 2, 100 * (latency + 1))
            counted.responded("shop", 200)
        for _ in range(5):
            counted.answered(Label("shop", "bb", "canary"), 1, 900)
            counted.responded("shop", 200)
        counted.answered(Label("other", "cc"), 1, 100)
    counted.failed(Label("shop", "bb", "canary"), "deadline")
    for status in (422, 404, 503, OFF, OFF, OFF):
        counted.responded("shop", status)
    return tmp_path


def test_failures_are_ours_and_invalid_requests_are_the_callers(folder: Path) -> None:
    found = totals(read_statistics(folder), SHOP)
    assert (found.answered, found.failed, found.invalid) == (110, 1, 2)


def test_what_is_refused_by_order_is_no_failure(folder: Path) -> None:
    series = read_statistics(folder)
    assert totals(series, SHOP).refused == 3
    lines = expose(series).splitlines()
    assert 'evertrain_responses_total{service="shop",status="503"} 1' in lines
    assert 'evertrain_responses_total{service="shop",status="503",why="off"} 3' in lines


def test_each_version_and_arm_has_its_latency(folder: Path) -> None:
    champion, canary = latencies(read_statistics(folder), SHOP)
    assert (champion.version, champion.arm, champion.requests) == ("aa", "champion", 100)
    assert 2.0 < champion.p50_ms < 3.2
    assert champion.p50_ms < champion.p95_ms <= champion.p99_ms <= 6.5
    assert (canary.version, canary.arm, canary.requests) == ("bb", "canary", 10)


def test_a_quantile_beyond_the_last_bound_is_the_last_bound() -> None:
    assert quantile_ms([0] * 30 + [5], 0.5) == quantile_ms([0] * 29 + [1, 0], 1.0)


def test_prometheus_gets_cumulative_buckets_and_escaped_labels(folder: Path) -> None:
    lines = expose(read_statistics(folder)).splitlines()
    assert 'evertrain_responses_total{service="shop",status="200"} 110' in lines
    assert 'evertrain_failures_total{service="shop",version="bb",arm="canary",cause="deadline"} 1' in lines
    assert 'evertrain_predictions_total{service="shop",version="aa",arm="champion"} 200' in lines
    buckets = [line for line in lines if "bucket" in line and 'version="aa"' in line]
    counts = [int(line.rpartition(" ")[2]) for line in buckets]
    assert counts == sorted(counts)
    assert buckets[-1] == 'evertrain_latency_seconds_bucket{service="shop",version="aa",arm="champion",le="+Inf"} 100'
    Statistics(folder, "w0").responded('a"b\n', 200)
    assert 'evertrain_responses_total{service="a\\"b\\n",status="200"} 1' in expose(read_statistics(folder))
