"""Claims about a stream that hold however often it is looked at, and whenever one stops.

*Got worse.* Under "nothing changed" the losses per row of a group's blocks of time are exchangeable, so the rank of
each new block among all so far, ties broken at random, is uniform and independent of what came before (Vovk, Gammerman
and Shafer 2005, "Algorithmic learning in a random world", theorem 8.2). A bet on high ranks is then a fair game, and
its capital ever reaches 1/alpha with chance alpha at most (Ville 1939). The bets: k p^(k - 1) for k of EXPONENTS, where
k = 1 stakes nothing; a part of the capital moves between them at each block, so that a game that was idle for long is
still rich when things change (the jumper of Vovk 2021, "Testing randomness online", Statistical Science 36:595).

*Worse than the rest.* The gap of two means after n blocks, in standard errors, against the normal mixture of Robbins
1970, Ann. Math. Stat. 41:1397: its capital is exp(z^2 r / (2 (1 + r))) / sqrt(1 + r) with r = n / HORIZON. It is valid
as the number of blocks grows, as the t test is (Waudby-Smith et al. 2024, Ann. Statist. 52:2613).

The longest block of time of which there are enough changes as a stream grows, and very long streams are looked at by
their newest rows; each such change begins a game anew, and `spent` shares the error rate out among all of them.
Capital turns into a p-value as 1 / capital. A look at the same data is the same game: it costs nothing.
"""

import math

import numpy as np
from numpy.typing import NDArray

from evertrain.core.time import DAY, Span

__all__ = ["mixture_bound", "mixture_p", "rising_p", "spent"]

Floats = NDArray[np.float64]

EXPONENTS = (1.0, 0.5, 0.25)
JUMP = 0.02
"""The part of the capital that is shared out anew before each block."""
HORIZON = 50.0
"""Blocks after which the mixture is at its sharpest."""
_OTHER_SIZES = 5
"""Lengths of blocks below a day, single rows among them."""


def spent(size: Span | None, window: int) -> float:
    """By how much a p-value is raised, so that all games together keep the error rate.

    size: of the blocks, None for single rows; days have half of the rate, the shorter ones share the other half.
    window: which window of a very long stream it is, from 1 on; the k-th has 6 / (pi k)^2 of that.

    >>> round(spent(DAY, 1), 2), round(spent(None, 1), 2), round(spent(DAY, 2), 2)
    (3.29, 16.45, 13.16)
    """
    share = 0.5 if size == DAY else 0.5 / _OTHER_SIZES
    return (math.pi * window) ** 2 / 6.0 / share


def rising_p(losses: Floats, seed: int) -> float:
    """The anytime-valid p-value of "the blocks are exchangeable", by the richest that the game ever was.

    losses: the loss per row of each block, in order of time. seed: breaks ties.

    >>> calm = np.random.default_rng(1).normal(0.5, 0.05, 80)
    >>> rising_p(calm, 0) > 0.1, rising_p(calm + np.repeat([0.0, 0.1], [60, 20]), 0) < 1e-3
    (True, True)
    """
    exponents, source = np.array(EXPONENTS), np.random.default_rng(seed)
    capital, richest = np.full(len(exponents), 1.0 / len(exponents)), 1.0
    for count in range(1, len(losses) + 1):
        newest, ties = losses[count - 1], source.random()
        seen = losses[:count]
        rank = (np.count_nonzero(seen > newest) + ties * np.count_nonzero(seen == newest)) / count
        capital = (1.0 - JUMP) * capital + JUMP * capital.sum() / len(exponents)
        capital = capital * exponents * max(rank, 1e-12) ** (exponents - 1.0)
        richest = max(richest, float(capital.sum()))
    return 1.0 / richest


def mixture_p(standard_errors: float, blocks: int) -> float:
    """The anytime-valid one-sided p-value of a mean that lies so many standard errors above 0.

    >>> round(mixture_p(2.0, 50), 3), mixture_p(5.0, 50) < 0.01, mixture_p(-3.0, 50)
    (0.52, True, 1.0)
    """
    if standard_errors <= 0.0:
        return 1.0
    ratio = blocks / HORIZON
    log_capital = standard_errors**2 * ratio / (2.0 * (1.0 + ratio)) - math.log1p(ratio) / 2.0
    return min(1.0, math.exp(-log_capital))


def mixture_bound(p_value: float, blocks: int) -> float:
    """The standard errors at which `mixture_p` is so small: those of a bound that holds at every look.

    >>> round(mixture_p(mixture_bound(0.01, 80), 80), 6)
    0.01
    """
    ratio = blocks / HORIZON
    return math.sqrt((math.log1p(ratio) - 2.0 * math.log(p_value)) * (1.0 + ratio) / ratio)
