"""What clients notice of a thousand swaps of the model that answers them.

    python benchmarks/swap.py [--swaps 1000] [--quick] [--json FILE]
    python benchmarks/swap.py --by-pool 20 [--json FILE]

Requests come on a schedule, at a seventh of the measured capacity, and their latency counts from the scheduled time.
The real process tree answers: supervisor, controller, data process, two workers. Beside it a training of LightGBM runs
at nice 19. Each swap loads a version of its own of a model of 200 trees, or goes back to the one before; in between are
moments like any other, for the placebo. These swaps are published into the real routing table; a smaller number goes
through `evertrain serve` and its control API. With --by-pool each version enters with workers of its own instead, which
take over the open connections, and each is taken back to the pool before it.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.testing.arrivals import FAILED, MIXED, Plan
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.pooling import PoolSwapper
from evertrain.testing.report import Row, Spread, bootstrap, parser_of, publish
from evertrain.testing.served import Served
from evertrain.testing.swapping import Desk, Models, Ordered, Swap, Swapper, arriving, busy_training
from evertrain.testing.traffic import keep_busy
from evertrain.testing.tree import Tree

PATH = f"/predict/{SHOP}"
CONNECTIONS = 16
SHARE = 0.15
"""Of the capacity. The clients, the training and two workers live on the same processors, and at two fifths of two of
them the clients wait for themselves: there p50 around a loading was 1.47 times steady time, here 1.01."""
PATTERN = ("load", "revert", "placebo", "load", "load", "placebo")
PERIOD_S, SHORT_S = 1.2, 0.1
"""From one swap to the next; the short one leaves no steady time in between, and then times are not judged."""
ENOUGH = 100
"""Swaps: the median over fewer does not resolve a ratio of 1.2."""
WINDOW_NS, LEAD_NS = 500_000_000, 100_000_000
WARM_UP = 0.2


class Run(msgspec.Struct, frozen=True):
    """What was done, and what the clients got. memory: bytes that belong to the workers alone, after each swap."""

    swaps: list[Swap]
    requests: NDArray[np.void]
    memory: list[int]
    failures: tuple[str, ...]
    per_s: float
    capacity: float
    late_us: int


def load_on(port: int, models: Models, per_s: float, versions: Sequence[str]) -> Plan:
    """What the clients ask, and who may answer: the versions' models are the two in turn."""
    return Plan(
        port=port,
        path=PATH,
        connections=CONNECTIONS,
        per_s=per_s,
        questions=models.questions(99),
        versions={version: (place, place % 2) for place, version in enumerate(versions)},
    )


def run(folder: Path, count: int, *, period_s: float) -> Run:
    """So many swaps, and half as many placebos, under load."""
    models, installation = Models(folder), Installation(folder / "state")
    versions = models.versions(installation, count + 1)
    swapper = Swapper(installation, versions)
    with Tree(installation.state) as tree, busy_training():
        tree.up()
        capacity = measured(tree.port, models.questions(99)[0].body)
        plan = load_on(tree.port, models, SHARE * capacity, versions)
        with arriving(folder / "load", plan) as arrived:
            swaps, memory = swapped(swapper, count, period_s)
        tree.down()
    ending = arrived.ending
    return Run(swaps, arrived.requests, memory, ending.failures, plan.per_s, capacity, ending.late_us)


class Orders(msgspec.Struct, frozen=True):
    """What a person ordered, and what the clients got."""

    orders: list[Ordered]
    requests: NDArray[np.void]
    failures: tuple[str, ...]


def ordered(folder: Path, rounds: int, per_s: float) -> Orders:
    """So many promotions and as many rollbacks through the loop, by commands and by the control API in turn."""
    folder.mkdir()
    models = Models(folder)
    served = Served(folder, models.files[0].name, columns=())
    try:
        served.serve()
        desk, orders = Desk(served), list[Ordered]()
        plan = load_on(served.port, models, per_s, desk.versions)
        with busy_training(), arriving(folder / "load", plan) as arrived:
            for number in range(rounds):
                give = desk.command if number % 2 else desk.api
                orders += [give("promote"), give("rollback")]
            time.sleep(WINDOW_NS / 1e9)
    finally:
        served.end()
    return Orders(orders, arrived.requests, arrived.ending.failures)


