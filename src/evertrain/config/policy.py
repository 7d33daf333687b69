"""Recipes, the gate, the rollout and the triggers, as users write them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from evertrain.config.declaration import ScriptSpec, TrainingSpec
from evertrain.config.function import EstimatorRecipe, is_estimator, refer
from evertrain.config.option import Names, closed, expect, read_names, read_spec
from evertrain.core.approval import OnTimeout
from evertrain.core.policy import (
    CanarySpec,
    GateSpec,
    MetricName,
    PerformanceTrigger,
    RowsTrigger,
    ScheduleTrigger,
    ShadowSpec,
)
from evertrain.core.time import parse_span
from evertrain.errors import DeclarationError

__all__ = ["BlueGreen", "Canary", "Gate", "Recipe", "Shadow", "cron", "every", "performance", "rows"]


class Estimator(Protocol):
    """An estimator or Pipeline by scikit-learn's conventions; it is cloned for each training."""

    def fit(self, X: Any, y: Any) -> Any: ...  # noqa: N803 - the name that everybody knows

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...


@closed
def Recipe(  # noqa: N802 - reads as the thing that it makes
    train: Callable[..., Any] | Estimator | ScriptSpec,
    *,
    duration: str = "6h",
    memory_mb: int = 4096,
    timeout: str = "1h",
) -> TrainingSpec:
    """A way to train, with its limits: a function `train(data, run)`, a scikit-learn estimator, or an `et.script`.

    duration: how long it takes on a story's clock.
    """
    described = {
        **_way(train),
        "duration": parse_span(duration),
        "memory_mb": memory_mb,
        "timeout_s": parse_span(timeout) // 1_000_000,
    }
    spec = read_spec(described, TrainingSpec, "et.Recipe")
    return EstimatorRecipe.of(train, spec) if is_estimator(train) else spec


def _way(train: object) -> dict[str, Any]:
    """What a recipe trains by, as fields of a TrainingSpec."""
    if isinstance(train, ScriptSpec):
        return {"script": msgspec.to_builtins(train)}
    if is_estimator(train):
        return {"estimator": f"{type(train).__module__}.{type(train).__qualname__}"}
    if isinstance(train, type) and hasattr(train, "fit"):
        raise DeclarationError(f"train={train.__name__} is a class.", f"Make an estimator of it: {train.__name__}().")
    return {"train": msgspec.to_builtins(refer(train, "recipe"))}  # type: ignore[arg-type] # it says what is wrong


@closed
def Gate(  # noqa: N802 - reads as the thing that it makes
    *,
    primary: MetricName = "log_loss",
    margin: float = 0.01,
    anchor_margin: float = 0.02,
    holdout: str = "7d",
    block: str = "6h",
    alpha: float = 0.05,
    protect: Names = (),
    segment_margin: float = 0.05,
    segment_labels: int = 200,
    max_flips: float = 0.2,
    max_p99: str = "100ms",
    max_memory_mb: int = 2048,
    hold: str = "7d",
    weight: str | None = None,
) -> GateSpec:
    """What a challenger must prove on rows that it never saw; the fields are those of `GateSpec`."""
    described = {
        "primary": primary,
        "margin": margin,
        "anchor_margin": anchor_margin,
        "holdout": parse_span(holdout),
        "block": parse_span(block),
        "alpha": alpha,
        "protect": read_names(protect),
        "segment_margin": segment_margin,
        "segment_labels": segment_labels,
        "max_flips": max_flips,
        "max_p99_ms": parse_span(max_p99) / 1_000,
        "max_memory_mb": max_memory_mb,
        "hold": parse_span(hold),
        "weight": weight,
    }
    return read_spec(described, GateSpec, "et.Gate")


