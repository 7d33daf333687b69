"""Whether a canary answers later than the control arm: slow answers counted in blocks of both arms.

*Slow* is above a threshold: the median, the 90th and the 99th percentile of the control arm, and twice its slowest
answer. The last one tells most of what is rare and grotesque: two canary requests in a hundred that take 100 ms more
stand out of all that the control arm ever did, while they hide in the one in a hundred above its 99th percentile.
Thresholds are set by the control arm's first answers, finer as there are more of them, and frozen then. Each is fixed
before the block that it judges.

Not every answer counts: one pause of a process makes all slow that it had to answer, which is one event and not many.
Those that count are so far apart that it cannot have hit two of them (`core.spacing`).
"""

import math
from collections.abc import Sequence

import msgspec

from evertrain.core.bet import BLOCK, Bet
from evertrain.core.spacing import Spacing, Timed

__all__ = ["CALIBRATIONS", "Latency"]

CALIBRATIONS = (20, 60, 200)
"""After so many answers of the control arm the thresholds are set; by the last of them for good."""

_QUANTILES = (0.5, 0.9, 0.99)
_BEYOND = 2
"""So many times the slowest answer is beyond everything seen."""

_WEIGHTS = (0.35, 0.2, 0.1, 0.35)
"""Parts of the whole: of the median, the two quantiles, and what is beyond."""

_PRIORS = (
    (0.35, 0.25, 0.2, 0.1, 0.1, 0.0, 0.0),
    (0.25, 0.2, 0.2, 0.15, 0.1, 0.05, 0.05),
    (0.15, 0.15, 0.14, 0.14, 0.14, 0.14, 0.14),
    (0.0, 0.0, 0.05, 0.1, 0.2, 0.3, 0.35),
)
"""What odds of ODDS are expected: half of all answers are above the median, so a slower version has few times as many
there; beyond all that was seen the control arm has hardly any."""

_PLENTY = 3 * BLOCK
"""Answers of each arm that would have told what is grossly slow, had they not come all at once."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latency evidence, canary against control arm.

    first: latencies of the control arm until the thresholds are frozen, in microseconds; () from then on.
    thresholds: those of _QUANTILES and the one beyond, () before there are any. bets: one for each threshold.
    spacing: which answers count. block: those since the last whole block. judged: blocks that were bet on.
    """

    first: tuple[int, ...] = ()
    thresholds: tuple[int, ...] = ()
    bets: tuple[Bet, ...] = (Bet(),) * (len(_QUANTILES) + 1)
    spacing: Spacing = Spacing()
    block: tuple[Timed, ...] = ()
    judged: int = 0

    @property
    def value(self) -> float:
        """The weighted mean of e-values, itself an e-value."""
        return sum(weight * bet.mixed(prior) for weight, prior, bet in zip(_WEIGHTS, _PRIORS, self.bets, strict=True))

    @property
    def frozen(self) -> bool:
        """Whether the thresholds stay as they are."""
        return bool(self.thresholds) and not self.first

    @property
    def outrun(self) -> bool:
        """Whether more answers came than could be compared in that time: what is grossly slow would not be known yet.

        Where there are few, each of them counts, and nothing is gained by waiting.
        """
        return self.judged == 0 and min(self.spacing.canary.seen, self.spacing.control.seen) >= _PLENTY

    def fold(self, answers: Sequence[Timed], *, slower_by: int = 0) -> "Latency":
        """The evidence after these answers, in the order in which they were received.

        slower_by: so many microseconds of a canary's latency are not held against it.
        """
        counted, spacing = self.spacing.apart(answers)
        waiting = [*self.block, *counted]
        whole = len(waiting) - len(waiting) % BLOCK
        latency = msgspec.structs.replace(self, spacing=spacing, block=tuple(waiting[whole:]))
        for start in range(0, whole, BLOCK):
            latency = latency.after(waiting[start : start + BLOCK], slower_by=slower_by)
        return latency

    def stepped(self) -> "Latency":
        """The same evidence under other shares: answers of two shares make no block."""
        return msgspec.structs.replace(self, block=(), spacing=self.spacing.even())

    def after(self, block: Sequence[Timed], *, slower_by: int = 0) -> "Latency":
        """The evidence after one block of answers that count, in their order."""
        latency = self
        if self.thresholds:
            bets = self._judged([(one.on_canary, one.latency_us - slower_by * one.on_canary) for one in block])
            latency = msgspec.structs.replace(self, bets=bets, judged=self.judged + 1)
        return latency if latency.frozen else latency.calibrated(block)

    def _judged(self, block: Sequence[tuple[bool, int]]) -> tuple[Bet, ...]:
        canary = sum(on_canary for on_canary, _ in block)
        return tuple(
            bet.after_block(
                canary=canary,
                other=len(block) - canary,
                hits=sum(on_canary for on_canary, late in block if late > threshold),
                events=sum(late > threshold for _, late in block),
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