def run_by_pool(folder: Path, rounds: int) -> tuple[Run, list[int]]:
    """So many versions that enter with new workers, and as many ways back; and the connections that moved each time."""
    models, installation = Models(folder), Installation(folder / "state")
    versions = models.versions(installation, 2)
    swapper = PoolSwapper(installation, versions)
    swaps, moved = list[Swap](), list[int]()
    with Tree(installation.state) as tree:
        tree.up()
        capacity = measured(tree.port, models.questions(99)[0].body)
        plan = load_on(tree.port, models, SHARE * capacity, versions)
        with arriving(folder / "load", plan) as arrived:
            time.sleep(WINDOW_NS / 1e9)
            for number in range(2 * rounds):
                before = swapper.connections(tree.port)
                swaps.append(swapper.revert() if number % 2 else swapper.load(1 - swapper.champion))
                time.sleep(LEAD_NS / 1e9)  # what was under way when it was reported done is answered first, then moved
                moved.append(len(before & swapper.connections(tree.port)))
            time.sleep(WINDOW_NS / 1e9)
        tree.down()
    ending = arrived.ending
    return Run(swaps, arrived.requests, [], ending.failures, plan.per_s, capacity, ending.late_us), moved


def pool_rows(result: Run, moved: Sequence[int]) -> list[Row]:
    """What came of switches between pools."""
    load, revert = last_old_s(result, "load"), last_old_s(result, "revert")
    up = [(swap.committed - swap.begun) / 1e9 for swap in result.swaps if swap.kind == "load"]
    least = min(moved)
    all_moved = f"of {CONNECTIONS} that the clients keep"
    return [
        *count_rows(result),
        Row(
            measure="connections that moved in a switch, at least",
            value=least,
            unit="",
            rival=all_moved,
            target=f"{CONNECTIONS}",
            holds=least == CONNECTIONS,
        ),
        Row(measure=f"until new workers were up and warm {bootstrap(up)}, at most", value=max(up), unit="s"),
        Row(
            measure=f"from the commit of a new pool to the last old answer {bootstrap(load)}, at most",
            value=max(load),
            unit="s",
            target="< 1",
            holds=max(load) < 1,
        ),
        Row(
            measure=f"the same of a way back {bootstrap(revert)}, at most",
            value=max(revert),
            unit="s",
            target="< 1",
            holds=max(revert) < 1,
        ),
    ]


def measured(port: int, body: str) -> float:
    """Requests a second that are answered when each connection asks again at once."""
    return keep_busy(port, PATH, body.encode(), seconds=2).per_s


def swapped(swapper: Swapper, count: int, period_s: float) -> tuple[list[Swap], list[int]]:
    """Swap in a fixed rhythm. The memory is looked at when a swap is done."""
    swaps: list[Swap] = []
    memory: list[int] = []
    due = time.monotonic() + 2 * period_s
    for kind in cycle(PATTERN):
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + period_s, time.monotonic())
        swaps.append(getattr(swapper, kind)())
        if kind != "placebo":
            memory.append(sum(own_memory(worker.pid) for worker in swapper.workers()))
        if len(memory) == count:
            break
    time.sleep(2 * WINDOW_NS / 1e9)
    return swaps, memory


