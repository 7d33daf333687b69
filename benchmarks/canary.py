"""What the canary's evidence promises, measured in simulated time: false alarms, speed of detection, cost of a look.

    python benchmarks/canary.py [--quick] [--json FILE]

Who gets a request is chosen by the function that the workers use, evidence is folded and assessed by the functions that
the controller uses; only requests and time are made up, from fixed seeds. *Pauses* hit everything that a process has to
answer meanwhile, in either arm alike, as on a machine that is too full. *Rollouts* are whole ramps on a day's traffic
with its swings, incidents that hit everybody, retries and late labels. *Harm* is injected at a share of 10% beside a
control arm of 10%, at 1,000 requests a minute, and the same requests are shown to what others do:

- Flagger: one failed check a minute where less than 99% of the canary's requests succeed or their p99 is above 500 ms;
  the fifth failed check rolls back. https://docs.flagger.app/usage/how-it-works, https://docs.flagger.app/usage/metrics
- a z-test at 1% on errors, mean latency, mean score and wrong answers (a quarter of it each), peeked at every 3 minutes
  of the hour: 20 times.
- Kayenta's judge: Mann-Whitney on a point a minute, canary against control arm; *High* where the interval of the shift
  at 98% lies above a quarter of its estimate. Looked at when there are 50 points, as its authors advise, and never
  before. https://spinnaker.io/docs/guides/user/canary/judge/ and .../best-practices/
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.bet import BLOCK
from evertrain.core.bound import clopper_pearson, requests_needed
from evertrain.core.canary import BOUND_ALPHA, assess, evidence_of
from evertrain.core.cohort import arm_of
from evertrain.core.evidence import Outcome, Tally
from evertrain.core.identity import RolloutId, ServiceName, VersionId
from evertrain.core.latency import Latency
from evertrain.core.loss import Graded, Losses
from evertrain.core.paired import Paired
from evertrain.core.policy import CanarySpec
from evertrain.core.prediction import ArmName, Failed, Labelled, Predicted, Record
from evertrain.core.routing import Arm, Route
from evertrain.core.spacing import Timed
from evertrain.core.time import HOUR, MINUTE, SECOND, Instant
from evertrain.monitor.trial import Trial

ALPHA = 0.01
BASE_ERRORS, BASE_WRONG = 0.005, 0.2
PER_MINUTE, MINUTES = 1000, 60
SHARE = 0.1
APART = 0.04
"""How often either of two versions decides otherwise than what they have in common."""
CUSTOMERS = 3000
SERVICE, NEW, OLD = ServiceName("late"), VersionId("new"), VersionId("old")

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report. rival: the same measure of the rivals, "" where there is none."""

    measure: str
    value: float
    unit: str
    rival: str
    target: str
    holds: bool


def row(measure: str, value: float, unit: str, *, limit: float, rival: str = "", at_least: bool = False) -> Row:
    """A line that holds when the value is at most (or at least) the limit."""
    holds = value >= limit if at_least else value <= limit
    target = f"{'>=' if at_least else '<='} {limit:g}"
    return Row(measure=measure, value=round(value, 4), unit=unit, rival=rival, target=target, holds=holds)


def false_alarms(what: str, found: int, runs: int, rival: str = "") -> Row:
    """How many of so many runs raised an alarm at nothing: at most alpha of them may.

    Few runs may show one too many by chance: what then counts is whether alpha is ruled out.
    """
    low, high = clopper_pearson(found, runs)
    measure = f"{what} ({low:.2%} to {high:.2%})"
    made = row(measure, 100 * found / runs, "%", limit=100 * ALPHA, rival=rival)
    return msgspec.structs.replace(made, holds=made.holds or (runs < 1000 and low <= ALPHA))


# Requests ------------------------------------------------------------------------------------------------------------


def route_of(canary: float, control: float, salt: str) -> Route:
    """A route as the controller publishes it."""
    arms = [Arm(version=one, share=share, deadline_s=1.0) for one, share in ((NEW, canary), (OLD, control))]
    return Route(service=SERVICE, champion=OLD, rollout=RolloutId(salt), salt=salt, canary=arms[0], control=arms[1])


def arms_of(route: Route) -> list[ArmName]:
    """The arm of each customer, by the router."""
    return [arm_of(route, f"c{number}") for number in range(CUSTOMERS)]


