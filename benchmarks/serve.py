"""One worker with everything on, beside what people serve a model with instead.

    python benchmarks/serve.py [--quick] [--json FILE] [--rivals NAME,...]

A LightGBM model of 200 trees and 24 features, 3 of them categories, answers single rows and batches of 100, to 1 and to
32 connections. Ours checks the schema, routes, names each prediction, logs it (synced in the background) and counts; it
does so with the request's columns as they are, and for another model with 36 features that are read online. Rivals do
what their manuals show; where they let the client choose, it sends them numbers that are encoded already.

The servers take turns in rounds, in another order each time, and the load comes from a process of its own over
loopback. Rivals are installed by `make rivals`; one that is not installed, or not asked for, is a row that says so.
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evertrain.testing.boosted import BATCH, Asked, World, lean_service, world
from evertrain.testing.contender import Contender, Question, Round, Serving, serving
from evertrain.testing.featured import FEATURES, featured_service
from evertrain.testing.installation import SHOP
from evertrain.testing.report import Row, Spread, parser_of, publish, spread
from evertrain.testing.rival import RIVALS

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ROOT / ".rivals"
FILES = ROOT / "benchmarks" / "rivals"

OURS, UNLOGGED, FEATURED = "evertrain", "evertrain without its log", f"evertrain with {FEATURES} online features"
NOOP, PLACEBO = "no-op on uvicorn", "placebo"
FRAME, LEAN = "FastAPI, scikit-learn on a frame", "FastAPI, booster on a row"

Cell = tuple[int, int]
"""Rows of a request, and connections."""
JUDGED: Cell = (1, 32)
CELLS: tuple[Cell, ...] = (JUDGED, (1, 1), (BATCH, 32), (BATCH, 1))
Results = Mapping[tuple[str, Cell], list[Round]]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How a rival is started, and asked. body: of rows of encoded numbers. target: times its throughput."""

    rival: str
    commands: tuple[tuple[str, ...], ...]
    path: str
    body: Callable[[list[list[float]]], Any] = lambda rows: {"rows": rows}
    name: str = ""
    target: float | None = 9.0
    environment: dict[str, str] = {}

    @property
    def contender(self) -> str:
        return self.name or self.rival


def _uvicorn(module: str) -> tuple[tuple[str, ...], ...]:
    return (("uvicorn", f"{module}:app", "--port", "{port}", "--log-level", "warning"),)


