"""`evertrain plan` as a person types it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from evertrain.core.event import RolloutBegun
from evertrain.core.evidence import Tally
from evertrain.core.identity import RolloutId
from evertrain.core.time import DAY, HOUR, parse_instant
from evertrain.process.declaration.declaring import declare
from evertrain.process.view.looks import Look, leave_looks
from evertrain.store.installation import install
from evertrain.testing.installation import SHOP
from evertrain.testing.record import ShopRecord
from evertrain.testing.shop import DECLARATION


def evertrain(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evertrain", *words], capture_output=True, text=True, check=False, cwd=folder
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A declaration with two orders, one of them delivered."""
    folder = tmp_path / "my project"
    for name in ("orders", "deliveries"):
        (folder / name).mkdir(parents=True)
    (folder / "service.py").write_text(DECLARATION)
    (folder / "orders" / "a.csv").write_text(
        "order,shop,placed,amount\no1,east,2024-05-01T10:00:00Z,12.5\no2,west,2024-05-02T10:00:00Z,7\no3,west,never,7\n"
    )
    (folder / "deliveries" / "a.csv").write_text("order,delivered,late\no1,2024-05-01T12:00:00Z,true\n")
    return folder


def test_a_plan_says_what_will_happen(project: Path) -> None:
    done = evertrain("plan", "service.py", folder=project)
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert told.startswith("late-orders: new; nothing is on record\n")
    assert f"1 file of {project}/orders/*.csv, 2 rows, 1 set aside, newest of 2024-05-02T10:00:00Z" in told
    assert "2 from 2024-05-01T10:00:00Z to 2024-05-02T10:00:00Z" in told
    assert "2 are mature, 50.0% of those have a label" in told
    assert "at least 50 of each are needed: a training waits for labels" in told
    assert "first: there is no version yet: a first training begins at once" in told
    assert "log_loss not worse than the champion's by 0.02, on the newest 10d (40 blocks, 20 are needed)" in told
    assert "1% of the requests, as many to the champion in a twin process" in told
    assert "then it answers everything" in told
    assert not (project / ".evertrain").exists()


def test_a_plan_names_the_lock_that_a_service_declares(project: Path) -> None:
    (project / "requirements.lock").write_text("lightgbm==4.6.0\nscipy==1.17.1\n")
    source = (project / "service.py").read_text()
    declared = source.replace('"late-orders",', '"late-orders",\n    environment="requirements.lock",')
    (project / "service.py").write_text(declared)
    told = evertrain("plan", "service.py", folder=project).stdout
    assert "With      the 2 packages of requirements.lock (" in told
    assert "its environment is not built yet" in told
    assert "2 of them have no hash" in told


def test_a_column_of_numbers_that_a_few_cells_make_text_is_named(tmp_path: Path) -> None:
    rows = [f"c{day},2024-05-{day:02},{fee},{day % 2}" for day, fee in enumerate([*range(18), '"12,50"'], start=1)]
    (tmp_path / "c.csv").write_text("\n".join(["id,day,fee,left", *rows]) + "\n")
    (tmp_path / "service.py").write_text(
        "import evertrain as et\n\nservice = et.Service.from_table("
        '"c", "c.csv", key="id", at="day", label="left", horizon="1d")\n'
    )
    told = evertrain("plan", "service.py", folder=tmp_path).stdout
    assert """look at fee: text, because of a few cells among numbers; columns={"fee": "float64?"}""" in told
    assert "look at day" not in told


def test_what_init_warned_of_is_said_as_long_as_it_holds(tmp_path: Path) -> None:
    rows = [
        f"c{number},2024-05-{number % 27 + 1:02},{number % 2},{number % 2},{'x' if number == 9 else 5}"
        for number in range(400)
    ]
    (tmp_path / "c.csv").write_text("\n".join(["id,day,refund,left,fee", *rows]) + "\n")
    (tmp_path / "train.py").write_text('import sys, pandas as pd\nrows = pd.read_csv(sys.argv[1]).fillna("none")\n')
    declared = (
        "import evertrain as et\n\nservice = et.Service.from_table("
        '"c", "c.csv", key="id", at="day", label="left", horizon="1d", columns={"fee": "float64?"}, '
        'train=et.script("train.py", "{csv}"), exclude=[])\n'
    )
    (tmp_path / "service.py").write_text(declared)
    told = evertrain("plan", "service.py", folder=tmp_path).stdout
    assert "set aside: 1: fee: not a finite number" in told
    assert "a function in repair= keeps rows whose cells do not fit" in told
    assert "Look at   refund: a leak: alone it gives left with AUC 1.000: is it known at day?" in told
    assert "train.py: fillna in line 2: what happens to rows before the fit does NOT happen in service" in told
    mended = declared.replace("exclude=[]", 'exclude=["refund"], repair=mend').replace(
        "\n\n", "\n\n\ndef mend(cells):\n    return cells\n\n\n", 1
    )
    (tmp_path / "service.py").write_text(mended)
    (tmp_path / "train.py").write_text("import sys, pandas as pd\nrows = pd.read_csv(sys.argv[1])\n")
    told = evertrain("plan", "service.py", folder=tmp_path).stdout
    assert "repair= mends these rows, no requests: one with a value that does not fit gets a 400" in told
    assert "a function in repair=" not in told
    assert "Look at" not in told