def asking(rng: np.random.Generator, requests: int) -> NDArray[np.int64]:
    """Who asks: some customers do a hundred times as often as others."""
    weight = rng.lognormal(0.0, 1.0, CUSTOMERS)
    return rng.choice(CUSTOMERS, requests, p=weight / weight.sum())


class Harm(msgspec.Struct, frozen=True, kw_only=True):
    """What a canary does wrong. late: part of its answers that take 100 ms more. target: canary requests, at most.

    spoils: part of its requests that are the worse for it.
    """

    name: str
    target: float
    errors: float = 0.0
    slower: float = 1.0
    late: float = 0.0
    shift: float = 0.0
    wrong: float = 0.0

    @property
    def spoils(self) -> float:
        if self.slower > 1 or self.shift:
            return 1.0
        return max(self.errors - BASE_ERRORS, 0.0) + self.late + self.wrong


NONE = Harm(name="none", target=math.inf)
HARMS = (
    Harm(name="2% errors", errors=0.02, target=600),
    Harm(name="5% errors", errors=0.05, target=125),
    Harm(name="25% errors", errors=0.25, target=20),
    Harm(name="10% slower", slower=1.1, target=1500),
    Harm(name="25% slower", slower=1.25, target=400),
    Harm(name="100 ms more on 2%", late=0.02, target=800),
    Harm(name="scores three deviations higher", shift=3.0, target=110),
    Harm(name="5 points more wrong answers, labels at once", wrong=0.05, target=2500),
)


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """An hour of requests in their order, arrays of length n. received: in us. harmed: what the canary spoilt."""

    received: NDArray[np.int64]
    canary: Bools
    control: Bools
    failed: Bools
    latency: Floats
    score: Floats
    wrong: Bools
    harmed: Bools

    @classmethod
    def draw(cls, rng: np.random.Generator, harm: Harm, salt: str) -> "Traffic":
        requests = PER_MINUTE * MINUTES
        arms = np.array(arms_of(route_of(SHARE, SHARE, salt)))[asking(rng, requests)]
        canary = arms == "canary"
        swing = np.exp(0.5 * np.sin(np.arange(requests) / requests * 4 * np.pi))
        broken = canary & (rng.random(requests) < max(harm.errors - BASE_ERRORS, 0.0))
        latency = rng.lognormal(8.0, 0.5, requests) * swing
        slow = canary & (rng.random(requests) < harm.late)
        missed = canary & (rng.random(requests) < harm.wrong / (1.0 - BASE_WRONG))
        wrong = rng.random(requests) < BASE_WRONG
        spoilt = broken | slow | (missed & ~wrong)
        return cls(
            received=np.sort(np.random.default_rng(requests).integers(0, MINUTES * MINUTE, requests)),
            canary=canary,
            control=arms == "control",
            failed=broken | (rng.random(requests) < BASE_ERRORS),
            latency=np.where(canary, latency * harm.slower, latency) + 100_000.0 * slow,
            score=rng.normal(size=requests) + harm.shift * canary,
            wrong=wrong | missed,
            harmed=canary if harm.spoils == 1.0 else spoilt,
        )

    def outcomes(self) -> list[Outcome]:
        names: NDArray[np.str_] = np.where(self.canary, "canary", np.where(self.control, "control", "champion"))
        columns = (names, self.failed, self.latency.astype(int), self.score, self.received)
        seen = zip(*(column.tolist() for column in columns), strict=True)
        return [Outcome(arm, not failed, late, score, received) for arm, failed, late, score, received in seen]

    def graded(self) -> list[Graded]:
        far = np.random.default_rng(0).random(len(self.wrong)) / 2 + 0.5 * self.wrong
        return [Graded(arm, loss) for arm, loss in zip(self.canary.tolist(), far.tolist(), strict=True)]


# Rules: each gives the number of requests after which it rolls back, None when it never does -------------------------

Rule = Callable[[Traffic], int | None]


def evertrain(traffic: Traffic, every: int = 10, value: Callable[[Tally], float] = evidence_of) -> int | None:
    """Our evidence, looked at after every ten requests; all that is watched, or one kind of it."""
    tally, seen, graded = Tally.start(SHARE), traffic.outcomes(), traffic.graded()
    for start in range(0, len(seen), every):
        tally = tally.fold(seen[start : start + every]).graded(graded[start : start + every])
        if value(tally) >= 1 / ALPHA:
            return start + every
    return None


