"""What the canary's evidence promises, measured in simulated time: false alarms, speed of detection, cost of a look.

    python benchmarks/canary.py [--quick] [--json FILE]

Every figure is from fixed seeds and looks after each request, unless the measure says otherwise. The rival is what
people do by hand: a one-sided two-proportion z-test at 1%, peeked at 20 times.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.bound import clopper_pearson, requests_needed
from evertrain.core.canary import BOUND_ALPHA, assess
from evertrain.core.evidence import THETAS, Bet, Exposure, Latency, Outcome, Tally
from evertrain.core.policy import CanarySpec
from evertrain.core.time import HOUR, Instant

ALPHA = 0.01
BASE = 0.005
REQUESTS = 20_000


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report. rival: the same measure of the rival, "" where there is none."""

    measure: str
    value: float
    unit: str
    rival: str
    target: str
    holds: bool


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in order: who got each, and whether it failed; arrays of length n."""

    on_canary: NDArray[np.bool_]
    failed: NDArray[np.bool_]

    @classmethod
    def draw(cls, rng: np.random.Generator, *, share: float, canary: float, rest: float, requests: int) -> "Traffic":
        on_canary = rng.random(requests) < share
        return cls(on_canary=on_canary, failed=rng.random(requests) < np.where(on_canary, canary, rest))

    def caught_by_bets(self, share: float) -> tuple[int, int] | None:
        """(canary requests, canary errors) when the e-value reaches 1/alpha; None when it never does."""
        canaries, bet, errors = np.cumsum(self.on_canary), Bet(), 0
        for index in np.flatnonzero(self.failed):
            on_canary = bool(self.on_canary[index])
            before = int(canaries[index]) - on_canary
            bet = bet.after(Exposure(share=share, canary=before, other=int(index) - before).rho, on_canary)
            errors += on_canary
            if bet.value >= 1 / ALPHA:
                return int(canaries[index]), errors
        return None

    def caught_by_peeking(self, looks: int = 20) -> int | None:
        """Canary requests at the first of `looks` z-tests that calls harm; None when none does."""
        for look in np.linspace(0, len(self.failed), looks + 1)[1:].astype(int):
            on_canary, failed = self.on_canary[:look], self.failed[:look]
            canary, rest = int(on_canary.sum()), int((~on_canary).sum())
            if not canary or not rest:
                continue
            rate, other = failed[on_canary].mean(), failed[~on_canary].mean()
            pooled = failed.mean()
            error = math.sqrt(pooled * (1 - pooled) * (1 / canary + 1 / rest))
            if error > 0 and (rate - other) / error > 2.3263:
                return canary
        return None


def false_alarms(runs: int) -> Row:
    """How often an equal canary is rolled back."""
    rng, bets, peeks = np.random.default_rng(1), 0, 0
    for _ in range(runs):
        traffic = Traffic.draw(rng, share=0.1, canary=BASE, rest=BASE, requests=REQUESTS)
        bets += traffic.caught_by_bets(0.1) is not None
        peeks += traffic.caught_by_peeking() is not None
    low, high = clopper_pearson(bets, runs)
    return Row(
        measure=f"false rollbacks of an equal canary, share 10%, base 0.5%, {runs} runs ({low:.2%} to {high:.2%})",
        value=round(100 * bets / runs, 2),
        unit="%",
        rival=f"z-test peeked 20 times: {100 * peeks / runs:.1f}%",
        target="<= 1",
        holds=low <= ALPHA and bets / runs <= ALPHA,
    )


def detection(rate: float, limit: int, runs: int) -> Row:
    """How many requests of a canary with this error rate it takes."""
    rng, bets, peeks = np.random.default_rng(2), [], []
    for _ in range(runs):
        traffic = Traffic.draw(rng, share=0.1, canary=rate, rest=BASE, requests=REQUESTS)
        caught, peeked = traffic.caught_by_bets(0.1), traffic.caught_by_peeking()
        bets.append(caught[0] if caught else REQUESTS)
        peeks.append(peeked if peeked is not None else REQUESTS)
    low, middle, high = (int(figure) for figure in np.quantile(bets, (0.25, 0.5, 0.75)))
    return Row(
        measure=f"canary requests until {rate:.0%} errors are caught, share 10%, median ({low} to {high})",
        value=middle,
        unit="requests",
        rival=f"z-test peeked 20 times in {REQUESTS} requests: {int(statistics.median(peeks))}",
        target=f"<= {limit}",
        holds=middle <= limit,
    )


def information_bound(slow: float = 0.02, tail: float = 0.01) -> int:
    """Canary requests that anybody needs on average to show at 1% that `slow` of them exceed a frozen p99.

    log(1/alpha) over the divergence between the true and the fair share of exceedances, arms of equal size.
    """
    rate = slow + (1 - slow) * tail
    share = rate / (rate + tail)
    divergence = share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share))
    return round(math.log(1 / ALPHA) / (divergence * (rate + tail)))


def slow_answers(runs: int) -> Row:
    """How many requests of a canary that is sometimes slow it takes."""
    rng, caught = np.random.default_rng(3), []
    for _ in range(runs):
        latency, canary = Latency(), 0
        while latency.value < 1 / ALPHA and canary < 10_000:
            on_canary = bool(rng.random() < 0.5)
            late = 100_000 if on_canary and rng.random() < 0.02 else 0
            latency = latency.after(on_canary, int(rng.lognormal(8, 0.5)) + late)
            canary += on_canary
        caught.append(canary)
    least = information_bound()
    return Row(
        measure="canary requests until 100 ms more on 2% of them are caught, control arm of equal share, median",
        value=int(statistics.median(caught)),
        unit="requests",
        rival=f"nobody can be faster on average than {least}",
        target="<= 2000",
        holds=statistics.median(caught) <= 2000,
    )


def first_errors(share: float, errors: int) -> Row:
    """At which of its errors a canary that always fails is rolled back."""
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(200):
        traffic = Traffic.draw(rng, share=share, canary=1.0, rest=0.0, requests=int(30 / share))
        caught = traffic.caught_by_bets(share)
        seen.add(caught[1] if caught else -1)
    return Row(
        measure=f"canary errors until a rollback, baseline without errors, share {share:.0%}",
        value=max(seen),
        unit="errors",
        rival="",
        target=str(errors),
        holds=seen == {errors},
    )


def ramp(harm: float, seed: int) -> tuple[str, int]:
    """One rollout, looked at every hour at 100 requests an hour: how it ends, and after how many hours."""
    rng, spec = np.random.default_rng(seed), CanarySpec(steps=(0.05, 0.25, 0.5))
    step, tally = 0, Tally.start(spec.steps[0])
    for hour in range(1, 24 * 30):
        seen = []
        for _ in range(100):
            arm_is_canary = rng.random() < spec.steps[step]
            failed = rng.random() < BASE + harm * arm_is_canary
            seen.append(Outcome("canary" if arm_is_canary else "champion", not failed))
        tally = tally.fold(seen)
        decision = assess(step, spec, tally, 2400.0, Instant(hour * HOUR), latency_decides=False)
        if decision.action == "advance":
            step += 1
            tally = tally.stepped(spec.steps[step])
        elif decision.action != "wait":
            return decision.action, hour
    return "wait", 24 * 30


def ramps(harm: float, want: str, runs: int) -> list[Row]:
    """How whole ramps end, and how long they take."""
    ends = [ramp(harm, seed) for seed in range(runs)]
    share = sum(end == want for end, _ in ends) / runs
    what = "an equal canary" if harm == 0 else f"a canary with {harm:.0%} more errors"
    limit = 0.95
    return [
        Row(
            measure=f"{what}: ramps of 5%, 25%, 50% at 2,400 requests a day that end in {want!r}, {runs} runs",
            value=round(100 * share, 1),
            unit="%",
            rival="",
            target=f">= {limit:.0%}",
            holds=share >= limit,
        ),
        Row(
            measure=f"{what}: hours until the end, median",
            value=statistics.median(hours for _, hours in ends),
            unit="h",
            rival="",
            target="<= 72",
            holds=statistics.median(hours for _, hours in ends) <= 72,
        ),
    ]


def needed() -> Row:
    """What the last promotion costs when nothing fails."""
    more = requests_needed(
        math.nextafter(0.01, 0), errors=0, requests=0, baseline_errors=0, baseline_requests=0, alpha=BOUND_ALPHA
    )
    return Row(
        measure="canary requests without an error until the difference is bounded by 1%, at every look, alpha 5%",
        value=more or -1,
        unit="requests",
        rival="one look only: 299",
        target="<= 450",
        holds=more is not None and more <= 450,
    )


def cost(measure: str, call: Callable[[], object], each: int, unit: str, limit: float) -> Row:
    """The median time of a call, divided by how many things it does."""
    scale = {"ms": 1e3, "us": 1e6}[unit]
    times = []
    for _ in range(15):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * scale / each)
    value = statistics.median(times)
    return Row(
        measure=measure, value=round(value, 4), unit=unit, rival="", target=f"<= {limit:g}", holds=value <= limit
    )


def costs() -> list[Row]:
    """What evidence costs the controller."""
    spec = CanarySpec()
    fine = [Outcome("champion", True)] * 10_000
    errors = [Outcome("canary" if index % 9 == 0 else "champion", False) for index in range(1000)]
    tally = Tally.start(0.05).fold(fine).fold([Outcome("canary", True)] * 300)
    return [
        cost("one look", lambda: assess(1, spec, tally, 20_000.0, Instant(0)), 1, "ms", 1.0),
        cost("folding an answered request", lambda: Tally.start(0.05).fold(fine), len(fine), "us", 1.0),
        cost(f"folding an error ({len(THETAS)} bets)", lambda: Tally.start(0.05).fold(errors), len(errors), "us", 30.0),
    ]


def measure(quick: bool) -> list[Row]:
    """All rows."""
    scale = 1 if quick else 10
    return [
        false_alarms(400 * scale),
        detection(0.05, 110, 100 * scale),
        detection(0.25, 20, 100 * scale),
        slow_answers(10 * scale),
        *(first_errors(share, errors) for share, errors in ((0.01, 3), (0.05, 3), (0.1, 4), (0.2, 5))),
        needed(),
        *ramps(0.0, "promote", 20 * scale),
        *ramps(0.05, "roll back", 20 * scale),
        *costs(),
    ]


def main() -> None:
    """Print the table and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.quick)
    for row in rows:
        print(
            f"{'ok ' if row.holds else 'NOT'} {row.measure}: {row.value:g} {row.unit} (target {row.target}) {row.rival}"
        )
    if arguments.json:
        report = {"benchmark": "canary", "rows": [msgspec.to_builtins(row) for row in rows]}
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
