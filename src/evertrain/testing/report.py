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
import numpy as np

__all__ = ["Row", "Spread", "bootstrap", "main", "parser_of", "publish", "spread"]


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


def bootstrap(values: Sequence[float], draws: int = 2_000) -> Spread:
    """The median of values and its 95% percentile interval over resamples of them, from a fixed seed.

    >>> str(bootstrap([2.0, 2.0, 2.0]))
    '2 (2 to 2)'
    """
    sample, random = np.asarray(values), np.random.default_rng(0)
    medians = [np.median(random.choice(sample, len(sample))) for _ in range(draws)]
    low, high = np.quantile(medians, (0.025, 0.975))
    return Spread(float(np.median(sample)), float(low), float(high))


def main(benchmark: str, measure: Callable[[bool], list[Row]]) -> int:
    """Run a benchmark from the command line; the exit code says whether all targets hold."""
    given = parser_of(benchmark).parse_args()
    return publish(benchmark, measure(given.quick), given.json)


def parser_of(benchmark: str) -> argparse.ArgumentParser:
    """The options that each benchmark takes; it may add its own."""
    parser = argparse.ArgumentParser(prog=f"benchmarks/{benchmark}.py")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    return parser


def publish(benchmark: str, rows: Sequence[Row], file: Path | None) -> int:
    """Print the table and write the report; the exit code says whether all targets hold."""
    sys.stdout.write(_table(rows))
    if file is not None:
        report = {"benchmark": benchmark, "rows": rows}
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
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
