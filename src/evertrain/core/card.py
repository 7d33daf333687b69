"""The evaluation card: everything that a verdict rests on, as one frozen value that a person can be shown.

It is kept as a JSON blob; the ledger's verdict names its digest.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.gate import Criterion
from evertrain.core.identity import CycleId, ServiceName, VersionId
from evertrain.core.model import DatasetRef, Verdict
from evertrain.core.rehearsal import Rehearsed
from evertrain.core.score import RowScore
from evertrain.core.time import Instant

__all__ = ["Bin", "Card", "Figures", "Measured", "SegmentFigures", "calibration"]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of one version on one set of rows, by name; `who` is "challenger", "champion", "anchor" or "constant"."""

    who: str
    version: VersionId | None
    rows: int
    metrics: dict[str, float]


class SegmentFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The same for the rows where a segment column has one value, or of one "class"; "" stands for a missing value."""

    column: str
    value: str
    rows: int
    figures: tuple[Figures, ...]


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """One bin of equal mass: mean score and mean label of its rows, with a 95% interval of the latter."""

    rows: int
    score: float
    label: float
    low: float
    high: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the clock and the system said in the check server. It varies from run to run.

    stall_ms: the longest for which loading, done as a worker does it, held up other threads.
    """

    p50_ms: float
    p99_ms: float
    memory_mb: float
    requests: int
    decides: bool
    stall_ms: float = 0.0


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Why a version got its verdict.

    claim: "digest" (this artifact, on rows that it never saw), "traffic" (a file from elsewhere, on logged requests;
    whether it was trained on them is not known), "table" (the same on rows of the declared table, which may refuse it
    and admit nothing) or "health only" (loaded and queried; figures, where there are any, decide nothing).
    boundary, end: the holdout's prediction times lie in (boundary, end]. null_score, unseen_score: what the first
    golden request scores with every category missing, and with every category one that training never saw. weight:
    the column that weighs each row in all figures, None when all count alike. recipe: that made it; chosen,
    rehearsals: why it was taken, and how each recipe that competed fared before, on training rows. calibration: of
    classes, whether the most probable one was right, by its probability. cautions: how the inputs of a file differ from
    the champion's, each in half a sentence. doubts: why its figures are too good to be believed. environment: digest of
    the lock that it ran with, "" in the installation's own; packages: name to version of what it needs, of a lock all
    that it brought.
    """

    service: ServiceName
    version: VersionId
    cycle: CycleId | None
    claim: str
    verdict: Verdict
    reasons: tuple[str, ...]
    champion: VersionId | None = None
    anchor: VersionId | None = None
    dataset: DatasetRef | None = None
    training_rows: int = 0
    holdout_rows: int = 0
    boundary: Instant | None = None
    end: Instant | None = None
    missing_labels: float = 0.0
    base_rate: RowScore | None = None
    weight: str | None = None
    criteria: tuple[Criterion, ...] = ()
    figures: tuple[Figures, ...] = ()
    segments: tuple[SegmentFigures, ...] = ()
    calibration: tuple[Bin, ...] = ()
    null_score: RowScore | None = None
    unseen_score: RowScore | None = None
    measured: Measured | None = None
    recipe: str = ""
    chosen: str = ""
    rehearsals: tuple[Rehearsed, ...] = ()
    cautions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    environment: str = ""
    packages: dict[str, str] = {}


def calibration(label: NDArray[np.float64], score: NDArray[np.float64], bins: int = 10) -> tuple[Bin, ...]:
    """Bins of equal mass, in order of score; the interval is Wilson's for 0/1 labels (Wilson 1927, JASA 22:209).

    >>> [(b.rows, b.label) for b in calibration(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]), bins=2)]
    [(2, 0.0), (2, 1.0)]
    """
    order = np.argsort(score, kind="stable")
    return tuple(_bin(label[part], score[part]) for part in np.array_split(order, min(bins, len(order))) if len(part))


def _bin(label: NDArray[np.float64], score: NDArray[np.float64]) -> Bin:
    rows, share, z = len(label), float(label.mean()), 1.959963984540054
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * float(np.sqrt(max(share * (1 - share), 0.0) / rows + z * z / (4 * rows * rows)))
    return Bin(
        rows=rows, score=float(score.mean()), label=share, low=max(0.0, centre - half), high=min(1.0, centre + half)
    )
