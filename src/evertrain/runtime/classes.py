"""Bringing a classifier's own probabilities into the order in which its service names the classes.

Some model files know their classes by name or number (scikit-learn, ONNX), others only by their order (LightGBM,
XGBoost); a training of ours gives a recipe the places of the classes, so that what such a model knows are places.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evertrain.core.model import MOST_CLASSES, Output
from evertrain.errors import ModelError

__all__ = ["Arrangement", "class_name", "output_of", "refuse_number"]


class Arrangement:
    """Where a classifier's columns stand among the classes of an output.

    own: the classes as the classifier knows them, in the order of its columns; where they are no names of the output's,
    numbers are places. numbered: they are places though there be such names. A class of the output that it never saw
    has the probability 0. ModelError names one that the output has not.
    """

    def __init__(self, name: str, own: Sequence[object], output: Output, *, numbered: bool = False) -> None:
        known = {text: place for place, text in enumerate(output.names)}
        by_place = numbered or any(class_name(one) not in known for one in own)
        self._width = len(known)
        self._places: list[int] = []
        for one in own:
            place = _number(one) if by_place and not isinstance(one, str) else known.get(class_name(one))
            if place is None or not 0 <= place < self._width:
                raise ModelError(
                    f"{name} knows a class {class_name(one)!r}, which is none of the service's: "
                    f"{', '.join(output.names[:8])}.",
                    "Train it on the classes that the service declares, or serve it under another name.",
                )
            self._places.append(place)

    def spread(self, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """The classifier's (n, c) probabilities as (n, k) of the output.

        >>> arrangement = Arrangement("it", ["car", "bus"], Output.of_classes(("bus", "car", "tram")))
        >>> arrangement.spread(np.array([[0.7, 0.3]])).tolist()
        [[0.3, 0.7, 0.0]]
        """
        if own.ndim != 2 or own.shape[1] != len(self._places):
            raise ModelError(f"It gave probabilities of shape {own.shape} for {len(self._places)} classes.")
        whole = np.zeros((len(own), self._width), dtype=np.float64)
        whole[:, self._places] = own
        return whole


def class_name(value: object) -> str:
    """The name of a class that a library knows as a text or a number.

    >>> [class_name(one) for one in ("bus", 2, 2.0, np.int64(7), b"car")]
    ['bus', '2', '2', '7', 'car']
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    number = _number(value)
    return str(value) if number is None else str(number)


def _number(value: object) -> int | None:
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    return None


def output_of(name: str, own: Sequence[object]) -> Output:
    """The output of a classifier that knows these classes: of two, the probability of the second one.

    >>> output_of("it", [0, 1]).kind, output_of("it", [1, 2, 3]).names
    ('probability', ('1', '2', '3'))
    """
    if len(own) <= 2:
        return Output()
    if len(own) > MOST_CLASSES:
        raise ModelError(f"{name} has {len(own)} classes.", f"A service answers with {MOST_CLASSES} at most.")
    return Output.of_classes(class_name(one) for one in own)


def refuse_number(name: str, found: int, output: Output) -> None:
    """Raise ModelError when a model gives another number of scores a row than its output has."""
    wanted = max(len(output.names), 1)
    if found == wanted:
        return
    if output.kind == "classes":
        raise ModelError(
            f"{name} gives {found} {'score' if found == 1 else 'scores'} a row, and its service has {wanted} classes.",
            "Train it on the classes that the service declares, or serve it under another name.",
        )
    raise ModelError(
        f"{name} gives {found} scores a row, and its service answers with one.",
        "Serve it under another name: a model of several classes answers with the probability of each.",
    )
