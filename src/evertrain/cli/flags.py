"""A flag for each setting, made from the settings themselves, so that none can be forgotten or be called otherwise."""

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from evertrain.config.settings import FILE, Settings, Stated, stated_settings

__all__ = ["given_flags", "takes_settings", "words_of"]

_FLAGS = inspect.Parameter.VAR_KEYWORD


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that ends in `**flags: str | None` an option for each setting that it does not name itself.

    All are texts: they are read, and refused by name and bounds, where the file and the environment are.
    """
    signature = inspect.signature(command)
    own = [one for one in signature.parameters.values() if one.kind is not _FLAGS]
    taken = {one.name for one in own}
    made = [one for one in _parameters() if one.name not in taken]

    @functools.wraps(command)
    def with_flags(**given: Any) -> None:
        command(**given)

    with_flags.__signature__ = signature.replace(parameters=[*own, *made])  # type: ignore[attr-defined]
    with_flags.__annotations__ = {one.name: one.annotation for one in (*own, *made)}
    return with_flags


def _parameters() -> list[inspect.Parameter]:
    defaults = Stated(settings=Settings(), origins=dict.fromkeys(Settings.__struct_fields__, "default"))
    return [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, typer.Option(one.flag, help=_help(one.meaning, one.value, one.unit))],
        )
        for one in stated_settings(defaults)
        if one.name != "hooks"  # tables of a file, not a word
    ]


def _help(meaning: str, value: str, unit: str) -> str:
    known = f"{value} {unit}" if unit and unit != "duration" else value
    return f"{meaning} Default: {known}."


def given_flags(flags: Mapping[str, Any]) -> dict[str, str]:
    """The flags that were given, as texts."""
    return {name: str(value) for name, value in flags.items() if value is not None}


def words_of(stated: Stated, file: Path | None) -> tuple[str, ...]:
    """The flags that say the same from any folder and in any environment; without `--dir`.

    file: of settings, None for `evertrain.toml` in the working directory, which counts where it says anything.
    """
    words: list[str] = []
    for one in stated_settings(stated):
        if one.name != "dir" and one.origin in ("flag", "environment"):
            words += [one.flag, one.value]
    if file is not None or "file" in stated.origins.values():
        words += ["--settings", str((file or Path(FILE)).absolute())]
    return tuple(words)
