"""Values made by hand: a service in the middle of a canary, as the page shows it."""

import math

import msgspec

from evertrain.core.identity import CycleId, RolloutId, ServiceName, SourceName, digest_of
from evertrain.core.time import DAY, HOUR, MINUTE, SECOND, Instant, Span, parse_instant
from evertrain.web.overview import (
    Alert,
    Cycle,
    Decision,
    Evidence,
    Latency,
    LatencyPoint,
    LedgerState,
    Metric,
    Overview,
    Process,
    QualityPoint,
    Requests,
    Rollout,
    Share,
    SourceState,
    Step,
    Story,
    TrafficPoint,
    Version,
    Work,
)

__all__ = ["BEGAN", "SERVICE", "overview_in_canary", "overview_of_nothing"]

SERVICE = ServiceName("late-flights")
BEGAN = parse_instant("2013-02-06T05:00:00Z")
NOW = parse_instant("2013-10-14T15:00:00Z")
PROMOTED = (0, 24, 52, 75, 101, 138, 171, 206)
"""Day of the story on which version 1, 2, 3 ... began to serve."""


def overview_of_nothing() -> Overview:
    """A service that was declared and has done nothing yet: it reads a source, and trains."""
    return Overview(
        service=SERVICE,
        at=BEGAN,
        generation=1,
        champion=None,
        since=None,
        why="The first version is being trained.",
        work=(
            Work(says="training with recipe default", for_s=40.0, usual_s=90.0, earlier=3, limit_s=3600.0),
            Work(says="rehearsing recipe deep", for_s=4.0, limit_s=3600.0),
        ),
        sources=(
            SourceState(
                name=SourceName("landings"),
                rows=1_200,
                quarantined=0,
                newest=BEGAN,
                reading="10 of 40 files are read, for 21 s; about 59 s left",
            ),
        ),
    )


def overview_in_canary() -> Overview:
    """Version 9 is on trial against version 8; version 5 was refused, version 7 rolled back."""
    return Overview(
        service=SERVICE,
        at=NOW,
        generation=41,
        champion=8,
        since=_day(206),
        why="Promoted after 5,212 canary requests without harm; not worse than version 6 by at most 0.004 log loss.",
        owner="ml-team",
        trial=True,
        shares=(
            Share(version=8, share=0.9),
            Share(version=8, share=0.05, arm="control"),
            Share(version=9, share=0.05, arm="canary"),
        ),
        requests=Requests(answered=231_406, failed=0, invalid=12, per_second=1_380.0),
        traffic=tuple(_traffic(day) for day in range(250)),
        latency=(
            Latency(version=8, arm="champion", requests=208_340, p50_ms=0.62, p95_ms=1.31, p99_ms=3.4),
            Latency(version=8, arm="control", requests=1_190, p50_ms=0.98, p95_ms=1.92, p99_ms=4.1),
            Latency(version=9, arm="canary", requests=1_204, p50_ms=1.01, p95_ms=2.05, p99_ms=4.3),
        ),
        latency_over_time=tuple(_latency(second) for second in range(90)),
        quality=(_metric("AUC", "higher", 0.7306, 0.028), _metric("log loss", "lower", 0.4981, -0.019)),
        rollouts=(_rollout(),),
        cycles=_cycles(),
        decisions=_decisions(),
        versions=_versions(),
        sources=_sources(),
        alerts=(
            Alert(
                name="source landings is late",
                severity="warning",
                since=Instant(NOW - 3 * HOUR),
                reason="Its newest row is 5 h old; fresh within 2 h was declared.",
                owner="data-platform",
            ),
        ),
        processes=tuple(
            Process(name=name, role=name.rpartition("-")[0] or name, pid=4021 + index, state="ready")
            for index, name in enumerate(("supervisor", "worker-1", "worker-2", "controller", "data", "candidate-9"))
        ),
        recipes=("default", "short"),
        ledger=LedgerState(events=2_817, root=digest_of("root"), verified=True, checked=Instant(NOW - 20 * MINUTE)),
        story=Story(began=BEGAN, now=NOW, ends=parse_instant("2014-01-01T05:00:00Z"), done=0.763, wall_s=161.0),
    )


