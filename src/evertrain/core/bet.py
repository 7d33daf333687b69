"""Bets that a version on trial does harm, fair as long as it does none.

A *bet* watches events and asks whether they fall on the canary more often than they should. It multiplies up the
likelihood ratio against "no harm" for each theta of a fixed grid (how many times as likely the canary is to cause an
event), and its value is the mean over the grid: a test martingale. Under "no harm" it ever reaches 1/alpha with
probability at most alpha (Ville's inequality), however often one looks and whenever one stops.

Two ways to know what "should" is:

- *by share*: an event falls on the canary with probability rho, its share of the traffic. Good for rare events that
  must tell at once.
- *by block*: of so many answers in a row so many are the canary's, and so many of all are events; which are which is
  the draw of an urn (Fisher 1935, the exact test; with odds theta the non-central hypergeometric distribution). Needs
  no share and holds whatever the rate does from block to block, so it wastes nothing where events are frequent.

Sources: Ville 1939; Robbins 1970, "Statistical methods related to the law of the iterated logarithm" (mixtures);
Lindon and Malek 2022, "Anytime-valid inference for multinomial count data" (conditioning on an event); Turner, Ly and
Gruenwald 2024, "Generic e-variables for exact sequential k-sample tests" (blocks of two samples); Ramdas, Gruenwald,
Vovk and Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference".
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec

__all__ = ["BLOCK", "ODDS", "THETAS", "Bet", "Exposure", "in_blocks", "mean_value"]

THETAS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""How many times as likely a harmful canary is to cause an event: the grid of the mixture."""

BLOCK = 20
"""Answers of both arms that make a block: the first look at a canary that is slow throughout, twice that."""

PRIOR_REQUESTS = 100
"""The declared share counts as much as this many requests when the realised share of a step is estimated."""

ODDS = (1.25, 1.5, 2.0, 3.0, 6.0, 20.0, 100.0)
"""The grid of a block: as many as THETAS, and wider, because what the other arm never does has any odds."""

_Answer = TypeVar("_Answer")
_LOG_ODDS = tuple(math.log(odds) for odds in ODDS)


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


class Bet(msgspec.Struct, frozen=True, kw_only=True):
    """One running mixture. logs: of the product of likelihood ratios so far, per theta of THETAS, or of ODDS."""

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

    def after_block(self, *, canary: int, other: int, hits: int, events: int) -> "Bet":
        """The bet after a block of answers. hits: how many of the `events` were the canary's.

        >>> [round(Bet().after_block(canary=10, other=10, hits=hits, events=3).value, 2) for hits in range(4)]
        [0.24, 0.4, 0.86, 4.52]
        """
        fair = _urn(canary, other, events)
        logs = tuple(log + hits * one - norm for log, one, norm in zip(self.logs, _LOG_ODDS, fair, strict=True))
        return Bet(logs=logs)

    @property
    def value(self) -> float:
        """The e-value: 1 at the start, at most 1/alpha with probability 1 - alpha when there is no harm."""
        return self.mixed((1.0,) * len(self.logs)) / len(self.logs)

    def mixed(self, prior: Sequence[float]) -> float:
        """The e-value of another mixture. prior: the weight of each theta; their sum is 1.

        >>> bet = Bet().after_block(canary=10, other=10, hits=3, events=3)
        >>> round(bet.mixed((1, 0, 0, 0, 0, 0, 0)), 2), round(bet.mixed((0, 0, 0, 0, 0, 0, 1)), 2)
        (1.37, 9.15)
        """
        top = max(self.logs)
        whole = sum(weight * math.exp(log - top) for weight, log in zip(prior, self.logs, strict=True))
        return whole * math.exp(min(top, 700.0))


def in_blocks(held: Sequence[_Answer], new: Sequence[_Answer]) -> tuple[list[list[_Answer]], tuple[_Answer, ...]]:
    """Whole blocks of the answers that were held back and of new ones, in their order, and what is held back then.

    >>> [[len(block) for block in blocks] + [held] for blocks, held in (in_blocks([7], [8]), in_blocks([7], [8] * 40))]
    [[(7, 8)], [20, 20, (8,)]]
    """
    answers = [*held, *new]
    whole = len(answers) - len(answers) % BLOCK
    return [answers[start : start + BLOCK] for start in range(0, whole, BLOCK)], tuple(answers[whole:])


def mean_value(bets: tuple[Bet, ...]) -> float:
    """The mean of e-values, itself an e-value.

    >>> mean_value((Bet(), Bet()))
    1.0
    """
    return sum(bet.value for bet in bets) / len(bets)


@lru_cache(maxsize=4096)
def _urn(canary: int, other: int, events: int) -> tuple[float, ...]:
    """Per odds of ODDS, the log of the mean return when `events` answers are drawn blindly: what makes the bet fair."""
    least, most = max(0, events - other), min(canary, events)
    ways = [math.comb(canary, hits) * math.comb(other, events - hits) for hits in range(least, most + 1)]
    total = math.comb(canary + other, events)
    return tuple(math.log(sum(way * odds**hits for hits, way in enumerate(ways, start=least)) / total) for odds in ODDS)
