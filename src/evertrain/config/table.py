"""A service from one table: each row is an entity as it stood at some time, with the outcome where it is known.

`et.Service.from_table(...)` is short for the `et.Source`, `et.Examples`, `et.Label` and features that it stands for.
Which columns there are is found out when the declaration is taken in: until then the service is open.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final, Generic, ParamSpec

import msgspec

from evertrain.config import authoring
from evertrain.config.authoring import Files, Source, files
from evertrain.config.declaration import (
    CheckSpec,
    ExamplesSpec,
    FunctionRef,
    LabelSpec,
    RequestSpec,
    ScriptSpec,
    ServiceSpec,
    SourceSpec,
    TrainingSpec,
)
from evertrain.config.environment import named_lock
from evertrain.config.option import Names, closed, read_names
from evertrain.config.origin import Frame, Sql, frame
from evertrain.config.output import OutputDeclared, read_output
from evertrain.config.policy import Estimator, Recipe
from evertrain.config.validation import LABELS_OF_CLASSES, validate
from evertrain.config.wording import read_columns, suggestion
from evertrain.core.identity import ServiceName
from evertrain.core.model import FEWEST_CLASSES
from evertrain.core.policy import CanarySpec, GateSpec, RowsTrigger, ScheduleTrigger, TriggerSpec
from evertrain.core.schema import Column, Schema
from evertrain.core.time import DAY, Moment, parse_span
from evertrain.errors import DeclarationError

__all__ = ["DEFAULT_GATE", "FEW_CLASSES", "OpenService", "Service", "TableSpec", "complete", "default_recipe"]

P = ParamSpec("P")
Train = Callable[..., Any] | Estimator | ScriptSpec | TrainingSpec

DEFAULT_GATE: Final = GateSpec(holdout=28 * DAY, block=DAY)
"""For a probability: whole days are compared, since rows of one day err together."""

_TRIGGERS: Final = (ScheduleTrigger(every=7 * DAY), RowsTrigger(rows=1_000))
_ROLLOUT: Final = CanarySpec(steps=(0.1, 0.5), margin=0.03)
"""For a service with little traffic: about 140 answers without an error, most of them at half of the requests."""

FEW_CLASSES: Final = 50
"""A text of so many values may well be a label of classes; one of more is something else."""
_NUMBERS: Final = ("bool", "int64", "float64")
_RECIPES: Final = (
    (("sklearn", "skops"), FunctionRef(module="evertrain.model.boosting", name="histograms")),
    (("lightgbm",), FunctionRef(module="evertrain.model.boosting", name="trees")),
)
_ELAPSED: Final = FunctionRef(module="evertrain.data.elapsed", name="days_since")
ELAPSED: Final = "days_since_"


class TableSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a table whose columns are not known yet. columns: the types that are declared, by name."""

    key: tuple[str, ...]
    at: str
    label: str
    horizon: int
    exclude: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()


