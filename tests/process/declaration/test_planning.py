"""What a plan says of real files, a real declaration and a real record; nothing is written on the way."""

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import polars as pl
import pytest

from evertrain.control.review import FEWEST_ROWS
from evertrain.core.card import Card
from evertrain.core.event import BatchIngested, Draft, FileQuarantined, TriggerDecided
from evertrain.core.gate import Criterion, Status
from evertrain.core.identity import CycleId, ServiceName, SourceName, VersionId, digest_of
from evertrain.core.policy import CanarySpec, GateSpec, RowsTrigger, ScheduleTrigger
from evertrain.core.time import DAY, HOUR, Instant
from evertrain.core.trigger import Observed
from evertrain.process.declaration.declaring import declare
from evertrain.process.declaration.plan import Plan, foresee_canary, foresee_gate, foresee_trigger
from evertrain.process.declaration.planning import plan_file, plan_record
from evertrain.store.ledger import Ledger
from evertrain.testing.orders import CUT
from evertrain.testing.shop import DECLARATION, Shop, order_tables

POLICY = DECLARATION.replace(
    '    segments="shop",', '    segments="shop",\n    triggers=[et.every("7d"), et.rows(10_000)],\n    cooldown="2d",'
)
NOISY = POLICY + '\nprint("user code may print what it likes")\n'


