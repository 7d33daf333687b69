"""Door one: a person has a CSV of customers, and nothing else. Real commands, real processes, real HTTP.

The file is as such files are: two columns that give the label away, dates that are none, words where numbers belong,
rows that stand twice, labels that are missing.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from playwright.sync_api import Page, expect

from evertrain.core.card import Card
from evertrain.core.identity import ServiceName
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.store.access import token
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.reader import LogReader
from evertrain.store.state import State
from evertrain.testing.customers import customer_rows, dirty
from evertrain.testing.terminal import Terminal
from evertrain.testing.tree import Tree, free_port, wait_until

pytestmark = pytest.mark.timeout(900)

TODAY = datetime.fromtimestamp(time.time() // 86_400 * 86_400)  # noqa: DTZ006 - the file's times are naive
MEND = """import polars as pl


def mend(cells):
    return cells.with_columns(charges=pl.col("charges").replace({"n/a": "40.5", "unknown": "40.5"}))


"""
ROLES = ("--key", "customer_id", "--at", "snapshot_day", "--label", "churned", "--horizon", "30d")


class Churn:
    """A folder with the customers' files, and the commands that are typed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.control_port = free_port(), free_port()
        self.promised = (0, 0)
        (folder / "data").mkdir()
        history = customer_rows(3_000, newest=TODAY - timedelta(days=1), days=300, seed=1)
        dirty(history).write_csv(folder / "data" / "customers.csv")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "evertrain", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300)

    @property
    def state(self) -> State:
        return State.open(self.folder / ".evertrain")

    def record(self) -> ServiceRecord:
        with Ledger.open(self.state.ledger) as ledger:
            return Registry(ledger.read()).service(ServiceName("churn"))

    def ask(self, connection: HTTPConnection, number: int) -> dict[str, Any]:
        day = f"{TODAY:%Y-%m-%d}"  # as the file has it
        row = {
            "customer_id": f"new{number}",
            "snapshot_day": day,
            "plan": "basic",
            "calls": number % 7,
            "charges": 40.5,
        }
        return self.post(connection, msgspec.json.encode(row))

    def post(self, connection: HTTPConnection, body: bytes) -> dict[str, Any]:
        connection.request("POST", "/predict/churn", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        [answer] = msgspec.json.decode(content)["predictions"]
        return dict(answer)

    def label(self, connection: HTTPConnection, key: str | list[str], status: int) -> dict[str, Any]:
        """What is answered, with this status, to a label that is posted by the key."""
        body = msgspec.json.encode({"labels": [{"key": key, "value": 1}]})
        connection.request("POST", "/labels/churn", body, {"Authorization": f"Bearer {token('data', self.state.keys)}"})
        response = connection.getresponse()
        content = response.read()
        assert response.status == status, content
        return dict(msgspec.json.decode(content))


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Churn:
    return Churn(tmp_path_factory.mktemp("a folder ☃"))


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    with Terminal() as terminal:
        yield terminal


@pytest.fixture(scope="module")
def running(churn: Churn, terminal: Terminal) -> Iterator[Tree]:
    """`evertrain up service.py`, as it is typed, on ports of its own; a machine at work is no fault of the model."""
    written = (churn.folder / "service.py").read_text()
    patient = 'horizon="30d", gate=et.Gate(holdout="28d", block="1d", max_p99="5s"),'
    assert 'horizon="30d",' in written
    patient += "rollout=et.Canary(steps=[0.1, 0.5], margin=0.03, max_bad_answers=1e9),"  # they ask by the thousand here
    written = written.replace('horizon="30d",', f"{patient} repair=mend,").replace("as et\n", f"as et\n{MEND}", 1)
    (churn.folder / "service.py").write_text(written)
    planned = churn.run("plan", "service.py", "--json")
    [service] = msgspec.json.decode(planned.stdout)["services"]
    churn.promised = service["history"]["training"], service["history"]["holdout"]
    ports = ["--port", str(churn.port), "--control-port", str(churn.control_port), "--workers", "1"]
    faster = {"EVERTRAIN_TICK_S": "0.1", "EVERTRAIN_SCAN_S": "0.3"}
    with (churn.folder / "up.log").open("w") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "evertrain", "up", "service.py", *ports],
            cwd=churn.folder,
            stdout=terminal.theirs,
            stderr=log,
            text=True,
            env=os.environ | faster | {"TERM": "xterm"},
        )
    wait_until(lambda: terminal.text.count("\n") >= 3 or up.poll() is not None, "what it says at first")
    told = terminal.text.splitlines()
    assert told[0].startswith("Predictions"), (churn.folder / "up.log").read_text()[-4000:]
    assert told[2].startswith("churn: its model is looked for, or trained")
    with Tree(churn.state, port=churn.port) as tree:
        tree.supervisor = up
        yield tree


