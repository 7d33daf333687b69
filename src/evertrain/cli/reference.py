"""Writes the pages of docs/reference from the code: `python -m evertrain.cli.reference FOLDER`."""

import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import msgspec

from evertrain.core.event import Fact

__all__ = ["PAGES", "main"]

_NOTE = "<!-- Written by `make docs` from the code. Change the code, not this page. -->\n"


def events_page() -> str:
    """Every kind of event that the ledger may hold, with its fields."""
    facts = sorted(get_args(Fact), key=_kind)
    parts = [
        "# Ledger events",
        _NOTE,
        "Each event has a sequence number, an id, the business time, an actor, a subject, a reason in one sentence,",
        "and one of the facts below. Ids, digests and counts only: the ledger holds no data about persons.",
    ]
    for fact in facts:
        parts += ["", f"## `{_kind(fact)}`", _paragraph(fact), "", "| field | type | default |", "|---|---|---|"]
        parts += [_row(f"`{f.name}`", f"`{_say_type(f.type)}`", _say_default(f)) for f in msgspec.structs.fields(fact)]
    return _joined(parts)


def _kind(fact: type[msgspec.Struct]) -> str:
    return str(fact.__struct_config__.tag)


def _paragraph(described: object) -> str:
    return " ".join((inspect.getdoc(described) or "").split())


def _say_type(annotation: object) -> str:
    if set(get_args(annotation)) > {type(None)}:
        inner = [_say_type(part) for part in get_args(annotation) if part is not type(None)]
        return " or ".join([*inner, "None"])
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    for noise in ("typing.", "evertrain.core.", "identity.", "model.", "schema.", "time."):
        text = text.replace(noise, "")
    return text.replace("|", "or").replace("NoneType", "None")


def _say_default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        return f"`{field.default!r}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`"
    return ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {"events.md": events_page}
"""File name under docs/reference to the function that writes it."""


def main(arguments: list[str]) -> None:
    """Write all pages into the folder that is named."""
    (folder,) = arguments
    for name, page in PAGES.items():
        (Path(folder) / name).write_text(page(), encoding="utf-8")
        print(f"wrote {folder}/{name}")


if __name__ == "__main__":
    main(sys.argv[1:])
