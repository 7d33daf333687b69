"""The environment of a file that comes in: the lock that its person names, or that its service declares."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import short
from evertrain.core.lock import read_lock
from evertrain.core.model import Manifest
from evertrain.core.registry import ServiceRecord
from evertrain.errors import UserError
from evertrain.store.artifact import Artifacts

__all__ = ["lock_for", "lock_of", "unhashed", "without_lock"]


def lock_for(artifacts: Artifacts, spec: ServiceSpec, path: Path | None) -> bytes | None:
    """The lock that a person names, or the declaration does; UserError where it is none."""
    if path is None:
        return None if spec.lock is msgspec.UNSET else artifacts.blobs.get(spec.lock)
    return lock_of(path)


def lock_of(path: Path) -> bytes:
    """What a lock that a person names holds; UserError where it is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The lock {path} cannot be read: {error.strerror}.", "Name a requirements.lock.") from error
    read_lock(content, path.name)
    return content


def without_lock(artifacts: Artifacts, manifest: Manifest, record: ServiceRecord) -> Iterator[str]:
    """That a file comes without a lock where the version that answers has one: somebody may have forgotten it."""
    if manifest.runs_in or record.champion is None:
        return
    lock = artifacts.runs_in(record.champion)
    if lock:
        ordinal = record.versions[record.champion].ordinal
        yield (
            f"it comes without a lock, so it runs with the installation's own packages, and version {ordinal}, which "
            f"answers, with those of lock {short(lock)}; --environment names a lock"
        )


def unhashed(artifacts: Artifacts, manifest: Manifest) -> tuple[str, ...]:
    """What a person should know of a lock that does not fix the files of all of its packages."""
    if manifest.lock is msgspec.UNSET:
        return ()
    names = read_lock(artifacts.blobs.get(manifest.lock), "the lock").unhashed
    if not names:
        return ()
    named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (f"the lock has no hashes for {named}: an index may give other files (uv pip compile --generate-hashes)",)