def write_project(folder: Path, *, newest: Instant, text: str = NOISY) -> Path:
    """The shop's rows as CSV files, moved so that the newest cohort ends at `newest`."""
    later = pl.duration(microseconds=newest - CUT)
    for name, frame in order_tables().items():
        (folder / name).mkdir(parents=True)
        times = pl.col(pl.Datetime) + later
        moved = frame.drop("_known_at").with_columns(times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        moved.write_csv(folder / name / "history.csv")
    (folder / "service.py").write_text(text)
    return folder / "service.py"


def now() -> Instant:
    return Instant(time.time_ns() // 1000)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain.process.declaration.planning", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_file_is_planned_with_what_its_sources_hold(tmp_path: Path) -> None:
    file = write_project(tmp_path / "my project ☃", newest=now())
    (file.parent / "orders" / "broken.csv").write_text("nonsense\n1\n")
    with (file.parent / "orders" / "history.csv").open("a") as orders:
        orders.write("o999999,east,yesterday,12.5\n")
    before = sorted(file.parent.rglob("*"))
    done = run(file)
    assert done.returncode == 0, done.stderr
    assert "user code may print" in done.stderr
    [service] = msgspec.json.decode(done.stdout, type=Plan).services
    orders_found, deliveries = service.sources
    assert (orders_found.files, orders_found.rows, orders_found.aside) == (2, 6_000, 1)
    assert [fault.split(":")[0] for fault in orders_found.faults] == ["broken.csv"]
    assert (deliveries.files, deliveries.rows, deliveries.faults) == (1, 6_000, ())
    assert service.changes is None
    history = service.history
    assert history is not None
    assert (history.examples, history.mature, history.labelled) == (6_000, 6_000, 6_000)
    assert history.enough
    assert history.holdout > FEWEST_ROWS
    assert history.training + history.holdout <= 6_000
    assert 140 < history.per_day < 160
    assert [trigger.name for trigger in service.triggers] == ["first", "schedule every 7d", "rows 10000"]
    assert "at once" in service.triggers[0].says
    assert service.gate is not None
    assert (service.gate.blocks, service.gate.obstacle, service.gate.noise) == (40, "", None)
    assert [step.share for step in service.canary] == [0.01, 0.05, 0.25]
    assert service.presumed == history.per_day  # no request has come yet
    written = {path.name for path in set(file.parent.rglob("*")) - set(before)}
    assert not {name for name in written if not name.endswith(".pyc") and name != "__pycache__"}


def test_a_history_that_ended_long_ago_is_learned_from(tmp_path: Path) -> None:
    file = write_project(tmp_path / "project", newest=Instant(now() - 90 * DAY))
    done = run(file)
    assert done.returncode == 0, done.stderr
    [service] = msgspec.json.decode(done.stdout, type=Plan).services
    assert service.history is not None
    assert service.history.holdout > FEWEST_ROWS
    assert service.history.training + service.history.holdout <= 6_000
    assert service.history.enough


def test_the_files_may_lie_elsewhere_or_come_later(tmp_path: Path) -> None:
    file = write_project(tmp_path / "rows", newest=now())
    code = tmp_path / "code" / "service.py"
    code.parent.mkdir()
    file.rename(code)
    [found] = msgspec.json.decode(run(code, "--data", tmp_path / "rows").stdout, type=Plan).services
    assert [source.rows for source in found.sources] == [6_000, 6_000]
    done = run(code)
    assert done.returncode == 1
    assert "there is no folder" in done.stderr
    for name in order_tables():
        (code.parent / name).mkdir()
    [empty] = msgspec.json.decode(run(code).stdout, type=Plan).services
    assert [source.files for source in empty.sources] == [0, 0]
    assert empty.history is not None
    assert empty.history.examples == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import evertrain as et\nservice = et.no_such_thing\n", "no_such_thing"),
        ("1 / 0\n", "ZeroDivisionError"),
        (POLICY.replace('et.every("7d")', 'et.cron("0 0 30 2 *")'), "never comes"),
        (POLICY.replace('block="6h"', 'block="1d"'), "Nothing could pass the gate of service 'late-orders'"),
    ],
)
def test_what_is_refused_at_start_is_refused_here(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "service.py").write_text(text)
    done = run(tmp_path / "service.py")
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_without_anything_to_plan_the_remedy_is_said() -> None:
    done = run()
    assert done.returncode == 1
    assert "Name a declaration" in done.stderr


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An installation with rows in its tables, whose declaration is on record."""
    made = Shop(tmp_path, text=POLICY)
    for name in order_tables():
        (tmp_path / "project" / name).mkdir()
    Ledger.open(made.state.ledger, make=True).close()
    declare(made.state, tmp_path / "project" / "service.py")
    return made


def test_a_record_is_planned_from_its_tables(shop: Shop) -> None:
    orders = SourceName("orders")
    ingested = BatchIngested(
        source=orders,
        files={"a.csv": digest_of("a"), "b.csv": digest_of("b")},
        rows=6_000,
        quarantined=3,
        version=0,
        newest=Instant(5),
    )
    broken = FileQuarantined(source=orders, file="c.csv", digest=digest_of("c"), because="It is empty.")
    with Ledger.open(shop.state.ledger) as ledger:
        ledger.append(
            *(
                Draft(id=name, at=Instant(9), actor="t", subject="source/orders", reason="It came.", fact=fact)
                for name, fact in (("in", ingested), ("out", broken))
            )
        )
    [service] = plan_record(shop.state).services
    assert service.changes == ()
    found = service.sources[0]
    assert (found.files, found.rows, found.aside, found.newest) == (3, 6_000, 3, Instant(5))
    assert found.faults == ("c.csv: It is empty.",)
    assert service.history is not None
    assert service.history.mature == 6_000


def test_a_last_run_moves_the_triggers_and_the_cooldown(shop: Shop) -> None:
    began = Instant(now() - DAY)
    run_begun = TriggerDecided(service=shop.spec.name, trigger="first", decision="run", cycle=CycleId("late-orders/c1"))
    with Ledger.open(shop.state.ledger) as ledger:
        ledger.append(
            Draft(id="run", at=began, actor="t", subject="service/late-orders", reason="The first.", fact=run_begun)
        )
    [service] = plan_record(shop.state).services
    schedule, rows = service.triggers
    assert schedule.at == began + 7 * DAY
    assert rows.says.startswith("0 new mature rows, 10000 make a run; at 151 a day in about 67d")


def test_a_file_is_compared_with_what_is_on_record(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "project" / "service.py"
    sys.modules.pop("service", None)
    assert plan_file(file, state=shop.state).services[0].changes == ()
    file.write_text(POLICY.replace('cooldown="2d"', 'cooldown="3d"').replace("margin=0.02", "margin=0.03"))
    sys.modules.pop("service", None)
    gate, cooldown, code = plan_file(file, state=shop.state).services[0].changes or ()
    assert (gate, cooldown) == ("gate", "cooldown")
    assert code.startswith("the code (")


def card(high: float, status: Status) -> Card:
    criterion = Criterion(
        name="not worse than the champion",
        status=status,
        words="",
        interval=(-high, high),
    )
    return Card(
        service=ServiceName("late-orders"),
        version=VersionId("v"),
        cycle=None,
        claim="digest",
        verdict="pass",
        reasons=(),
        champion=VersionId("c"),
        holdout_rows=6_000,
        boundary=Instant(0),
        end=Instant(7 * DAY),
        criteria=(criterion,),
    )


def test_noise_is_taken_from_versions_that_are_alike_alone() -> None:
    gate = GateSpec(margin=0.01, holdout=7 * DAY, block=6 * HOUR)
    planned = foresee_gate(gate, card(0.008 * 1.6449, "pass"))
    assert planned.noise == pytest.approx(0.008, rel=1e-3)
    assert (planned.labels, planned.obstacle) == (23_786, "")
    assert foresee_gate(gate, card(0.2, "fail")).noise is None
    assert "declare a margin of" in foresee_gate(gate, card(0.2, "inconclusive")).obstacle


def test_a_trigger_that_is_due_waits_for_the_cooldown() -> None:
    seen = Observed(now=Instant(10 * DAY), since=Instant(0), rows=500)
    planned = foresee_trigger(ScheduleTrigger(every=7 * DAY), seen, earliest=Instant(12 * DAY), per_day=0.0)
    assert planned.at == 12 * DAY
    assert foresee_trigger(RowsTrigger(rows=900), seen, earliest=Instant(0), per_day=0.0).at is None


def test_a_canary_without_traffic_has_no_end_in_sight() -> None:
    assert all(step.days is None for step in foresee_canary(CanarySpec(), 0.0, 0.0))
    busy, last = foresee_canary(CanarySpec(steps=(0.1, 0.5), max_bad_answers=50.0), 100_000.0, 100_000.0)
    assert busy.requests is not None
    assert busy.requests > 4_000  # 50 bad answers of 50,000 a day: the bound must be 0.001
    [larger, _] = foresee_canary(CanarySpec(steps=(0.1, 0.5)), 100_000.0, 100_000.0)
    assert (larger.requests or 0) in range(1_000, 2_500)  # one in a thousand
    assert last.requests == 10  # it has shown enough, and each step sees some requests of its own
