"""The environment of a file that comes in: the lock that its person names, or that its service declares."""

from pathlib import Path

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.lock import read_lock
from evertrain.core.model import Manifest
from evertrain.errors import UserError
from evertrain.store.artifact import Artifacts

__all__ = ["lock_for", "unhashed"]


def lock_for(artifacts: Artifacts, spec: ServiceSpec, path: Path | None) -> bytes | None:
    """The lock that a person names, or the declaration does; UserError where it is none."""
    if path is None:
        return None if spec.lock is msgspec.UNSET else artifacts.blobs.get(spec.lock)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The lock {path} cannot be read: {error.strerror}.", "Name a requirements.lock.") from error
    read_lock(content, path.name)
    return content


def unhashed(artifacts: Artifacts, manifest: Manifest) -> tuple[str, ...]:
    """What a person should know of a lock that does not fix the files of all of its packages."""
    if manifest.lock is msgspec.UNSET:
        return ()
    names = read_lock(artifacts.blobs.get(manifest.lock), "the lock").unhashed
    if not names:
        return ()
    named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (f"the lock has no hashes for {named}: an index may give other files (uv pip compile --generate-hashes)",)
