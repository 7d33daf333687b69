"""Whether this process has the libraries of a version: whoever loads one asks first, and again where that fails."""

import importlib.metadata
from collections.abc import Iterator

from evertrain.core.identity import Digest, short
from evertrain.core.lock import read_lock
from evertrain.core.model import Manifest
from evertrain.errors import PackageError
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["misfit", "require_home"]


def require_home(state: State, manifest: Manifest) -> None:
    """Raise PackageError for a version that runs in another environment than this process does."""
    if state.environments.is_home(manifest.runs_in):
        return
    needs = f"environment {short(manifest.runs_in)}" if manifest.runs_in else "installation's own environment"
    raise PackageError(
        f"Version {short(manifest.version)} runs in the {needs}, and this process does not.",
        "It needs a process of its own; the supervisor starts one for a version on trial.",
    )


def misfit(artifacts: Artifacts, manifest: Manifest) -> str:
    """The first package that is not here as the version's lock, or else its manifest, says; "" where all are."""
    for name, wanted in _promised(artifacts, manifest):
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return f"{name} {wanted} is not installed here"
        if here != wanted:
            return f"{name} is {here} here, and was to be {wanted}"
    return ""


def _promised(artifacts: Artifacts, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Name and version of each package; a line of a lock that holds in some places only promises nothing here."""
    if not manifest.runs_in:
        yield from manifest.environment.items()
        return
    lock = read_lock(artifacts.blobs.get(Digest(manifest.runs_in)), "its lock")
    yield from ((pin.name, pin.version) for pin in lock.pins if not pin.marker)
