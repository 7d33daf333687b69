"""What users write: functions that read like the things they make, and build the frozen values of a declaration.

    import evertrain as et

    landings = et.Source("landings", et.files("data/landings/*.parquet"), key="flight_id", event_time="landed", ...)
    delays = et.windows(landings, entity="origin", over="known", arr_delay=["count 4h", "mean 4h"])
    service = et.Service("late-flights", examples=..., label=..., features=[delays], train=train)

Everything is checked when it is written; what is wrong is refused with the name, the reason and a remedy.
"""

import linecache
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.machinery import SOURCE_SUFFIXES, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from evertrain.config.declaration import (
    CheckSpec,
    ExamplesSpec,
    LabelSpec,
    ScriptSpec,
    ServiceSpec,
    SourceSpec,
    TrainingSpec,
)
from evertrain.config.environment import named_lock
from evertrain.config.folder import AsItStands, import_from
from evertrain.config.function import refer
from evertrain.config.option import Names, closed, expect, expect_each, read_names
from evertrain.config.origin import Frame, Sql
from evertrain.config.output import OutputDeclared, read_output
from evertrain.config.policy import Estimator, Recipe
from evertrain.config.validation import validate
from evertrain.config.vocabulary import Features
from evertrain.config.wording import read_columns, suggestion
from evertrain.core.identity import ServiceName, SourceName
from evertrain.core.policy import CanarySpec, GateSpec, TriggerSpec
from evertrain.core.schema import Column, Schema
from evertrain.core.time import Moment, parse_span
from evertrain.errors import DeclarationError

__all__ = [
    "Examples",
    "Files",
    "Label",
    "Service",
    "Source",
    "between",
    "files",
    "load",
    "not_null",
    "one_of",
    "unique",
]

Train = Callable[..., Any] | Estimator | ScriptSpec | TrainingSpec


# Sources -------------------------------------------------------------------------------------------------------------


class Files(msgspec.Struct, frozen=True):
    """Files by a glob pattern, relative to the folder of the declaration."""

    pattern: str


@closed
def files(pattern: str) -> Files:
    """CSV, Parquet or JSON-lines files by a glob pattern."""
    return Files(pattern)


@closed
def Source(  # noqa: N802 - reads as the thing that it makes
    name: str,
    data: Files | Frame | Sql,
    *,
    event_time: str,
    key: Names = (),
    known_at: str | None = None,
    known_after: str = "0s",
    zone: str | None = None,
    columns: Mapping[str, str] | None = None,
    repair: Callable[..., Any] | None = None,
    clean: Callable[..., Any] | None = None,
    checks: Sequence[CheckSpec] = (),
    owner: str = "",
    fresh_within: str | None = None,
) -> SourceSpec:
    """Rows with two times: when something happened, and when it was known.

    known_at: a column, perhaps moved ("published", "hour + 90m"); else the event time plus `known_after`. columns:
    names to types (string, int64, float64, bool, timestamp; "?" after it lets a value be missing), or None to infer
    them once. key: the columns that identify a row; a later row with the same key and event time corrects it. Without
    a key, rows that are equal in every column are one row. repair: a function of a lazy frame with the cells of a file
    as they stand there, text in CSV, before they are typed; clean: one of the typed rows that fit. Both give it back;
    an empty text that they leave in a CSV or JSON lines file is missing, as an empty cell of it is.
    """
    known = Moment.parse(known_at) if known_at else Moment(column=event_time, offset=parse_span(known_after))
    query = msgspec.structs.replace(data.spec, cursor=data.cursor or known.column) if isinstance(data, Sql) else None
    return SourceSpec(
        name=SourceName(name),
        files=data.keep(name) if isinstance(data, Frame) else data.pattern if isinstance(data, Files) else "",
        key=read_names(key),
        event_time=event_time,
        known_at=known,
        zone=zone,
        columns=read_columns(columns or {}),
        repair=refer(repair, f"repair of source {name!r}") if repair else None,
        clean=refer(clean, f"cleaning of source {name!r}") if clean else None,
        checks=tuple(checks),
        owner=owner,
        fresh_within=parse_span(fresh_within) if fresh_within else None,
        sql=query,
    )


@closed
def not_null(column: str) -> CheckSpec:
    """Each row must have a value there."""
    return CheckSpec(rule="not_null", column=column)


