"""Put a service that is only watched on record: somebody else answers for it, and posts what was answered.

    python -m evertrain.process.observation.observing --dir DIR --service NAME
        [--segments a,b] [--horizon 30d] [--kind value] ...

What is not named stays as it is on record, so that a service is watched on with its name alone.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from evertrain.config.declaration import ReferenceSpec, ServiceSpec, WatchedSpec
from evertrain.config.naming import check_name
from evertrain.config.wording import suggestion
from evertrain.core.event import Draft, ServiceDeclared
from evertrain.core.identity import ServiceName, canonical, short
from evertrain.core.model import Output
from evertrain.core.policy import MetricName
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.schema import Schema
from evertrain.core.time import Span, parse_span, say_span
from evertrain.errors import EvertrainError, SourceError, UnavailableError, UserError
from evertrain.monitor.report import Kind, check_metric
from evertrain.process.entry import tell_fault
from evertrain.process.observation.observed import posted_columns
from evertrain.process.observation.references import reference_of
from evertrain.store.artifact import Artifacts
from evertrain.store.blob import Blobs
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.process import at_work, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = ["Wishes", "declare_watched", "main", "wait_until_taken"]

_PATIENCE_S = 60.0
_LOOK_S = 0.05
_LATER = "Once a row brings it, it makes segments."


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; None: what is on record stays, and the default where nothing is.

    time, zone: of the reference.
    """

    segments: tuple[str, ...] | None = None
    horizon: Span | None = None
    recent: Span | None = None
    kind: Kind | None = None
    metric: MetricName | None = None
    reference: Path | None = None
    time: str | None = None
    zone: str | None = None


def declare_watched(state: State, service: ServiceName, wishes: Wishes) -> tuple[ServiceSpec, tuple[str, ...]]:
    """Declare the service, or declare it anew; and what that changes of what was on record, in words.

    What stands on record already is not written again. A service that has a model is refused: one name is either
    answered here or watched.
    """
    check_name(service)
    artifacts = Artifacts.at(state.artifacts)
    with Ledger.open(state.ledger) as ledger:
        record = Registry(ledger.read()).services.get(service)
        if record is not None and record.versions:
            raise UserError(
                f"Service {service!r} has a model that answers here.", "Watch under another name: --service NAME."
            )
        stands = _on_record(artifacts.blobs, record)
        wishes, waits = _with_kept_segments(state, service, wishes, stands)
        spec = _spec(artifacts.blobs, service, wishes, stands)
        artifacts.blobs.put(canonical(spec))
        if record is None or record.declaration != spec.digest:
            ledger.append(
                Draft(
                    id=f"declared:{service}:{ledger.count()}:{spec.digest}",
                    at=business_clock(state.clock).now(),
                    actor="declaration",
                    subject=f"service/{service}",
                    reason=f"Somebody else answers for it, and it is watched; the declaration is {short(spec.digest)}.",
                    fact=ServiceDeclared(service=service, declaration=spec.digest, bundle=None),
                )
            )
    return spec, () if stands is None else (*_changed(stands, spec), *waits)


def _with_kept_segments(
    state: State, service: ServiceName, wishes: Wishes, stands: ServiceSpec | None
) -> tuple[Wishes, tuple[str, ...]]:
    """Where rows are posted and a new segment is in none of them, those on record stay beside it; and why, in words.

    A name that was mistyped so takes nothing away, and one that is posted later is there by then.
    """
    posted = posted_columns(state, service) if wishes.segments and stands is not None else frozenset()
    if not posted or stands is None:
        return wishes, ()
    unknown = [name for name in wishes.segments or () if name not in posted and name not in stands.segments]
    if not unknown:
        return wishes, ()
    kept = msgspec.structs.replace(wishes, segments=tuple(dict.fromkeys((*(wishes.segments or ()), *stands.segments))))
    return kept, tuple(
        f"segments: no row that was posted has a {name}, so those on record stay beside it. "
        f"{suggestion(name, posted, otherwise=_LATER)}"
        for name in unknown
    )


def _on_record(blobs: Blobs, record: ServiceRecord | None) -> ServiceSpec | None:
    if record is None or record.declaration is None:
        return None
    spec = msgspec.json.decode(blobs.get(record.declaration), type=ServiceSpec)
    return spec if spec.watched is not None else None


