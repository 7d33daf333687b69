"""An existing training script as a recipe: how it is called, and which files of the bundle it needs."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from evertrain.config.bundle import closure
from evertrain.config.declaration import ScriptSpec, ServiceSpec
from evertrain.config.option import closed
from evertrain.config.wording import suggestion
from evertrain.errors import DeclarationError

__all__ = ["CSV", "MODEL", "ROWS", "files_of_scripts", "script"]

ROWS = "{rows}"
CSV = "{csv}"
MODEL = "{model}"
_PLACES = (ROWS, CSV, MODEL, "{seed}", "{threads}")


@closed
def script(path: str, *arguments: str) -> ScriptSpec:
    """A training script, run as `python PATH ARGUMENTS` in a folder of its own.

    arguments: {rows} is filled in with the path of a Parquet file, {csv} with the path of the same rows as CSV, {model}
    with where the model is to be left, {seed} and {threads} with numbers; "--out={model}.ubj" works too. Without
    arguments it is called with {rows} and {model}. The rows are the training rows: the features under their names,
    and the label under its own.
    """
    place = PurePosixPath(path)
    if place.suffix != ".py" or place.is_absolute() or ".." in place.parts:
        raise DeclarationError(
            f"et.script({path!r}) is no Python file below the declaration's folder.", "Name it relative to that folder."
        )
    given = arguments or (ROWS, MODEL)
    if not any(ROWS in one or CSV in one for one in given):
        raise DeclarationError(
            f"et.script({path!r}) is never told where its rows are.", f'Put "{ROWS}" or "{CSV}" among its arguments.'
        )
    for one in given:
        unknown = [name for name in _named(one) if name not in _PLACES]
        if unknown:
            raise DeclarationError(
                f"et.script({path!r}) has the unknown place {unknown[0]} in {one!r}.", suggestion(unknown[0], _PLACES)
            )
    return ScriptSpec(path=place.as_posix(), arguments=given)


def files_of_scripts(folder: Path, services: Iterable[ServiceSpec]) -> tuple[str, ...]:
    """The scripts that these services train by, and what they import from beside themselves; for `bundle.freeze`.

    Raises DeclarationError when a script is not there.
    """
    found: dict[str, None] = {}
    for spec in services:
        for name, recipe in spec.recipes.items():
            if recipe.script is None:
                continue
            path = folder / recipe.script.path
            if not path.is_file():
                raise DeclarationError(
                    f"Recipe {name!r} of service {spec.name!r} runs {recipe.script.path}, and there is no {path}.",
                    "Name the script relative to the declaration's folder.",
                )
            beside = PurePosixPath(recipe.script.path).parent
            found.update(dict.fromkeys((beside / one).as_posix() for one in closure(path.parent, path.stem)))
    return tuple(found)


def _named(argument: str) -> list[str]:
    """What stands in braces.

    >>> _named("--out={model}.ubj"), _named("plain")
    (['{model}'], [])
    """
    pieces = argument.split("{")[1:]
    return ["{" + piece.partition("}")[0] + "}" for piece in pieces if "}" in piece]