@closed
def between(column: str, low: float, high: float) -> CheckSpec:
    """Each value must lie in [low, high]; missing ones pass."""
    return CheckSpec(rule="between", column=column, low=low, high=high)


@closed
def one_of(column: str, values: Iterable[str]) -> CheckSpec:
    """Each value must be one of these; missing ones pass."""
    return CheckSpec(rule="one_of", column=column, values=tuple(values))


@closed
def unique(column: str) -> CheckSpec:
    """No two rows of a batch may share a value."""
    return CheckSpec(rule="unique", column=column)


# What one prediction is ----------------------------------------------------------------------------------------------


class Examples(msgspec.Struct, frozen=True):
    """What one prediction is: the population, the key, the prediction time and what the caller sends.

    request: columns of the source (whose types must be declared), or names to types. The key is part of it.
    """

    source: SourceSpec
    key: Names
    at: str
    request: Sequence[str] | Mapping[str, str]

    @property
    def spec(self) -> ExamplesSpec:
        key = read_names(self.key)
        columns = self._columns()
        names = {one.name for one in columns}
        known = {one.name: one for one in self.source.columns}
        missing = tuple(known.get(name, Column(name=name, type="string")) for name in key if name not in names)
        return ExamplesSpec(
            source=self.source.name, key=key, at=Moment.parse(self.at), request=Schema(missing + columns)
        )

    def _columns(self) -> tuple[Column, ...]:
        if isinstance(self.request, Mapping):
            return read_columns(self.request)
        known = {one.name: one for one in self.source.columns}
        for name in self.request:
            if name not in known:
                raise DeclarationError(
                    f"Request column {name!r} has no declared type in source {self.source.name!r}.",
                    suggestion(name, known) if known else f"Declare columns={{...}} of source {self.source.name!r}.",
                )
        return tuple(known[name] for name in self.request)


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an example and its clock.

    value: a column of the source, which has the examples' key; a label is known when its row is. It is mature after
    `horizon` from the prediction time, or at `mature_at`, a moment of the request; one of them must be declared, and
    neither depends on the label.
    """

    source: SourceSpec
    of: Examples
    value: str
    mature_at: str | None = None
    horizon: str | None = None

    @property
    def spec(self) -> LabelSpec:
        if (self.mature_at is None) == (self.horizon is None):
            raise DeclarationError(
                f"Label {self.value!r} of source {self.source.name!r} has "
                f"{'no clock' if self.horizon is None else 'two clocks'}.",
                'Declare horizon="30d" after the prediction, or mature_at="column + 15m" of the request.',
            )
        return LabelSpec(
            source=self.source.name,
            value=self.value,
            known_at=self.source.known_at,
            mature_at=Moment.parse(self.mature_at or f"at + {self.horizon}"),
        )


# The service ---------------------------------------------------------------------------------------------------------


@closed
def Service(  # noqa: N802 - reads as the thing that it makes
    name: str,
    *,
    examples: Examples,
    label: Label,
    train: Train | Mapping[str, Train],
    features: Sequence[Features] = (),
    categories: Names = (),
    segments: Names = (),
    triggers: Sequence[TriggerSpec] = (),
    gate: GateSpec | None = None,
    rollout: CanarySpec | None = None,
    output: OutputDeclared = "probability",
    owner: str = "",
    cooldown: str = "1d",
    environment: str = "",
    personal: Names = (),
) -> ServiceSpec:
    """A whole service, checked.

    train: a function `train(data, run)`, a scikit-learn estimator, an `et.script`, any of these with its limits as an
    `et.Recipe`, or several by name, of which each cycle takes the best. output: "probability" of a label of 1, any
    "value", or `et.classes(...)`. environment: a lock beside the declaration, "requirements.lock", whose packages it is
    trained and answered with in place of those that are installed with evertrain. personal: text columns of the request
    of which the prediction log gets pseudonyms only.
    """
    expect("et.Service(examples=...)", examples, Examples, 'et.Examples(source, key="...", at="...")')
    expect("et.Service(label=...)", label, Label, 'et.Label(source=..., of=..., value="...", horizon="...")')
    expect_each("et.Service(features=...)", features, Features, 'et.column("...")')
    expect("et.Service(gate=...)", gate or GateSpec(), GateSpec, "et.Gate(...)")
    expect("et.Service(rollout=...)", rollout or CanarySpec(), CanarySpec, "et.Canary(...)")
    expect_each("et.Service(triggers=...)", triggers, object, 'et.every("7d")')
    recipes = train if isinstance(train, Mapping) else {"default": train}
    used = [examples.source, label.source, *(source for feature in features for source in feature.sources)]
    asked = examples.spec
    spec = ServiceSpec(
        name=ServiceName(name),
        inputs=asked.request,
        output=read_output(name, output),
        sources=tuple(dict.fromkeys(used)),
        examples=asked,
        label=label.spec,
        features=tuple(one for feature in features for one in feature.specs),
        categories=read_names(categories),
        recipes={key: one if isinstance(one, TrainingSpec) else Recipe(one) for key, one in recipes.items()},
        segments=read_names(segments),
        triggers=tuple(triggers),
        gate=gate or GateSpec(),
        rollout=rollout or CanarySpec(),
        owner=owner,
        cooldown=parse_span(cooldown),
        environment=named_lock(name, environment),
        personal=read_names(personal) or msgspec.UNSET,
    )
    validate(spec)
    return spec


def _refused(error: BaseException, path: Path) -> DeclarationError:
    """What went wrong while a declaration was imported, by file and line."""
    where = f"{path}, line {line}" if (line := _line_in(error, path)) else str(path)
    if isinstance(error, DeclarationError):
        return DeclarationError(f"{where}: {error.what}", error.remedy)
    asked = error.obj if isinstance(error, AttributeError) else None
    if isinstance(error, AttributeError) and isinstance(asked, ModuleType) and asked.__name__ == "evertrain":
        return DeclarationError(f"{where}: There is no et.{error.name}.", suggestion(str(error.name), asked.__all__))
    if isinstance(error, TypeError) and (told := _misread(error, path, line)) is not None:
        return DeclarationError(f"{where}: {told.what}", told.remedy)
    if isinstance(error, AttributeError) and asked is sys.modules["evertrain"].Service:
        return DeclarationError(f"{where}: There is no et.Service.{error.name}.", "Write et.Service.from_table(...).")
    said = f"{type(error).__name__}: {error}".removesuffix(".")
    if isinstance(error, ModuleNotFoundError):
        remedy = f"Install {error.name} where evertrain is installed, or put its file beside the declaration."
        return DeclarationError(f"{where}: The file cannot be imported: {said}.", remedy)
    return DeclarationError(f"{where}: The file cannot be imported: {said}.", "Run it with Python to see more.")


def _misread(error: TypeError, path: Path, line: int | None) -> DeclarationError | None:
    """An argument of `et.Examples` or `et.Label` that is unknown or missing; msgspec does not say of which of them."""
    found = re.fullmatch(r"(Unexpected keyword|Missing required) argument '(\w+)'", str(error))
    written = re.findall(r"et\.(Examples|Label)\(", linecache.getline(str(path), line or 0))
    if found is None or len(written) != 1:
        return None
    known = {"Examples": Examples, "Label": Label}[written[0]].__struct_fields__
    if found[1] == "Missing required":
        return DeclarationError(f"et.{written[0]} lacks {found[2]}.", f"Write {found[2]}=...")
    return DeclarationError(f"et.{written[0]}: there is no argument {found[2]!r}.", suggestion(found[2], known))


def _line_in(error: BaseException, path: Path) -> int | None:
    """The line of the file where it happened: the innermost one."""
    if isinstance(error, SyntaxError):
        return error.lineno if error.filename == str(path) else None
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def load(path: Path) -> tuple[ServiceSpec, ...]:
    """Import a declaration file and return its services, in the order of their names in it.

    It runs the user's code, so call it in a process of its own. Modules beside the file can be imported by it; a
    function's reference is relative to the file's folder.
    """
    path = path.resolve()
    if path.suffix not in SOURCE_SUFFIXES or not path.is_file():
        raise DeclarationError(f"{path} is no Python file.", "Name the file that declares the service.")
    import_from(path.parent)
    loader = AsItStands(path.stem, str(path))
    specification = ModuleSpec(path.stem, loader, origin=str(path))
    specification.has_location = True
    module = sys.modules[path.stem] = module_from_spec(specification)
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _refused(error, path) from error
    services = tuple(value for value in vars(module).values() if isinstance(value, ServiceSpec))
    if not services:
        raise DeclarationError(f"{path} declares no service.", 'Assign one: service = et.Service("name", ...).')
    names = [service.name for service in services]
    if len(set(names)) < len(names):
        raise DeclarationError(f"{path} declares two services of one name.", "Give each its own name.")
    return services
