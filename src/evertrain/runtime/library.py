"""The shared library that a package brings, opened without importing the package."""

import ctypes
import importlib.util
from pathlib import Path

from evertrain.errors import ModelError

__all__ = ["open_library"]


def open_library(package: str, product: str, stem: str) -> ctypes.CDLL:
    """The library `stem` (without its ending) of an installed package, which is named as its extra is.

    product: what its models are called. ModelError, with the remedy, when there is none.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"{'An' if product[0] in 'AEIOX' else 'A'} {product} model needs the package {package}.",
            f"Install it: pip install 'evertrain[{package}]'.",
        )
    root = Path(spec.submodule_search_locations[0])
    for path in (folder / f"{stem}{ending}" for folder in (root / "lib", root) for ending in (".so", ".dylib")):
        if path.exists():
            return ctypes.CDLL(str(path))
    raise ModelError(f"The package {package} at {root} has no library in it.", "Install it again.")
