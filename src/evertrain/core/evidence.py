"""Evidence that a version on trial does harm, valid at every look: all of it in one tally that survives a restart.

*Errors* are bet on by share, canary against all other traffic: each counts at once, but of those that a process left
without an answer, by its end or for longer than the deadline, only what was asked for after the last of them was over:
what it had in hand at one moment is one event (`core.spacing`). *Latency* and *scores* are bet on in blocks, canary
against control arm, which is the champion in a twin process on the same path (`core.latency`, `core.spread`). *Losses*
are bet on as labels come, in blocks of all labelled answers (`core.loss`). How bets work, and where they come from,
stands in `core.bet`.

What it assumes: who gets a request does not depend on what the request would have caused. Cohorts by a salted hash of
the entity do that; when few entities carry the traffic, the realised share is what keeps the bet on errors fair.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from evertrain.core.bet import Bet, Exposure
from evertrain.core.latency import Latency
from evertrain.core.loss import Graded, Losses
from evertrain.core.prediction import ArmName, Failed, Labelled, Predicted, Record, Shadowed
from evertrain.core.spacing import Timed, Turn
from evertrain.core.spread import Spread

__all__ = ["Failures", "Outcome", "Tally", "outcomes"]

_UNANSWERED: Final = ("crash", "deadline")
_KINDS: Final = 100
_WORDS: Final = 160


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of one request. arm: whose share it fell in. latency_us, score: None where they do not count.

    received: when, in microseconds; it matters where the latency does. unanswered: it failed since its process ended,
    or gave no answer within the deadline; latency_us says when that was known.
    """

    arm: ArmName
    ok: bool
    latency_us: int | None = None
    score: float | None = None
    received: int = 0
    unanswered: bool = False


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """All evidence of one rollout, through its whole ramp; a plain value that survives a restart exactly.

    canary, rest: requests counted; the rest is the champion's and the control arm's. step: the exposure since the
    share last changed. errors: the bet on errors, canary against the rest. unanswered: of the requests that the process
    of the canary, and of the control arm, left without an answer, which the bet took note of last. latency, scores:
    canary against the control arm. losses: of labelled answers, canary against the rest.

    >>> tally = Tally.start(0.1).fold([Outcome("champion", True), Outcome("canary", False)])
    >>> tally.rest, tally.canary, tally.canary_errors, round(tally.errors.value, 2)
    (1, 1, 1, 3.24)
    """

    step: Exposure
    canary: int = 0
    rest: int = 0
    canary_errors: int = 0
    rest_errors: int = 0
    errors: Bet = Bet()
    unanswered: tuple[Turn, Turn] = (Turn(), Turn())
    latency: Latency = Latency()
    scores: Spread = Spread()
    losses: Losses = Losses()

    @classmethod
    def start(cls, share: float) -> "Tally":
        return cls(step=Exposure(share=share))

    def stepped(self, share: float) -> "Tally":
        """The same evidence under another share: the bets go on, the exposure and the blocks begin anew.

        >>> Tally.start(0.1).stepped(0.25).step.share
        0.25
        """
        return msgspec.structs.replace(
            self, step=Exposure(share=share), latency=self.latency.stepped(), scores=self.scores.stepped()
        )

    def counts(self) -> "Tally":
        """What it counts, without its bets: all that says how many more requests a step takes."""
        return Tally(
            step=self.step,
            canary=self.canary,
            rest=self.rest,
            canary_errors=self.canary_errors,
            rest_errors=self.rest_errors,
        )

    def fold(self, seen: Iterable[Outcome], *, slower_by: int = 0) -> "Tally":
        """The tally after these outcomes, in their order. Each counted request is given once, a retry not at all.

        slower_by: so many microseconds of a canary's latency are not held against it.
        """
        share, canary, other = self.step.share, self.step.canary, self.step.other
        canary_errors, rest_errors, errors = 0, 0, self.errors
        timed: list[Timed] = []
        turns = list(self.unanswered)
        for outcome in seen:
            on_canary = outcome.arm == "canary"
            if not outcome.ok:
                if _counts(outcome, turns):
                    errors = errors.after(Exposure(share=share, canary=canary, other=other).rho, on_canary)
                canary_errors += on_canary
                rest_errors += not on_canary
            elif outcome.arm != "champion" and outcome.latency_us is not None:
                timed.append(Timed(on_canary, outcome.latency_us, outcome.received, outcome.score))
            canary += on_canary
            other += not on_canary
        return Tally(
            step=Exposure(share=share, canary=canary, other=other),
            canary=self.canary + canary - self.step.canary,
            rest=self.rest + other - self.step.other,
            canary_errors=self.canary_errors + canary_errors,
            rest_errors=self.rest_errors + rest_errors,
            errors=errors,
            unanswered=(turns[0], turns[1]),
            latency=self.latency.fold(timed, slower_by=slower_by),
            scores=self.scores.fold(timed),
            losses=self.losses,
        )

    def graded(self, seen: Iterable[Graded]) -> "Tally":
        """The tally after these labelled answers, in their order. Each example is given once."""
        losses = self.losses
        for one in seen:
            losses = losses.after(one)
        return self if losses is self.losses else msgspec.structs.replace(self, losses=losses)


