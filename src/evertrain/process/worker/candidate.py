"""One version in a process of its own: on trial, as the control arm, as the reference, or in the check server.

    python -m evertrain.process.worker.candidate --dir DIR --version V --socket PATH
        --arm canary|control|shadow|reference|check

It admits the version, confines itself, loads it with the features of its own bundle, and answers the frames of
`core.trial` on a Unix socket. Whatever the version does (raise, hang, leak, crash) it does to this process alone.
Each connection is served by a thread; predictions are made one at a time; a ping is answered meanwhile.
"""

import argparse
import contextlib
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from evertrain.core.golden import Golden
from evertrain.core.identity import ServiceName, VersionId, short
from evertrain.core.model import Manifest
from evertrain.core.pool import MOST_STALL_MS
from evertrain.core.routing import Refusal
from evertrain.errors import EvertrainError, IntegrityError, ModelError, PackageError, say_raised
from evertrain.model.limits import confine
from evertrain.process.entry import run
from evertrain.process.worker.answering import Answering
from evertrain.process.worker.features import feature_function, model_code
from evertrain.process.worker.home import misfit, require_home
from evertrain.process.worker.listening import Listening
from evertrain.store.artifact import Artifacts
from evertrain.store.process import Heartbeat, beat, parent_lives, sign_in
from evertrain.store.routing import RoutingFile
from evertrain.store.signature import Verifier, admit
from evertrain.store.state import State

__all__ = ["CandidateArm", "Order", "command", "main"]

CandidateArm = Literal["canary", "control", "shadow", "reference", "check"]

_BEAT_S = 0.5
_log = logging.getLogger("candidate")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. name: of the heartbeat; "" leaves none. hang_s: a prediction that takes longer ends
    the process, since nothing else can be answered behind it."""

    dir: str
    version: VersionId
    socket: str
    arm: CandidateArm
    need: Literal["built", "judged"]
    name: str = ""
    memory_mb: int = 2048
    nice: int = 0
    hang_s: float = 60.0


def command(order: Order) -> list[str]:
    """The command that starts it, word by word."""
    words = [sys.executable, "-P", "-m", "evertrain.process.worker.candidate"]
    for field in Order.__struct_fields__:
        words += [f"--{field.replace('_', '-')}", str(getattr(order, field))]
    return words


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    order = _parse(arguments)
    confine(memory_mb=order.memory_mb, nice=order.nice)
    return run(order.name or "check", lambda stopping: _serve(order, stopping))


def _parse(arguments: Sequence[str]) -> Order:
    parser = argparse.ArgumentParser(prog="evertrain.process.worker.candidate")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--arm", required=True, choices=["canary", "control", "shadow", "reference", "check"])
    parser.add_argument("--need", default="judged", choices=["built", "judged"])
    parser.add_argument("--name", default="")
    parser.add_argument("--memory-mb", type=int, default=2048)
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--hang-s", type=float, default=60.0)
    given = parser.parse_args(arguments)
    if given.need == "built" and given.arm != "check":
        parser.error("--need built is for --arm check: whatever answers users must be judged")
    return msgspec.convert(vars(given), Order)


def _serve(order: Order, stopping: threading.Event) -> None:
    if order.arm == "check":
        _end_with_parent(stopping)
    state = State.open(Path(order.dir))
    first = sign_in(state, order.name, "candidate") if order.name else None
    if order.name and first is None:
        return
    try:
        answering = _load(state, order)
    except EvertrainError as error:
        if first is not None:
            beat(state, _with_fault(first, order.version, error))
        raise
    state.socket(order.arm)  # a stop clears the folder of the sockets, and a check may outlive it
    with Listening(Path(order.socket), answering.answer) as listening:
        _log.info("version %s answers as %s", short(order.version), order.arm)
        ready = None if first is None else msgspec.structs.replace(first, ready=(order.version,))
        _keep_beating(state, ready, stopping, answering, order.hang_s)
        listening.drain()


def _with_fault(first: Heartbeat, version: VersionId, error: EvertrainError) -> Heartbeat:
    """What the last heartbeat says. A package that is missing here is no fault of the version, which has not failed."""
    if isinstance(error, PackageError):
        return msgspec.structs.replace(first, note=str(error))
    return msgspec.structs.replace(first, failed={version: str(error)})


def _end_with_parent(stopping: threading.Event) -> None:
    """A check server is of no use without whoever started it, and nobody else would ever end it."""

    def watch() -> None:
        while parent_lives():
            if stopping.wait(_BEAT_S):
                return
        stopping.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _load(state: State, order: Order) -> Answering:
    from evertrain.runtime import end_if_copied, load
    from evertrain.runtime.stall import least_stall

    own = os.getpid()
    artifacts = Artifacts.at(state.artifacts)
    refused = () if order.need == "built" else _refusals(state)
    manifest = admit(artifacts, Verifier.load(state.trusted), order.version, need=order.need, refused=refused)
    require_home(state, manifest)
    try:
        features = feature_function(state, artifacts, manifest)
        path, code, checked = artifacts.blobs.path(manifest.model), model_code(state, artifacts, manifest), 0.0
        if order.arm == "check":
            model, checked = least_stall(lambda: load(manifest, path, code, gently=True), MOST_STALL_MS)
        else:
            model = load(manifest, path, code)
        answering = Answering(manifest, model, features, lambda: _hides(state, manifest.service), checked)
        _prove(artifacts, manifest, answering)
    except Exception as error:
        lacking = _lacking(artifacts, manifest, error)
        if lacking is not None:
            raise lacking from error
        if isinstance(error, EvertrainError):
            raise
        raise ModelError(f"Version {short(order.version)} cannot be loaded: {say_raised(error)}.") from error
    finally:
        end_if_copied(own)
    return answering


def _lacking(artifacts: Artifacts, manifest: Manifest, error: BaseException) -> PackageError | None:
    """The fault of this environment for which the version could not be loaded; None where it is the version's own."""
    if isinstance(error, PackageError):
        return None  # it is said already
    name = f"Version {short(manifest.version)}"
    if isinstance(error, ModuleNotFoundError):
        return PackageError.of_module(name, error)
    if _failed_import(error) and (package := misfit(artifacts, manifest)):
        return PackageError(
            f"{name} cannot be loaded here: {package}. {say_raised(error)}.",
            "Install that version, or remove the environment: it is built anew.",
        )
    return None


