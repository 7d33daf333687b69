"""The lock that a declaration names: read where the declaration stands, and kept by its digest."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from evertrain.config.declaration import LockSpec, ServiceSpec
from evertrain.core.identity import Digest, digest_of_bytes
from evertrain.core.lock import read_lock
from evertrain.errors import DeclarationError, UserError

__all__ = ["files_of_locks", "named_lock", "with_locks"]


def named_lock(service: str, path: str) -> LockSpec | msgspec.UnsetType:
    """What `environment=` says; nothing for "". The file is read when the declaration is taken in."""
    if not path:
        return msgspec.UNSET
    place = PurePosixPath(path)
    if place.is_absolute() or ".." in place.parts:
        raise DeclarationError(
            f"Service {service!r}: environment={path!r} is no file below the declaration's folder.",
            'Name a lock relative to that folder: environment="requirements.lock".',
        )
    return LockSpec(name=place.as_posix(), content=Digest(""))


def with_locks(services: Iterable[ServiceSpec], folder: Path) -> tuple[ServiceSpec, ...]:
    """The services, each with the content of its lock. DeclarationError where that is none, or is not there."""
    return tuple(
        spec if spec.environment is msgspec.UNSET else _read(spec, spec.environment, folder) for spec in services
    )


def _read(spec: ServiceSpec, lock: LockSpec, folder: Path) -> ServiceSpec:
    try:
        content = (folder / lock.name).read_bytes()
        read_lock(content, lock.name)
    except OSError as error:
        raise DeclarationError(
            f"Service {spec.name!r} is to run in {lock.name}, which cannot be read: {error.strerror}.",
            "Name a lock beside the declaration, as `uv pip compile --generate-hashes` writes one.",
        ) from error
    except UserError as error:
        raise DeclarationError(f"Service {spec.name!r}: {error.what}", error.remedy) from error
    return msgspec.structs.replace(spec, environment=LockSpec(name=lock.name, content=digest_of_bytes(content)))


def files_of_locks(services: Iterable[ServiceSpec]) -> dict[str, Digest]:
    """The locks of these services, by their names in the declaration's folder; they are part of its bundle."""
    return {
        spec.environment.name: spec.environment.content for spec in services if spec.environment is not msgspec.UNSET
    }
