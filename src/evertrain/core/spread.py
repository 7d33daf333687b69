"""Whether a canary's scores lie where nobody expects them: far above or below the control arm's.

Another model answers otherwise, or nobody would have trained it; so "the same distribution" is no hypothesis to hold
against it. What is tested is much weaker: that the two lie within a *slack* of each other, one and a half of the larger
standard deviation, or a tenth of what is usual where nothing scatters. (Two distributions lie within a slack when cases
could be paired so that no pair is further apart.) Then the canary cannot score above a quantile plus slack more often
than the control arm scores above the quantile, nor below it. A version that answers in other units, with a feature that
is always missing, or upside down where one answer is rare, breaks that within some dozens of requests. Whether it
answers better or worse, only labels say.
"""

import math
import statistics
from collections.abc import Sequence

import msgspec

from evertrain.core.bet import Bet, in_blocks, mean_value
from evertrain.core.spacing import Timed

__all__ = ["CALIBRATION", "Spread"]

CALIBRATION = 30
"""After so many scores of each arm the thresholds are fixed."""

SLACK = 1.5
"""Standard deviations of the arm that scatters more. Below this, two bells of one centre and any two widths pass."""

_USUAL = 0.1
"""Part of the control arm's median that is no difference at all."""

_LOW, _MIDDLE, _HIGH = 0.1, 0.5, 0.9


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Score evidence, canary against control arm.

    first: scores of (canary, control arm) until there are CALIBRATION of each; then the limits stand.
    below, above: scores of the control arm; the canary's count beyond them by `slack`. block: answers since the last
    whole block.
    """

    first: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    below: tuple[float, ...] = ()
    above: tuple[float, ...] = ()
    slack: float = 0.0
    bets: tuple[Bet, ...] = (Bet(),) * 4
    block: tuple[Timed, ...] = ()

    @property
    def value(self) -> float:
        return mean_value(self.bets)

    def fold(self, answers: Sequence[Timed]) -> "Spread":
        """The evidence after these answers, in their order."""
        blocks, held = in_blocks(self.block, answers)
        spread = self
        for block in blocks:
            spread = spread.after(block)
        return msgspec.structs.replace(spread, block=held)

    def stepped(self) -> "Spread":
        """The same evidence under other shares: answers of two shares make no block."""
        return msgspec.structs.replace(self, block=())

    def after(self, block: Sequence[Timed]) -> "Spread":
        """The evidence after one block of answers in their order; those without a score are left out."""
        canary = [answer.score for answer in block if answer.score is not None and answer.on_canary]
        control = [answer.score for answer in block if answer.score is not None and not answer.on_canary]
        if not self.below:
            return self._calibrated(canary, control)
        low = [(sum(one < at - self.slack for one in canary), sum(one < at for one in control)) for at in self.below]
        high = [(sum(one > at + self.slack for one in canary), sum(one > at for one in control)) for at in self.above]
        bets = tuple(
            bet.after_block(canary=len(canary), other=len(control), hits=hits, events=hits + others)
            for bet, (hits, others) in zip(self.bets, (*low, *high), strict=True)
        )
        return msgspec.structs.replace(self, bets=bets)

    def _calibrated(self, canary: Sequence[float], control: Sequence[float]) -> "Spread":
        both = (*self.first[0], *canary), (*self.first[1], *control)
        if min(map(len, both)) < CALIBRATION:
            return msgspec.structs.replace(self, first=both)
        ranked = sorted(both[1])
        low, middle, high = (ranked[math.ceil(one * len(ranked)) - 1] for one in (_LOW, _MIDDLE, _HIGH))
        slack = max(SLACK * max(statistics.pstdev(arm) for arm in both), _USUAL * abs(middle))
        return Spread(below=(low, middle), above=(middle, high), slack=slack)
