"""What a model's library costs to start: its shared library opened alone, or its package without what it draws in."""

import ctypes
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from evertrain.errors import ModelError, PackageError

__all__ = ["import_without", "open_library"]


def open_library(package: str, product: str, stem: str) -> ctypes.CDLL:
    """The library `stem` (without its ending) of an installed package, which is named as its extra is.

    product: what its models are called. ModelError, with the remedy, when there is none.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PackageError(
            f"{'An' if product[0] in 'AEIOX' else 'A'} {product} model needs the package {package}.",
            f"Install it: pip install 'evertrain[{package}]'.",
        )
    root = Path(spec.submodule_search_locations[0])
    for path in (folder / f"{stem}{ending}" for folder in (root / "lib", root) for ending in (".so", ".dylib")):
        if path.exists():
            return ctypes.CDLL(str(path))
    raise ModelError(f"The package {package} at {root} has no library in it.", "Install it again.")


def import_without(name: str, companions: Iterable[str]) -> ModuleType:
    """Import a module, telling it that these packages are not installed; it is for those that it can do without.

    Nobody else is told so: not other threads, and nothing afterwards. What is imported already stays.
    """
    if name in sys.modules:
        return sys.modules[name]
    hiding = _Hiding(frozenset(companions))
    sys.meta_path.insert(0, hiding)
    try:
        return importlib.import_module(name)
    finally:
        sys.meta_path.remove(hiding)


class _Hiding(MetaPathFinder):
    """Finds packages to be missing, for the thread that made it."""

    def __init__(self, packages: frozenset[str]) -> None:
        self._packages = packages
        self._thread = threading.get_ident()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the import system hands them over
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if threading.get_ident() == self._thread and fullname.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None
