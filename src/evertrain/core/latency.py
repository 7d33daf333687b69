"""Whether a canary answers later than the control arm: slow answers counted in blocks of both arms.

*Slow* is above a threshold: the median, the 90th and the 99th percentile of the control arm, and twice its slowest
answer. The last one tells most of what is rare and grotesque: two canary requests in a hundred that take 100 ms more
stand out of all that the control arm ever did, while they hide in the one in a hundred above its 99th percentile.
Thresholds are set by the control arm's first answers, finer as there are more of them, and frozen then. Each is fixed
before the block that it judges, which is all that the bets ask.
"""

import math
from collections.abc import Sequence

import msgspec

from evertrain.core.bet import Bet, mean_value

__all__ = ["CALIBRATIONS", "Latency", "Timed"]

CALIBRATIONS = (20, 60, 200)
"""After so many answers of the control arm the thresholds are set; by the last of them for good."""

_QUANTILES = (0.5, 0.9, 0.99)
_BEYOND = 2
"""So many times the slowest answer is beyond everything seen."""


class Timed(msgspec.Struct, frozen=True, array_like=True):
    """One answer of the canary or of the control arm. score: None where it is not looked at."""

    on_canary: bool
    latency_us: int
    score: float | None = None


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latency evidence, canary against control arm.

    first: latencies of the control arm until the thresholds are frozen, in microseconds; () from then on.
    thresholds: those of _QUANTILES and the one beyond, () before there are any. bets: one for each threshold.
    """

    first: tuple[int, ...] = ()
    thresholds: tuple[int, ...] = ()
    bets: tuple[Bet, ...] = (Bet(),) * (len(_QUANTILES) + 1)

    @property
    def value(self) -> float:
        return mean_value(self.bets)

    @property
    def frozen(self) -> bool:
        """Whether the thresholds stay as they are."""
        return bool(self.thresholds) and not self.first

    def after(self, block: Sequence[Timed]) -> "Latency":
        """The evidence after one block of answers in their order."""
        judged = msgspec.structs.replace(self, bets=self._judged(block)) if self.thresholds else self
        return judged if self.frozen else judged.calibrated(block)

    def _judged(self, block: Sequence[Timed]) -> tuple[Bet, ...]:
        canary = sum(answer.on_canary for answer in block)
        return tuple(
            bet.after_block(
                canary=canary,
                other=len(block) - canary,
                hits=sum(answer.on_canary for answer in block if answer.latency_us > threshold),
                events=sum(answer.latency_us > threshold for answer in block),
            )
            for bet, threshold in zip(self.bets, self.thresholds, strict=True)
        )

    def calibrated(self, block: Sequence[Timed]) -> "Latency":
        """The same bets, with the control arm's latencies of a block among the first."""
        first = (*self.first, *(answer.latency_us for answer in block if not answer.on_canary))
        # A stage that this block passed; the thresholds of an earlier one stand until the next is reached.
        reached = [stage for stage in CALIBRATIONS if len(self.first) < stage <= len(first)]
        if not reached:
            return msgspec.structs.replace(self, first=first)
        ranked = sorted(first)
        at = (ranked[math.ceil(quantile * len(ranked)) - 1] for quantile in _QUANTILES)
        kept = () if reached[-1] == CALIBRATIONS[-1] else first
        return msgspec.structs.replace(self, first=kept, thresholds=(*at, _BEYOND * ranked[-1]))
