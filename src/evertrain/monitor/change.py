"""Whether the newest stretch of time is worse than the time before it: overall, and segment by segment.

Each group of rows is held against itself. The claim "worse now" has a permutation test over whole blocks of time
(Fisher 1935): the same blocks are dealt anew to before and now for all groups together, and the p-value is the share
of deals in which the loss per row rises as much. Holm 1979 over all groups. A loss also rises where outcomes become
more even, and no model is at fault then; so a group is called worse only if its skill (`monitor.calibration`) fell as
well, which can but lower the error rate.

A stream is looked at again and again, and there a game on the ranks of complete blocks takes the place of the
permutations, so that the error rate holds over all looks (`monitor.anytime`).

*Since* is the change point of least squares: the edge of a block that parts the losses per row best (Hinkley 1970,
Biometrika 57:1). It is an estimate without an interval, told of groups that are worse. All arrays have length n.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.comparison import holm
from evertrain.core.metric import losses
from evertrain.core.policy import MetricName
from evertrain.core.time import Instant, Span
from evertrain.monitor.anytime import rising_p
from evertrain.monitor.calibration import skill
from evertrain.monitor.shift import DEALS, finest

__all__ = ["Change", "Game", "Group", "Labelled", "compare_stretches", "turning_point", "with_suspicions"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_AT_ONCE = 1000
_ENOUGH = 100
"""So many deals in which the loss rises as much, and the p-value is plain (Besag and Clifford 1991)."""
_LEAST_BLOCKS = 3
"""Fewer blocks of a group on one side say nothing of it."""
_BESIDE = 3
"""Blocks that lie at least on each side of a change point."""

Pair = tuple[float | None, float | None]


class Group(msgspec.Struct, frozen=True):
    """Some of the rows. column "": all of them."""

    column: str
    value: str
    rows: Flags


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """Rows with their labels. block: the number of each row's block of time, which is `size` long."""

    label: Floats
    score: Floats
    at: Ints
    block: Ints
    size: Span