def test_init_says_what_is_in_the_file_and_writes_what_runs(churn: Churn) -> None:
    done = churn.run("init", "churn", "--data", "data", *ROLES)
    assert done.returncode == 0, done.stderr
    says = done.stdout
    assert "set aside   2 of" in says
    assert "charges: not a finite number" in says
    assert "snapshot_day: not an ISO 8601 time" in says
    assert "rows repeat one" in says
    assert "are read in UTC" in says
    assert "rows are older than 30d and have none" in says
    assert "left out    refund: a leak: alone it gives churned with AUC 1.000" in says
    assert "cancel_reason: a leak: missing in 100.0% of the rows with churned 0" in says
    assert "closed_at: a leak:" in says
    assert "email: an id:" in says
    assert "country: constant" in says
    assert "`evertrain up service.py`" in says
    assert says.splitlines()[-1].startswith("Beyond one table")
    text = (churn.folder / "service.py").read_text()
    assert len(text.splitlines()) <= 15
    again = churn.run("init", "churn", "--data", "data", *ROLES)
    assert again.returncode == 1
    assert "service.py exists" in again.stderr
    assert (churn.folder / "service.py").read_text() == text


def test_plan_says_what_it_will_do(churn: Churn) -> None:
    done = churn.run("plan", "service.py")
    assert done.returncode == 0, done.stderr
    assert "churn: 1 file of" in done.stdout
    assert "a first training begins at once" in done.stdout
    assert "the model takes 3 inputs" not in done.stdout
    assert not (churn.folder / ".evertrain").exists()


@pytest.mark.usefixtures("running")
def test_the_first_model_is_trained_and_answers(churn: Churn, terminal: Terminal) -> None:
    wait_until(lambda: churn.record().champion is not None, "a champion", 400)
    connection = HTTPConnection("127.0.0.1", churn.port, timeout=90)
    wait_until(lambda: answers(churn, connection), "an answer")
    few, many = (churn.ask(connection, number)["score"] for number in (0, 6))
    assert 0 < few < many < 1
    wait_until(lambda: "Beyond one table" in terminal.text, "the greeting")
    shown = terminal.text
    assert re.search(r"churn: (putting training rows together|rehearsing|training with|judging)[^\n]*, for \d", shown)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is given back"
    told = shown[shown.rindex("Version 1 of churn answers. Try it:") :].splitlines()
    assert told[4].startswith("Beyond one table")
    words = shlex.split(told[1])
    assert churn.post(connection, words[words.index("-d") + 1].encode())["score"] > 0
    record = churn.record()
    [version] = record.versions.values()
    assert version.verdict == "health only"
    assert version.card is not None
    card = msgspec.json.decode(Artifacts.at(churn.state.artifacts).blobs.get(version.card), type=Card)
    assert (card.training_rows, card.holdout_rows) == churn.promised
    connection.request("POST", "/predict/churn", b'{"customer_id": "c", "plann": "basic"}')
    refused = connection.getresponse()
    assert refused.status == 400
    assert b"plan" in refused.read()
    assert "customer_id, snapshot_day" in churn.label(connection, "new0", 400)["remedy"]
    assert churn.label(connection, ["new0", f"{TODAY:%Y-%m-%d}"], 200)["taken"] == 1
    connection.close()
    with LogReader(churn.state.log) as reader:
        logged = [record for _, record in reader.tail({})]
    [key] = [one.key for one in logged if isinstance(one, Labelled)]
    assert key in {one.key for one in logged if isinstance(one, Predicted)}


