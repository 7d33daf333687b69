"""Put a service that is only watched on record: somebody else answers for it, and posts what was answered.

python -m evertrain.process.observing --dir DIR --service NAME [--segments a,b] [--horizon 30d] [--kind value]
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from evertrain.config.declaration import ServiceSpec, WatchedSpec
from evertrain.core.event import Draft, ServiceDeclared
from evertrain.core.identity import ServiceName, canonical, short
from evertrain.core.model import Output
from evertrain.core.registry import Registry
from evertrain.core.schema import Schema
from evertrain.core.time import Span, parse_span
from evertrain.errors import EvertrainError, UnavailableError, UserError
from evertrain.monitor.report import Kind
from evertrain.process.entry import tell_fault
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.process import at_work, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = ["declare_watched", "main", "wait_until_taken"]

_PATIENCE_S = 60.0
_LOOK_S = 0.05


def declare_watched(
    state: State, service: ServiceName, *, segments: tuple[str, ...], horizon: Span | None, kind: Kind
) -> ServiceSpec:
    """Declare the service, or declare it anew; what stands on record already is not written again.

    A service that has a model is refused: one name is either answered here or watched.
    """
    spec = ServiceSpec(
        name=service,
        inputs=Schema(columns=()),
        output=Output() if kind == "probability" else Output(kind="value", low=None, high=None),
        segments=segments,
        watched=WatchedSpec(horizon=horizon),
    )
    artifacts = Artifacts.at(state.artifacts)
    artifacts.blobs.put(canonical(spec))
    with Ledger.open(state.ledger) as ledger:
        record = Registry(ledger.read()).services.get(service)
        if record is not None and record.versions:
            raise UserError(
                f"Service {service!r} has a model that answers here.", "Watch under another name: --service NAME."
            )
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
    return spec


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
    """The command line; a fault is one line on stderr."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--segments", default="")
    parser.add_argument("--horizon", default=None)
    parser.add_argument("--kind", choices=["probability", "value"], default="probability")
    parser.add_argument("--wait", action="store_true")
    given = parser.parse_args(arguments)
    try:
        state, service = State.open(given.dir), ServiceName(given.service)
        if given.wait:
            wait_until_taken(state, service)
            return 0
        declare_watched(
            state,
            service,
            segments=tuple(name for name in given.segments.split(",") if name),
            horizon=None if given.horizon is None else parse_span(given.horizon),
            kind=given.kind,
        )
    except EvertrainError as error:
        return tell_fault(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
