"""Whether this process has the libraries of a version: whoever loads one asks first."""

from evertrain.core.identity import short
from evertrain.core.model import Manifest
from evertrain.errors import PackageError
from evertrain.store.state import State

__all__ = ["require_home"]


def require_home(state: State, manifest: Manifest) -> None:
    """Raise PackageError for a version that runs in another environment than this process does."""
    if state.environments.is_home(manifest.runs_in):
        return
    needs = f"environment {short(manifest.runs_in)}" if manifest.runs_in else "installation's own environment"
    raise PackageError(
        f"Version {short(manifest.version)} runs in the {needs}, and this process does not.",
        "It needs a process of its own; the supervisor starts one for a version on trial.",
    )
