"""The rules that a user declares for decisions: gate, canary, triggers. Closed, bounded, with units.

They stand in core because the decisions read them; `config.declaration` puts them into a service.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from evertrain.core.approval import OnTimeout, RolloutGate
from evertrain.core.time import DAY, HOUR

__all__ = [
    "CanarySpec",
    "GateSpec",
    "MetricName",
    "PerformanceTrigger",
    "RowsTrigger",
    "ScheduleTrigger",
    "ShadowSpec",
    "TriggerSpec",
]

Micros = Annotated[int, Meta(ge=0, description="microseconds")]
Share = Annotated[float, Meta(gt=0, le=1, description="share of the traffic")]

MetricName = Literal["log_loss", "auc", "brier", "accuracy", "mae", "rmse"]


class _Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all policies: closed, so an unknown key is refused."""


class GateSpec(_Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a challenger must prove on rows that it never saw.

    holdout: length of the newest mature cohorts that are kept from training. margin: the loss of the primary metric
    that still counts as not worse; anchor_margin: the same against the frozen anchor version. block: length of a
    bootstrap block, a holdout has to hold at least 20 of them. alpha: one-sided error rate of the claim. protect:
    segment columns that are tested on their own (Holm), with `segment_margin` and at least `segment_labels` labels.
    max_flips: share of rows that were right and may become wrong. hold: an inconclusive challenger is looked at again
    after this. weight: the request column or feature that weighs each row in every figure; None weighs all alike.
    """

    primary: MetricName = "log_loss"
    margin: Annotated[float, Meta(gt=0)] = 0.01
    anchor_margin: Annotated[float, Meta(gt=0)] = 0.02
    holdout: Micros = 7 * DAY
    block: Annotated[int, Meta(gt=0, description="microseconds")] = 6 * HOUR
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    protect: tuple[str, ...] = ()
    segment_margin: Annotated[float, Meta(gt=0)] = 0.05
    segment_labels: Annotated[int, Meta(ge=20)] = 200
    max_flips: Annotated[float, Meta(gt=0, le=1)] = 0.2
    max_p99_ms: Annotated[float, Meta(gt=0)] = 100.0
    max_memory_mb: Annotated[int, Meta(ge=64)] = 2048
    hold: Micros = 7 * DAY
    weight: str | None = None


class ShadowSpec(_Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stage before the canary: a version sees live requests and answers nobody.

    requests: so many it has to see, and then to fail within the margin, before its canary begins; None: it stays until
    a person promotes it. share: of the requests.
    """

    requests: Annotated[int, Meta(ge=1)] | None = 2_000
    share: Share = 1.0


class CanarySpec(_Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares by which a version enters, and the harm that is accepted on the way.

    margin: the bound on the difference of error rates that the last promotion needs. max_bad_answers: how many bad
    answers a step may cost in 24 h, by the bound; None: one in a thousand of the requests of that time, which is the
    error budget of an availability of 99.9%, and at least 50. alpha: chance of a false rollback over the whole ramp,
    and over the probation after it: for so long the version before it scores the same requests, and when labels show
    that the new one is worse, the other one answers again. 0: no probation.
    approval: a person is asked before its canary, its promotion, or both; within `approval_within`, and then on_timeout
    holds ("hold": it waits on). shadow: a stage before the first step.
    by_pool: each version enters with workers of its own, at once, without a canary. back: for so long the workers
    before them stay warm after a switch. step_for: a step lasts at least so long, whatever the evidence says by then;
    0: as long as its evidence takes. slower_by: so much later than the
    control arm it may answer.
    """

    steps: tuple[Share, ...] = (0.01, 0.05, 0.25)
    margin: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    max_bad_answers: Annotated[float, Meta(gt=0)] | None = None
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.01
    deadline_s: Annotated[float, Meta(gt=0, le=60)] = 1.0
    probation: Micros = 14 * DAY
    approval: tuple[RolloutGate, ...] = ()
    approval_within: Annotated[int, Meta(gt=0, description="microseconds")] = 7 * DAY
    on_timeout: OnTimeout = "hold"
    shadow: ShadowSpec | None = None
    by_pool: bool = False
    back: Micros = HOUR
    step_for: Micros = 0
    slower_by: Micros = 1_000

    def shadow_for(self, *, stays: bool) -> ShadowSpec | None:
        """The stage of a version that enters. stays: it is to stay in it until a person promotes it."""
        return msgspec.structs.replace(self.shadow or ShadowSpec(), requests=None) if stays else self.shadow


class _Trigger(_Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all triggers. recipe: what it trains by, as `core.rehearsal.asked_for` reads it; its runs are its own."""

    recipe: str = "default"


class ScheduleTrigger(_Trigger, frozen=True, kw_only=True, tag="schedule", forbid_unknown_fields=True):
    """Every `every` since the last run of its recipe began, or by a cron expression in a zone (one of the two)."""

    every: Micros | None = None
    cron: str | None = None
    zone: str = "UTC"


class RowsTrigger(_Trigger, frozen=True, kw_only=True, tag="rows", forbid_unknown_fields=True):
    """So many new mature rows since the last run's snapshot."""

    rows: Annotated[int, Meta(ge=1)]


class PerformanceTrigger(_Trigger, frozen=True, kw_only=True, tag="performance", forbid_unknown_fields=True):
    """The champion's metric on the mature cohorts of `window` is worse than at its gate by `drop` or more."""

    metric: MetricName
    drop: Annotated[float, Meta(gt=0)]
    window: Micros = 7 * DAY
    min_labels: Annotated[int, Meta(ge=20)] = 500


TriggerSpec = ScheduleTrigger | RowsTrigger | PerformanceTrigger
