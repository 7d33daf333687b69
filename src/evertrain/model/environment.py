"""Building the environment of a version from its lock, by uv: once for a lock, whole or not at all.

evertrain is in it too, the very code that runs, since a version answers through it: its files are copied, and what it
requires is resolved together with the lock. Where the lock says nothing, the versions of the installation are taken.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.metadata import distribution, distributions
from pathlib import Path
from typing import Final

import msgspec

from evertrain.core.identity import Digest, short
from evertrain.core.lock import Lock, normal, read_lock
from evertrain.errors import EvertrainError, PackageError
from evertrain.model.installer import Installer, UnsatisfiableError
from evertrain.store.artifact import Artifacts
from evertrain.store.environment import Built, own_code
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = ["furnish", "requirements"]

_RUNS_IN_IT: Final = (
    "evertrain.process.worker.candidate",
    "evertrain.process.worker.serving",
    "evertrain.process.trainer.training",
)
_ROOM: Final = 1 << 30
_SPARE: Final = 3


def furnish(state: State, environment: str) -> Path:
    """The interpreter of an environment, which is built if it is not there; PackageError says why it cannot be.

    Concurrent calls build it once. It takes seconds to minutes, so no process calls it that others wait for.
    """
    places = state.environments
    if not environment or places.built(environment) is not None:
        return places.interpreter(environment)
    with places.building(environment) as made:
        if places.built(environment) is None:
            try:
                _build(state, environment, made)
            except EvertrainError as error:
                places.note(environment, str(error), failed=True)
                raise
    _sweep(state, environment)
    return places.interpreter(environment)


def requirements() -> list[str]:
    """What evertrain itself requires, without extras, as its metadata say it."""
    return [one for one in distribution("evertrain").requires or () if "extra ==" not in one]


def _build(state: State, environment: str, made: Path) -> None:
    begun = time.monotonic()
    name = f"The environment {short(environment)}"
    lock = _lock_of(state, environment)
    free = shutil.disk_usage(made).free
    if free < _ROOM:
        raise PackageError(
            f"{name} cannot be built: {free >> 20} MiB are free at {state.path}, and it needs {_ROOM >> 20}.",
            "Free space where the state lies.",
        )
    tool = Installer(name, state.environments, environment, made)
    folder = made / "environment"
    tool.run("makes an interpreter", "venv", "--no-project", "--relocatable", "--python", sys.executable, str(folder))
    packages = next((folder / "lib").glob("python*/site-packages"))
    _copy_own(packages)
    _install(tool, lock, folder / "bin" / "python", made)
    tool.prove(folder / "bin" / "python", _RUNS_IN_IT)
    built = Built(lock=environment, packages=_packages(packages), seconds=round(time.monotonic() - begun, 1))
    state.environments.keep(environment, folder, built)


def _lock_of(state: State, environment: str) -> bytes:
    try:
        content = Artifacts.at(state.artifacts).blobs.get(Digest(environment))
    except EvertrainError as error:
        raise PackageError(f"The lock {short(environment)} cannot be read: {error.what}", error.remedy) from error
    return content


def _install(tool: Installer, content: bytes, python: Path, made: Path) -> None:
    """All packages in one resolution: first with the installation's versions, then with whatever fits."""
    lock = read_lock(content, "its lock")
    files = {"lock.txt": content, "own.txt": _lines(requirements()), "installed.txt": _lines(_installed_beside(lock))}
    for file, text in files.items():
        (made / file).write_bytes(text)
    words = ["pip", "install", "--python", str(python)]
    words += ["-r", str(made / "lock.txt"), "-r", str(made / "own.txt")]
    try:
        tool.run("installs its packages", *words, "--constraint", str(made / "installed.txt"))
    except UnsatisfiableError:
        tool.run("installs its packages, some in other versions than the installation has", *words)


def _installed_beside(lock: Lock) -> list[str]:
    """The installation's packages that the lock does not name, as they are."""
    found = {normal(one.name): one.version for one in distributions()}
    return sorted(f"{name}=={has}" for name, has in found.items() if name != "evertrain" and not lock.names(name))


def _lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _copy_own(packages: Path) -> None:
    """The code of evertrain that runs, with as much of its metadata as says which it is."""
    shutil.copytree(own_code(), packages / "evertrain", ignore=shutil.ignore_patterns("__pycache__"))
    own = distribution("evertrain")
    told = packages / f"evertrain-{own.version}.dist-info"
    told.mkdir()
    for file in ("METADATA", "entry_points.txt"):
        (told / file).write_text(own.read_text(file) or "", encoding="utf-8")
    (told / "RECORD").write_text("", encoding="utf-8")


def _packages(folder: Path) -> dict[str, str]:
    found = {normal(one.name): one.version for one in distributions(path=[str(folder)])}
    return dict(sorted(found.items()))


def _sweep(state: State, environment: str) -> None:
    """Remove environments that nothing routed needs, but for the last used ones."""
    artifacts = Artifacts.at(state.artifacts)
    wanted = [environment]
    with contextlib.suppress(EvertrainError, msgspec.DecodeError):
        table = RoutingFile(state.routing).read()
        wanted.extend(pool.environment for pool in table.pools)
        for route in table.routes.values():
            arms = (arm.version for arm in (route.canary, route.control) if arm is not None)
            versions = (route.champion, route.previous, route.reference, *route.prepare, *arms)
            wanted.extend(artifacts.manifest(version).runs_in for version in versions if version is not None)
        state.environments.sweep(wanted, spare=_SPARE)
