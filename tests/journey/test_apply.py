"""A declaration is changed while everything runs: by `apply`, by `up --reload`, rightly and wrongly, under requests.

One real tree on a settings file, one customer who asks all the time, and the files that a developer edits.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from textwrap import dedent

import msgspec
import psutil
import pytest

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import ServiceName
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.state import State
from evertrain.testing.tree import Customer, Tree, free_port, wait_until

SERVICE = dedent("""
    import evertrain as et
    from shares import share

    orders = et.Source(
        "orders",
        et.files("orders/*.csv"),
        key="order",
        event_time="placed",
        columns={"order": "string", "placed": "timestamp", "amount": "float64"},
    )
    deliveries = et.Source(
        "deliveries",
        et.files("deliveries/*.csv"),
        key="order",
        event_time="delivered",
        columns={"order": "string", "delivered": "timestamp", "late": "bool"},
    )
    asked = et.Examples(orders, key="order", at="placed", request=["order", "placed", "amount"])


    def train(data, run):
        path = run.path("model.py")
        path.write_text("def predict(rows):\\n    return [row['share'] for row in rows]\\n")
        return path


    service = et.Service(
        "late-orders",
        examples=asked,
        label=et.Label(source=deliveries, of=asked, value="late", horizon="3h"),
        features=[et.request_features(share, inputs=["amount"], outputs=["share"])],
        train=train,
        triggers=[et.every("30d")],
        gate=et.Gate(margin=0.01),
        owner="the shop",
    )