def _counts(failure: Outcome, turns: list[Turn]) -> bool:
    """Whether the bet takes note of a failure; if so its arm's turn is over."""
    if not failure.unanswered or failure.arm == "champion":
        return True
    arm = ("canary", "control").index(failure.arm)
    counts = turns[arm].admits(failure.received)
    if counts:
        turns[arm] = turns[arm].after(failure.received, failure.latency_us or 0)
    return counts


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """What the failures of a version on trial say, with how often each was said; a flood of different ones is cut."""

    counts: dict[str, int] = {}

    def fold(self, records: Iterable[Record]) -> "Failures":
        """With what these records say; load and retries are left out, as in all evidence."""
        counts = dict(self.counts)
        for record in records:
            told = _failure_of(record)
            if told and (told in counts or len(counts) < _KINDS):
                counts[told] = counts.get(told, 0) + 1
        return self if counts == self.counts else Failures(counts=counts)

    @property
    def says(self) -> str:
        """The most frequent one, with its share; "" where nothing failed.

        >>> Failures(counts={"error: ValueError: no number": 3, "deadline": 1}).says
        'most often (3 of 4): error: ValueError: no number'
        """
        if not self.counts:
            return ""
        told = max(self.counts, key=lambda one: self.counts[one])
        return f"most often ({self.counts[told]} of {sum(self.counts.values())}): {told}"


def _failure_of(record: Record) -> str:
    """The cause of a canary's or a shadow's failure and the last line of what it said; "" where there is none."""
    if isinstance(record, Failed):
        ours = record.arm == "canary" and not (record.load or record.retry)
    else:
        ours = isinstance(record, Shadowed) and bool(record.cause)
    if not ours or not isinstance(record, Failed | Shadowed):
        return ""
    last = next((line.strip() for line in reversed(record.detail.splitlines()) if line.strip()), "")
    words = last if len(last) <= _WORDS else f"{last[:_WORDS]}..."
    return f"{record.cause}: {words}" if words else record.cause


def outcomes(records: Iterable[Record]) -> Iterator[Outcome]:
    """What log records say about the arms, one outcome a request.

    Tagged load, retries and labels are left out. A canary's failure stands in its Failed record; the champion's answer
    in its place (arm "champion", assigned "canary") is the same request and is not counted again. The rows of one
    batch count once. A shadow counts as the canary that it is before its canary; its latency is on another path.
    """
    for record in _once_a_batch(records):
        if isinstance(record, Shadowed):
            yield _failed("canary", record) if record.cause else Outcome("canary", True)
            continue
        if record.load or record.retry:
            continue
        if isinstance(record, Failed):
            yield _failed(record.arm, record)
        elif record.arm == record.assigned:
            yield Outcome(record.arm, True, record.latency_us, record.score, record.received)


def _failed(arm: ArmName, record: Failed | Shadowed) -> Outcome:
    if record.cause not in _UNANSWERED:
        return Outcome(arm, False)
    return Outcome(arm, False, record.latency_us, None, record.received, unanswered=True)


def _once_a_batch(records: Iterable[Record]) -> Iterator[Predicted | Failed | Shadowed]:
    """Rows of one batch may stand apart: records come in the order of their prediction times."""
    seen: set[tuple[bool, str]] = set()
    for record in records:
        if isinstance(record, Labelled):
            continue
        if not isinstance(record, Failed) and record.batch:
            name = isinstance(record, Shadowed), record.batch
            if name in seen:
                continue
            seen.add(name)
        yield record
