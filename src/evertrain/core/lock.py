"""The lock of an environment: exact versions of packages, one a line, as `uv pip compile` and pip-tools write them.

A lock is a promise that the same lines give the same packages. A line that leaves a version open, or that names a place
(a URL, a folder, another file, an index), does not keep it, and is refused. Hashes make it hold against an index that
changes its mind; without them it is taken, and the packages without are told.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from evertrain.errors import UserError

__all__ = ["Lock", "Pin", "normal", "read_lock"]

_WRITE: Final = "uv pip compile requirements.in --generate-hashes -o requirements.lock"
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*==\s*(?P<version>[0-9A-Za-z.+!_-]+)"
    r"\s*(?:;(?P<marker>.*))?"
)
_HASH = re.compile(r"\s--hash[= ](?P<hash>\S+)")
_COMMENT = re.compile(r"(^|\s)#.*")
_MOST_BYTES: Final = 4 << 20


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One line. name: normalised. marker: where it holds, "" everywhere. hashed: whether hashes of its files stand."""

    name: str
    version: str
    marker: str = ""
    hashed: bool = False


class Lock(msgspec.Struct, frozen=True):
    """The lines of a lock, in its order."""

    pins: tuple[Pin, ...]

    def version(self, package: str) -> str | None:
        """The version of a package; None where it is not named, or markers choose between several."""
        found = {pin.version for pin in self.pins if pin.name == normal(package)}
        return found.pop() if len(found) == 1 else None

    def names(self, package: str) -> bool:
        return any(pin.name == normal(package) for pin in self.pins)

    @property
    def unhashed(self) -> tuple[str, ...]:
        """The packages that an index could exchange unnoticed."""
        return tuple(dict.fromkeys(pin.name for pin in self.pins if not pin.hashed))


def normal(package: str) -> str:
    """A package's name as indexes compare it.

    >>> normal("Scikit_Learn")
    'scikit-learn'
    """
    return re.sub(r"[-_.]+", "-", package).lower()


def read_lock(content: bytes, name: str) -> Lock:
    """The lock that a file holds; UserError names the line that is none. name: of the file.

    >>> lock = read_lock(b"numpy==2.1.0 ; python_version < '3.14'  # why", "requirements.lock")
    >>> lock.version("NumPy"), lock.unhashed
    ('2.1.0', ('numpy',))
    """
    if len(content) > _MOST_BYTES:
        raise UserError(f"{name} has more than {_MOST_BYTES >> 20} MiB and is no lock.", f"Write one: {_WRITE}.")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is no text file.", f"Write a lock: {_WRITE}.") from error
    if re.search(r"^\[[\[\w]", text, re.MULTILINE):
        raise UserError(
            f"{name} is a TOML file, and an environment is locked by lines of the form name==version.",
            "uv, poetry and pdm export one: uv export --no-emit-project -o requirements.lock.",
        )
    pins = tuple(_read_line(line, number, name) for number, line in _logical_lines(text))
    if not pins:
        raise UserError(f"{name} names no package.", f"Write a lock: {_WRITE}.")
    return Lock(pins)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines without comments, those that end in a backslash joined to the next; with the number of the first."""
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if joined else number
        bare = _COMMENT.sub("", line).strip()
        joined = f"{joined} {bare.removesuffix(chr(92))}".strip()
        if bare.endswith(chr(92)):
            continue
        if joined:
            yield first, joined
        joined = ""
    if joined:
        yield first, joined


def _read_line(line: str, number: int, name: str) -> Pin:
    place = f"{name}, line {number}"
    if line.startswith("-"):
        raise UserError(
            f"{place}: {line.split(maxsplit=1)[0].partition('=')[0]} is no package.",
            "Leave it out of the lock: where packages come from is configuration of the machine (uv.toml, "
            "UV_DEFAULT_INDEX), and a lock names them all.",
        )
    if "@" in line.partition(";")[0] or "://" in line.partition("--hash")[0]:
        raise UserError(
            f"{place} names a place, and what lies there may change.",
            "Name a version of an index: name==version.",
        )
    requirement, _, _ = line.partition(" --hash")
    found = _PIN.fullmatch(requirement.strip())
    if found is None:
        raise UserError(
            f"{place}: {requirement.strip()[:60]!r} is not one exact version.",
            f"Write name==version; a tool finds them all: {_WRITE}.",
        )
    hashes = _HASH.findall(f" {line}")
    strange = [one for one in hashes if not one.startswith("sha256:")]
    if strange:
        raise UserError(
            f"{place}: the hash {strange[0][:40]!r} is no SHA-256.", "Write the lock with --generate-hashes."
        )
    return Pin(
        name=normal(found["name"]),
        version=found["version"],
        marker=(found["marker"] or "").strip(),
        hashed=bool(hashes),
    )