""")
SHARES = "def share(columns, q):\n    return 0.25 + columns['amount'] / 200\n"
QUESTION = {"order": "new", "placed": "2026-01-01T00:00:00Z", "amount": 50.0}
ROWS = 400


class Workshop:
    """A developer's folder: sources, a declaration, and beside it the next one, not in force yet."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.next = folder, folder / "next"
        self.log = folder / "up.log"
        self.control_port = free_port()
        for place in (folder, self.next):
            place.mkdir(exist_ok=True)
            (place / "service.py").write_text(SERVICE)
            (place / "shares.py").write_text(SHARES)
        (folder / "settings.toml").write_text(f"control_port = {self.control_port}\nscan_s = 0.3\ntick_s = 0.1\n")
        newest = datetime.now(UTC) - timedelta(hours=4)
        times = [newest - timedelta(hours=number) for number in range(ROWS)]
        orders = [f"{number},{at:%Y-%m-%dT%H:%M:%SZ},{number % 100}" for number, at in enumerate(times)]
        late = [
            f"{number},{at + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ},{'true' if number % 100 >= 50 else 'false'}"
            for number, at in enumerate(times)
        ]
        for name, head, lines in (
            ("orders", "order,placed,amount", orders),
            ("deliveries", "order,delivered,late", late),
        ):
            (folder / name).mkdir()
            (folder / name / "all.csv").write_text("\n".join([head, *lines, ""]))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "evertrain", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300)

    def apply(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("apply", "next/service.py", "--data", ".", *words)

    @property
    def state(self) -> State:
        return State.open(self.folder / ".evertrain")

    def record(self) -> ServiceRecord:
        with Ledger.open(self.state.ledger) as ledger:
            return Registry(ledger.read()).service(ServiceName("late-orders"))

    def spec(self) -> ServiceSpec:
        digest = self.record().declaration
        assert digest is not None
        return msgspec.json.decode(Artifacts.at(self.state.artifacts).blobs.get(digest), type=ServiceSpec)


def change(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def running(workshop: Workshop) -> Iterator[Tree]:
    port = free_port()
    with workshop.log.open("w") as log:
        words = ["up", "service.py", "--reload", "--settings", "settings.toml", "--port", str(port), "--workers", "1"]
        up = subprocess.Popen(
            [sys.executable, "-m", "evertrain", *words, "--json"],
            cwd=workshop.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert up.stdout is not None
    assert up.stdout.readline(), workshop.log.read_text()[-4000:]
    with Tree(workshop.state, port=port) as tree:
        tree.supervisor = up
        yield tree


@pytest.fixture(scope="module")
def customer(workshop: Workshop, running: Tree) -> Iterator[Customer]:
    """Asks from the first answer to the last test."""
    wait_until(lambda: workshop.record().champion is not None, "a champion", 300)
    connection = HTTPConnection("127.0.0.1", running.port, timeout=90)

    def answers() -> bool:
        connection.request("POST", "/predict/late-orders", msgspec.json.encode(QUESTION))
        response = connection.getresponse()
        response.read()
        return response.status == 200

    wait_until(answers, "an answer")
    connection.close()
    asking = Customer(running.port, "/predict/late-orders", QUESTION)
    asking.start()
    yield asking
    asking.stop()


def heard(customer: Customer, more: int = 50) -> set[float]:
    """The scores of answers that came before now and of some more; no request failed."""
    until = len(customer.answers) + more
    wait_until(lambda: len(customer.answers) >= until or bool(customer.failures), "more answers")
    assert customer.failures == []
    return {answer["predictions"][0]["score"] for answer in customer.answers}


def test_apply_says_what_changes_and_interrupts_nobody(workshop: Workshop, customer: Customer) -> None:
    first = workshop.record()
    change(workshop.next / "service.py", 'et.every("30d")', 'et.every("7d")')
    change(workshop.next / "service.py", "margin=0.01", "margin=0.02")
    change(workshop.next / "shares.py", "/ 200", "/ 100")
    done = workshop.apply()
    assert done.returncode == 0, done.stderr
    for line in (
        "late-orders: 5 changes",
        "  triggers.schedule every 30d: removed, it was every 30d, zone UTC",
        "  triggers.schedule every 7d: added every 7d, zone UTC",
        "  gate.margin: 0.01 becomes 0.02",
        "  code shares.py: ",
        "  triggers, gate: holds from the next decision on",
        "  code: holds from the next training on; versions that are there keep what they were made with",
        "In force: the controller has taken it up. No request was interrupted.",
    ):
        assert line in done.stdout, done.stdout
    assert workshop.spec().gate.margin == 0.02
    assert workshop.record().bundle != first.bundle
    assert workshop.record().champion == first.champion
    assert heard(customer) == {0.5}, "the version in service keeps the code that it was made with"


def test_what_is_in_force_already_changes_nothing(workshop: Workshop, customer: Customer) -> None:
    with Ledger.open(workshop.state.ledger) as ledger:
        declared = ledger.last(kinds={"service.declared"})
    found = msgspec.json.decode(workshop.apply("--json").stdout)
    assert [one["changes"] for one in found["services"]] == [[]]
    with Ledger.open(workshop.state.ledger) as ledger:
        assert ledger.last(kinds={"service.declared"}) == declared
    assert heard(customer) == {0.5}


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('inputs=["amount"]', 'inputs=["amuont"]', 'Did you mean "amount"?'),
        ("import evertrain as et", "import evertrain as et\n1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_broken_file_is_refused_and_what_runs_goes_on(
    workshop: Workshop, customer: Customer, before: str, after: str, says: str
) -> None:
    stands = workshop.record().declaration
    text = (workshop.next / "service.py").read_text()
    change(workshop.next / "service.py", before, after)
    done = workshop.apply()
    (workshop.next / "service.py").write_text(text)
    assert done.returncode == 1
    assert says in done.stderr
    assert "ET-D01" in done.stderr
    assert "Traceback" not in done.stderr
    assert workshop.record().declaration == stands
    assert heard(customer) == {0.5}


def test_with_reload_an_edit_is_applied_and_a_broken_one_is_told(workshop: Workshop, customer: Customer) -> None:
    change(workshop.folder / "service.py", 'owner="the shop"', 'owner="the night shift"')
    wait_until(lambda: workshop.spec().owner == "the night shift", "the edit is applied")
    stands = workshop.record().declaration
    change(workshop.folder / "service.py", 'inputs=["amount"]', 'inputs=["amuont"]')
    wait_until(
        lambda: "service.py is not applied, and what runs stays as it is." in workshop.log.read_text(), "refusal"
    )
    assert 'Did you mean \\"amount\\"?' in workshop.log.read_text()
    assert workshop.record().declaration == stands
    change(workshop.folder / "service.py", 'inputs=["amuont"]', 'inputs=["amount"]')
    change(workshop.folder / "shares.py", "/ 200", "/ 50")
    before = workshop.record().bundle
    wait_until(lambda: workshop.record().bundle != before, "an edit of a module beside it is applied")
    assert heard(customer) == {0.5}


def test_doctor_and_status_find_nothing_wrong_while_it_runs(workshop: Workshop, customer: Customer) -> None:
    told = workshop.run("doctor", "--json")
    assert told.returncode == 0, told.stdout
    found = {one["look"]: one for one in msgspec.json.decode(told.stdout)}
    assert found["ports"]["what"] == "This installation is up and has its ports."
    assert {look for look, one in found.items() if one["tone"] != "good"} <= {"memory", "disk", "processors"}
    assert workshop.run("status").returncode == 0
    assert heard(customer) == {0.5}


def test_the_settings_file_holds_for_every_process(workshop: Workshop, running: Tree) -> None:
    page = HTTPConnection("127.0.0.1", workshop.control_port, timeout=90)
    page.request("GET", "/metrics")
    assert page.getresponse().status == 200
    page.close()


def test_a_second_start_is_refused(workshop: Workshop, running: Tree) -> None:
    done = workshop.run("up", "service.py", "--port", "0", "--control-port", str(free_port()))
    assert done.returncode == 1
    assert "already belongs to process" in done.stderr
    assert "ET-P02" in done.stderr


def test_at_the_end_nobody_is_left(workshop: Workshop, running: Tree, customer: Customer) -> None:
    customer.stop()
    assert customer.failures == []
    assert running.down() == 0
    wait_until(lambda: not _processes(workshop.state.path), "all are gone")
    done = workshop.apply()
    assert "On record; no controller runs." in done.stdout, (done.stdout, done.stderr)


def _processes(path: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(path) in process.cmdline() and process.pid != os.getpid():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
