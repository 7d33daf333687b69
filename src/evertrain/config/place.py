"""Where an installation lies, for commands that need nothing else of the settings and may be typed in an emergency."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from evertrain.config.settings import FILE, PREFIX, Settings, load
from evertrain.errors import SettingsError

__all__ = ["Place", "find_place"]

_DIR = re.compile(r"""\s*["']?dir["']?\s*=""")
_VARIABLE: Final = f"{PREFIX}DIR"


class Place(NamedTuple):
    """A state directory. fault: what is wrong with the settings that name it, and does not matter here."""

    dir: Path
    fault: SettingsError | None = None


def find_place(folder: Path | None, environment: Mapping[str, str]) -> Place:
    """The folder that was named, else the one that the settings name, though something else in them is broken.

    SettingsError where a broken file may name a folder, and nobody can tell which.
    """
    try:
        stated = load({"dir": None if folder is None else str(folder)}, environment=environment)
    except SettingsError as error:
        return Place(folder or Path(environment.get(_VARIABLE) or _in_file(error)), error)
    return Place(Path(stated.settings.dir))


def _in_file(error: SettingsError) -> str:
    """What the file says of the folder: in the lines before its first table, each read for itself."""
    try:
        lines = Path(FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return Settings().dir
    except (OSError, UnicodeDecodeError):
        raise error from None
    first = next((number for number, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    for line in filter(_DIR.match, lines[:first]):
        try:
            found = tomllib.loads(line)["dir"]
        except tomllib.TOMLDecodeError:
            raise error from None
        if not isinstance(found, str):
            raise error
        return found
    return Settings().dir
