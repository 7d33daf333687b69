"""What a user declares, as frozen values that travel between processes as JSON.

The authoring functions that users call (`et.Source`, `et.windows`, ...) stand in `config.authoring`; they build these
values. A function of the user's is a `FunctionRef` into the bundle, so a process that only needs the rules never
imports user code.
"""

from collections.abc import Collection
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from evertrain.core.identity import Digest, ServiceName, SourceName, digest_of
from evertrain.core.model import Output
from evertrain.core.policy import (
    CanarySpec,
    GateSpec,
    MetricName,
    PerformanceTrigger,
    RowsTrigger,
    ScheduleTrigger,
    TriggerSpec,
)
from evertrain.core.schema import Column, Schema
from evertrain.core.time import DAY, HOUR, MINUTE, Moment

__all__ = [
    "CanarySpec",
    "CheckSpec",
    "ExamplesSpec",
    "FeatureSpec",
    "FunctionRef",
    "GateSpec",
    "LabelSpec",
    "LockSpec",
    "LookupSpec",
    "OpenSpec",
    "PerformanceTrigger",
    "RequestSpec",
    "RowsTrigger",
    "ScheduleTrigger",
    "ScriptSpec",
    "ServiceSpec",
    "SourceSpec",
    "SqlSpec",
    "TrainingSpec",
    "TriggerSpec",
    "WindowSpec",
    "asked_by",
    "outputs_of",
    "reads_of",
]

Micros = Annotated[int, Meta(ge=0, description="microseconds")]


class _Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all declared values: closed, so an unknown key is refused."""


class FunctionRef(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function of the user's: `module:qualified.name` in the bundle."""

    module: str
    name: str


# Sources -------------------------------------------------------------------------------------------------------------


class CheckSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule that each row of a source must hold; a row that breaks it is quarantined with this rule as the reason."""

    rule: Literal["not_null", "between", "one_of", "unique"]
    column: str
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


class SqlSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query on a database. url: as SQLAlchemy reads it, with ${NAME} for what stands in the environment.

    cursor: a column that grows with each change of a row. Each reading begins `overlap` (microseconds) below the
    newest time that was read, or `overlap_values` below the newest integer; every `sweep` it begins anew.
    """

    url: str
    query: Annotated[str, Meta(min_length=1)]
    cursor: str
    overlap: Micros = HOUR
    overlap_values: Annotated[int, Meta(ge=0)] = 10_000
    sweep: Annotated[int, Meta(ge=MINUTE)] = DAY
    page_rows: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    timeout_s: Annotated[int, Meta(ge=1, le=3_600)] = 60


class SourceSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows with two times. `known_at` is a column, or the event time moved by a publication lag.

    files: a glob relative to the declaration's folder; "" where `sql` is given instead. columns: () means inferred
    once, then fixed. zone: the IANA time zone of naive times; None refuses them. key: columns that identify a row; a
    later row with the same key and event time is a correction. repair: of a file's cells, before they are typed; clean:
    of the rows that fit.
    """

    name: SourceName
    files: str
    key: tuple[str, ...]
    event_time: str
    known_at: Moment
    zone: str | None = None
    columns: tuple[Column, ...] = ()
    repair: FunctionRef | None = None
    clean: FunctionRef | None = None
    checks: tuple[CheckSpec, ...] = ()
    owner: str = ""
    fresh_within: Micros | None = None
    sql: SqlSpec | None = None


# What one prediction is ----------------------------------------------------------------------------------------------


class ExamplesSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The population of predictions: rows of `source`, the entity key, the prediction time, what a caller sends."""

    source: SourceName
    key: tuple[str, ...]
    at: Moment
    request: Schema

    @property
    def entity(self) -> tuple[str, ...]:
        """Whom a prediction is about: its key without its time, since one is asked about at several times."""
        return tuple(name for name in self.key if name != self.at.column) or self.key


class LabelSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outcome of an example and its clock.

    value, known_at: columns of `source`, whose `key` columns equal those of the examples. mature_at: a moment of the
    request ("scheduled_arrival + 15m"), or of the prediction time (column "at" with the horizon as offset); it never
    depends on the label.
    """

    source: SourceName
    value: str
    known_at: Moment
    mature_at: Moment


# Features ------------------------------------------------------------------------------------------------------------
#
# Features are computed in their declared order and may name earlier ones as entity or input. One whose name begins
# with an underscore is a step on the way: it is computed like the others and not given to the model.


class RequestSpec(_Spec, frozen=True, kw_only=True, tag="request", forbid_unknown_fields=True):
    """Features from the request alone: a column as it is (`function` None), or a function on arrays.

    The function gets a dict of name to array of length n, and q as int64 microseconds of length n; it returns one
    array, or a dict of arrays when `outputs` names several. `inputs` name request columns or earlier features.
    Timestamps come as int64 microseconds; what may be missing comes as float64 with NaN (text: object with None).
    """

    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    function: FunctionRef | None = None


class WindowSpec(_Spec, frozen=True, kw_only=True, tag="window", forbid_unknown_fields=True):
    """A fold of the entity's events in (q - start, q - end], as known by q. start None: since ever.

    entity: pairs of (request column, source column). over: which time of an event must lie in the window. filter:
    name of a bool or 0/1 column; only events where it is 1 count. scale: an integer that the exact integer result is
    divided by (hundredths of an inch), once, as the last operation. count with a column counts its non-null values.
    An empty window has count and sum 0 and no mean, rate, min or max.
    """

    output: str
    source: SourceName
    entity: tuple[tuple[str, str], ...]
    fold: Literal["count", "sum", "mean", "rate", "min", "max"]
    column: str | None = None
    start: Micros | None = None
    end: Micros = 0
    over: Literal["event", "known"] = "event"
    filter: str | None = None
    scale: int = 1


class LookupSpec(_Spec, frozen=True, kw_only=True, tag="lookup", forbid_unknown_fields=True):
    """Columns of the entity's newest row (event time <= q, as known by q), nulls included; older than ttl is expired.

    Rows of one instant are ordered by key. outputs: pairs of (feature, source column). age: name of a feature that
    gives the minutes from event time to q, also when the row is expired; so unknown, expired and null differ.
    then: a further look-up whose entity comes from this row's columns (flight, its last plane, that plane's seats);
    its own entity pairs name columns of this row on the left.
    """

    source: SourceName
    entity: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...] = ()
    age: str | None = None
    ttl: Micros | None = None
    then: "LookupSpec | None" = None


class OpenSpec(_Spec, frozen=True, kw_only=True, tag="open", forbid_unknown_fields=True):
    """How many of the entity's events opened in (q - start, q - end] and had not closed by q.

    opened: the source whose event time opens (a schedule); closed: the source whose known time closes, with `opens`
    the column of it that holds the opening time.
    """

    output: str
    opened: SourceName
    closed: SourceName
    opens: str
    entity: tuple[tuple[str, str], ...]
    start: Micros
    end: Micros = 0


FeatureSpec = RequestSpec | WindowSpec | LookupSpec | OpenSpec


def outputs_of(feature: FeatureSpec) -> tuple[str, ...]:
    """The names that a feature computes, steps on the way included.

    >>> outputs_of(WindowSpec(output="n", source=SourceName("s"), entity=(), fold="count"))
    ('n',)
    """
    match feature:
        case RequestSpec():
            return feature.outputs
        case WindowSpec() | OpenSpec():
            return (feature.output,)
        case LookupSpec():
            own = tuple(name for name, _ in feature.outputs) + ((feature.age,) if feature.age else ())
            return own + (outputs_of(feature.then) if feature.then else ())


def asked_by(feature: FeatureSpec) -> frozenset[str]:
    """The request columns and earlier features that a feature reads."""
    if isinstance(feature, RequestSpec):
        return frozenset(feature.inputs)
    return frozenset(name for name, _ in feature.entity)


def reads_of(feature: FeatureSpec) -> frozenset[SourceName]:
    """The sources whose rows a feature depends on."""
    match feature:
        case RequestSpec():
            return frozenset()
        case WindowSpec():
            return frozenset((feature.source,))
        case OpenSpec():
            return frozenset((feature.opened, feature.closed))
        case LookupSpec():
            return frozenset((feature.source,)) | (reads_of(feature.then) if feature.then else frozenset())


# Training; gate, rollout and triggers stand in core.policy -----------------------------------------------------------


class ScriptSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training script of the bundle. arguments: with {rows}, {model}, {seed} and {threads} to be filled in."""

    path: str
    arguments: tuple[str, ...]


class TrainingSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named recipe: one of a function, an estimator and a script.

    estimator: the class of the object that stands in the declaration; who trains imports the declaration to have it.
    duration: how long a training takes on a story's clock; real time does not use it.
    """

    train: FunctionRef | None = None
    estimator: str | None = None
    script: ScriptSpec | None = None
    duration: Micros = 6 * HOUR
    memory_mb: Annotated[int, Meta(ge=64)] = 4096
    timeout_s: Annotated[int, Meta(ge=1)] = 3600


class ReferenceSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table that inputs are held against, as it was when it was named: the file's name, and its content.

    time, zone: the column of its times, and their zone where they name none.
    """

    name: str
    content: Digest
    time: str | None = None
    zone: str | None = None


class LockSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The environment of its versions: a lock in the declaration's folder, by its name there and its content."""

    name: str
    content: Digest


class WatchedSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Watch only: somebody else answers, and posts what was answered.

    horizon: how long after its time a row's label is due; None: nobody said. recent: how long the newest stretch is;
    None: a quarter of the time. metric: what is compared; None: that of the kind. reference: what inputs are held
    against; None: what is older.
    """

    horizon: Micros | None = None
    recent: Micros | None = None
    metric: MetricName | None = None
    reference: ReferenceSpec | None = None


class ServiceSpec(_Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole service. Serve-only services have a schema (`inputs`) and no sources, examples, label or recipes.

    A watched one has no columns of a request either: it answers nothing. personal: request columns of which only
    pseudonyms are logged.
    """

    name: ServiceName
    inputs: Schema
    output: Output = Output()
    sources: tuple[SourceSpec, ...] = ()
    examples: ExamplesSpec | None = None
    label: LabelSpec | None = None
    features: tuple[FeatureSpec, ...] = ()
    categories: tuple[str, ...] = ()
    recipes: dict[str, TrainingSpec] = {}
    segments: tuple[str, ...] = ()
    triggers: tuple[TriggerSpec, ...] = ()
    gate: GateSpec = GateSpec()
    rollout: CanarySpec = CanarySpec()
    owner: str = ""
    cooldown: Micros = DAY
    watched: WatchedSpec | None = None
    environment: LockSpec | msgspec.UnsetType = msgspec.UNSET
    personal: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def lock(self) -> Digest | msgspec.UnsetType:
        """What `Manifest.lock` is of the versions that are made under it."""
        return msgspec.UNSET if self.environment is msgspec.UNSET else self.environment.content

    @property
    def runs_in(self) -> str:
        """The environment of its user code, as `Manifest.runs_in`."""
        return "" if self.environment is msgspec.UNSET else self.environment.content

    @property
    def hidden(self) -> tuple[str, ...]:
        """The personal columns; () where none are declared."""
        return () if self.personal is msgspec.UNSET else self.personal

    def reads_any(self, columns: Collection[str]) -> bool:
        """Whether a feature reads one of these columns of the request."""
        return any(not asked_by(feature).isdisjoint(columns) for feature in self.features)

    @property
    def digest(self) -> Digest:
        return digest_of(self)

    @property
    def vector(self) -> tuple[str, ...]:
        """The model's inputs in order: features not led by an underscore, or the request's columns without any."""
        names = tuple(name for feature in self.features for name in outputs_of(feature) if not name.startswith("_"))
        return names or self.inputs.names

    def source(self, name: str) -> SourceSpec:
        """The declared source of that name; KeyError when there is none."""
        for source in self.sources:
            if source.name == name:
                return source
        raise KeyError(name)