def _failed_import(error: BaseException | None) -> bool:
    """Whether an import failed, wherever the error passed on its way."""
    return error is not None and (isinstance(error, ImportError) or _failed_import(error.__cause__))


def _refusals(state: State) -> tuple[Refusal, ...]:
    routes = RoutingFile(state.routing).read().routes.values()
    return tuple(refusal for route in routes for refusal in route.refused)


def _hides(state: State, service: ServiceName) -> bool:
    """Whether requests to a service hold personal values, as of now; they may where nobody can tell."""
    try:
        route = RoutingFile(state.routing).read().routes.get(service)
    except IntegrityError:
        return True
    return route is not None and bool(route.personal)


def _prove(artifacts: Artifacts, manifest: Manifest, answering: Answering) -> None:
    """Score the golden requests: it warms the model up, and a copy that answers differently is not the same model."""
    if manifest.golden is None:
        return
    golden = msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden)
    if not golden.requests:
        return
    scores = answering.scores(tuple(request.vector for request in golden.requests))
    for number, (request, score) in enumerate(zip(golden.requests, scores, strict=True)):
        if request.score is not None and score != request.score:
            raise ModelError(
                f"Version {short(manifest.version)} answers golden request {number} with {score!r}; it was packaged "
                f"with {request.score!r}.",
                "The installed libraries differ from those that it was made with: retrain it here.",
            )


def _keep_beating(
    state: State, ready: Heartbeat | None, stopping: threading.Event, answering: Answering, hang_s: float
) -> None:
    while True:
        if ready is not None:
            beat(state, ready)
        if answering.busy_s > hang_s:
            _die_hanging(state, ready, hang_s)
        if stopping.wait(_BEAT_S):
            return


def _die_hanging(state: State, ready: Heartbeat | None, hang_s: float) -> None:
    """The hanging thread cannot be stopped, only the process can; its stack goes to the log for whoever wrote it."""
    _log.error("a prediction took longer than %g s", hang_s)
    faulthandler.dump_traceback(all_threads=True)
    if ready is not None:
        with contextlib.suppress(OSError):
            beat(state, msgspec.structs.replace(ready, ready=(), note=f"a prediction took longer than {hang_s:g} s"))
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
