"""Where a version can answer: in the workers, whose libraries they all share, or in a process of its own alone."""

from evertrain.control.planes import Planes
from evertrain.core.identity import VersionId, short

__all__ = ["lodged_elsewhere"]


def lodged_elsewhere(planes: Planes, version: VersionId) -> str | None:
    """Why no worker can hold a version: it needs other libraries than they have. None where they can."""
    environment = planes.manifest(version).runs_in
    if not environment:
        return None
    return f"it runs in environment {short(environment)}, and the workers, which it would enter, do not"
