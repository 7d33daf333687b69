"""A gate for a table: a holdout that leaves enough to learn from, cut into enough stretches of time to compare on."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.comparison import MIN_BLOCKS
from evertrain.core.policy import GateSpec
from evertrain.core.time import DAY, HOUR, MINUTE, Span, say_span

__all__ = ["Proposal", "propose_gate"]

Ints = NDArray[np.int64]

_SHARES: Final = (0.25, 0.33, 0.4, 0.5)
_BLOCKS: Final = 24
_AUC_MARGIN: Final = 0.02
_VALUE_MARGIN: Final = 0.02


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A gate, and what should be known about it; "" when nothing."""

    gate: GateSpec
    words: str = ""


def propose_gate(
    at: Ints, horizon: int, default: GateSpec, *, spread: float | None = None, classes: bool = False
) -> Proposal:
    """A gate for rows that are asked about at these instants (microseconds, labelled rows only).

    spread: the standard deviation of a label that is a value; None for a label of 0 and 1. classes: the label is one of
    several classes, of which there is no AUC.

    >>> days = np.arange(365, dtype=np.int64) * DAY
    >>> default = GateSpec(holdout=28 * DAY, block=DAY)
    >>> propose_gate(days, 30 * DAY, default).gate == default
    True
    >>> propose_gate(days[::30], 30 * DAY, default).gate.primary
    'auc'
    """
    base = default if spread is None else _of_value(default, spread)
    usable = (int(at.max() - at.min()) if len(at) else 0) - horizon
    if usable <= 0:
        words = f"the labels span less than the horizon of {say_span(horizon)}: the first training waits for more"
        return Proposal(gate=base, words=words)
    spans: list[tuple[int, int]] = [(base.holdout, base.block)] if base.holdout <= _SHARES[2] * usable else []
    lengths = [_rounded(share * usable) for share in _SHARES]
    spans += [(one, _rounded(one // _BLOCKS)) for one in lengths]
    for holdout, block in spans:
        if block > 0 and _stretches(at, holdout, block) >= MIN_BLOCKS:
            return Proposal(gate=msgspec.structs.replace(base, holdout=holdout, block=block))
    times = len(np.unique(at))
    few = f"the labels stand at {times} times only, too few to compare stretches of time"
    if spread is None and not classes:
        gate = msgspec.structs.replace(base, primary="auc", margin=_AUC_MARGIN, anchor_margin=2 * _AUC_MARGIN)
        words = f"{few}: the AUC is compared row by row instead"
        return Proposal(gate=msgspec.structs.replace(gate, holdout=lengths[1]), words=words)
    gate = msgspec.structs.replace(base, holdout=max(lengths[1], MIN_BLOCKS * base.block))
    return Proposal(gate=gate, words=f"{few}: a second version stays undecided until there are {MIN_BLOCKS}")


def _of_value(default: GateSpec, spread: float) -> GateSpec:
    margin = float(f"{_VALUE_MARGIN * spread:.2g}") or 1e-6
    return msgspec.structs.replace(default, primary="mae", margin=margin, anchor_margin=float(f"{2 * margin:.2g}"))


def _rounded(span: float) -> Span:
    """Whole days, hours or minutes, whichever still says it well."""
    unit = next((unit for unit in (DAY, HOUR, MINUTE) if span >= 2 * unit), MINUTE)
    return Span(int(span // unit) * unit)


def _stretches(at: Ints, holdout: int, block: int) -> int:
    """Blocks of the newest holdout that hold rows."""
    inside = at[at > at.max() - holdout]
    return len(np.unique((inside - inside.min()) // block))
