"""What a declaration must hold before anything starts: every name resolves, every clock is there."""

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evertrain.config.declaration import (
    FeatureSpec,
    LookupSpec,
    OpenSpec,
    RequestSpec,
    ServiceSpec,
    SourceSpec,
    TrainingSpec,
    WindowSpec,
    outputs_of,
)
from evertrain.config.personal import refuse_personal
from evertrain.config.wording import suggestion
from evertrain.core import trigger as triggers
from evertrain.core.canary import MOST_REQUESTS, fewest_requests
from evertrain.core.policy import PerformanceTrigger, RowsTrigger, ScheduleTrigger
from evertrain.core.power import unpassable
from evertrain.core.rehearsal import asked_for
from evertrain.errors import DeclarationError

__all__ = ["agree", "validate"]

_OF_VALUES = ("mae", "rmse")
_OF_CLASSES = ("log_loss", "accuracy", "brier")
_RECIPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LABELS_OF_CLASSES = ("string", "int64")
_NUMBERS = ("int64", "float64", "bool")


def validate(spec: ServiceSpec) -> None:
    """Refuse a service whose names, types or clocks do not fit together; DeclarationError says what and what to do."""
    for source in spec.sources:
        _source(source)
    names = [source.name for source in spec.sources]
    _once(names, f"Service {spec.name!r} has two different sources named", "Declare each source once.")
    _examples(spec)
    _label(spec)
    _features(spec)
    known = (*spec.inputs.names, *(name for feature in spec.features for name in outputs_of(feature)))
    for name in (*spec.segments, *spec.gate.protect):
        _known(name, known, f"Segment {name!r} of service {spec.name!r} is no request column and no feature.")
    for name in spec.categories:
        _known(name, spec.vector, f"Category {name!r} of service {spec.name!r} is none of the model's inputs.")
    for name in spec.hidden:
        refuse_personal(spec, name)
    for trigger in spec.triggers:
        _trigger(spec, trigger)
    _gate(spec)
    _canary(spec)
    if not spec.recipes:
        raise DeclarationError(f"Service {spec.name!r} has no recipe.", "Give it train=FUNCTION.")
    for name, recipe in spec.recipes.items():
        _recipe(spec, name, recipe)


def agree(one: ServiceSpec, other: ServiceSpec) -> None:
    """Refuse two services of one installation that declare a source of one name differently: it has one table."""
    for source in one.sources:
        twin = next((each for each in other.sources if each.name == source.name), source)
        if twin != source:
            raise DeclarationError(
                f"Services {one.name!r} and {other.name!r} declare the source {source.name!r} differently.",
                "Give one of them another name, or declare it once and import it.",
            )


