"""Fifty swaps under a load that comes on a schedule: the benchmark's short run, of which the counts are asserted."""

import subprocess
import sys
from pathlib import Path

import msgspec

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
