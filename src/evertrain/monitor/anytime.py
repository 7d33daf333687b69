"""Claims about a stream that hold however often it is looked at, and whenever one stops.

*Got worse.* Under "nothing changed" the losses per row of a group's blocks of time are exchangeable, so the rank of
each new block among all so far, ties broken at random, is uniform and independent of what came before (Vovk, Gammerman
and Shafer 2005, "Algorithmic learning in a random world", theorem 8.2). A bet on high ranks is then a fair game, and
its capital ever reaches 1/alpha with chance alpha at most (Ville 1939). The bets are those of a change: for each of a
grid of blocks after which it may have come, and each of SHIFTS, the gain is the likelihood of the rank if blocks before
it are normal and those after it lie so many standard deviations higher, over that of all so far together. Such a game
knows that blocks after the change rank among their own as well, and so goes on winning where a bet on the rank alone
fades. Normality makes bets good; they are fair without it, since the gains of each add up to 1 over the ranks.

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

SHIFTS = (0.75, 1.5, 3.0)
"""Standard deviations of a block's loss by which it may have risen."""
_FIRST, _EVERY, _LONGEST = 8, 4, 200
"""Blocks before the first change that is bet on, from one to the next, and after which its bets end."""
_FADING = 1.25
"""How the stakes fall off with the number of the change, so that there is one for each of a stream without end."""
HORIZON = 50.0
"""Blocks after which the mixture is at its sharpest."""
_OF_DAYS = 0.8
"""The part of the error rate that blocks of a day have."""
_OTHER_SIZES = 5
"""Lengths of blocks below a day, single rows among them."""


def _normal(values: Floats) -> Floats:
    """The distribution function of the normal, from 0 to 1 with both ends."""
    return np.array([0.0, *(0.5 * math.erfc(-value / math.sqrt(2.0)) for value in values), 1.0])


_GRID = np.linspace(-4.0, 7.0, 45)
_BEFORE = _normal(_GRID)
_AFTER = np.stack([_normal(_GRID - shift) for shift in SHIFTS])
_GAINS, _LOSSES = np.diff(_AFTER, axis=1), np.diff(_BEFORE)
"""The chance of each cell of the grid after a change, shape (shifts, cells), and before it."""


def spent(size: Span | None, window: int) -> float:
    """By how much a p-value is raised, so that all games together keep the error rate.

    size: of the blocks, None for single rows; days have four fifths of the rate, the shorter ones share the rest.
    window: which window of a very long stream it is, from 1 on; the k-th has 6 / (pi k)^2 of that.

    >>> round(spent(DAY, 1), 2), round(spent(None, 1), 2), round(spent(DAY, 2), 2)
    (2.06, 41.12, 8.22)
    """
    share = _OF_DAYS if size == DAY else (1.0 - _OF_DAYS) / _OTHER_SIZES
    return (math.pi * window) ** 2 / 6.0 / share


def rising_p(losses: Floats, seed: int) -> float:
    """The anytime-valid p-value of "the blocks are exchangeable", by the richest that the game ever was.

    losses: the loss per row of each block, in order of time. seed: breaks ties.

    >>> calm = np.random.default_rng(1).normal(0.5, 0.05, 80)
    >>> rising_p(calm, 0) > 0.1, rising_p(calm + np.repeat([0.0, 0.1], [60, 20]), 0) < 1e-3
    (True, True)
    """
    ties = np.random.default_rng(seed).random(len(losses))
    changes = np.arange(_FIRST, len(losses), _EVERY)
    stakes = np.arange(1.0, len(changes) + 1) ** -_FADING * (_FADING - 1.0) / _FADING
    capital = np.repeat(stakes[:, None] / len(SHIFTS), len(SHIFTS), axis=1)
    kept, richest = 1.0 - capital.sum(), 1.0
    for before in range(_FIRST + 1, len(losses)):
        newest, seen = losses[before], losses[: before + 1]
        rank = (np.count_nonzero(seen < newest) + ties[before] * np.count_nonzero(seen == newest)) / (before + 1)
        played = (changes < before) & (changes >= before - _LONGEST)
        capital[played] *= _gains(rank, 1.0 - changes[played] / before)
        richest = max(richest, float(capital.sum() + kept))
    return 1.0 / richest


def _gains(rank: float, after: Floats) -> Floats:
    """What bets on a change multiply their stakes by. rank: from 0 to 1, the lowest loss first.

    after: of each change, the part of all blocks that came after it, length n. Shape (n, shifts).
    """
    part = after[:, None, None]
    pooled = (1.0 - part) * _BEFORE + part * _AFTER
    cell = np.minimum(np.count_nonzero(pooled[:, :, 1:] <= rank, axis=2), len(_LOSSES) - 1)
    gain = _GAINS[np.arange(len(SHIFTS)), cell]
    found: Floats = gain / ((1.0 - part[:, :, 0]) * _LOSSES[cell] + part[:, :, 0] * gain)
    return found


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
