"""An estimator as a recipe: a fresh clone is fitted on each training set, seeded and recorded.

One that addresses its columns by name is fitted on a pandas DataFrame as `pandas.read_csv` would have given it: text
for categories, float64 for everything else, NaN for what is missing. pandas is imported for that and nowhere else.
Every other one is fitted on the matrix, where a category is its place in the pinned list.
"""

import inspect
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evertrain.config.training import Parameter, Run, TrainingSet
from evertrain.config.wording import suggestion
from evertrain.core.model import Output
from evertrain.errors import ModelError
from evertrain.runtime.classes import Arrangement
from evertrain.runtime.estimator import wants_names

__all__ = ["Fitting", "frame_of"]

_CLOSE: Final = 1e-6
"""How far a packaged copy may be from the estimator: whoever feeds it otherwise is farther off by orders."""


class Fitting:
    """Calls itself like a recipe's function; the estimator that it is given stays as it is."""

    def __init__(self, estimator: Any, output: Output) -> None:
        self._estimator = estimator
        self._output = output
        self._named = wants_names(estimator)
        self._fitted: Any = None

    def __call__(self, data: TrainingSet, run: Run) -> object:
        from sklearn.base import clone

        fresh = clone(self._estimator)
        if self._output.kind != "value" and not hasattr(fresh, "predict_proba"):
            raise ModelError(
                f"{_name_of(fresh)} gives no probabilities.",
                'Use a classifier that does, or declare output="value".',
            )
        _set(fresh, run.parameters)
        _settle(fresh, run)
        run.record(**_given(fresh))
        fresh.fit(self._rows(data), data.y)
        self._fitted = getattr(fresh, "best_estimator_", fresh)  # what a search has found
        run.record(**{f"best {name}": value for name, value in _plain(getattr(fresh, "best_params_", {})).items()})
        return self._fitted

    def compare(self, data: TrainingSet, scores: NDArray[np.float64]) -> None:
        """Refuse a packaged copy that does not score as the estimator does: it would be another model in service.

        scores: the copy's, of the rows of `data`. Raises ModelError.
        """
        rows = self._rows(data)
        own = self._answers(rows).reshape(scores.shape)
        far = ~np.isclose(own, scores, rtol=_CLOSE, atol=_CLOSE).reshape(len(scores), -1).all(axis=1)
        if far.any():
            raise ModelError(
                f"{_name_of(self._fitted)} scores {int(far.sum())} of {len(scores)} rows otherwise once it is saved "
                f"and given the values of requests.",
                "Use scikit-learn's own encoders and imputers for text and missing values.",
            )

    def _answers(self, rows: Any) -> NDArray[np.float64]:
        """What the fitted estimator itself says of rows, as a model in service would."""
        if self._output.kind == "value":
            return np.asarray(self._fitted.predict(rows), dtype=np.float64)
        own = np.asarray(self._fitted.predict_proba(rows), dtype=np.float64)
        if self._output.kind == "probability":
            return own[:, 1]
        known = list(self._fitted.classes_)
        return Arrangement(_name_of(self._fitted), known, self._output, numbered=True).spread(own)

    def _rows(self, data: TrainingSet) -> Any:
        return frame_of(data) if self._named else data.X


def frame_of(data: TrainingSet) -> Any:
    """The inputs as a pandas DataFrame, without the label."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ModelError(
            "The estimator names its columns, and pandas, which it needs for that, is not installed.",
            "Install it: pip install 'evertrain[sklearn]'.",
        ) from error
    columns = {}
    for place, one in enumerate(data.inputs):
        numbers = data.X[:, place]
        if one.categories is None:
            columns[one.name] = pd.Series(numbers)
        else:
            texts = [*one.categories, np.nan]
            places = np.where(np.isnan(numbers), len(one.categories), numbers).astype(np.int64)
            columns[one.name] = pd.Series([texts[number] for number in places])
    return pd.DataFrame(columns)


def _set(estimator: Any, asked: Mapping[str, Parameter]) -> None:
    known = estimator.get_params()
    for name in asked:
        if name not in known:
            raise ModelError(f"{_name_of(estimator)} has no parameter {name!r}.", suggestion(name, known))
    estimator.set_params(**asked)


def _settle(estimator: Any, run: Run) -> None:
    """What is left open is settled by the run: seeds that nobody set, and how many threads may be used."""
    for name, value in estimator.get_params().items():
        last = name.rpartition("__")[2]
        if last == "random_state" and value is None:
            estimator.set_params(**{name: run.seed})
        elif last == "n_jobs" and value is not None:
            estimator.set_params(**{name: run.threads})


def _given(estimator: Any) -> dict[str, Parameter]:
    """The plain parameters that differ from their defaults, by scikit-learn's names: "logisticregression__C"."""
    everything = estimator.get_params()
    found: dict[str, Parameter] = {"estimator": _name_of(estimator)}
    for name, value in _plain(everything).items():
        owner, _, last = name.rpartition("__")
        part = everything[owner] if owner else estimator
        default = inspect.signature(type(part)).parameters.get(last)
        if last != "n_jobs" and (default is None or repr(default.default) != repr(value)):  # NaN is not equal to NaN
            found[name] = value
    return found


def _plain(values: Mapping[str, Any]) -> dict[str, Parameter]:
    return {name: value for name, value in values.items() if isinstance(value, str | int | float | bool)}


def _name_of(estimator: object) -> str:
    """A Pipeline is called by its last step.

    >>> _name_of(1.5)
    'float'
    """
    steps = getattr(estimator, "steps", None)
    inner = f"({_name_of(steps[-1][1])})" if steps else ""
    return f"{type(estimator).__name__}{inner}"
