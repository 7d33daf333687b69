"""Who is told, and what could not be: as a person reads it and sends it once more."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from evertrain.store.hook import DeadLetter, Failing, HookProgress, HookShelf
from evertrain.testing.record import ShopRecord

LETTER = DeadLetter(
    sequence=812,
    kind="rollout.moved",
    subject="rollout/shop/r3",
    at_s=1_800_000_000.0,
    attempts=9,
    error="it answered 500",
)
FAILING = Failing(sequence=813, since_s=1_800_000_000.0, attempts=2, error="its host is not known here")
PROGRESS = HookProgress(
    hook="audit",
    host="https://audit.example.com",
    floor=800,
    failing={"shop": FAILING},
    dead=(LETTER,),
    told=1,
    waiting=3,
)


@pytest.fixture
def record(tmp_path: Path) -> ShopRecord:
    made = ShopRecord(tmp_path / "state")
    HookShelf(made.state, "audit").save(PROGRESS)
    return made


def hooks(record: ShopRecord, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", *words, "--dir", str(record.state.path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_hooks_are_listed_with_what_is_tried_again_and_what_is_dead(record: ShopRecord) -> None:
    told = hooks(record, "hooks", "list")
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0].startswith("audit: https://audit.example.com, 1 event told, the last at ")
    assert lines[0].endswith(", 3 waiting")
    assert lines[1].startswith("  trying     event 813 of shop, 2 times since ")
    assert lines[2].startswith("  dead       audit:812  rollout.moved of rollout/shop/r3, given up at ")
    assert lines[2].endswith("after 9 times: it answered 500")
    listed = msgspec.json.decode(hooks(record, "hooks", "list", "--json").stdout, type=list[HookProgress])
    assert listed == [PROGRESS]


def test_status_says_what_to_do_about_a_receiver_that_does_not_take_it(record: ShopRecord) -> None:
    told = hooks(record, "status").stdout
    assert (
        "Hook audit (https://audit.example.com) was tried 2 times with event 813: its host is not known here." in told
    )
    assert "evertrain hooks retry --all" in told


def test_dead_letters_are_sent_once_more_by_their_names(record: ShopRecord) -> None:
    shelf = HookShelf(record.state, "audit")
    unknown = hooks(record, "hooks", "retry", "audit:7")
    assert (unknown.returncode, "audit:7" in unknown.stderr) == (1, True)
    assert shelf.asked_again() == []
    assert hooks(record, "hooks", "retry", "audit:812").returncode == 0
    assert shelf.asked_again() == [812]
    shelf.forget(812)
    assert "1 dead letter will be sent" in hooks(record, "hooks", "retry", "--all").stdout
    assert shelf.asked_again() == [812]
