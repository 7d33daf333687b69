"""What a recipe is given: `train(data, run)` gets the training set and the run."""

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evertrain.core.schema import Input
from evertrain.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

__all__ = ["Run", "TrainingSet"]

Parameter = str | int | float | bool


class TrainingSet:
    """Labelled rows in canonical order (prediction time, key).

    X: float64 of shape (n, k), a category as its index in `categories[name]`, what is missing or unseen as NaN. y and
    weight: float64 of length n; where a service answers with classes, y holds the place of each row's class among
    `classes`, which is () otherwise. at: prediction times, int64 microseconds UTC. names: the k columns, in order.
    """

    def __init__(
        self,
        *,
        X: "NDArray[np.float64]",  # noqa: N803 - the name that everybody knows
        y: "NDArray[np.float64]",
        at: "NDArray[np.int64]",
        inputs: Sequence[Input],
        weight: "NDArray[np.float64] | None" = None,
        classes: Sequence[str] = (),
    ) -> None:
        if X.shape != (len(y), len(inputs)) or len(at) != len(y):
            raise ModelError(f"A training set of shape {X.shape} has {len(y)} labels and {len(inputs)} inputs.")
        import numpy as np

        self.X = X
        self.y = y
        self.at = at
        self.inputs = tuple(inputs)
        self.classes = tuple(classes)
        self.weight = np.ones(len(y)) if weight is None else weight

    def __len__(self) -> int:
        return len(self.y)

    @property
    def names(self) -> list[str]:
        """The columns of X."""
        return [one.name for one in self.inputs]

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """The pinned categories of each categorical column; X holds indices into them."""
        return {one.name: one.categories for one in self.inputs if one.categories is not None}

    def to_numpy(self) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """X and y."""
        return self.X, self.y

    def to_polars(self) -> "polars.DataFrame":
        """The columns by name, categories as text, missing as null, and the label as `label`, a class by its name."""
        import polars as pl

        columns = {}
        for position, one in enumerate(self.inputs):
            series = pl.Series(one.name, self.X[:, position]).fill_nan(None)
            if one.categories is not None:
                texts = dict(enumerate(one.categories))
                series = series.cast(pl.Int64).replace_strict(texts, default=None, return_dtype=pl.String)
            columns[one.name] = series
        label = pl.Series("label", self.y)
        if self.classes:
            label = label.cast(pl.Int64).replace_strict(dict(enumerate(self.classes)), return_dtype=pl.String)
        return pl.DataFrame([*columns.values(), label])

    def to_pandas(self) -> Any:
        """The same as `to_polars`, in pandas, which must be installed."""
        pd = importlib.import_module("pandas")
        return pd.DataFrame({series.name: series.to_list() for series in self.to_polars()})


class Run:
    """The circumstances of one training. Everything that could change its outcome is recorded.

    seed: for every source of randomness. threads: how many the recipe may use. parameters: what this run was asked to
    use in place of the recipe's own defaults. folder: a private place for files; a recipe may return a path in it.
    """

    def __init__(
        self, *, folder: Path, seed: int = 0, threads: int = 1, parameters: Mapping[str, Parameter] | None = None
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.threads = threads
        self.parameters: dict[str, Parameter] = dict(parameters or {})
        self.recorded: dict[str, Parameter] = {}

    def parameter(self, name: str, default: Any) -> Any:
        """The asked value of a parameter or the recipe's default, recorded either way."""
        value = self.parameters.get(name, default)
        self.recorded[name] = _said(value)
        return value

    def record(self, **values: Parameter) -> None:
        """Record parameters or figures under their names, in the manifest of the version; NaN as the text "nan"."""
        for name, value in values.items():
            if not isinstance(value, str | int | float | bool):
                raise ModelError(f"{name!r} of type {type(value).__name__} cannot be recorded.", "Record plain values.")
            self.recorded[name] = _said(value)

    def path(self, name: str) -> Path:
        """A file of this run."""
        return self.folder / name


def _said(value: Parameter) -> Parameter:
    """JSON has no number for what is not finite."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
