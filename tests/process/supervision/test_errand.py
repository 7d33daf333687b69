"""What a start is given is looked at and put on record by one process, which writes nothing before."""

from pathlib import Path

import psutil
import pytest

from evertrain.core.registry import Registry
from evertrain.errors import DeclarationError, EvertrainError
from evertrain.process.supervision.errand import Submission
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

SERVICE = """
import os
import evertrain as et

with open("runs", "a") as runs:
    runs.write("x")
os.write(1, b"what a library prints " * 10_000)
os.write(2, b"what a library complains of " * 10_000)


def predict(rows):
    return [0.5 for _ in rows]


columns = {"id": "string", "t": "timestamp", "bad": "bool"}
orders = et.Source("orders", et.files("*.csv"), key="id", event_time="t", columns=columns)
asked = et.Examples(orders, key="id", at="t", request=["t"])
label = et.Label(source=orders, of=asked, value="bad", horizon="1d")
service = et.Service("shop", examples=asked, label=label, train=predict)
"""


def submitted(folder: Path, text: str = SERVICE) -> Submission:
    """A declaration in a folder, which its process runs in."""
    (folder / "service.py").write_text(text)
    return Submission("declaration.declaring", [str(folder / "service.py")])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_process_looks_and_then_puts_on_record(folder: Path) -> None:
    submission = submitted(folder)
    submission.look({})
    assert sorted(path.name for path in folder.iterdir()) == ["runs", "service.py"]
    submission.record(folder / "state", {})
    assert submission.answer == "shop\n"
    assert (folder / "runs").read_text() == "x", "a user's file is run once"
    with Ledger.open(State.open(folder / "state").ledger) as ledger:
        assert set(Registry(ledger.read()).services) == {"shop"}


def test_what_was_not_looked_at_is_judged_with_what_is_on_record(folder: Path) -> None:
    submitted(folder).record(folder / "state", {})
    again = submitted(folder, SERVICE.replace('"bad": "bool"', '"bad": "int64"'))
    again.record(folder / "state", {})
    with Ledger.open(State.open(folder / "state").ledger) as ledger:
        assert len(ledger.read(kinds={"service.declared"})) == 2


def test_what_is_refused_or_withdrawn_writes_nothing_and_leaves_no_process(folder: Path) -> None:
    before = psutil.Process().children()
    with pytest.raises(DeclarationError, match="ZeroDivisionError"):
        submitted(folder, "1 / 0\n").look({})
    with pytest.raises(EvertrainError, match=r"declaration\.declaring failed with code 3"):
        submitted(folder, "import os\nos._exit(3)\n").look({})
    waiting = submitted(folder)
    waiting.look({})
    waiting.withdraw()
    assert sorted(path.name for path in folder.iterdir()) == ["runs", "service.py"]
    assert psutil.Process().children() == before
