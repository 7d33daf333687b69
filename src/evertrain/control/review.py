"""Judging a pushed file again, on the labels that came since: while it is on trial, and once it answers everything.

A file may go on trial when nothing but its health is known, and labels come when they come. So a verdict that is not
"pass" is not the last word: it is asked for again before the rollout goes on, and whenever there are twice as many
labels as last time. That bounds the looks, each of which costs a check server for a second or two.
"""

from collections.abc import Mapping

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.control.planes import Crashed, Done, Planes, Running
from evertrain.control.step import Step, recorded
from evertrain.core import event as facts
from evertrain.core.identity import Digest, VersionId, short
from evertrain.core.registry import Rollout, ServiceRecord, Version
from evertrain.core.stage import Check, Evaluated
from evertrain.core.time import DAY, Instant

__all__ = [
    "FEWEST_ROWS",
    "ChampionReview",
    "back_to",
    "check_of",
    "is_judged_as_file",
    "judged_by",
    "review",
    "review_is_due",
    "stood_in_line",
    "unjudged_until",
]

FEWEST_ROWS = 50
"""With fewer labels there is nothing to judge on, and nothing to learn from."""

_MEMORY_MB, _TIMEOUT_S = 4096, 600


def check_of(planes: Planes, record: ServiceRecord, version: VersionId, tables: Mapping[str, int]) -> Check:
    """The work of checking a file, beside the champion where that is another version."""
    return Check(
        service=record.service,
        version=version,
        declaration=planes.manifest(version).declaration or record.declaration or Digest(""),
        champion=record.champion,
        tables=dict(tables),
        timed=not planes.paced(),
    )


def judged_by(planes: Planes, record: ServiceRecord, evaluated: Evaluated, *, again: bool) -> facts.VersionJudged:
    """The verdict as a fact; `known` among its evidence is how many labels were certain.

    What a version is held for stands until labels speak for it: a verdict that decides nothing lifts nothing.
    """
    before = record.versions[evaluated.version].hold if again and evaluated.verdict != "pass" else ""
    return facts.VersionJudged(
        service=record.service,
        version=evaluated.version,
        verdict=evaluated.verdict,
        card=evaluated.card,
        evidence={**evaluated.evidence, "known": float(planes.labelled(record.service))},
        hold=evaluated.hold or before,
        again=again,
    )


def review_is_due(planes: Planes, record: ServiceRecord, rollout: Rollout, *, moving: bool) -> bool:
    """Whether the version on trial is to be judged again now. moving: the rollout is about to give it more traffic."""
    version = record.versions[rollout.version]
    if rollout.champion is None or not _came_as_file(record, version) or version.verdict == "pass":
        return False
    labels, known = planes.labelled(record.service), version.evidence.get("known", 0.0)
    if labels >= max(FEWEST_ROWS, 2 * known):
        return True
    if not moving or rollout.reviewed >= rollout.step:
        return False
    uncompared = version.evidence.get("compared", 0.0) < FEWEST_ROWS
    return (labels >= FEWEST_ROWS and labels > known) or (rollout.last_step and uncompared)


def stood_in_line(record: ServiceRecord, rollout: Rollout) -> bool:
    """Whether something else was on trial after the version was judged, so that its verdict is an old one."""
    version = record.versions[rollout.version]
    others = (one for one in record.rollouts.values() if one.rollout != rollout.rollout)
    return _came_as_file(record, version) and any(one.since > version.judged for one in others)


def unjudged_until(record: ServiceRecord, spec: ServiceSpec, now: Instant) -> Instant | None:
    """When the first label of a request is certain, where that lies ahead: no file is judged on answers before.

    None where labels come within a day, or where a person is asked anyway; then nobody needs to be told.
    """
    moment = None if spec.label is None else spec.label.mature_at
    if moment is None or moment.column != "at" or moment.offset < DAY or spec.rollout.approval:
        return None
    first = min((one.championed for one in record.versions.values() if one.championed is not None), default=None)
    until = None if first is None else Instant(first + moment.offset)
    return until if until is not None and until > now else None