def _spec(blobs: Blobs, service: ServiceName, wishes: Wishes, stands: ServiceSpec | None) -> ServiceSpec:
    before = (stands.watched if stands is not None else None) or WatchedSpec()
    kind = wishes.kind or (stands.output.kind if stands is not None else "probability")
    metric = wishes.metric or before.metric
    if wishes.metric is not None or wishes.kind is None:
        check_metric(metric, "value" if kind == "value" else "probability")
    elif stands is not None and stands.output.kind != kind:
        metric = None  # it is of another kind of score
    segments = wishes.segments if wishes.segments is not None else (stands.segments if stands is not None else ())
    return ServiceSpec(
        name=service,
        inputs=Schema(columns=()),
        output=Output(kind="value", low=None, high=None) if kind == "value" else Output(),
        segments=segments,
        watched=WatchedSpec(
            horizon=before.horizon if wishes.horizon is None else wishes.horizon,
            recent=before.recent if wishes.recent is None else wishes.recent,
            metric=metric,
            reference=before.reference if wishes.reference is None else _reference(blobs, wishes.reference, wishes),
        ),
    )


def _reference(blobs: Blobs, file: Path, wishes: Wishes) -> ReferenceSpec:
    """The table, kept as it is now. It is read once here, so that one that cannot be read is refused here."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}.", "Name a file that exists.") from error
    reference_of(file.name, content, (), time=wishes.time, zone=wishes.zone)
    return ReferenceSpec(name=file.name, content=blobs.put(content), time=wishes.time, zone=wishes.zone)


def _changed(before: ServiceSpec, now: ServiceSpec) -> Iterator[str]:
    """What is another thing than it was.

    >>> first = ServiceSpec(name=ServiceName("churn"), inputs=Schema(columns=()), watched=WatchedSpec())
    >>> list(_changed(first, msgspec.structs.replace(first, segments=("region", "plan"))))
    ['segments: none before, now region, plan']
    """
    told = zip(_settled(before).items(), _settled(now).values(), strict=True)
    yield from (f"{name}: {then} before, now {later}" for (name, then), later in told if then != later)


def _settled(spec: ServiceSpec) -> dict[str, str]:
    watched = spec.watched or WatchedSpec()
    reference = watched.reference
    return {
        "segments": ", ".join(spec.segments) or "none",
        "horizon": "none" if watched.horizon is None else say_span(watched.horizon),
        "recent": "a quarter of the time" if watched.recent is None else say_span(watched.recent),
        "kind": spec.output.kind,
        "metric": watched.metric or "that of the kind",
        "reference": "none" if reference is None else f"{reference.name} ({short(reference.content)})",
    }


def wait_until_taken(state: State, service: ServiceName, seconds: float = _PATIENCE_S) -> None:
    """Return when all workers obey a routing table that names the service. UnavailableError after so many seconds."""
    routing, end = RoutingFile(state.routing), time.monotonic() + seconds
    while time.monotonic() < end:
        table = routing.read()
        workers = [beat for beat in heartbeats(state) if beat.role == "worker" and at_work(beat)]
        route = table.routes.get(service)
        follow = bool(workers) and all(beat.generation >= table.generation for beat in workers)
        if route is not None and route.observed and follow:
            return
        time.sleep(_LOOK_S)
    raise UnavailableError(
        f"After {seconds:g} s nothing that is posted of {service!r} is taken yet.", "`evertrain status` says why."
    )


def main(arguments: Sequence[str]) -> int:
    """The command line: prints how the service is watched and what that changes; a fault is one line on stderr."""
    given = _parser().parse_args(arguments)
    try:
        state, service = State.open(given.dir), check_name(given.service)
        if given.wait:
            wait_until_taken(state, service)
            return 0
        spec, changed = declare_watched(state, service, _wishes(given))
    except EvertrainError as error:
        return tell_fault(error)
    settled = "; ".join(f"{name} {value}" for name, value in _settled(spec).items())
    sys.stdout.write("".join(f"{line}\n" for line in (settled, *changed)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--segments")
    parser.add_argument("--horizon")
    parser.add_argument("--recent")
    parser.add_argument("--kind", choices=[one for one in get_args(Kind) if one != "classes"])
    parser.add_argument("--metric", choices=get_args(MetricName))
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--time")
    parser.add_argument("--zone")
    parser.add_argument("--wait", action="store_true")
    return parser


def _wishes(given: argparse.Namespace) -> Wishes:
    segments = None if given.segments is None else tuple(name for name in given.segments.split(",") if name)
    return Wishes(
        segments=segments,
        horizon=None if given.horizon is None else parse_span(given.horizon),
        recent=None if given.recent is None else parse_span(given.recent),
        kind=given.kind,
        metric=given.metric,
        reference=given.reference,
        time=given.time,
        zone=given.zone,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