def _day(number: int) -> Instant:
    return Instant(BEGAN + number * DAY)


def _traffic(day: int) -> TrafficPoint:
    total = int(880 + 120 * math.sin(day / 7 * 2 * math.pi) + 60 * math.sin(day / 40))
    answered = {_serving(day): total}
    if any(0 < begin - day <= 4 for begin in PROMOTED):
        answered = {_serving(day): total - total // 8, _serving(day) + 1: total // 8}
    if day >= 247:
        answered = {8: total - total // 20, 9: total // 20}
    return TrafficPoint(at=_day(day), width=DAY, answered=answered)


def _serving(day: int) -> int:
    return sum(begin <= day for begin in PROMOTED)


def _latency(second: int) -> LatencyPoint:
    wave = 0.25 * math.sin(second / 9) + 0.12 * math.sin(second * 1.7)
    return LatencyPoint(
        at=Instant(NOW - (90 - second) * 2 * SECOND),
        p50_ms=0.62 + wave / 6,
        p95_ms=1.4 + wave,
        p99_ms=3.3 + 2 * wave + (2.1 if second % 23 == 7 else 0),
    )


def _metric(name: str, better: str, reference: float, gain: float) -> Metric:
    points = []
    for week in range(34):
        wobble = 0.018 * math.sin(week * 0.9) + 0.01 * math.sin(week * 2.3)
        lead = gain * min(1.0, week / 6) * (1 + 0.3 * math.sin(week))
        points.append(
            QualityPoint(
                at=_day(7 * week),
                width=Span(7 * DAY),
                labels=6_100 + 40 * week,
                champion=None if week == 33 else reference + wobble + lead,
                reference=None if week == 33 else reference + wobble,
            )
        )
    return Metric(
        name=name,
        better="higher" if better == "higher" else "lower",
        points=tuple(points),
        champion=reference + gain,
        reference=reference,
        labels=224_310,
    )


def _rollout() -> Rollout:
    return Rollout(
        id=RolloutId(f"{SERVICE}/r9"),
        version=9,
        against=8,
        state="canary",
        began=_day(247),
        steps=(
            Step(share=0.01, state="passed", note="after 402 requests"),
            Step(share=0.05, state="current", note="1,204 requests so far"),
            Step(share=0.25, state="ahead"),
            Step(share=1.0, state="ahead", note="promotion"),
        ),
        evidence=(
            Evidence(name="failed requests", now=0.0008, limit=0.01, unit="%", tone="good"),
            Evidence(name="harm by errors, e-value", now=0.21, limit=100.0, unit="e", tone="good"),
            Evidence(name="harm by latency, e-value", now=1.84, limit=100.0, unit="e", tone="good"),
            Evidence(name="score shift, e-value", now=14.2, limit=100.0, unit="e", tone="watch"),
            Evidence(
                name="bound on more errors", now=0.0131, limit=0.01, unit="%", tone="waiting", note="too wide yet"
            ),
        ),
        requests=1_606,
        failures=1,
        waiting="Waiting: about 350 more requests, by 14 Oct 2013, 21:00.",
        reason="The bound on the difference of error rates is 1.31 %; the next step needs 1 %.",
    )


def _decisions() -> tuple[Decision, ...]:
    told: list[tuple[float, str, str, str, str]] = [
        (
            249.4,
            "rollout.moved",
            "Version 9 stays at 5 %",
            "waiting",
            "Too little evidence yet to admit 25 %: the bound is 1.31 %.",
        ),
        (
            248.0,
            "rollout.moved",
            "Version 9 goes to 5 %",
            "good",
            "402 requests, 0 failures; at most 38 bad answers a day.",
        ),
        (
            247.2,
            "version.judged",
            "Version 9 passes the gate",
            "good",
            "Not worse: log loss lower by 0.003 (at most 0.002 higher) on 5,918 labels.",
        ),
        (
            247.0,
            "trigger.decided",
            "Retraining begins",
            "plain",
            "21,204 new mature rows since the last run (20,000 are enough).",
        ),
        (
            231.0,
            "trigger.decided",
            "Trigger skipped",
            "plain",
            "Performance is back in its band, and the cooldown of a day has not passed.",
        ),
        (
            206.0,
            "rollout.moved",
            "Version 8 promoted",
            "good",
            "5,212 canary requests without harm; the bound on more errors is 0.7 %, below 1 %.",
        ),
        (
            189.6,
            "rollout.moved",
            "Version 7 rolled back",
            "bad",
            "e-value 312 of 100: 5.1 % of its requests raised KeyError; the champion answered them.",
        ),
        (
            121.0,
            "version.refused",
            "Version 5 refused",
            "bad",
            "The gate: AUC 0.24 against 0.76; worse than a constant. It never answered a request.",
        ),
    ]
    tones = {"good": "good", "bad": "bad", "waiting": "waiting", "plain": "plain"}
    return tuple(
        msgspec.convert(
            {
                "sequence": 2_800 - 37 * index,
                "at": int(BEGAN + day * DAY),
                "kind": kind,
                "actor": "controller",
                "title": title,
                "reason": reason,
                "tone": tones[tone],
            },
            Decision,
        )
        for index, (day, kind, title, tone, reason) in enumerate(told)
    )


def _versions() -> tuple[Version, ...]:
    states = {9: "on trial", 8: "champion", 7: "rolled back", 6: "standby", 5: "refused", 1: "reference"}
    reasons = {
        9: "Passed the gate on 5,918 labels; canary at 5 %.",
        8: "Serves since 31 Aug.",
        7: f"5.1 % of its canary requests raised KeyError: '{digest_of('a session')}'.",
        6: "Previous champion, stays loaded: going back is one flip.",
        5: "AUC 0.24 against 0.76 of the champion.",
        1: "Never retrained; scores every request for comparison.",
    }
    return tuple(
        msgspec.convert(
            {
                "id": digest_of(ordinal),
                "ordinal": ordinal,
                "state": states.get(ordinal, "retired"),
                "built": int(_day(PROMOTED[ordinal - 1] if ordinal < 9 else 247)),
                "recipe": "default",
                "verdict": "pass",
                "reason": reasons.get(ordinal, "Followed by a better one."),
                "rows": 30_000 + 24_500 * ordinal,
                "cycle": f"{SERVICE}/c{ordinal}",
            },
            Version,
        )
        for ordinal in range(9, 0, -1)
    )


def _cycles() -> tuple[Cycle, ...]:
    return (
        Cycle(
            id=CycleId(f"{SERVICE}/c11"),
            state="rolling out",
            trigger="rows",
            began=_day(247),
            version=9,
            tone="waiting",
            reason="Its rollout is at 5 %.",
        ),
        Cycle(
            id=CycleId(f"{SERVICE}/c10"),
            state="held",
            trigger="performance",
            began=_day(233),
            until=_day(240),
            tone="watch",
            reason="Inconclusive: 14 blocks of a day, 20 are needed.",
        ),
        Cycle(
            id=CycleId(f"{SERVICE}/c9"),
            state="promoted",
            trigger="rows",
            began=_day(205),
            ended=_day(206),
            version=8,
            tone="good",
            reason="The gate and the canary were passed.",
        ),
        Cycle(
            id=CycleId(f"{SERVICE}/c8"),
            state="rolled back",
            trigger="schedule",
            began=_day(188),
            ended=_day(189),
            version=7,
            tone="bad",
            reason="The canary showed harm.",
        ),
        Cycle(
            id=CycleId(f"{SERVICE}/c6"),
            state="refused",
            trigger="rows",
            began=_day(121),
            ended=_day(121),
            version=5,
            tone="bad",
            reason="The gate refused it.",
        ),
    )


def _sources() -> tuple[SourceState, ...]:
    def source(name: str, rows: int, hours: int, **rest: object) -> SourceState:
        state = SourceState(name=SourceName(name), rows=rows, quarantined=0, newest=Instant(NOW - hours * HOUR))
        return msgspec.structs.replace(state, owner="data-platform", fresh_within=Span(2 * HOUR), **rest)

    return (
        source("flights", 262_118, 0),
        source("weather", 20_304, 2),
        source("landings", 258_940, 5, tone="watch", reason="Fresh within 2 h was declared."),
        source(
            "planes", 3_322, 30, quarantined=2, tone="good", reason="2 rows set aside: seats is not a whole number."
        ),
    )