def _source(source: SourceSpec) -> None:
    columns = [column.name for column in source.columns]
    _once(columns, f"Source {source.name!r} declares twice the column", "Declare each column once.")
    if source.zone is not None:
        try:
            ZoneInfo(source.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise DeclarationError(
                f"Source {source.name!r} names the unknown time zone {source.zone!r}.",
                'Write an IANA name, for example "America/New_York".',
            ) from error
    for check in source.checks:
        _column(source, check.column, f"Check {check.rule!r}")
    for name in source.key:
        _column(source, name, "The key")
    _column(source, source.event_time, "The event time", ("timestamp",))
    _column(source, source.known_at.column, "The known-at time", ("timestamp",))
    if source.sql is not None:
        _column(source, source.sql.cursor, "The cursor", ("timestamp", "int64"))


def _column(source: SourceSpec, name: str, reader: str, kinds: Collection[str] = ()) -> None:
    """`reader` reads a column of the source, of one of `kinds`. Undeclared columns are looked at when rows come."""
    if not source.columns:
        return
    types = {column.name: column.type for column in source.columns}
    _known(name, types, f"{reader} reads column {name!r}, which source {source.name!r} does not have.")
    if kinds and types[name] not in kinds:
        raise DeclarationError(
            f"{reader} reads column {name!r} of source {source.name!r}, which is {types[name]}.",
            f"It must be {' or '.join(kinds)}.",
        )


def _examples(spec: ServiceSpec) -> None:
    if spec.examples is None:
        return
    source = spec.source(spec.examples.source)
    asked = spec.examples.request.names
    _once(asked, f"The request of service {spec.name!r} names twice", "Name each column once.")
    for name in asked:
        _column(source, name, f"The request of service {spec.name!r}")
    at = spec.examples.at.column
    _known(at, asked, f"The prediction time of service {spec.name!r} reads {at!r}, which is not in the request.")
    kinds = {column.name: column.type for column in spec.examples.request.columns}
    if kinds[at] != "timestamp":
        raise DeclarationError(
            f"The prediction time of service {spec.name!r} reads {at!r}, which is {kinds[at]}.", "Name a timestamp."
        )


def _label(spec: ServiceSpec) -> None:
    if spec.label is None or spec.examples is None:
        return
    source, name = spec.source(spec.label.source), f"The label of service {spec.name!r}"
    _column(source, spec.label.value, name, LABELS_OF_CLASSES if spec.output.names else _NUMBERS)
    _column(source, spec.label.known_at.column, name, ("timestamp",))
    for key in spec.examples.key:
        _column(source, key, f"{name}, joined by the examples' key,")
    moment = spec.label.mature_at.column
    asked = (*spec.inputs.names, "at")
    _known(moment, asked, f"{name} matures at {moment!r}, which is not in the request.")


def _features(spec: ServiceSpec) -> None:
    known = list(spec.inputs.names)
    for feature in spec.features:
        for name in outputs_of(feature):
            if name in known and not _passes(feature, name):
                raise DeclarationError(f"Two features or columns are named {name!r}.", "Name one of them otherwise.")
        _feature(spec, feature, known)
        known += [name for name in outputs_of(feature) if name not in known]


def _passes(feature: FeatureSpec, name: str) -> bool:
    """Whether a feature hands on the request column of its own name."""
    return isinstance(feature, RequestSpec) and feature.function is None and feature.inputs == (name,)


def _feature(spec: ServiceSpec, feature: FeatureSpec, known: Collection[str]) -> None:
    kinds = {column.name: column.type for column in spec.inputs.columns}
    label = f"Feature {outputs_of(feature)[0]!r}" if outputs_of(feature) else "A look-up without outputs"
    match feature:
        case RequestSpec():
            for name in feature.inputs:
                _known(name, known, f"{label} reads {name!r}, which is no request column and no earlier feature.")
        case WindowSpec():
            _window(spec.source(feature.source), feature, label)
            _entity(spec.source(feature.source), feature.entity, known, kinds, label)
        case OpenSpec():
            _column(spec.source(feature.closed), feature.opens, label, ("timestamp",))
            _entity(spec.source(feature.opened), feature.entity, known, kinds, label)
            _entity(spec.source(feature.closed), feature.entity, known, kinds, label)
        case LookupSpec():
            _lookup(spec, feature, known, kinds, label)


def _window(source: SourceSpec, window: WindowSpec, label: str) -> None:
    if window.column is None:
        if window.fold != "count":
            raise DeclarationError(f"{label} folds no column by {window.fold!r}.", "Name a column.")
    elif window.fold != "count":
        _column(source, window.column, label, ("bool", "int64") if window.fold == "rate" else _NUMBERS)
    else:
        _column(source, window.column, label)
    if window.filter is not None:
        _column(source, window.filter, f"{label}, where={window.filter!r},", ("bool", "int64"))
    if window.scale < 1:
        raise DeclarationError(f"{label} has the scale {window.scale}.", "A scale is a whole number from 1.")


def _lookup(
    spec: ServiceSpec, lookup: LookupSpec, known: Collection[str], kinds: Mapping[str, str], label: str
) -> None:
    source = spec.source(lookup.source)
    _entity(source, lookup.entity, known, kinds, label)
    for _, column in lookup.outputs:
        _column(source, column, label)
    if lookup.then is not None:
        for name, _ in lookup.then.entity:
            _column(source, name, f"{label}, which goes on from it,")
        columns = [column.name for column in source.columns] or [name for name, _ in lookup.then.entity]
        _lookup(spec, lookup.then, columns, {column.name: column.type for column in source.columns}, label)


def _entity(
    source: SourceSpec, pairs: Iterable[tuple[str, str]], known: Collection[str], kinds: Mapping[str, str], label: str
) -> None:
    for left, right in pairs:
        _known(left, known, f"{label} looks for {left!r}, which is no request column and no earlier feature.")
        _column(source, right, label)
        asked, held = kinds.get(left), {column.name: column.type for column in source.columns}.get(right)
        if asked is not None and held is not None and asked != held:
            raise DeclarationError(
                f"{label} compares {left!r} ({asked}) with {right!r} of source {source.name!r} ({held}).",
                "Declare the same type for both.",
            )


def _trigger(spec: ServiceSpec, trigger: object) -> None:
    if not isinstance(trigger, ScheduleTrigger | RowsTrigger | PerformanceTrigger):
        raise DeclarationError(
            f"Service {spec.name!r} has the unknown trigger {trigger!r}.",
            "Known are et.every(...), et.cron(...), et.rows(...) and et.performance(...).",
        )
    try:
        triggers.check(trigger)
    except DeclarationError as error:
        raise DeclarationError(f"A trigger of service {spec.name!r}: {error.what}", error.remedy) from error
    known = tuple(spec.recipes)
    if spec.recipes and not asked_for(trigger.recipe, known):
        asked = next((one for one in map(str.strip, trigger.recipe.split(",")) if one not in known), trigger.recipe)
        raise DeclarationError(
            f"Trigger {triggers.name_of(trigger)!r} of service {spec.name!r}: there is no recipe {asked!r}.",
            suggestion(asked, known),
        )


def _gate(spec: ServiceSpec) -> None:
    """A gate that nothing could pass would keep the first model for ever; one of classes says nothing of values."""
    compared = [spec.gate.primary, *(one.metric for one in spec.triggers if isinstance(one, PerformanceTrigger))]
    for metric in compared if spec.output.kind == "value" else ():
        if metric not in _OF_VALUES:
            raise DeclarationError(
                f"Service {spec.name!r} predicts a value, and is judged by {metric!r}, which is for probabilities.",
                'Say in units of the label what still counts as not worse: gate=et.Gate(primary="mae", margin=...).',
            )
    for metric in compared if spec.output.names else ():
        if metric not in _OF_CLASSES:
            raise DeclarationError(
                f"Service {spec.name!r} predicts classes, and is judged by {metric!r}, which says nothing of them.",
                suggestion(metric, _OF_CLASSES),
            )
    obstacle = unpassable(spec.gate)
    if obstacle is not None:
        what, _, remedy = obstacle.partition(": ")
        raise DeclarationError(
            f"Nothing could pass the gate of service {spec.name!r}: {what}.", remedy[:1].upper() + remedy[1:] + "."
        )


def _canary(spec: ServiceSpec) -> None:
    """A canary that cannot end would keep every successor on trial for ever."""
    steps = spec.rollout.steps
    said = ", ".join(f"{share:g}" for share in steps)
    if not steps or any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        raise DeclarationError(
            f"The canary steps of service {spec.name!r} do not rise: {said or 'there are none'}.",
            "Give the shares in rising order, for example rollout=et.Canary(steps=[0.05, 0.25]).",
        )
    if steps[-1] >= 1.0 and not spec.rollout.by_pool:
        raise DeclarationError(
            f"The canary of service {spec.name!r} would end with all of the traffic, and nothing to compare it with.",
            "Leave the step of 1.0 out: what passes the last step is promoted, and then answers everything.",
        )
    needed = fewest_requests(spec.rollout.margin)
    if needed is None or needed > MOST_REQUESTS:
        count = "more requests than can be counted" if needed is None else f"{needed:,} canary requests"
        raise DeclarationError(
            f"The canary of service {spec.name!r} could hardly end: margin={spec.rollout.margin:g} needs {count} "
            "without a single error.",
            f"Declare a margin that needs at most {MOST_REQUESTS:,}: 1e-6 does, 0.01 needs {fewest_requests(0.01)}.",
        )


def _recipe(spec: ServiceSpec, name: str, recipe: TrainingSpec) -> None:
    """What can be told of a recipe before it is trained."""
    if _RECIPE.fullmatch(name) is None:
        raise DeclarationError(
            f"Service {spec.name!r} has a recipe named {name!r}.", "Name it with letters, digits, '.', '_' and '-'."
        )
    estimator = getattr(recipe, "object", None)
    if estimator is None or spec.output.kind == "value" or hasattr(estimator, "predict_proba"):
        return
    raise DeclarationError(
        f"Recipe {name!r} of service {spec.name!r} is a {type(estimator).__name__} that gives no probabilities.",
        'Use a classifier with predict_proba, or declare output="value".',
    )


def _known(name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        raise DeclarationError(what, suggestion(name, known))


def _once(names: Iterable[str], what: str, remedy: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DeclarationError(f"{what} {name!r}.", remedy)
        seen.add(name)
