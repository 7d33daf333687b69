"""What a model says of one row: a number, or a probability for each class of its service's output.

In arrays of n rows the scores of classes have the shape (n, k), all others (n,); labels of classes are places among
them. A model that answers with classes is called by its most probable one; of equals, the first.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from evertrain.core.model import Output

if TYPE_CHECKING:  # the supervisor, which speaks of scores and computes none, starts without NumPy
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Cause", "RowScore", "best", "constant_of", "fault_of", "hidden_words", "plain"]

RowScore = float | tuple[float, ...]
Cause = Literal["error", "deadline", "crash", "nan", "range", "protocol"]

_SLACK = 1e-3
"""How far probabilities may be from a sum of one: those of 32-bit floats are, by a tenth of that."""


def plain(scores: "NDArray[np.float64]") -> list[RowScore]:
    """An array of scores as values, one a row.

    >>> import numpy as np
    >>> plain(np.array([0.5, 0.25])), plain(np.array([[0.5, 0.25, 0.25]]))
    ([0.5, 0.25], [(0.5, 0.25, 0.25)])
    """
    rows = scores.tolist()
    return [tuple(row) for row in rows] if scores.ndim == 2 else rows


def best(score: RowScore) -> float:
    """The one number of an answer: the score, or the probability of the most probable class.

    >>> best(0.2), best((0.1, 0.6, 0.3))
    (0.2, 0.6)
    """
    return max(score) if isinstance(score, tuple) else score


def constant_of(label: "NDArray[np.float64]", output: Output) -> RowScore:
    """What a model would answer that knows labels alone: their mean, or the share of each class; 0 without labels.

    >>> import numpy as np
    >>> constant_of(np.array([0.0, 2.0, 2.0, 1.0]), Output.of_classes(("bus", "car", "tram")))
    (0.25, 0.25, 0.5)
    """
    if output.kind != "classes":
        return float(label.mean()) if len(label) else 0.0
    return tuple(float((label == place).sum()) / max(len(label), 1) for place in range(len(output.names)))


def fault_of(score: RowScore, output: Output) -> tuple[Cause, str] | None:
    """Why a score must not be answered: not finite, out of the declared range, no probabilities. None: it may.

    >>> fault_of(0.5, Output()) is None
    True
    >>> fault_of(1.5, Output())
    ('range', 'score 1.5 is above 1.0')
    >>> fault_of((0.5, 0.5), Output.of_classes(("bus", "car", "tram")))
    ('protocol', '2 probabilities came for 3 classes')
    """
    if output.kind == "classes":
        return _fault_of_classes(score if isinstance(score, tuple) else (score,), output)
    if isinstance(score, tuple):
        return "protocol", f"{len(score)} numbers came for one {output.name}"
    return _fault_of_number(score, output, output.name)


_MAY_BE_PERSONAL = " (what it says may be personal)"


def hidden_words(raised: str) -> str:
    """What is kept of the words of user code that raised on a row with personal values, which it may repeat.

    >>> hidden_words("predict raised KeyError: 'Ann'")
    'predict raised KeyError (what it says may be personal)'
    >>> hidden_words(hidden_words("KeyError: 'Ann'"))
    'KeyError (what it says may be personal)'
    """
    return raised.partition(":")[0].removesuffix(_MAY_BE_PERSONAL) + _MAY_BE_PERSONAL


def _fault_of_classes(score: Sequence[float], output: Output) -> tuple[Cause, str] | None:
    if len(score) != len(output.names):
        return "protocol", f"{len(score)} probabilities came for {len(output.names)} classes"
    for name, probability in zip(output.names, score, strict=True):
        fault = _fault_of_number(probability, output, f"{output.name} of {name!r}")
        if fault is not None:
            return fault
    total = math.fsum(score)
    return None if abs(total - 1.0) <= _SLACK else ("range", f"the probabilities of the classes sum to {total:g}")


def _fault_of_number(score: float, output: Output, name: str) -> tuple[Cause, str] | None:
    if not math.isfinite(score):
        return "nan", f"{name} is {score}"
    if output.low is not None and score < output.low:
        return "range", f"{name} {score} is below {output.low}"
    if output.high is not None and score > output.high:
        return "range", f"{name} {score} is above {output.high}"
    return None
