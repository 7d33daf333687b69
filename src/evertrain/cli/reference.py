"""Writes the pages of docs/reference from the code: `python -m evertrain.cli.reference FOLDER`."""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import typer
from starlette.routing import Route
from typer.core import TyperOption

import evertrain
from evertrain.cli import command_line
from evertrain.cli.explain import explanation
from evertrain.config import settings
from evertrain.config.hook import reference_of_hooks
from evertrain.core.event import Fact
from evertrain.errors import codes
from evertrain.web.application import routes
from evertrain.web.session import Access, Door

__all__ = ["PAGES", "main"]

_PREDICT = """\
| route | what it does |
|---|---|
| `GET /v2` | Name and version of the server. |
| `GET /v2/health/live`, `GET /v2/health/ready` | Whether the worker runs, and whether it answers. |
| `GET /v2/models/{service}` | Columns that the service takes and gives, and the versions that answer. |
| `GET /v2/models/{service}/ready` | Whether the service has a champion. |
| `POST /v2/models/{service}/infer` | Open Inference Protocol V2, JSON, columns by name. |
| `POST /predict/{service}` | A record, or `{"rows": [...]}`; answers `{"predictions": [{"id", "score", "version"}]}`. |
| `POST /labels/{service}` | `{"labels": [{"prediction_id" or "key", "value", "known_at"}]}`; needs the data token, \
`.evertrain/control/keys/token-data`. Answers `{"taken"}`, and where a label has a clock \
`certain_from` and `all_by`. |
| `POST /observe/{service}` | Watched: `{"observations": [{"id", "at", "score", "row"}]}`; needs the data token. |

A time is ISO 8601 with an offset. In a row that a model of this installation answers, one without, or a plain date, is
of the zone of the declared table; everywhere else, in `known_at` and in `at`, it is refused. A label of a probability
is 0 or 1, true or false; yes or no as well where a model of this installation answers. A label of an unknown id is
taken. Where a table declares the label, it counts for nothing; of a watched service it counts as soon as the
observation of that id comes, and of a served file as soon as the answer does.

`x-request-id` makes a retry the same prediction. `x-evertrain-cohort` names whom a request is about, who keeps one
version while another is on trial. Each answer names the version that gave it in `x-evertrain-version`, and the id of
each prediction in its body. A service of classes answers with the most probable `class` and the `scores` of all, by
name in a record and as a tensor of shape [n, k] in V2; the value of its label names a class. An error has a 4xx or 5xx
and a body of `error`, `code`, `what`, `remedy` and, where one is to blame, `field`, on both ports; the
[codes](errors.md) are those of the commands."""

_CONTROL = """\
Listens on 127.0.0.1. Send the control token as `Authorization: Bearer`, or open the page with `?token=` once. A body is
a JSON object of at most 16 KiB; an action is answered by 202 with the sequence number of its event in the ledger."""

_MARKS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}

_NOBODY: Any = None  # routes are described, never called

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


def declarations_page() -> str:
    """Everything that a declaration may use: what `import evertrain as et` offers."""
    parts = ["# Declarations", _NOTE, "What `import evertrain as et` offers to the file that declares a service."]
    for name in evertrain.__all__:
        thing = getattr(evertrain, name)
        parts += ["", f"## `et.{name}`", "", *_signature(thing), "", inspect.getdoc(thing) or ""]
        if name == "Service":
            table = thing.from_table
            parts += ["", "## `et.Service.from_table`", "", *_signature(table), "", inspect.getdoc(table) or ""]
    return _joined(parts)


def _signature(thing: Any) -> list[str]:
    """One parameter a line, with its default; what it is stands in the description."""
    lines = [f"    {thing.__name__}("]
    star = False
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            lines.append("        *,")
        star = star or parameter.kind in {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL}
        mark = _MARKS.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        lines.append(f"        {mark}{parameter.name}{default},")
    return [*lines, "    )"]


def settings_page() -> str:
    """Every setting of an installation."""
    return _joined(
        [
            "# Settings",
            _NOTE,
            "A value comes from a flag of the command, else from the environment, else from `evertrain.toml` in the",
            "working directory, else from the default. Unknown keys are refused. Write durations as `1d` or `90m`.",
            "",
            settings.reference().rstrip(),
            "",
            *reference_of_hooks(),
        ]
    )


def api_page() -> str:
    """Every route of the two doors."""
    return _joined(
        [
            "# HTTP doors",
            _NOTE,
            "## The predict port",
            "",
            _PREDICT,
            "",
            "## The control port",
            "",
            _CONTROL,
            "",
            "| route | what it does |",
            "|---|---|",
            *(_route_row(route) for route in routes(_NOBODY, _NOBODY, Door(Access(token="")), _NOBODY)),
        ]
    )


def _route_row(route: Route) -> str:
    methods = " ".join(sorted(set(route.methods or ()) - {"HEAD"}))
    return _row(f"`{methods} {route.path}`", _paragraph(route.endpoint))


def commands_page() -> str:
    """Every command, with its options."""
    parts = ["# Commands", _NOTE, "Every command says the same with `--help`. `--json` prints for machines."]
    for name, command in _leaves("evertrain", typer.main.get_command(command_line())):
        usage = " ".join([name, *command.collect_usage_pieces(typer.Context(command))])
        parts += ["", f"## `{name}`", _paragraph_of(command.help or ""), "", f"    {usage}", ""]
        parts += [_row("option", "what it does", "default"), "|---|---|---|"]
        parts += [_option_row(option) for option in command.params if isinstance(option, TyperOption)]
    return _joined(parts)


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The commands that do something, by their whole name, in alphabetical order."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, inner in sorted(command.commands.items()):
        if not inner.hidden:
            yield from _leaves(f"{name} {word}", inner)


def _option_row(option: TyperOption) -> str:
    kind = "" if option.is_flag else " VALUE"
    known = option.default is not None and not option.is_flag and not callable(option.default)
    default = f"`{option.default}`" if known and option.default != [] else ""
    return _row(f"`{', '.join(option.opts)}{kind}`", _paragraph_of(option.help or ""), default)


def _paragraph_of(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


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


def errors_page() -> str:
    """Every code that an error may have."""
    parts = [
        "# Errors",
        _NOTE,
        "Every fault is told in the same way: what is wrong and where, what to do about it, and a code. `--json` and",
        "the HTTP doors give the code as `code`. It names a family of faults, and never changes its meaning.",
        "`evertrain explain CODE` prints what stands here.",
    ]
    for code, kind in codes().items():
        again = ["", "The same call may succeed later: `retry` is true."] if kind.retry else []
        parts += ["", f"## {code}", "", f"`{kind.__name__}`. {explanation(kind)}", *again]
    return _joined(parts)


PAGES: dict[str, Callable[[], str]] = {
    "api.md": api_page,
    "cli.md": commands_page,
    "declarations.md": declarations_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "settings.md": settings_page,
}
"""File name under docs/reference to the function that writes it."""


def main(arguments: list[str]) -> None:
    """Write all pages into the folder that is named."""
    (folder,) = arguments
    for name, page in PAGES.items():
        (Path(folder) / name).write_text(page(), encoding="utf-8")
        print(f"wrote {folder}/{name}")


if __name__ == "__main__":
    main(sys.argv[1:])
