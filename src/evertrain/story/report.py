"""What a story came to, as figures, and which of its promises were kept."""

from contextlib import closing

import msgspec
import numpy as np
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.core import event as facts
from evertrain.core.event import Event
from evertrain.core.metric import metric
from evertrain.core.registry import Cycle, Registry, ServiceRecord
from evertrain.core.time import DAY, Instant
from evertrain.data.commit import predictions_table
from evertrain.govern.selfaudit import verify
from evertrain.process.steering.watch import Watch
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.state import State
from evertrain.store.table import Table
from evertrain.story.script import Script
from evertrain.story.teller import Told

__all__ = ["Promise", "StoryReport", "judge_story", "report_story"]

_MIN_GAIN = 0.02
_MIN_HONEST_SHARE = 1 / 3
_FULL_YEAR_DAYS = 300
_PROMOTIONS_OF_A_YEAR = 6


class StoryReport(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a story. Requests and performance count the story's own requests; the rest counts everything.

    wall_s: of the telling. peak_rss_mb: 10^6 bytes, summed over the process tree. retried: requests whose connection
    was lost and that were sent again.
    """

    days: float
    requests: int
    failed: int
    retried: int
    mixed_versions: int
    swaps: int
    promotions: int
    rollbacks: int
    refusals: int
    decisions: int
    retrains: int
    champion_auc: float
    static_auc: float
    champion_log_loss: float
    static_log_loss: float
    rows_compared: int
    rows_ingested: int
    rows_quarantined: int
    predictions_logged: int
    predictions_answered: int
    labels_joined: int
    ledger_events: int
    ledger_verified: bool
    wall_s: float
    first_answer_s: float
    first_promotion_s: float
    peak_rss_mb: float


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of the story, and whether it was kept."""

    says: str
    kept: bool
    figure: str


def report_story(
    state: State, script: Script, told: Told, ledger: Ledger, *, wall_s: float, peak_rss_mb: float
) -> StoryReport:
    """Gather the figures, from the ledger, the tables and what was seen from outside. The data must be committed."""
    events = ledger.read()
    registry = Registry(events)
    record = registry.service(script.service)
    with closing(Watch(state, lambda _: _spec(state, record), lambda _: (), paced=False)) as watch:
        watch.follow(script.drained)
        performance = watch.service(script.service).performance
    cohort = performance.cohort(Instant(0), Instant(script.drained + DAY))
    both = ~np.isnan(cohort.reference)
    label, score, reference = cohort.label[both], cohort.score[both], cohort.reference[both]
    ingested = [event.fact for event in events if isinstance(event.fact, facts.BatchIngested)]
    return StoryReport(
        days=(script.last - script.first) / DAY,
        requests=told.requests,
        failed=told.failed,
        retried=told.retried,
        mixed_versions=told.mixed_versions,
        swaps=_swaps(events),
        promotions=_moves(events, "promote"),
        rollbacks=_moves(events, "roll back"),
        refusals=sum(cycle.state == "refused" for cycle in record.cycles.values()),
        decisions=len(record.decisions),
        retrains=sum(cycle.kind == "full" for cycle in record.cycles.values()),
        champion_auc=metric("auc", label, score),
        static_auc=metric("auc", label, reference),
        champion_log_loss=metric("log_loss", label, score),
        static_log_loss=metric("log_loss", label, reference),
        rows_compared=len(label),
        rows_ingested=sum(fact.rows for fact in ingested),
        rows_quarantined=sum(fact.quarantined for fact in ingested),
        predictions_logged=_logged(state, script),
        predictions_answered=told.answered,
        labels_joined=performance.joined(),
        ledger_events=len(events),
        ledger_verified=not verify(state).findings,
        wall_s=wall_s,
        first_answer_s=told.first_answer_s or float("nan"),
        first_promotion_s=told.first_promotion_s or float("nan"),
        peak_rss_mb=peak_rss_mb,
    )


def judge_story(report: StoryReport, script: Script, told: Told, ledger: Ledger) -> tuple[Promise, ...]:
    """Every promise that the story makes, kept or broken."""
    record = Registry(ledger.read()).service(script.service)
    honest = _honest(record)
    promoted = sum(cycle.state == "promoted" for cycle in honest)
    promises = [
        Promise(says="no request fails", kept=report.failed == 0, figure=str(report.failed)),
        Promise(says="no answer mixes versions", kept=report.mixed_versions == 0, figure=str(report.mixed_versions)),
        Promise(
            says="every answered prediction is in the log, once",
            kept=report.predictions_logged == report.predictions_answered,
            figure=f"{report.predictions_logged:,} of {report.predictions_answered:,}",
        ),
        Promise(
            says="every labelled answer is compared with the never-retrained model's",
            kept=report.rows_compared == report.labels_joined,
            figure=f"{report.rows_compared:,} of {report.labels_joined:,}",
        ),
        Promise(says="the ledger and all that it names verify", kept=report.ledger_verified, figure=""),
        Promise(
            says="at least a third of the honest challengers pass",
            kept=promoted >= _MIN_HONEST_SHARE * len(honest),
            figure=f"{promoted} of {len(honest)}",
        ),
    ]
    promises += [_accident(record, one.name, told.accidents.get(one.name), one.expect) for one in script.accidents]
    if report.days >= _FULL_YEAR_DAYS:
        promises += _of_a_year(report)
    return tuple(promises)


def _of_a_year(report: StoryReport) -> list[Promise]:
    gain = report.champion_auc - report.static_auc
    return [
        Promise(
            says=f"at least {_PROMOTIONS_OF_A_YEAR} promotions in the year",
            kept=report.promotions >= _PROMOTIONS_OF_A_YEAR,
            figure=str(report.promotions),
        ),
        Promise(
            says=f"the champion's AUC is at least {_MIN_GAIN} above the never-retrained model's",
            kept=gain >= _MIN_GAIN,
            figure=f"{report.champion_auc:.4f} against {report.static_auc:.4f}",
        ),
        Promise(
            says="its log loss is lower",
            kept=report.champion_log_loss < report.static_log_loss,
            figure=f"{report.champion_log_loss:.4f} against {report.static_log_loss:.4f}",
        ),
    ]


def _accident(record: ServiceRecord, name: str, at: Instant | None, expect: str) -> Promise:
    """The cycle that the accident's order began ended as it must, and its version was never the champion."""
    cycle = next((cycle for cycle in record.cycles.values() if cycle.trigger == "order" and cycle.began == at), None)
    version = record.versions.get(cycle.version) if cycle is not None and cycle.version is not None else None
    kept = cycle is not None and cycle.state == expect and version is not None and version.championed is None
    said = f"{cycle.state.value}: {cycle.why[:100]}" if cycle is not None else "it never ran"
    return Promise(says=f"the planted accident {name!r} is {expect.replace('_', ' ')}", kept=kept, figure=said)


def _honest(record: ServiceRecord) -> list[Cycle]:
    """Cycles that trained on the sound declaration, after the first one, and have ended."""
    full = [cycle for cycle in record.cycles.values() if cycle.kind == "full" and not cycle.open]
    return [cycle for cycle in full[1:] if cycle.trigger != "order"]


def _swaps(events: list[Event]) -> int:
    """How often another version became the champion, after the first."""
    champions = [event.fact.champion for event in events if isinstance(event.fact, facts.RoutingChanged)]
    changes = [after for before, after in zip([None, *champions], champions, strict=False) if after != before]
    return max(len(changes) - 1, 0)


def _moves(events: list[Event], move: str) -> int:
    return sum(isinstance(event.fact, facts.RolloutMoved) and event.fact.move == move for event in events)


def _logged(state: State, script: Script) -> int:
    """Distinct predictions in the table."""
    table = Table(state.tables, predictions_table(script.service))
    return int(table.read(columns=["id"]).select(pl.col("id").n_unique()).item())


def _spec(state: State, record: ServiceRecord) -> ServiceSpec | None:
    if record.declaration is None:
        return None
    blobs = Artifacts.at(state.artifacts).blobs
    return msgspec.json.decode(blobs.get(record.declaration), type=ServiceSpec)
