"""Whether a version is worse than another on the same labelled requests: a bet on paired differences of losses.

Both versions score every labelled request, whoever answered it at the time (*rescoring*). The difference d of their
losses, the version's less the other's, is bet on: the capital is multiplied by 1 + stake x (d - margin) for each stake
of a fixed grid, and the e-value is the mean over the grid. As long as the version is not worse by more than the margin
on average, whatever came before, the e-value ever reaches 1/alpha with probability at most alpha (Ville's inequality),
however often one looks. For right and wrong (d is -1, 0 or 1) and no margin this is a sequential McNemar test.

A bet must not cost more than everything, so a stake is a share of what a row can lose at most: the *reach*, one and a
half times the widest difference that came before the row. A difference beyond the reach counts as the reach, on
either side; what is claimed is about the mean of differences cut so. The first rows only tell how wide they are.

Sources: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting" (JRSS B); Robbins 1970
(mixtures); Choe and Ramdas 2023, "Comparing sequential forecasters" (bets on differences of scores).
"""

import math
import sys
from collections.abc import Iterable

import msgspec

from evertrain.core.policy import MetricName

__all__ = ["FIRST_ROWS", "STAKES", "LoggedLabels", "Paired", "PairedFigures", "judged_metric"]

STAKES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""The grid, as shares of the reach: small differences need small stakes, large ones are told soon by large ones."""

FIRST_ROWS = 20
"""So many rows are not bet on."""

_WIDER = 1.5
_INSTEAD: dict[MetricName, MetricName] = {"auc": "log_loss", "rmse": "mae"}
_NAMES: dict[MetricName, str] = {"log_loss": "log loss", "brier": "Brier score", "mae": "mean absolute error"}


def judged_metric(primary: MetricName) -> MetricName:
    """What rows are compared by one by one: the metric itself, where it is a mean over rows, else its like.

    >>> judged_metric("brier"), judged_metric("auc"), judged_metric("rmse")
    ('brier', 'log_loss', 'mae')
    """
    return _INSTEAD.get(primary, primary)


class LoggedLabels(msgspec.Struct, frozen=True, kw_only=True):
    """Logged requests that have a mature label: prediction ids, times and labels, each of length n, by (at, id)."""

    ids: tuple[str, ...]
    at: tuple[int, ...]
    label: tuple[float, ...]


class PairedFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What rescoring has found. loss, other: the means of both versions over `labels` rows; e_value: of harm.

    >>> print(PairedFigures(metric="log_loss", labels=1240, loss=0.41, other=0.44, e_value=0.02).words)
    paired on 1,240 labelled requests: log loss 0.41 against 0.44, e-value of harm 0.02
    """

    metric: MetricName
    labels: int
    loss: float
    other: float
    e_value: float

    @property
    def words(self) -> str:
        mean, other = (1.0 - self.loss, 1.0 - self.other) if self.metric == "accuracy" else (self.loss, self.other)
        return (
            f"paired on {self.labels:,} labelled requests: {_NAMES.get(self.metric, self.metric)} {mean:.4g} against "
            f"{other:.4g}, e-value of harm {self.e_value:.3g}"
        )


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """The running evidence. loss, other: sums over `rows`. widest: difference so far. logs: of the capital, per stake.

    >>> worse = Paired().after([(0.7, 0.5 if row % 2 else 0.8) for row in range(400)], margin=0.01)
    >>> round(worse.loss / worse.rows, 2), round(worse.other / worse.rows, 2), worse.value > 1_000
    (0.7, 0.65, True)
    >>> Paired().after([(0.5, 0.5)] * 400, margin=0.01).value < 1
    True
    """

    rows: int = 0
    loss: float = 0.0
    other: float = 0.0
    widest: float = 0.0
    logs: tuple[float, ...] = (0.0,) * len(STAKES)

    @property
    def value(self) -> float:
        """The e-value of harm: 1 at the start."""
        top = max(self.logs)
        mean = sum(math.exp(log - top) for log in self.logs) / len(self.logs)
        return math.exp(min(top + math.log(mean), 700.0))

    def after(self, pairs: Iterable[tuple[float, float]], *, margin: float) -> "Paired":
        """The evidence after these rows: the loss of the version and that of the other. margin > 0: no harm yet."""
        rows, loss, other, widest, logs = self.rows, self.loss, self.other, self.widest, list(self.logs)
        for one, against in pairs:
            difference = one - against
            if rows >= FIRST_ROWS:
                reach = min(max(_WIDER * widest, margin), sys.float_info.max)
                gain = (min(max(difference, -reach), reach) - margin) / (reach + margin)
                logs = [log + math.log1p(stake * gain) for log, stake in zip(logs, STAKES, strict=True)]
            rows, loss, other, widest = rows + 1, loss + one, other + against, max(widest, abs(difference))
        return Paired(rows=rows, loss=loss, other=other, widest=widest, logs=tuple(logs))

    def figures(self, metric: MetricName) -> PairedFigures:
        """What there is to say. metric: of the losses."""
        count, most = max(self.rows, 1), sys.float_info.max  # a sum of huge losses may be no number any more
        return PairedFigures(
            metric=metric,
            labels=self.rows,
            loss=min(self.loss / count, most),
            other=min(self.other / count, most),
            e_value=self.value,
        )
