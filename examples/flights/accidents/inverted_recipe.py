"""A bad commit: the label was turned round, so the model is surest where it is wrong."""

from typing import TYPE_CHECKING

import sound_recipe

import evertrain as et

if TYPE_CHECKING:
    import lightgbm


def train(data: et.TrainingSet, run: et.Run) -> "lightgbm.Booster":
    """The sound recipe on inverted labels."""
    return sound_recipe.train(et.TrainingSet(X=data.X, y=1.0 - data.y, at=data.at, inputs=data.inputs), run)
