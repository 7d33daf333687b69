"""Where and how things run: one frozen value, parsed once at the edge.

A value comes from a flag, else from `EVERTRAIN_<NAME>`, else from `evertrain.toml`, else from the default; which of
them it was is kept. Unknown keys are refused. What a service *is* stands in its declaration, not here.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from evertrain.config.bound import SPAN, metas, say_bounds, unit_of
from evertrain.config.hook import Hook, read_hooks, written_hooks
from evertrain.config.wording import suggestion
from evertrain.core.time import DAY, SECOND, parse_span, say_span
from evertrain.errors import DeclarationError, SettingsError

__all__ = [
    "FILE",
    "PREFIX",
    "Origin",
    "Setting",
    "Settings",
    "Stated",
    "inherited",
    "load",
    "reference",
    "stated_settings",
    "written",
]

FILE: Final = "evertrain.toml"
PREFIX: Final = "EVERTRAIN_"

_KEY = re.compile(r"""\s*\[{0,2}\s*["']?([A-Za-z0-9_-]+)""")
"""What a line of the file begins with: a key, or the name of a table."""
_RESERVED: Final = frozenset({"EVERTRAIN_CRASH_AT", "EVERTRAIN_PARENT"})

Origin = Literal["flag", "environment", "file", "default"]
Port = Annotated[int, Meta(ge=0, le=65_535)]


def _says(text: str, unit: str = "") -> Meta:
    return Meta(description=text, extra={"unit": unit})


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of an installation. Durations are microseconds of business time, written as "1d" or "90m"."""

    dir: Annotated[str, _says("The state directory.")] = ".evertrain"
    host: Annotated[str, _says("The address that answers predictions.")] = "127.0.0.1"
    port: Annotated[Port, _says("The port that answers predictions; 0 takes a free one.")] = 8080
    control_host: Annotated[str, _says("The address of the control API, the page and the metrics.")] = "127.0.0.1"
    control_port: Annotated[Port, _says("The port of the control API, the page and the metrics.")] = 8081
    workers: Annotated[int, Meta(ge=1, le=64), _says("Processes that answer predictions.", "processes")] = 2

    max_body_bytes: Annotated[
        int, Meta(ge=1_024, le=1 << 30), _says("The largest request body, after decompression.", "bytes")
    ] = 4 << 20
    max_rows: Annotated[int, Meta(ge=1, le=1_000_000), _says("The most rows in one request.", "rows")] = 10_000
    max_nesting: Annotated[int, Meta(ge=4, le=512), _says("The deepest nesting of a request's JSON.", "levels")] = 32
    body_timeout_s: Annotated[
        float, Meta(gt=0, le=3_600), _says("How long a client may take to send a request.", "s")
    ] = 10.0
    answer_timeout_s: Annotated[
        float, Meta(gt=0, le=3_600), _says("How long an answer may take; a client may ask for less.", "s")
    ] = 60.0
    max_concurrency: Annotated[
        int,
        Meta(ge=1, le=65_536),
        _says("Requests of one worker that wait for a large batch or a version on trial.", "requests"),
    ] = 256
    max_connections: Annotated[
        int, Meta(ge=1, le=1_000_000), _says("Connections that one worker holds at once.", "connections")
    ] = 2_048
    keep_alive_s: Annotated[float, Meta(gt=0, le=86_400), _says("How long an idle connection is kept.", "s")] = 75.0
    shutdown_s: Annotated[
        float, Meta(gt=0, le=3_600), _says("How long a stopping process may finish what it has in hand.", "s")
    ] = 30.0

    segment_mb: Annotated[int, Meta(ge=1, le=1_024), _says("The size of a segment of the prediction log.", "MiB")] = 16
    fsync_interval_ms: Annotated[
        int, Meta(ge=1, le=60_000), _says("What a power cut may cost of the prediction log, at most.", "ms")
    ] = 200
    warn_free_mb: Annotated[int, Meta(ge=1), _says("Below so much free disk people are told.", "MiB")] = 512
    min_free_mb: Annotated[int, Meta(ge=1), _says("Below so much free disk nothing more is taken in.", "MiB")] = 64
    commit_every: Annotated[
        int, Meta(ge=SECOND, le=30 * DAY), _says("How often the log goes into the tables.", SPAN)
    ] = int(DAY)
    log_keep: Annotated[int, Meta(ge=DAY), _says("How long log segments stay after they are in the tables.", SPAN)] = (
        30 * DAY
    )

    tick_s: Annotated[float, Meta(ge=0.01, le=60), _says("How often the loop looks.", "s")] = 1.0
    scan_s: Annotated[float, Meta(ge=0.05, le=3_600), _says("How often the sources are looked at.", "s")] = 10.0
    trainer_threads: Annotated[int, Meta(ge=1, le=256), _says("Threads of a training.", "threads")] = 1
    trainer_nice: Annotated[int, Meta(ge=0, le=19), _says("How far a training gives way to serving.", "nice")] = 19

    hooks: Annotated[tuple[Hook, ...], _says("Who is told of what happens, and who is asked before it does.")] = ()


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """Settings, and where each value comes from."""

    settings: Settings
    origins: dict[str, Origin]


class _Layer(NamedTuple):
    """The values of one origin. prefix: of their names; lines: of a file, where each begins; beside: its folder."""

    origin: Origin
    prefix: str
    values: Mapping[str, Any]
    lines: Mapping[str, int] = {}
    beside: Path = Path()


def load(flags: Mapping[str, Any], *, environment: Mapping[str, str], file: Path | None = None) -> Stated:
    """Put the settings together. A flag that is None was not given.

    environment: os.environ; only its EVERTRAIN_* names are read. file: must exist when it is named; None means
    `evertrain.toml` in the working directory, if there is one. Errors name the key and its origin, never the value.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    return _stated(
        _Layer("flag", "--", given), _Layer("environment", PREFIX, _of_environment(environment)), _of_file(file)
    )


def inherited(environment: Mapping[str, str]) -> Settings:
    """The settings of a process of the tree: who started it said all of them in its environment, so no file is read.

    What is wrong with a file in the meantime keeps nobody from being started again.
    """
    return _stated(_Layer("environment", PREFIX, _of_environment(environment))).settings


def _stated(*layers: _Layer) -> Stated:
    """What the first layer that says anything of a setting says of it."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = dict.fromkeys(Settings.__struct_fields__, "default")
    for layer in layers:
        for key, value in layer.values.items():
            said = _say_key(layer, key)
            _refuse_unknown(key, said)
            if key not in values:
                values[key] = _parse(key, value, said, layer.beside)
                origins[key] = layer.origin
    settings = Settings(**values)
    if settings.warn_free_mb < settings.min_free_mb:
        raise SettingsError(
            "warn_free_mb is below min_free_mb, so nobody would be told before the service refuses.",
            "Set warn_free_mb to at least min_free_mb.",
        )
    return Stated(settings=settings, origins=origins)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, for people: the same name in the file, in the environment and as a flag; value as one writes it."""

    name: str
    value: str
    origin: Origin
    environment: str
    flag: str
    unit: str
    bounds: str
    meaning: str


def stated_settings(stated: Stated) -> tuple[Setting, ...]:
    """Every setting with its value and where that comes from, in the order in which they are declared."""
    return tuple(
        Setting(
            name=field.name,
            value=written(field.name, getattr(stated.settings, field.name)),
            origin=stated.origins[field.name],
            environment=f"{PREFIX}{field.name.upper()}",
            flag=f"--{field.name.replace('_', '-')}",
            unit=unit_of(field.type),
            bounds=say_bounds(field.type),
            meaning=next(meta.description for meta in metas(field.type) if meta.description),
        )
        for field in msgspec.structs.fields(Settings)
    )


def written(name: str, value: object) -> str:
    """A value as it is written in the file, the environment or after the flag.

    >>> written("commit_every", 90 * 60_000_000), written("port", 8080)
    ('1h 30m', '8080')
    """
    if name == "hooks":
        return written_hooks(msgspec.convert(value, tuple[Hook, ...]))
    kind = next(field.type for field in msgspec.structs.fields(Settings) if field.name == name)
    return say_span(int(str(value))) if unit_of(kind) == SPAN else str(value)


def reference() -> str:
    """The reference page of all settings, as Markdown."""
    rows = [
        "| setting | environment | default | unit | bounds | meaning |",
        "|---|---|---|---|---|---|",
    ]
    defaults = Stated(settings=Settings(), origins=dict.fromkeys(Settings.__struct_fields__, "default"))
    for one in stated_settings(defaults):
        cells = (f"`{one.name}`", f"`{one.environment}`", f"`{one.value}`", one.unit, one.bounds, one.meaning)
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _of_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in _RESERVED
    }