@pytest.mark.usefixtures("running")
def test_a_worse_file_that_is_pushed_is_refused_by_the_rows_of_the_table(churn: Churn) -> None:
    inverted = "def predict(rows):\n    return [max(0.02, 0.9 - 0.1 * (row['calls'] or 0)) for row in rows]\n"
    (churn.folder / "inverted.py").write_text(inverted)
    done = churn.run("push", "inverted.py")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(churn.record().refusals) == 1, "its refusal")
    pushed = [*churn.record().versions.values()][-1]
    assert "judged on the newest" in pushed.refused
    assert pushed.refused.startswith("The gate's verdict is fail.")
    assert "the champion was trained on none of them" in pushed.refused
    assert churn.record().open_rollout is None
    assert churn.run("status").stdout.count("it is shown to be worse") == 1


def test_new_rows_make_a_challenger_that_passes_the_gate_and_the_canary(churn: Churn, running: Tree) -> None:
    first = churn.record().champion
    rows = customer_rows(1_500, newest=TODAY - timedelta(days=1), days=70, seed=2)
    rows.write_csv(churn.folder / "data" / ".next.csv")
    (churn.folder / "data" / ".next.csv").rename(churn.folder / "data" / "customers-2.csv")
    wait_until(lambda: waiting_rows(churn) > 1_000, "the new file's rows")
    done = churn.run("retrain", "--reason", "new customers")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(churn.record().versions) == 3 and newest_verdict(churn) != "", "a verdict", 400)
    assert newest_verdict(churn) == "pass", churn.run("decisions", "--limit", "3").stdout
    connection = HTTPConnection("127.0.0.1", churn.port, timeout=90)
    answered = set()
    number = 0
    end = time.monotonic() + 400
    while churn.record().champion == first and time.monotonic() < end:
        answered |= {churn.ask(connection, number + place)["version"] for place in range(100)}
        number += 100
    connection.close()
    record = churn.record()
    assert record.champion != first
    assert record.previous == first
    assert answered == {first, record.champion}


def test_the_page_shows_what_happened(churn: Churn, running: Tree, opened: Callable[[str], Page]) -> None:
    page = opened(f"http://127.0.0.1:{churn.control_port}/?token={token('control', churn.state.keys)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 3 serves")
    decisions = page.get_by_role("region", name="Decisions")
    for words in ("Version 3 promoted", "Version 3 passes the gate", "“new customers”", "The first training begins"):
        expect(decisions).to_contain_text(words)
    sources = page.get_by_role("region", name="Sources").get_by_role("row")
    expect(sources.nth(1)).to_contain_text("churn")
    expect(page.get_by_role("region", name="Traffic").get_by_role("img")).to_be_visible()


def test_application_code_is_told_that_a_customer_is_the_same_on_every_day(churn: Churn, running: Tree) -> None:
    flags = httpx.get(f"http://127.0.0.1:{churn.control_port}/flags", trust_env=False, timeout=60).json()
    assert [one["key"] for one in flags["services"]] == [["customer_id"]]


def answers(churn: Churn, connection: HTTPConnection) -> bool:
    try:
        return bool(churn.ask(connection, 1)["id"])
    except (AssertionError, OSError, HTTPException):
        connection.close()
        return False


def waiting_rows(churn: Churn) -> int:
    """Rows that are in and wait for the next commit, as the page shows it."""
    [source] = msgspec.json.decode((churn.state.reports / "sources.json").read_bytes())
    return int(source["pending"])


def newest_verdict(churn: Churn) -> str:
    return str([*churn.record().versions.values()][-1].verdict or "")
