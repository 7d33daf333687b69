"""Importing the modules of a user's folder as they stand now.

Python tells cached bytecode from its source by the second and the size: after two saves within a second it runs the
first one's. So what lies in the folder of a declaration is compiled at each import, and nothing is written beside it;
libraries are imported as always.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path

__all__ = ["AsItStands", "import_from"]


class AsItStands(SourceFileLoader):
    """Compiles the text of a file, and neither reads nor writes bytecode."""

    def path_stats(self, path: str | bytes) -> dict[str, float]:
        """None, by which Python knows that bytecode cannot be told to be of this text."""
        raise OSError(f"The bytecode of {path!r} is not asked for.")


def import_from(folder: Path) -> None:
    """Let this process import modules and packages of a folder, before those of any other place."""

    def find(place: str) -> FileFinder:
        inside = [Path(place), *Path(place).parents]
        nearest = min((inside.index(Path(one)) for one in sys.path if Path(one) in inside), default=-1)
        if (
            nearest < 0 or inside[nearest] != folder
        ):  # the libraries of a .venv in the folder have an entry of their own
            raise ImportError(place)
        return FileFinder(place, (ExtensionFileLoader, EXTENSION_SUFFIXES), (AsItStands, SOURCE_SUFFIXES))

    sys.path.insert(0, str(folder))
    sys.path_hooks.insert(0, find)
    for place in list(sys.path_importer_cache):
        if folder in (Path(place), *Path(place).parents):
            del sys.path_importer_cache[place]