def _of_file(file: Path | None) -> _Layer:
    path = file or Path(FILE)
    if file is None and not path.is_file():
        return _Layer("file", "", {})
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.", "Name a file that exists.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}.", "Mend the file.") from None
    numbered = [(found[1], number) for number, line in enumerate(text.splitlines(), 1) if (found := _KEY.match(line))]
    return _Layer("file", str(path), values, dict(reversed(numbered)), path.parent)


def _say_key(layer: _Layer, key: str) -> str:
    if layer.origin == "file":
        return f"{layer.prefix}, line {layer.lines[key]}: {key}" if key in layer.lines else f"{layer.prefix}: {key}"
    return layer.prefix + (key.upper() if layer.origin == "environment" else key.replace("_", "-"))


def _refuse_unknown(key: str, said: str) -> None:
    if key in Settings.__struct_fields__:
        return
    remedy = suggestion(key, Settings.__struct_fields__, otherwise="`evertrain settings` lists all of them.")
    raise SettingsError(f"{said} is no setting.", remedy)


def _parse(key: str, value: Any, said: str, beside: Path) -> Any:
    """One value, from text or from what TOML or a flag made of it; within its bounds. beside: where it was said."""
    if key == "hooks":
        return read_hooks(value, said, beside)
    kind = next(field.type for field in msgspec.structs.fields(Settings) if field.name == key)
    spans = unit_of(kind) == SPAN
    try:
        if isinstance(value, bool):
            raise msgspec.ValidationError
        if spans and isinstance(value, str):
            value = parse_span(value)
        elif spans:
            raise msgspec.ValidationError
        return msgspec.convert(value, kind, strict=not isinstance(value, str))
    except (msgspec.ValidationError, DeclarationError):
        bounds = say_bounds(kind)
        expected = 'a duration such as "90m"' if spans else _name(kind)
        raise SettingsError(f"{said} must be {expected}{bounds and f', {bounds}'}.", "Mend the value.") from None


def _name(kind: Any) -> str:
    base = get_args(kind)[0]
    return {int: "a whole number", float: "a number", str: "a text"}.get(base, "a whole number")