def own_memory(pid: int) -> int:
    """Bytes of resident anonymous memory: the heap, and not the mapped files of the log."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"Process {pid} has no anonymous memory")


# What came of it ------------------------------------------------------------------------------------------------------


def stale(requests: NDArray[np.void], after: int, done: int, end: int) -> int:
    """Requests that were sent after a switch was reported done, and not answered by the new version."""
    between = requests["outcome"][(requests["sent"] > done) & (requests["done"] < end)]
    return int(np.count_nonzero((between != after) & (between >= 0)))


def until_next(begins: Sequence[int], requests: NDArray[np.void]) -> list[int]:
    """When what began at each time was over: when the next one began."""
    return [*begins[1:], int(requests["done"].max()) + 1]


def last_old_s(result: Run, kind: str) -> list[float]:
    """Seconds from each commit of a kind to the last answer of the version before."""
    requests, found = result.requests, []
    ends = until_next([swap.begun for swap in result.swaps], requests)
    for swap, end in zip(result.swaps, ends, strict=True):
        if swap.kind == kind:
            found.append(seconds_to_last(requests, swap.before, swap.committed, end))
    return found


def seconds_to_last(requests: NDArray[np.void], version: int, since: int, end: int) -> float:
    """Until the last answer of a version; 0 where none came."""
    done = requests["done"][(requests["outcome"] == version) & (requests["done"] > since) & (requests["done"] < end)]
    return (int(done.max()) - since) / 1e9 if len(done) else 0.0


def ratios(result: Run, kind: str, quantile: float) -> list[float]:
    """Of each swap of a kind: latency of single rows in the half second around it to that in the half second before."""
    singles = result.requests[(result.requests["rows"] == 1) & (result.requests["outcome"] >= 0)]
    latency = singles["done"] - singles["due"]
    found = []
    for swap in result.swaps:
        if swap.kind != kind:
            continue
        begin = swap.begun - LEAD_NS
        cuts = np.searchsorted(singles["due"], [begin - WINDOW_NS, begin, begin + WINDOW_NS])
        steady, around = (latency[start:end] for start, end in pairwise(cuts))
        if len(steady) and len(around):
            found.append(float(np.quantile(around, quantile) / np.quantile(steady, quantile)))
    return found


def growth(memory: Sequence[int]) -> float:
    """The last tenth of the looks to the first tenth after the warm-up."""
    warm = memory[round(WARM_UP * len(memory)) :]
    tenth = max(1, len(warm) // 10)
    return statistics.median(warm[-tenth:]) / statistics.median(warm[:tenth]) - 1


def count_rows(result: Run) -> list[Row]:
    """What must not happen at all, and what is counted beside it."""
    outcomes = result.requests["outcome"]
    loads, reverts = (sum(swap.kind == kind for swap in result.swaps) for kind in ("load", "revert"))
    failed, mixed = int(np.count_nonzero(outcomes == FAILED)), int(np.count_nonzero(outcomes == MIXED))
    said = "; ".join(result.failures[:2])
    ends = until_next([swap.committed for swap in result.swaps], result.requests)
    late = sum(stale(result.requests, swap.after, swap.done, end) for swap, end in zip(result.swaps, ends, strict=True))
    batches = int(np.count_nonzero(result.requests["rows"] > 1))
    load = f"{result.per_s:.0f} a second, {SHARE:.0%} of {result.capacity:.0f}; {batches} of them batches"
    return [
        Row(measure=f"swaps: {loads} that load a version, {reverts} reverts", value=loads + reverts, unit=""),
        Row(measure="requests meanwhile", value=len(outcomes), unit="", rival=load),
        Row(measure="failed requests", value=failed, unit="", rival=said, target="0", holds=failed == 0),
        Row(measure="responses that mix versions", value=mixed, unit="", target="0", holds=mixed == 0),
        Row(measure="old answers after a switch was reported done", value=late, unit="", target="0", holds=late == 0),
    ]


def order_rows(result: Orders) -> list[Row]:
    """What came of orders to the loop: the same counts, and how long it takes from the decision."""
    requests, outcomes = result.requests, result.requests["outcome"]
    ends = until_next([order.asked for order in result.orders], requests)
    pairs = list(zip(result.orders, ends, strict=True))
    bad = int(np.count_nonzero(outcomes < 0))
    late = sum(stale(requests, order.after, order.answered, end) for order, end in pairs if order.reported)
    took = {
        verb: [
            seconds_to_last(requests, order.before, order.asked, end)
            for order, end in pairs
            if order.verb == verb and not order.reported
        ]
        for verb in ("promote", "rollback")
    }
    said = "; ".join(result.failures[:2])
    return [
        Row(measure="orders through the loop, by API and command", value=len(pairs), unit="", rival=f"{len(requests)}"),
        Row(measure="failed and mixed ones of its requests", value=bad, unit="", rival=said, target="0", holds=not bad),
        Row(measure="old answers after the command returned", value=late, unit="", target="0", holds=not late),
        Row(
            measure=f"from a promotion by API to the last old answer {bootstrap(took['promote'])}, at most",
            value=max(took["promote"]),
            unit="s",
        ),
        Row(
            measure=f"from a rollback by API to the last old answer {bootstrap(took['rollback'])}, at most",
            value=max(took["rollback"]),
            unit="s",
            target="< 1",
            holds=max(took["rollback"]) < 1,
        ),
    ]


def time_rows(result: Run, *, judged: bool) -> list[Row]:
    """How long it took, and what it cost those who asked meanwhile. judged: whether there are enough swaps for it."""
    revert, load = last_old_s(result, "revert"), last_old_s(result, "load")
    grown = growth(result.memory)
    mib = statistics.median(result.memory) / (1 << 20)
    rows = [
        Row(
            measure=f"seconds from the commit of a new version to the last old answer {bootstrap(load)}, at most",
            value=max(load),
            unit="s",
        ),
        Row(
            measure=f"the same of a revert {bootstrap(revert)}, at most",
            value=max(revert),
            unit="s",
            target="< 1",
            holds=max(revert) < 1,
        ),
        Row(
            measure="growth of the workers' memory after the warm-up",
            value=100 * grown,
            unit="%",
            rival=f"of {mib:.0f} MiB",
            target="<= 2" if judged else "",
            holds=not judged or grown <= 0.02,
        ),
    ]
    return rows + (latency_rows(result) if judged else [])


def latency_rows(result: Run) -> list[Row]:
    """Latency around a swap to steady time, beside the placebo that shows what noise alone does."""
    rows: list[Row] = []
    for name, quantile, most in (("p50", 0.5, 1.05), ("p99", 0.99, 1.2)):
        seen = {kind: bootstrap(ratios(result, kind, quantile)) for kind in ("load", "revert", "placebo")}
        noise = seen.pop("placebo")
        void = noise.high > 1.2
        rows.append(
            Row(
                measure=f"placebo: {name} around a moment without a swap to steady time {noise}",
                value=noise.median,
                unit="x",
                target="interval <= 1.2, else the run is void",
                holds=not void,
            )
        )
        rows += [ratio_row(kind, name, found, most, void=void) for kind, found in seen.items()]
    return [*rows, steady_row(result)]


def ratio_row(kind: str, name: str, found: Spread, most: float, *, void: bool) -> Row:
    """One ratio. Where the placebo says that noise alone does as much, it says nothing."""
    what = "a swap that loads a version" if kind == "load" else "a revert"
    void_said = "void: " if void else ""
    return Row(
        measure=f"{void_said}{name} around {what} to steady time {found}",
        value=found.median,
        unit="x",
        target=f"<= {most:g}",
        holds=not void and found.median <= most,
    )


def steady_row(result: Run) -> Row:
    """What the ratios are of."""
    singles = result.requests[(result.requests["rows"] == 1) & (result.requests["outcome"] >= 0)]
    p50, p99 = np.quantile((singles["done"] - singles["due"]) / 1e6, (0.5, 0.99))
    own = f"the client was late by {result.late_us / 1000:.3g} ms at most"
    return Row(measure=f"latency of all requests: p50 {p50:.3g} ms, p99", value=float(p99), unit="ms", rival=own)


def measure(swaps: int, orders: int) -> list[Row]:
    """All rows of the report."""
    judged = swaps >= ENOUGH
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), swaps, period_s=PERIOD_S if judged else SHORT_S)
        rows = [*count_rows(result), *time_rows(result, judged=judged)]
        return rows + (order_rows(ordered(Path(folder) / "shop", orders, result.per_s)) if orders else [])


def measure_by_pool(rounds: int) -> list[Row]:
    """All rows of the report on pools."""
    with tempfile.TemporaryDirectory() as folder:
        return pool_rows(*run_by_pool(Path(folder), rounds))


def main() -> int:
    """The command line."""
    parser = parser_of("swap")
    parser.add_argument("--swaps", type=int, help="how many; fewer than 100 show counts, and no times (default: 1000)")
    parser.add_argument("--orders", type=int, help="pairs of promotion and rollback through the loop (default: 20)")
    parser.add_argument("--by-pool", type=int, help="pairs of a version that enters with new workers and a way back")
    given = parser.parse_args()
    if given.by_pool:
        return publish("swap-by-pool", measure_by_pool(given.by_pool), given.json)
    swaps = given.swaps or (ENOUGH if given.quick else 1_000)
    orders = given.orders if given.orders is not None else (4 if given.quick else 20)
    return publish("swap", measure(swaps, orders), given.json)


if __name__ == "__main__":
    sys.exit(main())