WAYS = (
    Way(name=FRAME, rival="FastAPI", commands=_uvicorn("fastapi_frame"), path="", target=50.0),
    Way(name=LEAN, rival="FastAPI", commands=_uvicorn("fastapi_row"), path="/predict", target=None),
    Way(
        rival="MLServer",
        commands=(("mlserver", "start", "."),),
        path="/v2/models/model/infer",
        body=lambda rows: {
            "inputs": [{"name": "rows", "datatype": "FP64", "shape": [len(rows), len(rows[0])], "data": rows}]
        },
        environment={"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "0", "MLSERVER_METRICS_PORT": "0"}
        | {"MLSERVER_PARALLEL_WORKERS": "0", "MLSERVER_DEBUG": "false"},
    ),
    Way(
        rival="KServe",
        commands=(("python", "kserve_model.py", "--http_port", "{port}", "--enable_grpc", "false"),),
        path="/v1/models/model:predict",
        body=lambda rows: {"instances": rows},
    ),
    Way(
        rival="BentoML",
        commands=(("bentoml", "serve", "bentoml_service:Boosted", "--port", "{port}"),),
        path="/predict",
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Way(
        rival="Ray Serve",
        commands=(("python", "ray_app.py", "{port}"),),
        path="/",
        environment={"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"},
    ),
    Way(rival="LitServe", commands=(("python", "litserve_api.py", "{port}"),), path="/predict"),
    Way(
        rival="MLflow",
        commands=(
            ("python", "mlflow_save.py"),
            ("mlflow", "models", "serve", "-m", "mlflow_model", "-p", "{port}", "--env-manager", "local"),
        ),
        path="/invocations",
        body=lambda rows: {"inputs": rows},
    ),
)


# Who takes part -------------------------------------------------------------------------------------------------------


def ours(name: str, asked: Asked, given: World, module: str = "evertrain.process.worker.serving") -> Contender:
    """A worker of ours, under an installation of its own."""
    one, many = asked.records[0], {"rows": asked.records}
    path = f"/predict/{SHOP}"
    return Contender(
        name=name,
        commands=(("python", "-m", module, "--dir", str(asked.state), "--name", "w0"),),
        questions={
            1: Question(path, json.dumps(one).encode(), asked.score),
            BATCH: Question(path, json.dumps(many).encode(), asked.score),
        },
        files=given.folder,
        environment={"EVERTRAIN_PORT": "{port}"},
    )


def noop(name: str, given: World) -> Contender:
    """What does nothing, with the same bodies."""
    questions = {rows: Question("/", json.dumps(given.records[:rows]).encode(), None) for rows in (1, BATCH)}
    return Contender(name=name, commands=(("python", "noop.py", "{port}"),), questions=questions, files=given.folder)


def theirs(way: Way, given: World) -> Contender:
    """A rival's server."""
    bodies: dict[int, tuple[str, Any]] = {rows: (way.path, way.body(given.rows[:rows])) for rows in (1, BATCH)}
    if way.name == FRAME:
        bodies = {1: ("/predict", given.records[0]), BATCH: ("/batch", given.records)}
    return Contender(
        name=way.contender,
        commands=way.commands,
        questions={
            rows: Question(path, json.dumps(body).encode(), given.scores[0]) for rows, (path, body) in bodies.items()
        },
        files=given.folder,
        programs=RIVALS[way.rival].home(INSTALLED).resolve() / "bin",
        environment=way.environment | {"OMP_NUM_THREADS": "1"},
    )


def contenders(folder: Path, wanted: Sequence[Way]) -> list[Contender]:
    """Everybody who takes part, with what they serve."""
    shutil.copytree(FILES, folder / "given")
    model = world(folder / "given")
    found = [
        ours(OURS, lean_service(model, folder / "ours"), model),
        ours(UNLOGGED, lean_service(model, folder / "unlogged"), model, "evertrain.testing.unlogged"),
        ours(FEATURED, featured_service(folder / "featured"), model),
        noop(NOOP, model),
        noop(PLACEBO, model),
    ]
    return found + [theirs(way, model) for way in wanted]


def started(open_: contextlib.ExitStack, wanted: Sequence[Contender]) -> tuple[list[Serving], dict[str, str]]:
    """Those who answer rightly, and why the others do not. RuntimeError when one of those others is ours."""
    there, absent = list[Serving](), dict[str, str]()
    for contender in wanted:
        try:
            one = open_.enter_context(serving(contender))
            one.round(1, 1, 0.1)  # whether the clients that measure understand its responses, too
            there.append(one)
        except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
            if contender.programs is None:
                raise
            absent[contender.name] = f"not measured, it does not answer the clients: {error}"
    return there, absent


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(quick: bool, rivals: Sequence[str]) -> list[Row]:
    """All rows of the report."""
    rounds, seconds = (3, 0.5) if quick else (9, 1.0)
    absent: dict[str, str] = {}
    for way in WAYS:
        if rivals and way.rival not in rivals:
            absent[way.contender] = "not measured: not asked for"
        elif RIVALS[way.rival].version(INSTALLED) is None:
            absent[way.contender] = "not measured, it is not installed: make rivals"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as open_:
        wanted = contenders(Path(folder), [way for way in WAYS if way.contender not in absent])
        there, failed = started(open_, wanted)
        results = raced(there, rounds, seconds)
    return [*own_rows(results), *rival_rows(results, absent | failed)]


def raced(there: Sequence[Serving], rounds: int, seconds: float) -> Results:
    """Each in turn, cell by cell; every round begins with another one."""
    results: dict[tuple[str, Cell], list[Round]] = {}
    for number in range(rounds):
        first = number * len(there) // rounds
        for cell in CELLS:
            for one in (*there[first:], *there[:first]):
                found = one.round(*cell, seconds)
                results.setdefault((one.contender.name, cell), []).append(found)
    return results


def times(results: Results, name: str, other: str, cell: Cell) -> Spread:
    """The throughput of one in that of the other, by round."""
    pairs = zip(results[name, cell], results[other, cell], strict=True)
    return spread([one.seen.per_s / two.seen.per_s for one, two in pairs])


def said(cell: Cell) -> str:
    """A cell in words."""
    rows, connections = cell
    what = "single rows" if rows == 1 else f"batches of {rows}"
    return f"{what}, {connections} connection{'s' if connections > 1 else ''}"


def speed(results: Results, name: str, cell: Cell) -> str:
    """How many a second it answers, and how long each of them takes."""
    rounds = results[name, cell]
    per_s, *latencies = (
        statistics.median(values)
        for values in zip(*((one.seen.per_s, one.seen.p50_us, one.seen.p99_us) for one in rounds), strict=True)
    )
    p50, p99 = (f"{latency / 1000:.3g}" for latency in latencies)
    return f"{per_s:.0f} a second, p50 {p50} ms, p99 {p99} ms"


def own_rows(results: Results) -> list[Row]:
    """Ours beside what does nothing, with and without its log, and with features."""
    rows = []
    for cell in CELLS:
        for name in (OURS, FEATURED):
            rate = statistics.median(one.seen.per_s for one in results[name, cell])
            rows.append(Row(measure=f"{said(cell)}: {name}: {speed(results, name, cell)}", value=rate, unit="1/s"))
        if cell[0] == 1:
            rows.append(row(results, OURS, NOOP, cell, target=0.6 if cell == JUDGED else None))
            rows.append(row(results, FEATURED, NOOP, cell, target=None))
        rows.append(row(results, PLACEBO, NOOP, cell, target=None))
        rows.append(log_row(results, cell))
    rows += [cpu_row(results, OURS, NOOP), cpu_row(results, OURS, UNLOGGED), cpu_row(results, PLACEBO, NOOP)]
    ours_all = [one for (name, _), found in results.items() if name in (OURS, FEATURED) for one in found]
    failures = sum(one.seen.failures for one in ours_all)
    rows.append(Row(measure="failed requests of ours", value=failures, unit="", target="0", holds=not failures))
    return rows


def rival_rows(results: Results, absent: Mapping[str, str]) -> list[Row]:
    """Ours beside each rival; one that was not measured says why."""
    rows = []
    for way in WAYS:
        name = way.contender
        if name in absent:
            rows.append(Row(measure=f"times {name}", value=float("nan"), unit="x", rival=absent[name]))
            continue
        version = RIVALS[way.rival].version(INSTALLED)
        rows += [
            row(
                results,
                OURS,
                name,
                cell,
                target=way.target if cell == JUDGED else None,
                note=f"{way.rival} {version}: ",
            )
            for cell in CELLS
        ]
    return rows


def row(results: Results, name: str, other: str, cell: Cell, *, target: float | None, note: str = "") -> Row:
    """How many times the throughput of the other one has. What the other one fails at is no throughput."""
    found = times(results, name, other, cell)
    failures = sum(one.seen.failures for one in results[other, cell])
    failed = f", {failures} failed" if failures else ""
    return Row(
        measure=f"{said(cell)}: {name}, times {other} {found}",
        value=found.median,
        unit="x",
        rival=f"{note}{speed(results, other, cell)}{failed}",
        target="" if target is None else f">= {target:g}",
        holds=target is None or found.median >= target,
    )


def cpu_row(results: Results, name: str, other: str) -> Row:
    """The same by the CPU time of the servers, which says more than throughput where others use the machine too."""
    pairs = zip(results[name, JUDGED], results[other, JUDGED], strict=True)
    found = spread([two.cpu_us / one.cpu_us for one, two in pairs])
    spent = [statistics.median(one.cpu_us for one in results[who, JUDGED]) for who in (name, other)]
    return Row(
        measure=f"{said(JUDGED)}, by CPU time: {name}, times {other} {found}",
        value=found.median,
        unit="x",
        rival=f"{spent[0]:.0f} us to {spent[1]:.0f} us a request",
    )


def log_row(results: Results, cell: Cell) -> Row:
    """What the log costs: the share of throughput that there would be more without it."""
    kept = times(results, OURS, UNLOGGED, cell)
    return Row(
        measure=f"{said(cell)}: throughput with the log, of that without {kept}",
        value=100 * (1 - kept.median),
        unit="%",
        target="<= 10" if cell == JUDGED else "",
        holds=cell != JUDGED or kept.median >= 0.9,
    )


def main() -> int:
    """The command line."""
    parser = parser_of("serve")
    parser.add_argument("--rivals", help="only these, by name, separated by commas", default="")
    given = parser.parse_args()
    return publish("serve", measure(given.quick, [name for name in given.rivals.split(",") if name]), given.json)


if __name__ == "__main__":
    sys.exit(main())
