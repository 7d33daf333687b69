"""The command lines of the tree: which module runs under which name, with which limits."""

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.config.settings import Settings
from evertrain.core.identity import VersionId
from evertrain.core.pool import Pool
from evertrain.core.time import say_span
from evertrain.errors import EvertrainError
from evertrain.model.limits import thread_environment
from evertrain.process.supervision.child import SOCKET_HANDLE, Post
from evertrain.process.supervision.roster import Trial
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["controller_post", "data_post", "trial_post", "worker_post"]

_MEMORY_MB = 2048
_SHADOW_NICE = 10
"""Nobody waits for a shadow."""


def worker_post(state: State, name: str, pool: Pool, handle: int, environment: dict[str, str]) -> Post:
    """A serving worker of a pool, on the socket `handle`. One thread for libraries: one core answers a request."""
    words = ["--name", name, "--pool", str(pool.number), "--fd", str(SOCKET_HANDLE)]
    return Post(
        name=name,
        role="worker",
        command=_module(state, "worker.serving", *words, within=pool.environment),
        environment=environment | thread_environment(1),
        socket=handle,
        pool=pool,
        within=pool.environment,
    )


def controller_post(state: State, environment: dict[str, str]) -> Post:
    """The loop, the control door and the page."""
    return Post(
        name="controller", role="controller", command=_module(state, "controller.controlling"), environment=environment
    )


def data_post(state: State, settings: Settings, environment: dict[str, str]) -> Post:
    """Ingestion, online states, log segments into tables.

    One thread for libraries: files are small, and handing them to a pool of threads costs more than it saves.
    """
    words = ["--commit-every", say_span(settings.commit_every), "--log-keep", say_span(settings.log_keep)]
    words += ["--scan-s", str(settings.scan_s)]
    return Post(
        name="data",
        role="data",
        command=_module(state, "ingestion.data", *words),
        environment=environment | thread_environment(1),
    )


def trial_post(state: State, trial: Trial, environment: dict[str, str]) -> Post:
    """A version in a process and an environment of its own, within the memory that its declaration allows."""
    memory_mb = _memory_of(state, trial.version)
    words = ["--version", trial.version, "--arm", trial.arm, "--name", trial.name]
    words += ["--socket", str(state.socket(trial.name)), "--memory-mb", str(memory_mb)]
    words += ["--nice", str(_SHADOW_NICE)] if trial.arm == "shadow" else []
    within = Artifacts.at(state.artifacts).runs_in(trial.version)
    return Post(
        name=trial.name,
        role="candidate",
        command=_module(state, "worker.candidate", *words, within=within),
        environment=environment | thread_environment(1),
        log=state.processes / f"{trial.name}.log",
        version=trial.version,
        memory_mb=memory_mb,
        within=within,
    )


def _module(state: State, name: str, *words: str, within: str = "") -> tuple[str, ...]:
    return state.command(within, f"evertrain.process.{name}", "--dir", str(state.path), *words)


def _memory_of(state: State, version: VersionId) -> int:
    """MiB. A version whose manifest cannot be read gets the default: its own process will refuse it, and say why."""
    artifacts = Artifacts.at(state.artifacts)
    try:
        declaration = artifacts.manifest(version).declaration
        if declaration is None:
            return _MEMORY_MB
        return msgspec.json.decode(artifacts.blobs.get(declaration), type=ServiceSpec).gate.max_memory_mb
    except (EvertrainError, msgspec.DecodeError, UnicodeDecodeError):
        return _MEMORY_MB
