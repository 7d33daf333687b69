"""The user's code as one content-addressed file, so that an edit on disk changes nothing that runs.

A bundle is a ZIP archive without compression, its names sorted and its times fixed: the same files give the same
bytes. It holds the modules that the entry module imports from its own folder, what `include` names, and `bundle.json`
with the files' digests, the interpreter and the installed packages. How it is imported stands in `config.namespace`.
"""

import ast
import contextlib
import importlib
import importlib.metadata
import inspect
import io
import os
import platform
import re
import secrets
import shutil
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from evertrain.core.identity import Digest, canonical, digest_of, digest_of_bytes
from evertrain.errors import DeclarationError, IntegrityError

__all__ = [
    "CONTENTS",
    "Bundle",
    "Contents",
    "closure",
    "digest_of_module",
    "freeze",
    "is_own",
    "pack",
    "read_folder",
    "sweep",
    "unpack",
]

CONTENTS: Final = "bundle.json"
MAX_BYTES: Final = 20 * 1024 * 1024
MAX_FILES: Final = 2_000

_EPOCH = (1980, 1, 1, 0, 0, 0)
_SECRET = re.compile(
    r"\.env(\..*)?|\.netrc|\.pypirc|id_(rsa|dsa|ecdsa|ed25519).*|(secrets?|tokens?|credentials?)(\.[a-z]+)?"
    r"|.*\.(pem|key|p12|pfx|kdbx)",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"\..*|__pycache__|node_modules|site-packages", re.IGNORECASE)
_DATA = re.compile(
    r".*\.(csv|tsv|parquet|arrow|feather|orc|avro|db|sqlite|duckdb|gz|zip|tar|zst|log|jsonl)", re.IGNORECASE
)


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle says of itself. files: path in the bundle to SHA-256; packages: name to installed version."""

    entry: str
    files: dict[str, Digest]
    interpreter: str
    packages: dict[str, str]


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen bundle: the archive's bytes and their digest."""

    content: bytes
    digest: Digest
    contents: Contents


def freeze(folder: Path, entry: str, include: Iterable[str] = ()) -> Bundle:
    """Collect what the module `entry` of `folder` needs, as it is now.

    include: globs below the folder for files that no import names. A wildcard takes neither data nor secrets, hidden
    files, environments or state directories; a data file can be named in full, a secret never.
    """
    names = set(closure(folder, entry))
    for pattern in include:
        names.update(_included(folder, pattern))
    _bound(folder, names)
    files = {name: (folder / name).read_bytes() for name in sorted(names)}
    contents = Contents(
        entry=entry,
        files={name: digest_of_bytes(content) for name, content in files.items()},
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        packages=_packages(),
    )
    content = pack({**files, CONTENTS: canonical(contents)})
    return Bundle(content=content, digest=digest_of_bytes(content), contents=contents)


def closure(folder: Path, module: str) -> tuple[str, ...]:
    """The files of `folder` that importing `module` may read, sorted: imports are followed, also inside functions.

    Names that are computed (`importlib.import_module(name)`) cannot be followed: `include` is for them. A module of
    evertrain's own reads none of the folder.
    """
    if is_own(module):
        return ()
    if _file_of(folder, module) is None:
        raise DeclarationError(f"There is no module {module!r} in {folder}.", "Name a Python file of that folder.")
    found: dict[str, None] = {}
    waiting = [module]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting.extend(name.rpartition(".")[:1] if "." in name else ())
        path = _file_of(folder, name)
        if path is None:
            continue
        found[path.relative_to(folder).as_posix()] = None
        waiting.extend(_imports(path, name if path.name == "__init__.py" else name.rpartition(".")[0]))
    return tuple(sorted(found))


def digest_of_module(folder: Path, module: str) -> Digest:
    """The digest of a module together with everything that it imports from the folder: the identity of its code."""
    if is_own(module):
        return digest_of_bytes(inspect.getsource(importlib.import_module(module)).encode())
    return digest_of({name: digest_of_bytes((folder / name).read_bytes()) for name in closure(folder, module)})


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files: the same for the same files, whenever and wherever it is made.

    >>> pack({"a.py": b"1", "b.py": b""}) == pack({"b.py": b"", "a.py": b"1"})
    True
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def unpack(content: bytes, digest: Digest, cache: Path) -> Path:
    """Write the bundle's files to the folder `cache/<digest>`, or find it there. A reader sees all of it or nothing.

    The folder is a cache: who imports from it checks it again. When it was asked for last, its own time says.
    """
    if digest_of_bytes(content) != digest:
        raise IntegrityError(f"The bundle {digest} was altered.", "Restore it from a backup.")
    target = cache / digest
    with contextlib.suppress(FileNotFoundError):
        os.utime(target)
        return target
    cache.mkdir(parents=True, exist_ok=True)
    beside = _beside(target)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                path = beside / _safe(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))
        try:
            beside.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _beside(target: Path) -> Path:
    """A name for what is not whole yet, or no more."""
    return target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")


