"""Whether a trained version is too good to be believed: then a column knows the label, and the gate cannot see it.

The holdout holds the same leak as the training rows, so a leaking version passes any comparison. What no later version
adds is no news: a champion that takes the same columns, or is as perfect, was let in before.
"""

from typing import Final

import msgspec
import polars as pl

from evertrain.core.card import Card
from evertrain.core.gate import Judgement
from evertrain.core.identity import VersionId
from evertrain.core.schema import Column
from evertrain.core.stage import Evaluate
from evertrain.data.profile import findings
from evertrain.model.assemble import FEATURE, read_parquet
from evertrain.store.artifact import Artifacts

__all__ = ["PERFECT", "Doubts", "doubted", "doubts_of", "perfect"]

PERFECT: Final = 0.995
"""From this AUC on a version is all but perfect."""
_AS_GOOD: Final = 0.005
_LABEL: Final = "the label"


class Doubts(msgspec.Struct, frozen=True, kw_only=True):
    """words: each in half a sentence. hold: those of them that the champion does not share; it gets no traffic."""

    words: tuple[str, ...] = ()
    hold: str = ""


def doubts_of(task: Evaluate, card: Card, artifacts: Artifacts) -> Doubts:
    """What speaks against believing a version's figures; it is held only beside a champion that does not share it."""
    taken = {item.name for item in artifacts.manifest(task.challenger).vector}
    shared = set() if task.champion is None else {item.name for item in artifacts.manifest(task.champion).vector}
    told = {
        name: words
        for name, words in _leaks(read_parquet(artifacts.blobs.get(task.assembled.training)))
        if name in taken
    }
    own = [words for name, words in told.items() if name not in shared]
    auc = perfect(card)
    if auc:
        told[""] = auc
        own += [] if _is_as_good(card, task.champion) else [auc]
    return Doubts(words=tuple(told.values()), hold="" if task.champion is None else "; ".join(own))


def doubted(judgement: Judgement, card: Card, doubts: Doubts) -> tuple[Judgement, Card]:
    """The judgement and its card with the doubts; the verdict stays what it is."""
    if not doubts.words:
        return judgement, card
    reasons = (*judgement.reasons, *(f"caution: {words}" for words in doubts.words))
    return (
        msgspec.structs.replace(judgement, reasons=reasons),
        msgspec.structs.replace(card, reasons=reasons, doubts=doubts.words),
    )


def perfect(card: Card) -> str:
    """That a version is all but perfect on rows that it never saw, "" where it is not."""
    figure = _auc(card, "challenger")
    if figure < PERFECT:
        return ""
    return f"an AUC of {figure:.4f} on {card.holdout_rows:,} rows is too good to be believed: look for a leak"


def _is_as_good(card: Card, champion: VersionId | None) -> bool:
    """Whether the champion is as perfect, so that this version adds nothing to be believed."""
    return champion is not None and _auc(card, "champion") >= _auc(card, "challenger") - _AS_GOOD


def _auc(card: Card, who: str) -> float:
    return next((one.metrics.get("auc", 0.0) for one in card.figures if one.who == who), 0.0)


def _leaks(training: pl.DataFrame) -> list[tuple[str, str]]:
    """Features that all but give the label away, by name, on the rows that the version was trained on."""
    if training.is_empty():
        return []
    columns = [
        Column(name=name, type="string" if kind == pl.String else "float64", nullable=True)
        for name, kind in training.schema.items()
        if name.startswith(FEATURE) and (kind in (pl.String, pl.Boolean) or kind.is_numeric())
    ]
    rows = training.rename({"label": _LABEL})
    found = findings(rows, columns, key=("key",), at="at", label=_LABEL)
    names = [(one.column.removeprefix(FEATURE), one.words) for one in found if one.kind == "leak"]
    return [(name, f"a leak: {name}: {words}: is it known at the prediction?") for name, words in names]
