"""What came of predictions, as clients post it: by prediction id or by entity key.

    {"labels": [{"prediction_id" or "key", "value", "known_at"}, ...]}

A value that the service's answers can never be right about is refused here, where its sender can mend it.
"""

from collections.abc import Collection, Sequence

import msgspec

from evertrain.config.wording import suggestion
from evertrain.core.cohort import entity_key
from evertrain.core.identity import ServiceName
from evertrain.core.model import Output
from evertrain.core.prediction import Labelled
from evertrain.core.time import Instant, Moment, parse_instant, say_instant
from evertrain.deploy.body import Limits, bound_rows, decode
from evertrain.errors import RequestError
from evertrain.store.pseudonym import Pseudonyms

__all__ = ["hide_keys", "read_labels", "said_certain"]

_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
"""What a table reads as true and false (`data.column`), in any case."""


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    value: float | bool | str
    prediction_id: str = ""
    key: str | int | list[str | int | float | bool | None] = ""
    known_at: str | int | None = None


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[_Label]


_labels = msgspec.json.Decoder(_Labels)


def read_labels(
    body: bytes, service: ServiceName, received: Instant, limits: Limits, output: Output | None = None
) -> list[Labelled]:
    """The labels as log records; a key of several columns is a list.

    output: of the service, which says what a value can be; None where it is not known.
    """
    labels = decode(body, _labels, limits.max_nesting).labels
    bound_rows(len(labels), limits, "labels")
    return [_labelled(label, number, service, received, output) for number, label in enumerate(labels)]


def hide_keys(
    labels: Sequence[Labelled], columns: int, places: Collection[int], pseudonyms: Pseudonyms
) -> list[Labelled]:
    """The same labels, with pseudonyms at these places of their keys; RequestError for a key of other columns."""
    hidden = []
    for number, label in enumerate(labels):
        if label.key:
            parts = _parts(label.key, columns, number)
            label = msgspec.structs.replace(label, key=entity_key(pseudonyms.hide(parts, places)))  # noqa: PLW2901
        hidden.append(label)
    return hidden


def _parts(key: str, columns: int, number: int) -> list[str | int | float | bool | None]:
    """The values of a key, of which `entity_key` made one text."""
    if columns == 1:
        return [key]
    try:
        parts = msgspec.json.decode(key, type=list[str | int | float | bool | None])
    except msgspec.DecodeError:
        parts = []
    if len(parts) != columns:
        raise RequestError(
            f"The key of label {number} has not the {columns} values of the service's key.",
            "Send them as a list, in the order of the declaration.",
            field=f"labels[{number}].key",
        )
    return parts


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


def _labelled(label: _Label, number: int, service: ServiceName, received: Instant, output: Output | None) -> Labelled:
    key = _key(label.key)
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
            f"Label {number} is {str(value)[:80]!r}, and the score is the probability of a label of 1.",
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


def _place(value: float | bool | str, number: int, classes: Sequence[str]) -> float:
    name = value if isinstance(value, str) else f"{value:g}"
    if name not in classes:
        what = f"Label {number}: there is no class {name[:80]!r}."
        raise RequestError(what, suggestion(name[:80], classes), field=f"labels[{number}].value")
    return float(classes.index(name))


def _key(key: str | int | list[str | int | float | bool | None]) -> str:
    if isinstance(key, str):
        return key
    return entity_key(key if isinstance(key, list) else [key])


def _known(known_at: str | int | None, number: int, received: Instant) -> Instant:
    if known_at is None:
        return received
    if isinstance(known_at, int):
        return Instant(known_at)
    try:
        return parse_instant(known_at)
    except (ValueError, OverflowError) as error:
        raise RequestError(
            f"Label {number}: known_at: {error}.", "Send ISO 8601 with an offset.", field=f"labels[{number}].known_at"
        ) from error
