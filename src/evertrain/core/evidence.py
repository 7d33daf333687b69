"""Evidence that a version on trial does harm, valid at every look.

A *bet* watches events that should fall on the canary with a known probability rho (its share of the traffic) and asks
whether they fall on it more often. Given an event in either arm, a canary that is theta times as likely to cause it
gets it with probability rho theta / (rho theta + 1 - rho). The likelihood ratio against "no harm" is multiplied up for
each theta of a fixed grid, and the mixture (the mean over the grid) is a test martingale: under "no harm" it ever
reaches 1/alpha with probability at most alpha (Ville's inequality), however often one looks and whenever one stops.

Sources: Ville 1939; Robbins 1970, "Statistical methods related to the law of the iterated logarithm" (mixtures);
Lindon and Malek 2022, "Anytime-valid inference for multinomial count data" (conditioning on an event);
Ramdas, Gruenwald, Vovk and Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference".

What it assumes: who gets a request does not depend on what the request would have caused. Cohorts by a salted hash of
the entity do that; when few entities carry the traffic, the realised share is what keeps the bet fair.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from evertrain.core.prediction import ArmName, Failed, Labelled, Predicted, Record

__all__ = ["THETAS", "Bet", "Outcome", "Tally", "outcomes"]

THETAS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""How many times as likely a harmful canary is to cause an event: the grid of the mixture."""

PRIOR_REQUESTS = 100
"""The declared share counts as much as this many requests when the realised share of a step is estimated."""

CALIBRATION = 200
"""So many first answers of the control arm fix the latency thresholds."""

QUANTILES = (0.5, 0.9, 0.99)