def sweep(cache: Path, wanted: Collection[Digest], *, most: int, before: float) -> list[Path]:
    """Remove the unpacked bundles that are not wanted and were asked for last before then, but for the `most` newest.

    before: seconds since 1970. Returns the folders that are gone.
    """
    asked = [(path.stat().st_mtime, path) for path in cache.glob("[!.]*") if path.name not in wanted]
    gone = []
    for at, folder in sorted(asked, reverse=True)[most:]:
        if at < before:
            # Whole or not there, for whoever asks now.
            away = folder.rename(_beside(folder))
            shutil.rmtree(away, ignore_errors=True)
            gone.append(folder)
    return gone


def read_folder(folder: Path, digest: Digest) -> dict[str, bytes]:
    """The files of an unpacked bundle, checked as a whole against its digest; strange files beside them do not count.

    Raises IntegrityError when a file is missing or was altered.
    """
    remedy = f"Remove the folder {folder}: it is a cache and is unpacked anew."
    try:
        stated = (folder / CONTENTS).read_bytes()
        names = msgspec.json.decode(stated, type=Contents).files
        files = {name: (folder / _safe(name)).read_bytes() for name in names}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"The unpacked bundle {folder} is not whole.", remedy) from error
    if digest_of_bytes(pack({**files, CONTENTS: stated})) != digest:
        raise IntegrityError(f"The unpacked bundle {folder} was altered.", remedy)
    return files


def is_own(module: str) -> bool:
    """Whether a reference names a module of evertrain itself, which is installed and stands in no bundle.

    >>> is_own("evertrain.model.boosting"), is_own("service")
    (True, False)
    """
    return module.startswith("evertrain.")


# Following imports ---------------------------------------------------------------------------------------------------


def _file_of(folder: Path, module: str) -> Path | None:
    """The file of a module below the folder; None for what is installed, built in, or a folder without __init__."""
    if not module or not all(part.isidentifier() for part in module.split(".")):
        return None
    base = folder.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return None


def _imports(path: Path, package: str) -> Iterator[str]:
    """Every module name that the file may import; a name after `from x import` may be a module of its own."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise DeclarationError(f"{path}, line {line}: {getattr(error, 'msg', error)}.", "Mend the file.") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            if base is not None:
                yield base
                yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _base(node: ast.ImportFrom, package: str) -> str | None:
    """The absolute module that a `from` names; "" for the folder itself, None when it lies above the folder."""
    if node.level == 0:
        return node.module
    parts = package.split(".") if package else []
    if node.level - 1 > len(parts):
        return None
    kept = parts[: len(parts) - (node.level - 1)]
    return ".".join([*kept, node.module] if node.module else kept)


# Choosing files ------------------------------------------------------------------------------------------------------


def _included(folder: Path, pattern: str) -> Iterator[str]:
    pure = PurePosixPath(pattern)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise DeclarationError(f"include={pattern!r} leaves the declaration's folder.", "Name files below that folder.")
    wildcard = any(sign in pattern for sign in "*?[")
    matches = [path for path in folder.glob(pattern) if path.is_file()]
    if not matches:
        raise DeclarationError(f"include={pattern!r} matches no file in {folder}.", "Mend the pattern or leave it out.")
    for path in matches:
        name = path.relative_to(folder)
        if any(_SECRET.fullmatch(said) for said in {path.name, path.resolve().name}) and path.suffix != ".py":
            if not wildcard:
                raise DeclarationError(
                    f"include={pattern!r} names what looks like a secret.", "Hand secrets over by file or environment."
                )
        elif not wildcard or not _left_out(folder, name):
            yield name.as_posix()


def _left_out(folder: Path, name: Path) -> bool:
    """Whether a wildcard passes the file over."""
    if any(_FOREIGN.fullmatch(part) for part in name.parts) or _DATA.fullmatch(name.name):
        return True
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        return True
    above = [folder / parent for parent in name.parents if parent != Path()]
    return any((parent / mark).is_file() for parent in above for mark in ("state.json", "pyvenv.cfg"))


def _bound(folder: Path, names: Iterable[str]) -> None:
    sizes = {name: (folder / name).stat().st_size for name in names}
    if sum(sizes.values()) > MAX_BYTES or len(sizes) > MAX_FILES:
        largest = max(sizes, key=lambda name: (sizes[name], name))
        raise DeclarationError(
            f"The bundle of {folder} has {len(sizes)} files and {sum(sizes.values()):,} bytes; {MAX_FILES:,} files and "
            f"{MAX_BYTES:,} bytes are allowed. The largest is {largest} with {sizes[largest]:,} bytes.",
            "Narrow include=; data stay where they are and are read as sources.",
        )


def _packages() -> dict[str, str]:
    """Name to version of every installed distribution, names normalised as the package index does."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return dict(sorted(found.items()))


def _safe(name: str) -> PurePosixPath:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or not pure.parts:
        raise IntegrityError(f"A bundle holds the name {name!r}, which leaves its folder.", "Do not use this bundle.")
    return pure
