"""Fifty swaps under a load that comes on a schedule: the benchmark's short run, of which the counts are asserted."""

import runpy
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

from evertrain.testing.arrivals import ARRIVAL, FAILED

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "swap.py"


def test_fifty_swaps_fail_no_request_mix_no_versions_and_leave_no_old_answer(tmp_path: Path) -> None:
    report = tmp_path / "swap.json"
    command = [sys.executable, str(BENCHMARK), "--swaps", "50", "--orders", "0", "--json", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert report.exists(), done.stderr
    rows = {row["measure"]: row for row in msgspec.json.decode(report.read_bytes())["rows"]}
    [made] = [row for measure, row in rows.items() if measure.startswith("swaps: ")]
    assert made["value"] == 50
    assert rows["requests meanwhile"]["value"] > 500
    for measure in ("failed requests", "responses that mix versions", "old answers after a switch was reported done"):
        assert rows[measure]["value"] == 0, rows[measure]


def test_an_old_answer_counts_where_it_was_asked_for_after_the_switch_was_reported_done() -> None:
    stale = runpy.run_path(str(BENCHMARK))["stale"]
    due = [(0, 10), (5, 25), (21, 30), (22, 31), (23, 32), (35, 60)]
    outcomes = [0, 0, 1, 0, FAILED, 2]
    told = zip(due, outcomes, strict=True)
    requests = np.array([(sent, sent, done, outcome, 1) for (sent, done), outcome in told], dtype=ARRIVAL)
    assert stale(requests, 1, done=20, end=50) == 1
