"""Which of several recipes trains: each is rehearsed on the older part of the training rows, the best goes on.

The choice is made before the gate's holdout is looked at. Whoever picks the best of many figures picks luck with it
(the winner's curse), so the figures that chose a recipe say too much good of it; those of the gate must not, and its
error rate is stated for one challenger.
"""

from collections.abc import Iterable, Sequence

import msgspec

from evertrain.core.metric import HIGHER_IS_BETTER
from evertrain.core.policy import MetricName
from evertrain.core.time import Instant

__all__ = ["Choice", "Rehearsed", "asked_for", "choose"]


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """How one recipe fared. It learned from rows mature at `boundary`, and was scored on training rows after it.

    failed: why it has no figures, "" when it has, or when there were too few rows to rehearse on.
    """

    recipe: str
    training_rows: int = 0
    validation_rows: int = 0
    boundary: Instant | None = None
    metrics: dict[str, float] = {}
    failed: str = ""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """recipe: None when every one has failed. reason: in words."""

    recipe: str | None
    reason: str


def asked_for(asked: str, declared: Iterable[str]) -> tuple[str, ...]:
    """The recipes that compete in a cycle, in their order on record; none when a name is not declared.

    "default" is the recipe of that name, or all of them where none has it; several names are joined by commas.

    >>> asked_for("default", ["gbm", "linear"]), asked_for("default", ["default", "other"])
    (('gbm', 'linear'), ('default',))
    >>> asked_for("linear,gbm", ["gbm", "linear", "deep"]), asked_for("nobody", ["gbm"])
    (('gbm', 'linear'), ())
    """
    known = tuple(declared)
    if asked == "default" and asked not in known:
        return known
    names = {name.strip() for name in asked.split(",")}
    return tuple(name for name in known if name in names) if names <= set(known) else ()


def choose(rehearsed: Sequence[Rehearsed], primary: MetricName) -> Choice:
    """The best by the gate's primary metric; of equals, the first one, and they are on record by their names.

    >>> choose([Rehearsed(recipe="a", metrics={"auc": 0.7}), Rehearsed(recipe="b", metrics={"auc": 0.8})], "auc").recipe
    'b'
    """
    sound = [one for one in rehearsed if not one.failed]
    out = "".join(f" {one.recipe} is out: {one.failed}" for one in rehearsed if one.failed)
    if not sound:
        return Choice(recipe=None, reason=f"No recipe can be trained.{out}")
    if len(sound) == 1:
        return Choice(recipe=sound[0].recipe, reason=f"{sound[0].recipe} is the only one that could be trained.{out}")
    if any(primary not in one.metrics for one in sound):
        return Choice(
            recipe=sound[0].recipe,
            reason=f"Too few rows to compare them on; {sound[0].recipe} is the first by name.{out}",
        )
    sign = -1.0 if primary in HIGHER_IS_BETTER else 1.0
    best, *others = sorted(sound, key=lambda one: sign * one.metrics[primary])
    told = ", ".join(f"{one.recipe} {one.metrics[primary]:.4f}" for one in others)
    return Choice(
        recipe=best.recipe,
        reason=f"{best.recipe} had the best {primary} on {best.validation_rows} newer training rows: "
        f"{best.metrics[primary]:.4f}; {told}.{out}",
    )
