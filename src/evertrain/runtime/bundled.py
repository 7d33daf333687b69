"""Classes and functions of a version's own bundle, in a skops file.

Where a model is trained they live in a package that is named by the bundle's digest. The file names them by the digest
of their module with everything that it imports from the bundle: the same code gives the same bytes, whatever else
changed in the bundle, and other code gives other bytes. Where the file is loaded, the bundle of its version, which is
part of what was signed, has to hold exactly that code; a file that came without a bundle has none.
"""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from evertrain.config.bundle import digest_of_module
from evertrain.config.namespace import PREFIX, import_entry, module_of, name_of
from evertrain.core.identity import Digest, short
from evertrain.errors import DeclarationError, EvertrainError, ModelError, TrustError, say_raised

__all__ = ["SCHEMA", "bind", "name_by_code"]

SCHEMA: Final = "schema.json"
"""The member of a skops file that holds the tree of its objects."""

_CODE: Final = "_evertrain_code_"


def name_by_code(tree: Any, folder: Path | None) -> None:
    """Rename the bundle's modules in the tree of a skops file that is being saved. folder: the unpacked bundle.

    Raises ModelError for a lambda or whatever else cannot be found again by name.
    """
    renamed: dict[str, str] = {}
    for node in _owned(tree, PREFIX):
        module, name = str(node["__module__"]), str(node["__class__"])
        if folder is None or not hasattr(sys.modules.get(module), name):
            raise ModelError(
                f"{name} of {module_of(module)} cannot be found again by name.",
                "Define it at the top level of the declaration or of a module beside it; a lambda has no name.",
            )
        if module not in renamed:
            renamed[module] = f"{_CODE}{digest_of_module(folder, module_of(module))}.{module_of(module)}"
        node["__module__"] = renamed[module]


def bind(content: bytes, name: str, bundle: Digest | None, folder: Path | None) -> tuple[bytes, str]:
    """A skops file whose own modules are those of the version's bundle, imported and checked; others stay as they are.

    name: of the file. folder: where the bundle lies unpacked. Also returns the package of the bundle's modules, whose
    types are the version's own; "" when the file has none of them. Raises TrustError for code that is not the bundle's.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = archive.read(SCHEMA)
        if _CODE.encode() not in schema and PREFIX.encode() not in schema:
            return content, ""
        members = {one: archive.read(one) for one in archive.namelist()}
    tree = json.loads(schema)
    if bundle is None or folder is None or next(_owned(tree, PREFIX), None) is not None:
        raise TrustError(
            f"{name} needs code of the declaration that it was trained under, and came without it.",
            "Have it trained here, by train= of the declaration: a file does not bring its code along.",
        )
    modules: dict[str, ModuleType] = {}
    for node in _owned(tree, _CODE):
        stated, kind = str(node["__module__"]), str(node["__class__"])
        if stated not in modules:
            modules[stated] = _module(stated, name, bundle, folder)
        found = modules[stated]
        if getattr(getattr(found, kind, None), "__module__", None) != found.__name__:
            raise TrustError(f"{name} needs {kind}, which {module_of(found.__name__)} of its bundle does not define.")
        node["__module__"] = found.__name__
    members[SCHEMA] = json.dumps(tree).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, body in members.items():
            archive.writestr(member, body)
    return out.getvalue(), f"{name_of(bundle)}."


def _module(stated: str, name: str, bundle: Digest, folder: Path) -> ModuleType:
    """The module of the bundle that a file means, if its code is the stated one."""
    digest, _, module = stated.removeprefix(_CODE).partition(".")
    try:
        same = digest_of_module(folder, module) == digest
    except DeclarationError:
        same = False
    if not same:
        raise TrustError(
            f"{name} needs module {module!r} as it was in its training; bundle {short(bundle)} holds other code.",
            "Train it again.",
        )
    try:
        return import_entry(folder, bundle, module)
    except EvertrainError:
        raise
    except Exception as error:  # the user's module: whatever it raises is charged to its version
        raise ModelError(f"Module {module!r} of the bundle cannot be imported: {say_raised(error)}.") from error


def _owned(node: Any, prefix: str) -> Iterator[dict[str, Any]]:
    """Every node of the tree whose module begins so."""
    if isinstance(node, list):
        for one in node:
            yield from _owned(one, prefix)
    elif isinstance(node, dict):
        if str(node.get("__module__", "")).startswith(prefix):
            yield node
        for one in node.values():
            yield from _owned(one, prefix)