def test_a_plan_as_json(project: Path) -> None:
    done = evertrain("plan", "service.py", "--json", folder=project)
    [service] = msgspec.json.decode(done.stdout)["services"]
    assert service["history"]["last"] - service["history"]["first"] == DAY
    assert service["history"]["first"] == parse_instant("2024-05-01T00:00:00Z") + 10 * HOUR


def test_a_plan_is_compared_with_the_state_directory_that_is_there(project: Path) -> None:
    state = install(project / ".evertrain", parse_instant("2024-05-03T00:00:00Z"))
    declare(state, project / "service.py")
    assert evertrain("plan", "service.py", folder=project).stdout.startswith("late-orders: as it is on record\n")
    (project / "service.py").write_text(DECLARATION.replace("margin=0.02", "margin=0.03"))
    told = evertrain("plan", "service.py", folder=project).stdout
    assert told.startswith("late-orders: would change gate, the code (")
    recorded = evertrain("plan", folder=project).stdout
    assert "by 0.02" in recorded
    assert "none yet: a source that they or their labels come from has no rows" in recorded


def test_a_served_file_has_a_canary_and_nothing_to_train(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path / "state")
    done = evertrain("plan", "--dir", str(record.state.path), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:2]] == ["shop:", "Canary"]
    assert "Gate" not in done.stdout
    third = record.build("def predict(rows):\n    return [0.75 for _ in rows]\n")
    rollout = RolloutId(f"{SHOP}/r3")
    record.tell(
        "It is tried.",
        RolloutBegun(
            service=SHOP, rollout=rollout, version=third, champion=record.versions[1], steps=(0.01,), cycle=None
        ),
    )
    tally = msgspec.structs.replace(Tally.start(0.25), canary=300)
    leave_looks(record.state.reports, {SHOP: Look(requests_24h=1_000.0, pace=4_000.0, step=2, tally=tally)})
    going = evertrain("plan", "--dir", str(record.state.path), folder=tmp_path).stdout.splitlines()
    assert going[1:] == [
        "  Canary    version 3 is in it; from where it stands:",
        (
            "            25% of the requests, as many to the champion in a twin process: 139 more without an error, "
            "about 3h 20m"
        ),
        "            then it answers everything",
    ]


def test_versions_that_enter_by_workers_of_their_own_have_no_canary(project: Path) -> None:
    source = (project / "service.py").read_text()
    assert source.count("    gate=") == 1
    (project / "service.py").write_text(source.replace("    gate=", '    rollout=et.BlueGreen(back="2h"),\n    gate='))
    done = evertrain("plan", "service.py", folder=project)
    assert done.returncode == 0, done.stderr
    assert "  Entry     by workers of its own" in done.stdout
    assert "the workers before stay warm for 2h" in done.stdout
    assert "Canary" not in done.stdout


def test_what_cannot_be_planned_says_what_to_do(project: Path) -> None:
    done = evertrain("plan", "no_service.py", folder=project)
    assert done.returncode == 1
    assert "Name the file that declares the service." in done.stderr
    done = evertrain("plan", folder=project)
    assert done.returncode == 1
    assert "is no state directory" in done.stderr
    (project / "service.py").write_text(DECLARATION.replace('block="6h"', 'block="2d"'))
    done = evertrain("plan", "service.py", "--json", folder=project)
    assert done.returncode == 1
    fault = msgspec.json.decode(done.stderr)
    assert "Nothing could pass the gate" in fault["what"]
    assert "Declare a holdout of 40d" in fault["remedy"]
