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

from evertrain.core.bet import BLOCK, Bet, in_blocks
from evertrain.core.spacing import Spacing, Timed

__all__ = ["CALIBRATIONS", "Compared", "Latency"]

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


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted by the thresholds that stood last. canary, control: answers. late: how many of them were later
    than each threshold. slower_by: microseconds that were granted the canary.
    """

    thresholds: tuple[int, ...] = ()
    slower_by: int = 0
    canary: int = 0
    control: int = 0
    late: tuple[tuple[int, int], ...] = ()

    def after(self, block: "Compared") -> "Compared":
        """With another block, or that alone where it was compared by others."""
        if (self.thresholds, self.slower_by) != (block.thresholds, block.slower_by):
            return block
        late = (
            (mine + more, theirs + others) for (mine, theirs), (more, others) in zip(self.late, block.late, strict=True)
        )
        canary, control = self.canary + block.canary, self.control + block.control
        return msgspec.structs.replace(self, canary=canary, control=control, late=tuple(late))

    def says(self, bet: int) -> str:
        """By which threshold `bet` is, in words.

        >>> Compared(thresholds=(1_000,), slower_by=1_000, canary=20, control=21, late=((19, 2),)).says(0)
        "19 of 20 canary answers took longer than 2 ms, and 2 of 21 of the control arm's longer than 1 ms"
        """
        at, (mine, theirs) = self.thresholds[bet], self.late[bet]
        longer = f" longer than {_ms(at)}" if self.slower_by else ""
        its = f"{mine} of {self.canary} canary answers took longer than {_ms(at + self.slower_by)}"
        return f"{its}, and {theirs} of {self.control} of the control arm's{longer}"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latency evidence, canary against control arm.

    first: latencies of the control arm until the thresholds are frozen, in microseconds; () from then on.
    thresholds: those of _QUANTILES and the one beyond, () before there are any. bets: one for each threshold.
    spacing: which answers count. block: those since the last whole block. judged: blocks that were bet on.
    compared: what they showed.
    """

    first: tuple[int, ...] = ()
    thresholds: tuple[int, ...] = ()
    bets: tuple[Bet, ...] = (Bet(),) * (len(_QUANTILES) + 1)
    spacing: Spacing = Spacing()
    block: tuple[Timed, ...] = ()
    judged: int = 0
    compared: Compared = Compared()

    @property
    def value(self) -> float:
        """The weighted mean of e-values, itself an e-value."""
        return sum(self._parts())

    @property
    def frozen(self) -> bool:
        """Whether the thresholds stay as they are."""
        return bool(self.thresholds) and not self.first

    @property
    def says(self) -> str:
        """What tells most of all that was compared, in words; "" before anything was."""
        if not self.compared.thresholds:
            return ""
        parts = self._parts()
        return self.compared.says(parts.index(max(parts)))

    def _parts(self) -> list[float]:
        return [weight * bet.mixed(prior) for weight, prior, bet in zip(_WEIGHTS, _PRIORS, self.bets, strict=True)]

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
        blocks, held = in_blocks(self.block, counted)
        latency = msgspec.structs.replace(self, spacing=spacing, block=held)
        for block in blocks:
            latency = latency.after(block, slower_by=slower_by)
        return latency

    def stepped(self) -> "Latency":
        """The same evidence under other shares: answers of two shares make no block."""
        return msgspec.structs.replace(self, block=(), spacing=self.spacing.even())

    def after(self, block: Sequence[Timed], *, slower_by: int = 0) -> "Latency":
        """The evidence after one block of answers that count, in their order."""
        latency = self
        if self.thresholds:
            seen = _compare(block, self.thresholds, slower_by)
            bets = tuple(
                bet.after_block(canary=seen.canary, other=seen.control, hits=mine, events=mine + theirs)
                for bet, (mine, theirs) in zip(self.bets, seen.late, strict=True)
            )
            compared = self.compared.after(seen)
            latency = msgspec.structs.replace(self, bets=bets, judged=self.judged + 1, compared=compared)
        return latency if latency.frozen else latency.calibrated(block)

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


def _compare(block: Sequence[Timed], thresholds: tuple[int, ...], slower_by: int) -> Compared:
    mine = [answer.latency_us - slower_by for answer in block if answer.on_canary]
    theirs = [answer.latency_us for answer in block if not answer.on_canary]
    late = tuple((sum(one > at for one in mine), sum(one > at for one in theirs)) for at in thresholds)
    return Compared(thresholds=thresholds, slower_by=slower_by, canary=len(mine), control=len(theirs), late=late)


def _ms(latency_us: int) -> str:
    return f"{latency_us / 1000:.3g} ms"
