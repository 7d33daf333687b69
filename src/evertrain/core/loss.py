"""Whether a canary's answers turn out worse once their labels come, as far as its own traffic tells.

A label says how far off an answer was. *Bad* answers are those further off than the median, the third quartile and the
90th percentile of the rest's first labelled answers; in blocks of labelled answers they are bet on like slow ones. It
needs about a thousand labels of the canary's to show five points of accuracy at a share of 10%: the comparison of two
versions on the same rows, which the gate and the review of a file make, needs a fraction of that. This is the guard
that is there without it.

Each example counts once, so that an entity that asks often, and is easy or hard, tells no more than another.
"""

import math

import msgspec

from evertrain.core.bet import BLOCK, Bet, mean_value
from evertrain.core.score import RowScore

__all__ = ["CALIBRATION", "Graded", "Losses", "loss_of"]

CALIBRATION = 100
"""So many labelled answers of the rest fix what is bad."""

_QUANTILES = (0.5, 0.75, 0.9)


class Graded(msgspec.Struct, frozen=True, array_like=True):
    """A labelled answer. loss: how far off it was."""

    on_canary: bool
    loss: float


def loss_of(score: RowScore, label: float) -> float:
    """How far off an answer was: the distance to the label, or what was left for all other classes.

    >>> loss_of(0.25, 1.0), loss_of((0.25, 0.5, 0.25), 1.0)
    (0.75, 0.5)
    """
    if isinstance(score, tuple):
        return 1.0 - score[int(label)] if 0 <= label < len(score) else 1.0
    return abs(label - score)


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of labels, canary against all other answers.

    first: losses of the rest until there are CALIBRATION of them. thresholds: those of _QUANTILES from then on.
    block: labelled answers since the last whole block. canary, rest: how many were bet on.
    """

    first: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    block: tuple[Graded, ...] = ()
    canary: int = 0
    rest: int = 0
    bets: tuple[Bet, ...] = (Bet(),) * len(_QUANTILES)

    @property
    def value(self) -> float:
        return mean_value(self.bets)

    def after(self, graded: Graded) -> "Losses":
        """The evidence after one label."""
        if not self.thresholds:
            return self if graded.on_canary else self._calibrated(graded.loss)
        block = (*self.block, graded)
        if len(block) < BLOCK:
            return msgspec.structs.replace(self, block=block)
        canary = sum(one.on_canary for one in block)
        bets = tuple(
            bet.after_block(
                canary=canary,
                other=len(block) - canary,
                hits=sum(one.on_canary for one in block if one.loss > threshold),
                events=sum(one.loss > threshold for one in block),
            )
            for bet, threshold in zip(self.bets, self.thresholds, strict=True)
        )
        return msgspec.structs.replace(
            self, block=(), bets=bets, canary=self.canary + canary, rest=self.rest + len(block) - canary
        )

    def _calibrated(self, loss: float) -> "Losses":
        first = (*self.first, loss)
        if len(first) < CALIBRATION:
            return msgspec.structs.replace(self, first=first)
        ranked = sorted(first)
        thresholds = tuple(ranked[math.ceil(quantile * len(ranked)) - 1] for quantile in _QUANTILES)
        return msgspec.structs.replace(self, first=(), thresholds=thresholds)