class Bet(msgspec.Struct, frozen=True, kw_only=True):
    """One running mixture. logs: per theta of THETAS, the log of the product of likelihood ratios so far."""

    logs: tuple[float, ...] = (0.0,) * len(THETAS)

    def after(self, rho: float, on_canary: bool) -> "Bet":
        """The bet after one event. rho: the canary's share, fixed before the event; 0 < rho < 1.

        >>> bet = Bet()
        >>> for error in range(4):
        ...     bet = bet.after(0.1, on_canary=True)
        ...     print(round(bet.value, 1))
        3.2
        14.4
        78.0
        464.1
        """
        logs = tuple(
            log + (math.log(theta) if on_canary else 0.0) - math.log1p(rho * (theta - 1.0))
            for log, theta in zip(self.logs, THETAS, strict=True)
        )
        return Bet(logs=logs)

    @property
    def log_value(self) -> float:
        top = max(self.logs)
        return top + math.log(sum(math.exp(log - top) for log in self.logs) / len(self.logs))

    @property
    def value(self) -> float:
        """The e-value: 1 at the start, at most 1/alpha with probability 1 - alpha when there is no harm."""
        return math.exp(min(self.log_value, 700.0))


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of one request. arm: whose share it fell in. latency_us: None where it does not count."""

    arm: ArmName
    ok: bool
    latency_us: int | None = None


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a step's traffic went to the canary. share: the declared one, a floor of `rho`.

    The realised share is shrunk towards the declared one and never taken lower, so that an event is never worth more
    than the declared share allows, and worth less when a heavy entity sits in the canary's cohort.
    """

    share: float
    canary: int = 0
    other: int = 0

    @property
    def rho(self) -> float:
        """The canary's share as known before the next request.

        >>> Exposure(share=0.1).rho, Exposure(share=0.1, canary=300, other=100).rho
        (0.1, 0.62)
        """
        realised = (self.canary + PRIOR_REQUESTS * self.share) / (self.canary + self.other + PRIOR_REQUESTS)
        return min(max(self.share, realised), 1.0 - 1e-9)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latency evidence: exceedances of the control arm's frozen quantiles, canary against control arm.

    first: latencies of the control arm until there are CALIBRATION of them, in microseconds. thresholds: its frozen
    QUANTILES from then on; () before. bets: one for each threshold.
    """

    first: tuple[int, ...] = ()
    thresholds: tuple[int, ...] = ()
    exposure: Exposure = Exposure(share=0.5)
    bets: tuple[Bet, ...] = (Bet(), Bet(), Bet())

    @property
    def value(self) -> float:
        """The mean of the bets' e-values, itself an e-value."""
        return sum(bet.value for bet in self.bets) / len(self.bets)

    def after(self, on_canary: bool, latency_us: int) -> "Latency":
        """The evidence after one answer of the canary or of the control arm."""
        if not self.thresholds:
            return self if on_canary else self._calibrated(latency_us)
        rho = self.exposure.rho
        bets = tuple(
            bet.after(rho, on_canary) if latency_us > threshold else bet
            for bet, threshold in zip(self.bets, self.thresholds, strict=True)
        )
        exposure = msgspec.structs.replace(
            self.exposure, canary=self.exposure.canary + on_canary, other=self.exposure.other + (not on_canary)
        )
        return msgspec.structs.replace(self, exposure=exposure, bets=bets)

    def _calibrated(self, latency_us: int) -> "Latency":
        first = (*self.first, latency_us)
        if len(first) < CALIBRATION:
            return msgspec.structs.replace(self, first=first)
        ranked = sorted(first)
        thresholds = tuple(ranked[math.ceil(quantile * len(ranked)) - 1] for quantile in QUANTILES)
        return msgspec.structs.replace(self, first=(), thresholds=thresholds)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """All evidence of one rollout, through its whole ramp; a plain value that survives a restart exactly.

    canary, rest: requests counted; the rest is the champion's and the control arm's. step: the exposure since the
    share last changed. errors: the bet on errors, canary against the rest. latency: canary against the control arm.

    >>> tally = Tally.start(0.1).fold([Outcome("champion", True), Outcome("canary", False)])
    >>> tally.rest, tally.canary, tally.canary_errors, round(tally.errors.value, 2)
    (1, 1, 1, 3.24)
    """

    step: Exposure
    canary: int = 0
    rest: int = 0
    canary_errors: int = 0
    rest_errors: int = 0
    errors: Bet = Bet()
    latency: Latency = Latency()

    @classmethod
    def start(cls, share: float) -> "Tally":
        return cls(step=Exposure(share=share))

    def stepped(self, share: float) -> "Tally":
        """The same evidence under another share: the bet goes on, the exposure begins anew.

        >>> Tally.start(0.1).stepped(0.25).step.share
        0.25
        """
        return msgspec.structs.replace(self, step=Exposure(share=share))

    def fold(self, seen: Iterable[Outcome]) -> "Tally":
        """The tally after these outcomes, in their order. Each counted request is given once, a retry not at all."""
        share, canary, other = self.step.share, self.step.canary, self.step.other
        canary_errors, rest_errors, errors, latency = 0, 0, self.errors, self.latency
        for outcome in seen:
            on_canary = outcome.arm == "canary"
            if not outcome.ok:
                errors = errors.after(Exposure(share=share, canary=canary, other=other).rho, on_canary)
                canary_errors += on_canary
                rest_errors += not on_canary
            elif outcome.arm != "champion" and outcome.latency_us is not None:
                latency = latency.after(on_canary, outcome.latency_us)
            canary += on_canary
            other += not on_canary
        return Tally(
            step=Exposure(share=share, canary=canary, other=other),
            canary=self.canary + canary - self.step.canary,
            rest=self.rest + other - self.step.other,
            canary_errors=self.canary_errors + canary_errors,
            rest_errors=self.rest_errors + rest_errors,
            errors=errors,
            latency=latency,
        )


def outcomes(records: Iterable[Record]) -> Iterator[Outcome]:
    """What log records say about the arms, one outcome a request.

    Tagged load, retries and labels are left out. A canary's failure stands in its Failed record; the champion's answer
    in its place (arm "champion", assigned "canary") is the same request and is not counted again. The rows of one
    batch count once.
    """
    for record in _once_a_batch(records):
        if record.load or record.retry:
            continue
        if isinstance(record, Failed):
            yield Outcome(record.arm, False)
        elif record.arm == record.assigned:
            yield Outcome(record.arm, True, record.latency_us)


def _once_a_batch(records: Iterable[Record]) -> Iterator[Predicted | Failed]:
    served = (record for record in records if not isinstance(record, Labelled))
    for batch, rows in groupby(served, key=lambda record: record.batch if isinstance(record, Predicted) else ""):
        if batch:
            yield next(rows)
        else:
            yield from rows