def flagger(traffic: Traffic) -> int | None:
    """Failed checks are counted up; the fifth rolls back."""
    fails = 0
    for minute in range(MINUTES):
        now = slice(minute * PER_MINUTE, (minute + 1) * PER_MINUTE)
        mine = traffic.canary[now]
        success = 1.0 - traffic.failed[now][mine].mean()
        fails += bool(success < 0.99 or np.quantile(traffic.latency[now][mine], 0.99) > 500_000)
        if fails == 5:
            return now.stop
    return None


def peeked(traffic: Traffic, looks: int = 20) -> int | None:
    """Four z-tests that share 1%, at each of the looks."""
    metrics = (traffic.failed.astype(float), traffic.latency, traffic.wrong.astype(float))
    for look in np.linspace(0, len(traffic.canary), looks + 1)[1:].astype(int):
        mine, others = traffic.canary[:look], ~traffic.canary[:look]
        if any(_z(one[:look], mine, others) > 2.807 for one in metrics):
            return int(look)
        if abs(_z(traffic.score[:look], mine, others)) > 3.023:
            return int(look)
    return None


def _z(values: Floats, mine: Bools, others: Bools) -> float:
    first, second = values[mine], values[others]
    error = math.sqrt(first.var() / len(first) + second.var() / len(second))
    return float((first.mean() - second.mean()) / error) if error > 0 else 0.0


def kayenta(traffic: Traffic, points: int = 50) -> int | None:
    """Any of the metrics judged High (the score also Low), on a point a minute."""

    def by_minute(values: Floats, mine: Bools) -> Floats:
        parts = (slice(one * PER_MINUTE, (one + 1) * PER_MINUTE) for one in range(points))
        return np.array([values[part][mine[part]].mean() for part in parts])

    def shifted(values: Floats, *, either: bool = False) -> bool:
        low, high, estimate = _shift(by_minute(values, traffic.canary), by_minute(values, traffic.control))
        return low > 0.25 * abs(estimate) or (either and high < -0.25 * abs(estimate))

    metrics = (traffic.failed.astype(float), traffic.latency, traffic.wrong.astype(float))
    if any(shifted(one) for one in metrics) or shifted(traffic.score, either=True):
        return points * PER_MINUTE
    return None


def _shift(mine: Floats, others: Floats) -> tuple[float, float, float]:
    """The interval at 98% and the estimate of the shift (Hodges and Lehmann 1963), by the normal approximation."""
    differences = np.sort((mine[:, None] - others[None, :]).ravel())
    n, m = len(mine), len(others)
    off = max(0, math.floor(n * m / 2 - 2.3263 * math.sqrt(n * m * (n + m + 1) / 12)))
    return float(differences[off]), float(differences[-1 - off]), float(np.median(differences))


RIVALS: dict[str, Rule] = {"Flagger": flagger, "z-test peeked 20 times": peeked, "Kayenta": kayenta}


# Measures ------------------------------------------------------------------------------------------------------------


def false_rollbacks(runs: int) -> Row:
    """How often an equal canary is rolled back within the hour."""
    found = dict.fromkeys(("evertrain", *RIVALS), 0)
    for run in range(runs):
        traffic = Traffic.draw(np.random.default_rng((1, run)), NONE, f"aa{run}")
        found["evertrain"] += evertrain(traffic, every=100) is not None
        for name, rule in RIVALS.items():
            found[name] += rule(traffic) is not None
    return false_alarms(
        f"false rollbacks of an equal canary within an hour of 60,000 requests, {runs} runs",
        found["evertrain"],
        runs,
        rival="; ".join(f"{name} {100 * found[name] / runs:.1f}%" for name in RIVALS),
    )


