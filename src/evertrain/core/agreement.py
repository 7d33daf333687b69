"""How far two versions agree on the same requests: what can be said of a file before any label has come.

Two models of one thing rank cases alike and answer at about one level. One that ranks them the other way round, or that
answers at another level altogether, may be right all the same: no figure here says who is. It says that a person should
look before anybody relies on it.
"""

import math
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["FEWEST", "Agreement", "agreement_of"]

Floats = NDArray[np.float64]

FEWEST: Final = 50
"""On fewer requests the figures mean little, and object to nothing."""

UNRELATED: Final = 0.3
"""A rank correlation nearer to 0 says that two rankings have little to do with each other, whatever its sign."""

GROTESQUE: Final = 5.0
"""So many standard deviations of the champion's scores is another level altogether."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of n requests. correlation: of ranks (Spearman 1904), None where one of the two answers all alike.

    shift: how much higher the challenger answers on average, in standard deviations of the champion's scores; None
    where the champion answers all alike. means: of the challenger and of the champion.
    """

    rows: int
    correlation: float | None
    shift: float | None
    means: tuple[float, float]

    @property
    def words(self) -> str:
        """The figures in half a sentence."""
        ranks = "no correlation of ranks is defined" if self.correlation is None else f"{self.correlation:+.2f}"
        shift = "" if self.shift is None else f" ({self.shift:+.1f} standard deviations)"
        return (
            f"on {self.rows} logged requests, rank correlation with the champion's scores: {ranks}; "
            f"mean score {self.means[0]:.4g}, the champion's {self.means[1]:.4g}{shift}"
        )

    @property
    def objection(self) -> str:
        """Why a person should look first, "" where nothing speaks for it.

        >>> agreement_of(np.linspace(1, 0, 60), np.linspace(0, 1, 60)).objection
        'it ranks requests the other way round than the champion (rank correlation -1.00)'
        >>> Agreement(rows=60, correlation=-0.06, shift=0.0, means=(0.5, 0.5)).objection
        'it ranks requests unrelated to how the champion does (rank correlation -0.06)'
        >>> agreement_of(np.linspace(0, 1, 60), np.linspace(0, 1, 60)).objection
        ''
        """
        if self.rows < FEWEST:
            return ""
        if self.correlation is not None and self.correlation < 0:
            turned = self.correlation <= -UNRELATED
            how = "the other way round than the champion" if turned else "unrelated to how the champion does"
            return f"it ranks requests {how} (rank correlation {self.correlation:+.2f})"
        if self.shift is not None and abs(self.shift) > GROTESQUE:
            return (
                f"it answers at another level than the champion: {self.means[0]:.4g} on average, "
                f"the champion {self.means[1]:.4g}"
            )
        return ""


def agreement_of(challenger: Floats, champion: Floats) -> Agreement:
    """How far finite scores of the same requests agree, in the same order; those of classes, (n, k), class by class."""
    first, second = challenger.ravel(), champion.ravel()
    spread = float(second.std()) if len(second) and np.ptp(second) > 0 else 0.0
    means = (float(first.mean()), float(second.mean())) if len(first) else (math.nan, math.nan)
    ranks = [pl.Series(scores).rank().to_numpy() for scores in (first, second)]
    tells = len(first) > 1 and all(float(rank.std()) > 0 for rank in ranks)
    return Agreement(
        rows=len(challenger),
        correlation=float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if tells else None,
        shift=(means[0] - means[1]) / spread if spread > 0 else None,
        means=means,
    )
