"""What a margin costs: how many labels and days a verdict needs, and margins that nothing could pass.

A challenger that is exactly as good as the champion passes "not worse" when its estimate falls below
margin - z(1 - alpha) x standard error. The standard error falls with the square root of the number of blocks.
"""

import math

import msgspec

from evertrain.core.comparison import MIN_BLOCKS, normal_quantile
from evertrain.core.policy import GateSpec
from evertrain.core.time import Span, say_span

__all__ = ["Plan", "chance_to_pass", "plan_labels", "unpassable"]

POWER = 0.8
"""The chance to pass that a plan gives to a challenger that is as good as the champion."""

HOPELESS = 2.0
"""As the margin goes to 0 an equal challenger passes with chance alpha, by luck. A margin with which it passes less
often than this many times alpha is refused."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict needs. blocks, labels, span: so that an equal challenger passes with chance POWER.

    chance: with the holdout as it is declared.
    """

    blocks: int
    labels: int
    span: Span
    chance: float


def chance_to_pass(spec: GateSpec, error: float) -> float:
    """The chance that an equal challenger passes "not worse"; error: standard error of the difference.

    >>> round(chance_to_pass(GateSpec(margin=0.01), 0.004), 2), chance_to_pass(GateSpec(), 0.0)
    (0.8, 1.0)
    """
    if error <= 0:
        return 1.0
    pivot = spec.margin / error - normal_quantile(1.0 - spec.alpha)
    return 0.5 * math.erfc(-pivot / math.sqrt(2.0))


def plan_labels(spec: GateSpec, *, error: float, blocks: int, labels: int) -> Plan:
    """Scale measured noise to the margin. error: standard error over `blocks` blocks that hold `labels` labels.

    >>> plan = plan_labels(GateSpec(margin=0.01, block=6 * 3600 * 1_000_000), error=0.008, blocks=28, labels=6000)
    >>> plan.blocks, plan.labels, say_span(plan.span), round(plan.chance, 2)
    (111, 23786, '27d 18h', 0.35)
    """
    reach = normal_quantile(1.0 - spec.alpha) + normal_quantile(POWER)
    needed = max(MIN_BLOCKS, math.ceil(blocks * (reach * error / spec.margin) ** 2))
    return Plan(
        blocks=needed,
        labels=math.ceil(labels * needed / blocks),
        span=Span(needed * spec.block),
        chance=chance_to_pass(spec, error),
    )


def unpassable(spec: GateSpec, error: float | None = None) -> str | None:
    """Why nothing could pass this gate, with the remedy; None when something could.

    error: measured standard error of the difference of two equal models over the holdout, where it is known.

    >>> from evertrain.core.time import DAY
    >>> unpassable(GateSpec(holdout=7 * DAY, block=DAY))
    'a holdout of 7d holds 7 blocks of 1d and 20 are needed: declare a holdout of 20d or blocks of 8h 24m'
    """
    blocks = math.ceil(spec.holdout / spec.block) if spec.block else 0
    if spec.primary != "auc" and blocks < MIN_BLOCKS:
        shorter = say_span(spec.holdout // MIN_BLOCKS // 1_000_000 * 1_000_000)
        return (
            f"a holdout of {say_span(spec.holdout)} holds {blocks} blocks of {say_span(spec.block)} and {MIN_BLOCKS} "
            f"are needed: declare a holdout of {say_span(MIN_BLOCKS * spec.block)} or blocks of {shorter}"
        )
    if error is not None and (chance := chance_to_pass(spec, error)) < HOPELESS * spec.alpha:
        lowest = (normal_quantile(1.0 - spec.alpha) + normal_quantile(POWER)) * error
        return (
            f"with noise of {error:.4f} an equal challenger passes a margin of {spec.margin:g} with chance "
            f"{chance:.3f}: declare a margin of {lowest:.4f} or more, or a longer holdout"
        )
    return None
