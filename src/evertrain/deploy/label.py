"""What came of predictions, as clients post it: by prediction id or by entity key.

    {"labels": [{"prediction_id" or "key", "value", "known_at"}, ...]}

A value that the service's answers can never be right about is refused here, where its sender can mend it.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from evertrain.config.wording import suggestion
from evertrain.core.cohort import entity_key
from evertrain.core.identity import ServiceName
from evertrain.core.model import Output
from evertrain.core.prediction import Labelled
from evertrain.core.schema import Value
from evertrain.core.time import Instant, Moment, parse_instant, say_instant, to_datetime
from evertrain.deploy.body import Limits, bound_rows, decode
from evertrain.deploy.column import Columns
from evertrain.errors import RequestError
from evertrain.store.pseudonym import Pseudonyms

__all__ = ["KeyForm", "hide_keys", "read_labels", "said_certain"]

_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
"""What a table reads as true and false (`data.column`), in any case."""

_LIKE = {"string": '"c17"', "int64": "17", "float64": "0.5", "bool": "true", "timestamp": '"2026-03-01T00:00:00Z"'}


class KeyForm(NamedTuple):
    """What the key of a service is made of: these columns of its requests."""

    names: tuple[str, ...]
    columns: Columns

    @property
    def remedy(self) -> str:
        """How a key is written."""
        like = ", ".join(_LIKE[self.columns.column(name).type] for name in self.names)
        return f"Send the list of {', '.join(self.names)}, as the request had them: [{like}]. Or send prediction_id."


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    value: float | bool | str
    prediction_id: str = ""
    key: str | int | list[str | int | float | bool | None] = ""
    known_at: str | int | None = None


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[_Label]


_labels = msgspec.json.Decoder(_Labels)


def read_labels(
    body: bytes,
    service: ServiceName,
    received: Instant,
    limits: Limits,
    output: Output | None = None,
    *,
    form: KeyForm | None = None,
) -> list[Labelled]:
    """The labels as log records; a key of several columns is a list.

    output, form: of the service, which say what a value and a key can be; None where that is not known.
    """
    labels = decode(body, _labels, limits.max_nesting).labels
    bound_rows(len(labels), limits, "labels")
    keys = [_key(label.key, number, form) for number, label in enumerate(labels)]
    return [
        _labelled(label, number, service, received, key=key, output=output)
        for number, (label, key) in enumerate(zip(labels, keys, strict=True))
    ]


def hide_keys(
    labels: Sequence[Labelled], columns: int, places: Collection[int], pseudonyms: Pseudonyms
) -> list[Labelled]:
    """The same labels, with pseudonyms at these places of their keys, which are of so many columns."""
    hidden = []
    for label in labels:
        if label.key:
            parts = [label.key] if columns == 1 else _parts(label.key)
            label = msgspec.structs.replace(label, key=entity_key(pseudonyms.hide(parts, places)))  # noqa: PLW2901
        hidden.append(label)
    return hidden


def _parts(key: str) -> list[str | int | float | bool | None]:
    """The values of a key of several columns, of which `entity_key` made one text; none where it made it of one."""
    try:
        return msgspec.json.decode(key, type=list[str | int | float | bool | None])
    except msgspec.DecodeError:
        return []


def said_certain(certain: Moment | None, now: Instant) -> dict[str, str]:
    """From when on labels count that are posted now, as far as a worker can know; nothing where they do at once.

    A label counts from a moment of its prediction on. Where that is so long after it, all of them do by so long after
    now, but for predictions that were asked for a later time.

    >>> said_certain(Moment.parse("at + 30d"), Instant(0))
    {'certain_from': 'at + 30d', 'all_by': '1970-01-31T00:00:00Z'}
    >>> said_certain(Moment.parse("due"), Instant(0)), said_certain(Moment.parse("at"), Instant(0))
    ({'certain_from': 'due'}, {})
    """
    if certain is None or (certain.column == "at" and certain.offset <= 0):
        return {}
    if certain.column != "at":
        return {"certain_from": str(certain)}
    return {"certain_from": str(certain), "all_by": say_instant(Instant(now + certain.offset))}


def _labelled(
    label: _Label, number: int, service: ServiceName, received: Instant, *, key: str, output: Output | None
) -> Labelled:
    if (key == "") == (label.prediction_id == ""):
        raise RequestError(
            f"Label {number} names {'neither a prediction nor a key' if key == '' else 'a prediction and a key'}.",
            "Send one of prediction_id and key.",
            field=f"labels[{number}]",
        )
    return Labelled(
        service=service,
        prediction=label.prediction_id,
        key=key,
        value=_value(label.value, number, output),
        known=_known(label.known_at, number, received),
        received=received,
    )


def _value(value: float | bool | str, number: int, output: Output | None) -> float:
    """A label as a number: of classes, the place of the one that is named; of a probability, 0 or 1."""
    if output is not None and output.names:
        return _place(value, number, output.names)
    field = f"labels[{number}].value"
    if output is not None and output.kind == "probability":
        found = _WORDS.get(value.lower()) if isinstance(value, str) else float(value)
        if found in (0.0, 1.0):
            return found
        raise RequestError(
            f"Label {number} is {_as_sent(value)}, and the score is the probability of a label of 1.",
            "Send 0 or 1, true or false, yes or no.",
            field=field,
        )
    if isinstance(value, str):
        raise RequestError(
            f"Label {number} is the text {value[:80]!r}.",
            "Send a number, or true or false; the name of a class once a model of classes answers.",
            field=field,
        )
    return float(value)


def _as_sent(value: float | bool | str) -> str:
    """A label as the body has it.

    >>> _as_sent(2.0), _as_sent("maybe")
    ('2', "'maybe'")
    """
    return repr(value[:80]) if isinstance(value, str) else str(value).removesuffix(".0")


def _place(value: float | bool | str, number: int, classes: Sequence[str]) -> float:
    name = value if isinstance(value, str) else f"{value:g}"
    if name not in classes:
        what = f"Label {number}: there is no class {name[:80]!r}."
        raise RequestError(what, suggestion(name[:80], classes), field=f"labels[{number}].value")
    return float(classes.index(name))


def _key(key: str | int | list[str | int | float | bool | None], number: int, form: KeyForm | None) -> str:
    """The key as the log has it, "" where none is sent; RequestError for one that no request can have had."""
    if key == "" or form is None or len(form.names) < 2:
        return key if isinstance(key, str) else entity_key(key if isinstance(key, list) else [key])
    field = f"labels[{number}].key"
    parts = key if isinstance(key, list) else _parts(str(key))
    if len(parts) != len(form.names):
        raise RequestError(
            f"The key of label {number} has not the {len(form.names)} values of the service's key.",
            form.remedy,
            field=field,
        )
    values: list[Value] = []
    for name, part in zip(form.names, parts, strict=True):
        try:
            values += form.columns.values(name, [part])
        except RequestError as error:
            raise RequestError(f"The key of label {number}: {error.what}", form.remedy, field=field) from None
    return entity_key(values)


def _known(known_at: str | int | None, number: int, received: Instant) -> Instant:
    if known_at is None:
        return received
    try:
        found = known_at if isinstance(known_at, int) else parse_instant(known_at)
        to_datetime(found)
    except (ValueError, OverflowError) as error:
        reason = f"{known_at} is no time in microseconds" if isinstance(known_at, int) else error
        raise RequestError(
            f"Label {number}: known_at: {reason}.",
            "Send ISO 8601 with an offset, or microseconds since 1970 in UTC.",
            field=f"labels[{number}].known_at",
        ) from error
    return Instant(found)