class OpenService(ServiceSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service whose inputs are those columns that its table turns out to have; `complete` closes it."""

    table: TableSpec


@closed
def from_table(
    name: str,
    data: str | Files | Frame | Sql | Any,
    *,
    key: Names,
    at: str,
    label: str,
    horizon: str,
    train: Train | Mapping[str, Train] | None = None,
    exclude: Names = (),
    columns: Mapping[str, str] | None = None,
    repair: Callable[..., Any] | None = None,
    clean: Callable[..., Any] | None = None,
    zone: str = "UTC",
    output: OutputDeclared = "probability",
    segments: Names = (),
    triggers: Sequence[TriggerSpec] | None = None,
    gate: GateSpec | None = None,
    rollout: CanarySpec | None = None,
    owner: str = "",
    cooldown: str = "1d",
    environment: str = "",
    personal: Names = (),
) -> ServiceSpec:
    """A service from one table: a row is the entity `key` as it stood at the time `at`, with its outcome `label`.

    data: a CSV or Parquet file or a glob, beside the declaration; a DataFrame; or `et.sql(...)`. horizon: the label of
    a row is known and counts so long after `at`; a row without one has none yet. Every other column that is not
    excluded is an input of the model: numbers as they are, text as a category, a time as the days from it to `at`.
    output: "probability" of a label of 1, any "value", or `et.classes(...)` where the label is a text, or a number that
    stands for a class. columns: types that the first file would not show. zone: of times without an offset. train: a
    function, an estimator, a script, or several by name; without it, scikit-learn's boosted trees, else LightGBM's.
    repair, clean: as of `et.Source`; a column that is repaired into numbers needs its type in `columns`. environment,
    personal: as of `et.Service`; of the columns, the key alone is no input of the model.
    """
    source = Source(name, _origin(data), key=key, event_time=at, zone=zone, repair=repair, clean=clean, owner=owner)
    if output == "value" and gate is None:
        raise DeclarationError(
            f"Service {name!r} predicts a value and has no gate.",
            f'Say in units of {label!r} what still counts as not worse: gate=et.Gate(primary="mae", margin=...).',
        )
    return OpenService(
        name=ServiceName(name),
        inputs=Schema(()),
        output=read_output(name, output),
        sources=(source,),
        recipes=_recipes(train),
        segments=read_names(segments),
        triggers=_TRIGGERS if triggers is None else tuple(triggers),
        gate=gate or DEFAULT_GATE,
        rollout=rollout or _ROLLOUT,
        owner=owner,
        cooldown=parse_span(cooldown),
        environment=named_lock(name, environment),
        personal=read_names(personal) or msgspec.UNSET,
        table=TableSpec(
            key=read_names(key),
            at=at,
            label=label,
            horizon=parse_span(horizon),
            exclude=read_names(exclude),
            columns=read_columns(columns or {}),
        ),
    )


def _origin(data: Any) -> Files | Frame | Sql:
    if isinstance(data, str):
        return files(data)
    return data if isinstance(data, Files | Frame | Sql) else frame(data)


def _recipes(train: Train | Mapping[str, Train] | None) -> dict[str, TrainingSpec]:
    if train is None:
        return {"default": TrainingSpec(train=default_recipe())}
    named = train if isinstance(train, Mapping) else {"default": train}
    return {key: one if isinstance(one, TrainingSpec) else Recipe(one) for key, one in named.items()}


def default_recipe() -> FunctionRef:
    """The recipe of a table that names none: of the libraries that are installed here, the first."""
    for packages, recipe in _RECIPES:
        if all(find_spec(package) is not None for package in packages):
            return recipe
    raise DeclarationError(
        "No train= is given, and neither scikit-learn nor LightGBM is installed.",
        "Install one of them: pip install 'evertrain[sklearn]'. Or give train=FUNCTION.",
    )


class _Author(Generic[P]):
    """`et.Service`: called, it makes a service from its parts; `from_table` makes one from a table."""

    from_table = staticmethod(from_table)

    def __init__(self, make: Callable[P, ServiceSpec]) -> None:
        functools.update_wrapper(self, make)
        self._make = make

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ServiceSpec:
        return self._make(*args, **kwargs)


Service = _Author(authoring.Service)


# Closing an open service ---------------------------------------------------------------------------------------------


def complete(spec: OpenService, columns: Sequence[Column], values: Sequence[str] = ()) -> ServiceSpec:
    """The service with the columns that its table has, checked; DeclarationError names a column that is not there.

    values: those of a label that is a text, as far as they are known, for the refusal of one that is none of a class.
    """
    table, [source] = spec.table, spec.sources
    known = {column.name: column for column in columns}
    for role, names in _roles(spec):
        for name in names:
            if name not in known:
                raise DeclarationError(
                    f"{role} {name!r} of service {spec.name!r} is no column of {source.name!r}.",
                    suggestion(name, known),
                )
    _refuse_label(spec, known[table.label], values)
    held = msgspec.structs.replace(source, columns=tuple(columns), checks=_checks(spec))
    given = [one for one in columns if one.name not in {*table.key, table.at, table.label, *table.exclude}]
    asked = (*(known[name] for name in dict.fromkeys((*table.key, table.at))), *given)
    features = _features(spec, given)
    whole = ServiceSpec(
        **{name: getattr(spec, name) for name in ServiceSpec.__struct_fields__}
        | {
            "inputs": Schema(asked),
            "sources": (held,),
            "examples": _examples(held, table, asked),
            "label": _label(held, table),
            "features": features,
            "categories": tuple(one.name for one in given if one.type == "string"),
        }
    )
    validate(whole)
    return whole


def _refuse_label(spec: OpenService, label: Column, values: Sequence[str]) -> None:
    """Refuse a label that does not have the type of what is predicted."""
    if label.type in (LABELS_OF_CLASSES if spec.output.names else _NUMBERS):
        return
    what = f"The label {label.name!r} of service {spec.name!r} is {label.type}."
    if spec.output.names:
        raise DeclarationError(what, "The label of classes is a text or a whole number: write another column.")
    if FEWEST_CLASSES <= len(values) <= FEW_CLASSES and label.type == "string":
        named = ", ".join(json.dumps(one, ensure_ascii=False) for one in values)
        raise DeclarationError(what, f"If its values are classes, name them: output=et.classes({named}).")
    raise DeclarationError(
        what,
        "A label is a number, 0 or 1, true or false, or one of output=et.classes(...): "
        "write another column, or convert it in the file.",
    )


def _checks(spec: OpenService) -> tuple[CheckSpec, ...]:
    """Rows of a class that is not declared are set aside, with the reason."""
    [source] = spec.sources
    if not spec.output.names:
        return source.checks
    return (*source.checks, CheckSpec(rule="one_of", column=spec.table.label, values=spec.output.names))


def _roles(spec: OpenService) -> tuple[tuple[str, tuple[str, ...]], ...]:
    table = spec.table
    return (
        ("Key", table.key),
        ("Time", (table.at,)),
        ("Label", (table.label,)),
        ("Excluded column", table.exclude),
        ("Typed column", tuple(column.name for column in table.columns)),
    )


def _examples(source: SourceSpec, table: TableSpec, asked: tuple[Column, ...]) -> ExamplesSpec:
    """One prediction is one entity at one time: it may be asked about again at another."""
    key = tuple(dict.fromkeys((*table.key, table.at)))
    return ExamplesSpec(source=source.name, key=key, at=Moment(column=table.at), request=Schema(asked))


def _label(source: SourceSpec, table: TableSpec) -> LabelSpec:
    matures = Moment(column="at", offset=table.horizon)
    return LabelSpec(source=source.name, value=table.label, known_at=source.known_at, mature_at=matures)


def _features(spec: OpenService, given: Sequence[Column]) -> tuple[RequestSpec, ...]:
    plain = tuple(RequestSpec(outputs=(one.name,), inputs=(one.name,)) for one in given if one.type != "timestamp")
    times = tuple(one.name for one in given if one.type == "timestamp")
    if not plain and not times:
        raise DeclarationError(
            f"Service {spec.name!r} has no input: all columns are the key, the time, the label or excluded.",
            "Exclude fewer columns.",
        )
    if not times:
        return plain
    since = RequestSpec(outputs=tuple(ELAPSED + name for name in times), inputs=times, function=_ELAPSED)
    return (*plain, since)
