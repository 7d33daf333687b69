"""An evaluation card made by hand: of version 9 of the service in `testing.overview`."""

from evertrain.core.card import Bin, Card, Figures, Measured
from evertrain.core.gate import Criterion
from evertrain.core.identity import CycleId, VersionId, digest_of
from evertrain.core.model import DatasetRef
from evertrain.core.rehearsal import Rehearsed
from evertrain.core.time import DAY, Instant
from evertrain.testing.overview import BEGAN, SERVICE

__all__ = ["card_of_nine"]


def card_of_nine() -> Card:
    """The card of version 9: it passed."""
    metrics = {"log_loss": (0.4792, 0.4823, 0.5011), "auc": (0.7611, 0.7568, 0.7301)}
    who = ("challenger", "champion", "constant")
    return Card(
        service=SERVICE,
        version=VersionId(digest_of(9)),
        cycle=CycleId(f"{SERVICE}/c11"),
        claim="digest",
        verdict="pass",
        reasons=("not worse than the champion: log loss is at most 0.0021 higher, 0.01 is allowed",),
        champion=VersionId(digest_of(8)),
        dataset=DatasetRef(digest=digest_of("rows"), tables={"source.flights": 249}, cut=_day(247), rows=250_500),
        recipe="gbm",
        chosen="gbm had the best log_loss on 50100 newer training rows: 0.4301. deep is out: It ran out of memory.",
        rehearsals=(
            Rehearsed(recipe="gbm", training_rows=200_000, validation_rows=50_100, metrics={"log_loss": 0.4301}),
            Rehearsed(recipe="deep", failed="It ran out of memory: its limit is 512 MiB."),
        ),
        training_rows=250_500,
        holdout_rows=5_918,
        boundary=_day(240),
        end=_day(247),
        missing_labels=0.004,
        base_rate=0.2231,
        criteria=(
            Criterion(name="golden requests", status="pass", words="all 64 are answered identically"),
            Criterion(
                name="not worse than the champion",
                status="pass",
                words="log loss is at most 0.0021 higher",
                figure=-0.0031,
                limit=0.01,
                interval=(-0.0083, 0.0021),
            ),
            Criterion(name="origin = LGA", status="inconclusive", words="173 labels, 200 are needed", limit=200.0),
        ),
        figures=tuple(
            Figures(who=name, version=None, rows=5_918, metrics={metric: row[place] for metric, row in metrics.items()})
            for place, name in enumerate(who)
        ),
        calibration=tuple(
            Bin(rows=592, score=0.04 * n, label=0.041 * n, low=0.039 * n, high=0.043 * n) for n in range(1, 11)
        ),
        measured=Measured(p50_ms=0.4, p99_ms=1.9, memory_mb=181.0, requests=2_000, decides=False),
    )


def _day(number: int) -> Instant:
    return Instant(BEGAN + number * DAY)