def review(planes: Planes, record: ServiceRecord, check: Check, name: str) -> Evaluated | Step | str:
    """Have a version judged again. A step while that is under way; words where it could not be done."""
    tables = planes.committed(name, record.service)
    if tables is None:
        return Step(awaiting=f"{name}: the tables are being committed")
    task = name.replace("/", "-")
    planes.submit(task, msgspec.structs.replace(check, tables=dict(tables)), memory_mb=_MEMORY_MB, timeout_s=_TIMEOUT_S)
    match planes.poll(task):
        case Running():
            return Step(awaiting=f"{name}: version {short(check.version)} is judged again")
        case Crashed(cause):
            return cause
        case Done(result):
            found = msgspec.json.decode(result, type=Evaluated)
            return found.unchecked or found


class ChampionReview:
    """Looks back at a champion that came into service before labels could speak for it."""

    def __init__(self, planes: Planes, record: ServiceRecord, now: Instant) -> None:
        self._planes = planes
        self._record = record
        self._now = now

    def step(self) -> Step:
        """Judge it again, against the version that it replaced, and go back where it is shown to be worse."""
        champion = self._record.versions.get(self._record.champion or VersionId(""))
        before = self._record.previous
        if champion is None or before is None or not self._is_due(champion):
            return Step()
        against = self._record.versions[before].ordinal
        name = f"{self._record.service}-review-{champion.ordinal}-{champion.verdicts}-against-{against}"
        check = check_of(self._planes, self._record, champion.version, {})
        found = review(self._planes, self._record, msgspec.structs.replace(check, champion=before), name)
        if isinstance(found, Step):
            return found
        if isinstance(found, str):
            # What cannot be done now is tried again when there are twice as many labels.
            found = Evaluated(
                version=champion.version,
                verdict=champion.verdict or "health only",
                reasons=(f"it could not be judged again: {found}",),
                card=champion.card or Digest(""),
            )
        return self._concluded(champion, before, found, name)

    def _is_due(self, champion: Version) -> bool:
        if not is_judged_as_file(self._record, champion.version) or champion.overruled:
            return False
        labels = self._planes.labelled(self._record.service)
        return labels >= max(FEWEST_ROWS, 2 * champion.evidence.get("known", 0.0))

    def _concluded(self, champion: Version, before: VersionId, found: Evaluated, name: str) -> Step:
        why = "; ".join(found.reasons)
        told: list[facts.Fact] = [judged_by(self._planes, self._record, found, again=True)]
        if found.worse:
            reverted, refused = back_to(self._record, champion.version, before, why)
            told, why = [*told, reverted, refused], refused.because
        elif found.verdict == "pass":
            self._planes.attest_judged(champion.version, self._record.service, self._now, "pass", why)
        return recorded(name, self._now, f"service/{self._record.service}", why, *told)


def is_judged_as_file(record: ServiceRecord, version: VersionId) -> bool:
    """Whether it came as a file of which nothing but its health is known: it is judged again whole, as stands above."""
    return _came_as_file(record, record.versions[version]) and record.versions[version].verdict != "pass"


def back_to(
    record: ServiceRecord, champion: VersionId, before: VersionId, why: str, *, shown_by: str = "Labels show"
) -> tuple[facts.ChampionReverted, facts.VersionRefused]:
    """The champion is taken back and refused: something shows that it is worse than the version that it replaced."""
    taken, back = record.versions[champion].ordinal, record.versions[before].ordinal
    worse = f"version {taken} is worse than version {back}, which it replaced and which answers again"
    said = f"{shown_by} that {worse}. {why}"
    return (
        facts.ChampionReverted(service=record.service, before=champion, after=before),
        facts.VersionRefused(
            service=record.service,
            version=champion,
            fingerprint=record.versions[champion].fingerprint,
            because=said,
        ),
    )


def _came_as_file(record: ServiceRecord, version: Version) -> bool:
    cycle = record.cycles.get(version.cycle) if version.cycle is not None else None
    return cycle is not None and cycle.kind == "external"
