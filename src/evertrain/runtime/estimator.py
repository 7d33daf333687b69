"""What a scikit-learn estimator is made of: whether it reads text, which names it goes by, and which of its rows stand
alone. Its parts are found by walking its attributes, fitted or not; scikit-learn itself is not imported here.

An estimator that was fitted on a DataFrame answers arrays afterwards: its columns are addressed by their places, so
that no process that answers requests needs pandas.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ENCODERS", "Steps", "address_by_place", "parts_of", "reads_text", "wants_names"]

_TREES: Final = (
    "sklearn.tree.",
    "sklearn.dummy.",
    "sklearn.ensemble._forest.",
    "sklearn.ensemble._gb.",
    "sklearn.ensemble._hist_gradient_boosting.",
)
_EACH_CELL: Final = frozenset(
    {
        "ColumnTransformer",
        "CountVectorizer",
        "FeatureUnion",
        "FunctionTransformer",
        "HashingVectorizer",
        "KBinsDiscretizer",
        "LabelEncoder",
        "MaxAbsScaler",
        "MinMaxScaler",
        "MissingIndicator",
        "OneHotEncoder",
        "OrdinalEncoder",
        "Pipeline",
        "RobustScaler",
        "SelectKBest",
        "SelectPercentile",
        "SimpleImputer",
        "StandardScaler",
        "TargetEncoder",
        "TfidfTransformer",
        "TfidfVectorizer",
        "VarianceThreshold",
    }
)
"""Steps that treat a row the same whichever rows come with it, bit for bit: look-ups, and single correctly rounded
operations on each cell. A matrix product is none of them: it may round a row differently in a batch."""


ENCODERS: Final = frozenset(
    {"CountVectorizer", "HashingVectorizer", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder", "TfidfVectorizer"}
)
"""Steps that make numbers of texts."""


def parts_of(estimator: object) -> list[Any]:
    """The estimator and everything in it that is one, outermost first, each once."""
    return list(_walk(estimator, set()))


def _walk(node: object, seen: set[int]) -> Iterator[Any]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, dict):
        inside: Sequence[object] = list(node.values())
    elif isinstance(node, list | tuple):
        inside = node
    elif isinstance(node, np.ndarray) and node.dtype == object:
        inside = [one for one in node.flat if hasattr(one, "get_params")]  # the trees of a boosted ensemble
    elif callable(getattr(node, "get_params", None)) and not isinstance(node, type):
        yield node
        inside = list(vars(node).values())
    else:
        return
    for one in inside:
        yield from _walk(one, seen)


def wants_names(estimator: object) -> bool:
    """Whether an unfitted estimator addresses its columns by name, so that it must be fitted on a DataFrame."""
    for part in parts_of(estimator):
        columns = [spec[2] for spec in getattr(part, "transformers", ()) if len(spec) == 3]
        if any(callable(one) or _is_named(one) for one in columns):
            return True
        chosen = getattr(part, "categorical_features", None)
        if isinstance(chosen, Sequence | np.ndarray) and not isinstance(chosen, str) and _is_named(chosen):
            return True
    return False


def _is_named(columns: object) -> bool:
    if isinstance(columns, slice):
        return isinstance(columns.start, str) or isinstance(columns.stop, str)
    if isinstance(columns, str):
        return True
    return isinstance(columns, Sequence | np.ndarray) and any(isinstance(one, str) for one in columns)


def reads_text(estimator: object) -> bool:
    """Whether a fitted estimator knows categories by their texts, and not by their numbers in a pinned list."""
    for part in parts_of(estimator):
        if hasattr(part, "analyzer"):  # a vectorizer of text
            return True
        known = getattr(part, "categories_", None)
        if isinstance(known, list) and any(isinstance(one, str) for values in known for one in values):
            return True
    return False


def address_by_place(estimator: object) -> None:
    """Let a fitted estimator take arrays: names of columns become their places, and are forgotten."""
    for part in parts_of(estimator):
        names = getattr(part, "feature_names_in_", None)
        if names is None:
            continue
        places = {str(name): place for place, name in enumerate(names)}
        if hasattr(part, "transformers_"):
            part.transformers_ = [(name, one, _placed(columns, places)) for name, one, columns in part.transformers_]
        if "feature_names_in_" in vars(part):  # some only hand on what a part of theirs remembers
            del part.feature_names_in_


def _placed(columns: Any, places: dict[str, int]) -> Any:
    """A fitted selection of columns by place.

    >>> places = {"a": 0, "b": 1, "c": 2}
    >>> _placed(["b", "c"], places), _placed(slice("a", "b"), places), _placed("a", places)
    ([1, 2], slice(0, 2, None), 0)
    """
    if isinstance(columns, str):
        return places[columns]
    if isinstance(columns, slice):
        start = places[columns.start] if isinstance(columns.start, str) else columns.start
        stop = places[columns.stop] + 1 if isinstance(columns.stop, str) else columns.stop  # labels include the last
        return slice(start, stop, columns.step)
    if isinstance(columns, Sequence | np.ndarray) and any(isinstance(one, str) for one in columns):
        return [places[str(one)] for one in columns]
    return columns


class Steps:
    """A fitted estimator as steps that are fit to be called with many rows at once, and what has to take them singly.

    A batch has to be answered like its rows one by one, bit for bit. Steps whose rows stand alone take the whole
    batch; from the first other one on, each row goes its way alone.
    """

    def __init__(self, estimator: Any) -> None:
        steps = [step for _, step in getattr(estimator, "steps", ())]
        together = 0
        while together < len(steps) - 1 and (_is_nothing(steps[together]) or _stands_alone(steps[together])):
            together += 1
        self._before = [step for step in steps[:together] if not _is_nothing(step)]
        self._rest = estimator[together:] if together else estimator
        if len(getattr(self._rest, "steps", ())) == 1:
            self._rest = self._rest.steps[0][1]
        self._whole = _stands_alone(self._rest)

    def probabilities(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Of each class that it knows, (n, c)."""
        return self._answered(rows, lambda model, some: model.predict_proba(some)).reshape(len(rows), -1)

    def values(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """What the estimator predicts, (n,)."""
        return self._answered(rows, lambda model, some: model.predict(some)).reshape(len(rows))

    def _answered(self, rows: Any, ask: Any) -> NDArray[np.float64]:
        """What is answered to each row, in whatever shape that is for one; the first axis is the rows'."""
        count = len(rows)
        for step in self._before:
            rows = step.transform(rows)
        if self._whole:
            return np.asarray(ask(self._rest, rows), dtype=np.float64)
        singly = [ask(self._rest, _alone(rows, number)) for number in range(count)]
        return np.asarray(singly, dtype=np.float64)


def _alone(rows: Any, number: int) -> Any:
    """One row of an array or a sparse matrix, laid out in memory as if it had come alone."""
    row = rows[number : number + 1]
    return np.ascontiguousarray(row) if isinstance(row, np.ndarray) else row


def _is_nothing(step: object) -> bool:
    return step is None or step == "passthrough"


def _stands_alone(estimator: object) -> bool:
    parts = parts_of(estimator)
    return bool(parts) and all(
        (_is_sklearns(part) and type(part).__name__ in _EACH_CELL and not _runs_a_function(part))
        or f"{type(part).__module__}.".startswith(_TREES)
        for part in parts
    )


def _is_sklearns(part: object) -> bool:
    """Whether the class is scikit-learn's: one of somebody else's may have the same name."""
    return type(part).__module__.startswith("sklearn.")


def _runs_a_function(part: Any) -> bool:
    """Whether a step is a function of somebody's; scikit-learn's own ones only check and convert."""
    function = getattr(part, "func", None)
    return function is not None and not isinstance(function, functools.partial)
