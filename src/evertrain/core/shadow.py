"""The shadow: a version on trial that sees live requests and answers nobody; what it shows before any label has come.

Its errors count like a canary's, against all other traffic, by the same bet and the same bound (`core.canary`). How far
its scores agree with those that users got to the same requests is told and decides nothing: a better model disagrees.
"""

import math
from collections.abc import Iterable

import msgspec

from evertrain.core.model import OutputKind
from evertrain.core.score import RowScore, best

__all__ = ["Alike", "differs", "exposure"]

_HALF = 0.5


class Alike(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of a shadow beside those that were answered, as sums over `rows`; scores of classes by the likeliest one.

    far: of absolute differences. differing: rows on which the two decide otherwise.

    >>> alike = Alike().after([(0.1, 0.2, False), (0.5, 0.4, True), (0.9, 0.8, False), (0.3, 0.4, False)])
    >>> round(alike.correlation, 3), round(alike.apart, 3), alike.share_differing
    (0.969, 0.1, 0.25)
    """

    rows: int = 0
    means: tuple[float, float] = (0.0, 0.0)
    squares: tuple[float, float] = (0.0, 0.0)
    product: float = 0.0
    far: float = 0.0
    differing: int = 0

    def after(self, seen: Iterable[tuple[RowScore, RowScore, bool]]) -> "Alike":
        """The sums after these rows: the shadow's score, the answer, whether they decide otherwise (Welford 1962)."""
        rows, differing, far, product = self.rows, self.differing, self.far, self.product
        (own_mean, other_mean), (own_square, other_square) = self.means, self.squares
        for one, another, otherwise in seen:
            own, other = best(one), best(another)
            rows += 1
            own_off, other_off = own - own_mean, other - other_mean
            own_mean, other_mean = own_mean + own_off / rows, other_mean + other_off / rows
            product += own_off * (other - other_mean)
            own_square += own_off * (own - own_mean)
            other_square += other_off * (other - other_mean)
            far, differing = far + abs(own - other), differing + otherwise
        return Alike(
            rows=rows,
            means=(own_mean, other_mean),
            squares=(own_square, other_square),
            product=product,
            far=far,
            differing=differing,
        )

    @property
    def correlation(self) -> float | None:
        """Pearson's; None where one of the two answers all alike, or beyond what can be squared."""
        scale = math.sqrt(self.squares[0]) * math.sqrt(self.squares[1])
        return self.product / scale if 0 < scale < math.inf and math.isfinite(self.product) else None

    @property
    def apart(self) -> float:
        """The mean absolute difference."""
        return self.far / max(self.rows, 1)

    @property
    def share_differing(self) -> float:
        return self.differing / max(self.rows, 1)

    @property
    def words(self) -> str:
        """The figures in half a sentence."""
        correlation = (
            "no correlation is defined" if self.correlation is None else f"correlation {self.correlation:+.2f}"
        )
        return (
            f"beside the answers to the same {self.rows:,} rows: {correlation}, on average {self.apart:.3g} apart, "
            f"{self.share_differing:.1%} decided otherwise"
        )


def differs(own: RowScore, other: RowScore, kind: OutputKind, threshold: float | None) -> bool:
    """Whether two scores of one row decide otherwise: another class, or another side of the threshold, by default 0.5.

    >>> differs(0.4, 0.6, "probability", None), differs(0.4, 0.6, "value", None)
    (True, False)
    >>> differs((0.6, 0.3, 0.1), (0.5, 0.4, 0.1), "classes", None)
    False
    """
    if isinstance(own, tuple) and isinstance(other, tuple):
        return own.index(max(own)) != other.index(max(other))
    if kind == "value" and threshold is None:
        return False
    line = _HALF if threshold is None else threshold
    return (best(own) >= line) != (best(other) >= line)


def exposure(share: float) -> float:
    """What part of all answers to count a shadow gives that sees this share of the requests: never quite a round share.

    Shares tell the steps of a ramp apart, and this is none of them.

    >>> round(exposure(1.0), 6)
    0.5
    """
    return share / (1.0 + share) * (1.0 - 1e-9)
