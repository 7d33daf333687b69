"""The one form of all benchmark reports: a table for people, JSON for machines.

Each benchmark takes `--quick` and `--json FILE`. Figures of a comparison are medians of per-round ratios with an
interval; rounds are interleaved, and a placebo (the same thing twice) shows the noise.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from math import comb
from pathlib import Path

import msgspec

__all__ = ["Row", "Spread", "main", "spread"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line. rival, target: in words, "" where there is none. holds: whether the target is met."""

    measure: str
    value: float
    unit: str
    rival: str = ""
    target: str = ""
    holds: bool = True


class Spread(msgspec.Struct, frozen=True):
    """A median with an interval that holds it with at least 95% (by ranks: no distribution is assumed)."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def spread(values: Sequence[float]) -> Spread:
    """The median of values and its interval; of fewer than six it is their whole range.

    >>> str(spread([3, 1, 2, 5, 4, 6, 7, 8, 9]))
    '5 (2 to 8)'
    """
    ordered, n = sorted(values), len(values)
    rank = 0
    while 2 * sum(comb(n, below) for below in range(rank + 1)) / 2**n <= 0.05 and rank + 1 < n / 2:
        rank += 1
    rank = max(rank - 1, 0)
    return Spread(statistics.median(ordered), ordered[rank], ordered[n - 1 - rank])


def main(benchmark: str, measure: Callable[[bool], list[Row]]) -> int:
    """Run a benchmark from the command line; the exit code says whether all targets hold."""
    parser = argparse.ArgumentParser(prog=f"benchmarks/{benchmark}.py")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    given = parser.parse_args()
    rows = measure(given.quick)
    sys.stdout.write(_table(rows))
    if given.json is not None:
        report = {"benchmark": benchmark, "rows": rows}
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    return 0 if all(row.holds for row in rows) else 1


def _table(rows: Sequence[Row]) -> str:
    lines = [("measure", "value", "rival", "target", "")]
    for row in rows:
        verdict = "" if not row.target else ("holds" if row.holds else "MISSED")
        lines.append((row.measure, f"{row.value:.4g} {row.unit}", row.rival, row.target, verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