class Pauses(msgspec.Struct, frozen=True, kw_only=True):
    """What befalls the processes of both arms alike. canary, control: requests a second. every, last: seconds.

    slow: everything takes twice as long for `last` seconds of `every`; otherwise the process stands still for that
    long, on the average, and answers then.
    """

    name: str
    canary: float = 300.0
    control: float = 300.0
    every: float
    last: float
    seconds: int = 60
    slow: bool = False

    def arm(self, rng: np.random.Generator, on_canary: bool) -> list[Timed]:
        """The answers of one arm in the order of their requests."""
        asked = rng.poisson(self.seconds * (self.canary if on_canary else self.control))
        at = np.sort(rng.random(asked)) * self.seconds
        late = rng.lognormal(6.5, 0.5, asked)
        if self.slow:
            episode = ((at + self.last * rng.random()) // self.last).astype(int)
            hit = rng.random(int(self.seconds / self.last) + 2) < self.last / self.every
            late = np.where(hit[episode], 2 * late, late)
        else:
            begins = np.sort(rng.random(1 + rng.poisson(self.seconds / self.every))) * self.seconds
            ends = np.maximum.accumulate(begins + rng.exponential(self.last, len(begins)))
            of = np.searchsorted(begins, at) - 1
            late += 1e6 * np.where(of >= 0, np.maximum(0.0, ends[of] - at), 0.0)
        found = zip(late.astype(int).tolist(), (at * SECOND).astype(int).tolist(), strict=True)
        return [Timed(on_canary, took, received) for took, received in found]

    def answers(self, rng: np.random.Generator) -> list[Timed]:
        return sorted((*self.arm(rng, True), *self.arm(rng, False)), key=lambda answer: answer.received)


PAUSES = (
    Pauses(name="300 requests a second of each arm, a pause of 0.2 s every 5 s", every=5, last=0.2),
    Pauses(name="300 requests a second of each arm, a pause of 30 ms twice a second", every=0.5, last=0.03),
    Pauses(
        name="5 requests a second of the canary and 50 of the control arm, a pause of 0.2 s every 10 s",
        canary=5, control=50, every=10, last=0.2, seconds=600,
    ),
    Pauses(
        name="1 request a second of the canary and 4 of the control arm, a pause of 0.5 s every 10 s",
        canary=1, control=4, every=10, last=0.5, seconds=2400,
    ),
    Pauses(
        name="100 requests a second of each arm, twice as slow for a second in five",
        canary=100, control=100, every=5, last=1, seconds=120, slow=True,
    ),
)  # fmt: skip


def late_at(answers: list[Timed], *, every: bool = False) -> float | None:
    """Seconds until a canary is taken back for its latency; None where it never is. every: if all answers counted."""
    latency = Latency()
    for start in range(0, len(answers), BLOCK):
        block = answers[start : start + BLOCK]
        latency = latency.after(block) if every else latency.fold(block)
        if evidence_of(msgspec.structs.replace(Tally.start(0.5), latency=latency)) >= 1 / ALPHA:
            return block[-1].received / SECOND
    return None


def at_full_rate(harm: str, slower: Callable[[int], int], limit: float, runs: int) -> Row:
    """How long a slow canary goes on where traffic is heavy, and no more than four answers a second count."""
    steady, took = Pauses(name="", every=math.inf, last=0.0, seconds=400), []
    for run in range(runs):
        answers = steady.answers(np.random.default_rng((5, run)))
        slow = [
            Timed(one.on_canary, slower(one.latency_us) if one.on_canary else one.latency_us, one.received)
            for one in answers
        ]
        took.append(late_at(slow) or math.inf)
    middle, high = _middle_and_high(took)
    label = f"{harm}, 300 requests a second of each arm: seconds until it is rolled back, median"
    return row(f"{label} (nine in ten: {_say(high)})", middle, "s", limit=limit)


def paused(pauses: Pauses, runs: int) -> Row:
    """How often the latency of an equal canary takes it back, by what counts and by every answer."""
    spaced = counted = 0
    for run in range(runs):
        answers = pauses.answers(np.random.default_rng((4, run)))
        spaced += late_at(answers) is not None
        counted += late_at(answers, every=True) is not None
    return false_alarms(
        f"false rollbacks of an equal canary, {pauses.name}, {runs} runs of {pauses.seconds} s",
        spaced,
        runs,
        rival=f"if every answer counted {100 * counted / runs:.0f}%",
    )


def detection(harm: Harm, runs: int) -> list[Row]:
    """Canary requests, and requests that it spoilt, until it is rolled back: median and nine in ten."""
    spent: dict[str, list[float]] = {name: [] for name in ("evertrain", *RIVALS)}
    spoilt: dict[str, list[float]] = {name: [] for name in spent}
    for run in range(runs):
        traffic = Traffic.draw(np.random.default_rng((2, run)), harm, f"harm{run}")
        for name, rule in {"evertrain": evertrain, **RIVALS}.items():
            end = rule(traffic)
            spent[name].append(float(traffic.canary[:end].sum()) if end else math.inf)
            spoilt[name].append(float(traffic.harmed[:end].sum()))
    made = []
    for what, figures, limit in (
        ("canary requests", spent, harm.target),
        ("spoilt requests", spoilt, math.ceil(harm.target * harm.spoils)),
    ):
        middle, high = _middle_and_high(figures["evertrain"])
        rival = "; ".join(f"{name} {_say(*_middle_and_high(figures[name]))}" for name in RIVALS)
        label = f"{harm.name}: {what} until it is rolled back, median (nine in ten: {_say(high)})"
        made.append(row(label, middle, "requests", limit=limit, rival=rival))
    return made


def alone(harm: Harm, kind: Callable[[Tally], float], limit: float, runs: int) -> Row:
    """The same by one kind of evidence that has all of alpha to itself: what the reference figures are about."""
    spent = []
    for run in range(runs):
        traffic = Traffic.draw(np.random.default_rng((2, run)), harm, f"harm{run}")
        end = evertrain(traffic, value=kind)
        spent.append(float(traffic.canary[:end].sum()) if end else math.inf)
    middle, high = _middle_and_high(spent)
    label = f"{harm.name}, by this kind of evidence alone: canary requests, median (nine in ten: {_say(high)})"
    return row(label, middle, "requests", limit=limit)


def judged(rng: np.random.Generator, worse: float, labels: int = 20_000) -> tuple[Floats, Floats]:
    """1 where a version, and the champion, would be wrong: alike but for a few rows, and the first by `worse`."""
    latent = rng.random(labels) < BASE_WRONG
    one, other = (latent ^ (rng.random(labels) < APART) for _ in range(2))
    one |= rng.random(labels) < worse / (1.0 - BASE_WRONG)
    return one.astype(float), other.astype(float)


def by_pairs(one: Floats, other: Floats) -> int | None:
    """Labels until both versions, asked about all of them, are told apart; looked at as the controller looks."""
    evidence, looked = Paired(), 0
    while looked < len(one):
        end = looked + max(50, looked // 4)
        evidence = evidence.after(zip(one[looked:end].tolist(), other[looked:end].tolist(), strict=True), margin=0.01)
        if evidence.value >= 1 / ALPHA:
            return min(end, len(one))
        looked = end
    return None


def by_share(one: Floats, other: Floats, rng: np.random.Generator) -> int | None:
    """The same where each label tells of the version that answered, which was the canary for its share of them."""
    canary = rng.random(len(one)) < SHARE
    far = rng.random(len(one)) / 2 + 0.5 * np.where(canary, one, other)
    losses = Losses()
    for count, (arm, loss) in enumerate(zip(canary.tolist(), far.tolist(), strict=True), start=1):
        losses = losses.after(Graded(arm, loss))
        if count % 10 == 0 and losses.value >= 1 / ALPHA:
            return count
    return None


def labels_needed(runs: int) -> list[Row]:
    """Labels of all traffic until 5 points of performance are seen, in pairs and by share; false alarms of pairs."""
    paired, alone_, false = [], [], 0
    for run in range(runs):
        rng = np.random.default_rng((3, run))
        one, other = judged(rng, 0.05)
        paired.append(float(by_pairs(one, other) or math.inf))
        alone_.append(float(by_share(one, other, rng) or math.inf))
        false += by_pairs(*judged(rng, 0.0)) is not None
    (middle, high), unpaired = _middle_and_high(paired), _middle_and_high(alone_)
    return [
        row(
            f"5 points more wrong answers, labels in pairs: labels of all traffic until it is seen, median "
            f"(nine in ten: {_say(high)})",
            middle,
            "labels",
            limit=1_500,
            rival=f"by the canary's share of 10% {_say(*unpaired)}",
        ),
        false_alarms(f"equal versions told apart by 20,000 labels in pairs, {runs} runs", false, runs),
    ]


def _middle_and_high(figures: list[float]) -> tuple[float, float]:
    ranked = sorted(figures)
    return ranked[(len(ranked) - 1) // 2], ranked[math.ceil(0.9 * len(ranked)) - 1]


def _say(*figures: float) -> str:
    return " / ".join("never within the hour" if math.isinf(one) else f"{one:.0f}" for one in figures)


class Ended(msgspec.Struct, frozen=True):
    """How one rollout ended. canary, requests: how many it had had, of its own and of all."""

    how: str
    canary: int
    requests: int
    hours: int


def rollout(seed: int, harm: float = 0.0, a_day: int = 6000, days: int = 14) -> Ended:
    """One whole ramp, looked at every hour, from requests to decisions."""
    rng, spec, trial = np.random.default_rng((3, seed)), CanarySpec(), Trial()
    name, step = RolloutId(f"rollout{seed}"), 0
    shares = [(Instant(0), spec.steps[0])]
    arms = arms_of(route_of(spec.steps[0], spec.steps[0], name))
    labels: list[Labelled] = []
    served = 0
    for hour in range(24 * days):
        asked = int(rng.poisson(a_day / 24 * (1 + 0.8 * math.sin(hour / 24 * 2 * math.pi))))
        served += asked
        records = list(_records(rng, hour, asked, arms, harm))
        due = [label for label in labels if label.received < (hour + 1) * HOUR]
        labels = labels[len(due) :] + [_label(rng, one) for one in records[::4] if isinstance(one, Predicted)]
        trial.see(sorted([*records, *due], key=lambda record: record.received))
        now = Instant((hour + 1) * HOUR)
        tally = trial.tally(name, shares)
        decision = assess(step, spec, tally, trial.requests_24h(now), now)
        if decision.action == "advance":
            step += 1
            shares.append((now, spec.steps[step]))
            arms = arms_of(route_of(spec.steps[step], spec.steps[step], name))
        elif decision.action != "wait":
            return Ended(decision.action, tally.canary, served, hour + 1)
    return Ended("wait", tally.canary, served, 24 * days)


def _records(rng: np.random.Generator, hour: int, asked: int, arms: list[ArmName], harm: float) -> Iterator[Record]:
    """What workers log in an hour: one in twenty hours is bad for everybody; one request in fifty is sent again."""
    errors = BASE_ERRORS * (10 if rng.random() < 0.05 else 1)
    slow = math.exp(rng.normal(0, 0.7))
    times = np.sort(rng.integers(hour * HOUR, (hour + 1) * HOUR, asked)).tolist()
    who, chance, again = asking(rng, asked).tolist(), rng.random(asked).tolist(), (rng.random(asked) < 0.02).tolist()
    late, score = (rng.lognormal(8.0, 0.5, asked) * slow).tolist(), rng.beta(2, 5, asked).tolist()
    for place in range(asked):
        arm, at = arms[who[place]], Instant(times[place])
        id_ = f"{hour}-{place}"
        failed = chance[place] < errors + harm * (arm == "canary")
        version = NEW if arm == "canary" else OLD
        if failed:
            yield Failed(
                id=id_, service=SERVICE, version=version, key="", at=at, received=at, arm=arm,
                cause="error", detail="", latency_us=int(late[place]),
            )  # fmt: skip
        answered = Predicted(
            id=id_, service=SERVICE, version=OLD if failed else version, key="", at=at, received=at, row=(), vector=(),
            score=score[place], arm="champion" if failed else arm, assigned=arm, latency_us=int(late[place]),
        )  # fmt: skip
        if not (failed and arm == "champion"):
            yield answered
        if again[place]:
            yield msgspec.structs.replace(answered, retry=True)


def _label(rng: np.random.Generator, answer: Predicted) -> Labelled:
    """The truth about an answer, six hours later."""
    at = Instant(answer.received + 6 * HOUR)
    value = float(rng.random() < answer.score)
    return Labelled(service=SERVICE, prediction=answer.id, key="", value=value, known=at, received=at)


def rollouts(runs: int) -> list[Row]:
    """How whole ramps of healthy and of harmful challengers end."""
    spec = CanarySpec()
    steps = ", ".join(f"{step:.0%}" for step in spec.steps)
    ends = [rollout(seed) for seed in range(runs)]
    wrong = sum(end.how == "roll back" for end in ends)
    promoted = [end for end in ends if end.how == "promote"]
    middle, most = _middle_and_high([float(end.canary) for end in promoted])
    bad = [rollout(seed, harm=0.05) for seed in range(max(20, runs // 10))]
    return [
        false_alarms(
            f"false rollbacks of healthy challengers, whole ramps of {steps} at 6,000 requests a day with swings, "
            f"incidents, retries and labels, {runs} rollouts",
            wrong,
            runs,
        ),
        row("healthy challengers promoted within 14 days", 100 * len(promoted) / runs, "%", limit=95, at_least=True),
        row(f"canary requests until promotion, median (nine in ten: {most:.0f})", middle, "requests", limit=6000),
        row("hours until promotion, median", statistics.median(end.hours for end in promoted), "h", limit=96),
        row(
            "challengers with 5% more errors rolled back, same ramps",
            100 * sum(end.how == "roll back" for end in bad) / len(bad),
            "%",
            limit=99,
            at_least=True,
        ),
    ]


def first_errors(share: float, errors: int) -> Row:
    """At which of its errors a canary that always fails is rolled back."""
    tally = Tally.start(share).fold([Outcome("champion", True)] * 900)
    seen = 0
    while evidence_of(tally) < 1 / ALPHA:
        tally, seen = tally.fold([Outcome("canary", False)]), seen + 1
    name = f"canary errors until a rollback, baseline without errors, share {share:.0%}"
    return row(name, seen, "errors", limit=errors)


def needed() -> Row:
    """What the last promotion costs when nothing fails."""
    more = requests_needed(
        math.nextafter(0.01, 0), errors=0, requests=0, baseline_errors=0, baseline_requests=0, alpha=BOUND_ALPHA
    )
    name = "canary requests without an error until the difference is bounded by 1%, at every look, alpha 5%"
    return row(name, more or math.inf, "requests", limit=450, rival="one look only: 299")


def cost(measure: str, call: Callable[[], object], each: int, unit: str, limit: float) -> Row:
    """The median time of a call, divided by how many things it does."""
    scale = {"ms": 1e3, "us": 1e6}[unit]
    times = []
    for _ in range(15):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * scale / each)
    return row(measure, statistics.median(times), unit, limit=limit)


def costs() -> list[Row]:
    """What evidence costs the controller."""
    spec = CanarySpec()
    fine = [Outcome("champion", True)] * 10_000
    arms: tuple[ArmName, ...] = ("canary", "control")
    pairs = [Outcome(arm, True, 3000, 0.5, number * SECOND) for number in range(1000) for arm in arms]
    errors = [Outcome("canary" if index % 9 == 0 else "champion", False) for index in range(1000)]
    tally = Tally.start(0.05).fold(fine).fold([Outcome("canary", True)] * 300)
    return [
        cost("one look", lambda: assess(1, spec, tally, 20_000.0, Instant(0)), 1, "ms", 1.0),
        cost("folding an answered request", lambda: Tally.start(0.05).fold(fine), len(fine), "us", 1.0),
        cost("folding an answer of an arm", lambda: Tally.start(0.05).fold(pairs), len(pairs), "us", 15.0),
        cost("folding an error", lambda: Tally.start(0.05).fold(errors), len(errors), "us", 30.0),
    ]


def _errors(tally: Tally) -> float:
    return tally.errors.value


def _latency(tally: Tally) -> float:
    return tally.latency.value


def measure(quick: bool) -> Iterator[Row]:
    """All rows."""
    yield false_rollbacks(60 if quick else 300)
    for pauses in PAUSES:
        yield paused(pauses, 20 if quick else 200)
    yield at_full_rate("100 ms more on all", lambda late: late + 100_000, 15, 5 if quick else 40)
    yield at_full_rate("25% slower", lambda late: late + late // 4, 120, 5 if quick else 40)
    for harm in HARMS:
        yield from detection(harm, 15 if quick else 100)
    for harm, kind, limit in (
        (HARMS[1], _errors, 100),
        (HARMS[2], _errors, 20),
        (HARMS[5], _latency, 660),
    ):
        yield alone(harm, kind, limit, 40 if quick else 200)
    yield from labels_needed(40 if quick else 400)
    yield from rollouts(40 if quick else 1000)
    for share, errors in ((0.01, 3), (0.05, 3), (0.1, 4), (0.2, 5)):
        yield first_errors(share, errors)
    yield needed()
    yield from costs()


def main() -> None:
    """Print the table and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for one in measure(arguments.quick):
        rows.append(one)
        mark = "ok " if one.holds else "NOT"
        print(f"{mark} {one.measure}: {one.value:g} {one.unit} (target {one.target}) {one.rival}", flush=True)
    if arguments.json:
        report = {"benchmark": "canary", "rows": [msgspec.to_builtins(one) for one in rows]}
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