class Game(msgspec.Struct, frozen=True):
    """That the rows are those of a stream. until: blocks that end by then are complete; spent: raises p-values."""

    until: Instant
    spent: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One group before and in the newest stretch. column "": all rows.

    figure, labels, base, skill: before and now; figure is the metric, base the mean label. worse: how much worse the
    figure is now; p_value: adjusted by Holm. since: where it seems to have begun. outcome "open": not shown to be
    worse, which is no proof that it is not; "suspicious", of a stream: a single look would call it worse, and all looks
    together do not yet. look_p: the p-value of a stream's single look. everywhere: all rows, and they got worse without
    the worst segment too. at_edge: another change began before the stretch, and this one is dated to its edge.
    echo: it is worse only because the worst one is part of it.
    """

    column: str
    value: str
    outcome: Literal["worse", "suspicious", "open", "insufficient"]
    figure: Pair
    labels: tuple[int, int]
    base: Pair
    skill: Pair
    worse: float | None = None
    p_value: float | None = None
    since: Instant | None = None
    words: str = ""
    look_p: float | None = None
    everywhere: bool = False
    at_edge: bool = False
    echo: bool = False

    @property
    def name(self) -> str:
        return f"{self.column} = {self.value}" if self.column else "all rows"


def compare_stretches(
    name: MetricName,
    rows: Labelled,
    groups: Sequence[Group],
    start: Instant,
    *,
    alpha: float,
    needed: int,
    seed: int,
    game: Game | None = None,
) -> tuple[Change, ...]:
    """Every group from `start` on against itself before, those that got worse first.

    A segment that did only because the worst one is part of it is not called worse: it is asked again without those
    rows, which can but lower the error rate; all rows are asked again as well, and stay worse. name: a mean over rows
    (of ranks there is none). start: the edge of a block. needed: labels on each side. game None: there is one look.
    """
    told = _compare(name, rows, groups, start, alpha=alpha, needed=needed, seed=seed, game=game)
    shown = [at for at, one in enumerate(told) if one.outcome == "worse" and one.column]
    worst = max(shown, key=lambda at: told[at].worse or 0.0, default=None)
    others = [at for at, one in enumerate(told) if one.outcome == "worse" and at != worst]
    if worst is not None and others:
        left = ~groups[worst].rows
        rest = Labelled(
            label=rows.label[left], score=rows.score[left], at=rows.at[left], block=rows.block[left], size=rows.size
        )
        again = [Group(groups[at].column, groups[at].value, groups[at].rows[left]) for at in others]
        asked = _compare(name, rest, again, start, alpha=alpha, needed=needed, seed=seed, game=game)
        for at, one in zip(others, asked, strict=True):
            if not told[at].column:
                told[at] = msgspec.structs.replace(told[at], everywhere=one.outcome == "worse")
            elif one.outcome != "worse":
                words = f"not without {told[worst].name}"
                told[at] = msgspec.structs.replace(told[at], outcome="open", since=None, words=words, echo=True)
    return _sorted(told)


def with_suspicions(changes: Sequence[Change], once: Sequence[Change]) -> tuple[Change, ...]:
    """The changes of a stream with what a single look says of the same groups and would call worse."""
    looks = {(one.column, one.value): one for one in once}
    return _sorted(_suspected(one, looks[one.column, one.value]) if one.outcome == "open" else one for one in changes)


def _suspected(one: Change, look: Change) -> Change:
    if look.outcome != "worse":
        return msgspec.structs.replace(one, look_p=look.p_value)
    return msgspec.structs.replace(
        one,
        outcome="suspicious",
        look_p=look.p_value,
        since=look.since,
        everywhere=look.everywhere,
        words="not shown over all looks",
    )


def _sorted(changes: Iterable[Change]) -> tuple[Change, ...]:
    order = {"worse": 0, "suspicious": 1, "open": 2, "insufficient": 3}
    return tuple(sorted(changes, key=lambda one: (order[one.outcome], one.column != "", -(one.worse or 0.0))))


def _compare(
    name: MetricName,
    rows: Labelled,
    groups: Sequence[Group],
    start: Instant,
    *,
    alpha: float,
    needed: int,
    seed: int,
    game: Game | None,
) -> list[Change]:
    """Every group against itself before, in the order of groups."""
    now = rows.at >= start
    lost = losses(name, rows.label, rows.score)
    names, place = np.unique(rows.block, return_inverse=True)
    newest = names >= start // rows.size
    sums = np.stack([_sums(lost, place, len(names), group.rows) for group in groups])
    testable = [
        min(np.count_nonzero(group.rows & side) for side in (now, ~now)) >= needed
        and min(np.count_nonzero(sums[at, 1, side]) for side in (newest, ~newest)) >= _LEAST_BLOCKS
        for at, group in enumerate(groups)
    ]
    raw, smallest = _p_values(sums[testable], newest, seed) if any(testable) and game is None else ([], 0.0)
    if game is not None:
        complete = (names + 1) * rows.size <= game.until
        raw = [_p_value_ever(one[:, complete], game.spent, seed) for one in sums[testable]]
    adjusted, told = iter(holm(raw)), []
    for at, group in enumerate(groups):
        change = _described(name, rows, group, now)
        if not testable[at]:
            words = f"{change.labels[0]:,} and {change.labels[1]:,} labels in few blocks of time, {needed} are needed"
            told.append(msgspec.structs.replace(change, words=words))
            continue
        since = turning_point(sums[at], names, rows.size)
        told.append(_judged(change, next(adjusted), since, alpha, can_tell=smallest * len(raw) <= alpha))
    return told


def _sums(lost: Floats, place: Ints, blocks: int, rows: Flags) -> Floats:
    """Per block: the loss and the rows of a group; shape (2, blocks)."""
    inside = place[rows]
    return np.stack([np.bincount(inside, weights=lost[rows], minlength=blocks), np.bincount(inside, minlength=blocks)])


def _p_values(sums: Floats, newest: Flags, seed: int) -> tuple[list[float], float]:
    """One-sided, of each group; and the smallest p-value there can be. Dealing ends early where all is plain."""
    rise = _rises(newest[None, :].astype(np.float64), sums)[0]
    found, dealt, ended = np.zeros(len(sums)), 0, np.full(len(sums), np.nan)
    for deal in _deals(newest, seed):
        again = _rises(deal, sums)
        count = found + np.cumsum(np.isnan(again) | (again >= rise - 1e-12), axis=0)
        enough = np.isnan(ended) & (count[-1] >= _ENOUGH)
        ended[enough] = _ENOUGH / (dealt + 1 + np.argmax(count[:, enough] >= _ENOUGH, axis=0))
        found, dealt = count[-1], dealt + len(deal)
        if not np.isnan(ended).any():
            break
    values = np.where(np.isnan(ended), (1 + found) / (1 + dealt), ended)
    return [float(one) for one in values], finest(len(newest), int(newest.sum()))


def _deals(newest: Flags, seed: int) -> Iterator[Floats]:
    """Blocks dealt anew, as many to the newest stretch as it has; shape (deals, blocks)."""
    source, count = np.random.default_rng(seed), int(newest.sum())
    for start in range(0, DEALS, _AT_ONCE):
        ranks = source.random((min(_AT_ONCE, DEALS - start), len(newest))).argsort(axis=1)
        yield (ranks < count).astype(np.float64)


def _p_value_ever(sums: Floats, spent: float, seed: int) -> float:
    """The p-value of one group that holds at every look. sums: of its complete blocks; shape (2, blocks)."""
    lost, rows = sums[:, sums[1] > 0]
    return min(1.0, spent * rising_p(lost / rows, seed))


def _rises(deal: Floats, sums: Floats) -> Floats:
    """How much the loss per row rises in each deal, of each group; NaN where a side holds no row."""
    lost, rows = sums[:, 0].T, sums[:, 1].T
    with np.errstate(invalid="ignore", divide="ignore"):
        now_rows = deal @ rows
        now_lost = deal @ lost
        found: Floats = now_lost / now_rows - (lost.sum(axis=0) - now_lost) / (rows.sum(axis=0) - now_rows)
    return found


def _described(name: MetricName, rows: Labelled, group: Group, now: Flags) -> Change:
    sides = [(rows.label[side], rows.score[side]) for side in (group.rows & ~now, group.rows & now)]
    figures = [float(losses(name, *side).mean()) if len(side[0]) else None for side in sides]
    if name == "rmse":
        figures = [None if one is None else math.sqrt(one) for one in figures]
    if name == "accuracy":
        figures = [None if one is None else 1.0 - one for one in figures]
    before, after = figures
    worse = None if before is None or after is None else (before - after if name == "accuracy" else after - before)
    bases = [float(label.mean()) if len(label) else None for label, _ in sides]
    skills = [skill(name, label, score) for label, score in sides]
    return Change(
        column=group.column,
        value=group.value,
        outcome="insufficient",
        figure=(figures[0], figures[1]),
        labels=(len(sides[0][0]), len(sides[1][0])),
        base=(bases[0], bases[1]),
        skill=(skills[0], skills[1]),
        worse=worse,
    )


def _judged(change: Change, p_value: float, since: Instant | None, alpha: float, *, can_tell: bool) -> Change:
    if not can_tell:
        return msgspec.structs.replace(change, words="too few blocks of time to tell: no pass")
    if p_value > alpha:
        return msgspec.structs.replace(change, outcome="open", p_value=p_value)
    if (change.worse or 0.0) <= 0.0:
        return msgspec.structs.replace(change, outcome="open", p_value=p_value, words="it was worse, and is no more")
    before, now = change.skill
    if before is not None and now is not None and now >= before:
        words = "the loss rose as that of the mean label did, and the skill did not fall"
        return msgspec.structs.replace(change, outcome="open", p_value=p_value, words=words)
    return msgspec.structs.replace(change, outcome="worse", p_value=p_value, since=since)


def turning_point(sums: Floats, names: Ints, size: Span) -> Instant | None:
    """The edge of a block after which the mean has risen most. sums: per block the loss and the rows.

    >>> lost, rows = np.repeat([0.5, 0.9], [12, 8]) * 10, np.full(20, 10.0)
    >>> turning_point(np.stack([lost, rows]), np.arange(20), Span(1))
    12
    """
    lost, rows = np.cumsum(sums[0]), np.cumsum(sums[1])
    cuts = np.arange(_BESIDE - 1, len(names) - _BESIDE)
    before, after = rows[cuts], rows[-1] - rows[cuts]
    fits = (before > 0) & (after > 0)
    if not fits.any():
        return None
    cuts, before, after = cuts[fits], before[fits], after[fits]
    rise = (lost[-1] - lost[cuts]) / after - lost[cuts] / before
    best = int(np.argmax(rise * np.sqrt(before * after / (before + after))))
    return Instant(int(names[cuts[best] + 1]) * size)