@closed
def Canary(  # noqa: N802 - reads as the thing that it makes
    *,
    steps: Sequence[float] = (0.01, 0.05, 0.25),
    margin: float = 0.01,
    max_bad_answers: float | None = None,
    alpha: float = 0.01,
    deadline: str = "1s",
    probation: str = "14d",
    approval: Names = (),
    approval_within: str = "7d",
    on_timeout: OnTimeout = "hold",
    shadow: ShadowSpec | None = None,
    step_for: str = "0s",
    slower_by: str = "1ms",
) -> CanarySpec:
    """The shares by which a version enters, and the harm that is accepted on the way.

    probation: for so long after its promotion labels may still take it back; "0s" for none. approval: "canary",
    "promotion" or both: `evertrain approve` is asked of a person before it. on_timeout: what holds after
    `approval_within`: "hold" (it waits on), "allow" or "deny". shadow: `et.Shadow(...)`, a stage before
    the first share. step_for: a step lasts at least so long; "0s": as long as its evidence takes, and since the
    evidence of earlier steps counts, a later step may then be over within a second. slower_by: a version may answer so
    much later than the champion; "0s": one that is slower at all is taken back once that is shown.
    """
    if shadow is not None:
        expect("et.Canary(shadow=...)", shadow, ShadowSpec, "et.Shadow(...)")
    described = {
        "steps": tuple(steps),
        "margin": margin,
        "max_bad_answers": max_bad_answers,
        "alpha": alpha,
        "deadline_s": parse_span(deadline) / 1_000_000,
        "probation": parse_span(probation),
        "approval": read_names(approval),
        "approval_within": parse_span(approval_within),
        "on_timeout": on_timeout,
        "shadow": None if shadow is None else msgspec.to_builtins(shadow),
        "step_for": parse_span(step_for),
        "slower_by": parse_span(slower_by),
    }
    return read_spec(described, CanarySpec, "et.Canary")


@closed
def Shadow(  # noqa: N802 - reads as the thing that it makes
    *, requests: int | None = 2_000, share: float = 1.0
) -> ShadowSpec:
    """A version sees live requests and answers nobody, before its canary begins.

    requests: so many it has to see; None: it stays in shadow until a person promotes it. share: of all requests.
    """
    return read_spec({"requests": requests, "share": share}, ShadowSpec, "et.Shadow")


@closed
def BlueGreen(  # noqa: N802 - reads as the thing that it makes
    *,
    back: str = "1h",
    probation: str = "14d",
    approval: Names = (),
    approval_within: str = "7d",
    on_timeout: OnTimeout = "hold",
) -> CanarySpec:
    """Each version enters with workers of its own, which take over in one step; there is no canary.

    back: for so long the workers before them stay warm, so that going back is one step too. probation, approval,
    approval_within, on_timeout: as of a canary; "promotion" is before the switch.
    """
    described = {
        "steps": (1.0,),
        "by_pool": True,
        "back": parse_span(back),
        "probation": parse_span(probation),
        "approval": read_names(approval),
        "approval_within": parse_span(approval_within),
        "on_timeout": on_timeout,
    }
    return read_spec(described, CanarySpec, "et.BlueGreen")


@closed
def every(interval: str, *, recipe: str = "default") -> ScheduleTrigger:
    """Train so long after the last run by this recipe began. recipe: one of several, or some of them: "fast,deep"."""
    return ScheduleTrigger(every=parse_span(interval), recipe=recipe)


@closed
def cron(expression: str, zone: str = "UTC", *, recipe: str = "default") -> ScheduleTrigger:
    """Train at the times of a cron expression, in a named time zone. recipe: as for `et.every`."""
    return ScheduleTrigger(cron=expression, zone=zone, recipe=recipe)


@closed
def rows(count: int, *, recipe: str = "default") -> RowsTrigger:
    """Train when so many new mature rows are there. recipe: as for `et.every`."""
    return read_spec({"rows": count, "recipe": recipe}, RowsTrigger, "et.rows")


@closed
def performance(
    metric: MetricName, *, drop: float, window: str = "7d", min_labels: int = 500, recipe: str = "default"
) -> PerformanceTrigger:
    """Train when the champion's metric on mature labels is worse than at its gate by `drop` or more.

    recipe: as for `et.every`.
    """
    described = {
        "metric": metric,
        "drop": drop,
        "window": parse_span(window),
        "min_labels": min_labels,
        "recipe": recipe,
    }
    return read_spec(described, PerformanceTrigger, "et.performance")
