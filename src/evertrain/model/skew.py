"""What a training script did to its rows before it fitted, as far as the model itself shows it.

None of that happens in service: a model that was fitted on filled and mapped rows is asked with rows as they are.
"""

from pathlib import Path
from typing import Any, Final

from evertrain.config.training import TrainingSet
from evertrain.runtime.artifact import describe, recognise
from evertrain.runtime.estimator import parts_of

__all__ = ["invented"]

_SHOWN: Final = 3


def invented(model: object, data: TrainingSet) -> str:
    """A sentence about categories that the model knows and no training row holds; "" where there are none.

    model: an estimator, with encoders somewhere in it, a LightGBM booster that keeps pandas' categories, or the path of
    a file that says its categories.
    """
    held = {text for texts in data.categories.values() for text in texts}
    strange = sorted(_known(model) - held - _filled(model)) if held else []
    if not strange:
        return ""
    more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    return (
        f"the model knows the category {', '.join(map(repr, strange[:_SHOWN]))}{more}, which no training row holds: "
        "the script put it there before it fitted (fillna, replace), and in service nobody does; "
        "let a step of the Pipeline do it"
    )


def _filled(model: Any) -> set[str]:
    """Texts that a step of the model itself puts where a value is missing, in service as in training."""
    if isinstance(model, str | Path):
        return set()
    imputers = [one for one in parts_of(model) if getattr(one, "strategy", None) == "constant"]
    given = [getattr(one, "fill_value", None) for one in imputers]
    learnt = [one for imputer in imputers for one in getattr(imputer, "statistics_", ())]
    return {one for one in (*given, *learnt) if isinstance(one, str)}


def _known(model: Any) -> set[str]:
    """Texts that the model has numbers for."""
    if isinstance(model, str | Path):
        told = describe(Path(model), recognise(Path(model))).vector or ()
        return {text for item in told for text in item.categories or ()}
    lists = [values for part in parts_of(model) for values in getattr(part, "categories_", None) or ()]
    booster = getattr(model, "booster_", model)
    lists += getattr(booster, "pandas_categorical", None) or []
    return {one for values in lists for one in values if isinstance(one, str)}
