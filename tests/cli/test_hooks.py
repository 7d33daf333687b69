"""Who is told, and what could not be: as a person reads it and sends it once more."""

import base64
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from evertrain.store.hook import DeadLetter, Failing, HookProgress, HookRoll, HookShelf
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


TOML = """
[[hooks]]
name = "audit"
url = "https://audit.example.com/{path}"
secret_file = "secret"
"""


def applied(record: ShopRecord, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", "hooks", *words, "--dir", str(record.state.path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_hooks_are_put_into_force_and_what_changes_is_said(record: ShopRecord, tmp_path: Path) -> None:
    roll, toml = HookRoll(record.state), tmp_path / "evertrain.toml"
    lost = applied(record, tmp_path, "apply")
    assert (lost.returncode, "There is no evertrain.toml in this folder" in lost.stderr) == (1, True)

    toml.write_text('dir = "state"\n' + TOML.format(path="a"))
    without = applied(record, tmp_path, "apply")
    assert (without.returncode, "The secret of hook audit is not at" in without.stderr) == (1, True)
    assert HookRoll(record.state).hooks == ()

    (tmp_path / "secret").write_text(f"whsec_{base64.b64encode(bytes(32)).decode()}")
    assert "NOT IN FORCE" in applied(record, tmp_path, "list").stdout
    first = applied(record, tmp_path, "apply")
    assert first.stdout.startswith("audit: new, told of what happens from now on"), first.stderr
    assert first.stdout.endswith("Nobody runs now. The next start takes them from its own settings.\n")
    assert [hook.url for hook in roll.hooks] == ["https://audit.example.com/a"]
    assert "NOT IN FORCE" not in applied(record, tmp_path, "list").stdout

    toml.write_text(TOML.format(path="b") + "timeout_s = 3.0\n")
    changed = msgspec.json.decode(applied(record, tmp_path, "apply", "--json").stdout)
    assert changed == {"new": [], "changed": {"audit": ["url", "timeout_s"]}, "gone": []}
    toml.write_text("[[hooks]\n")
    broken = applied(record, tmp_path, "list")
    assert (broken.returncode, broken.stdout.count("\n") > 0, "evertrain.toml is no TOML" in broken.stderr) == (
        0,
        True,
        True,
    )
    toml.write_text("")
    assert "audit: told and asked no more" in applied(record, tmp_path, "apply").stdout
    assert HookRoll(record.state).hooks == ()


def test_a_letter_of_nobody_is_not_sent(record: ShopRecord) -> None:
    HookShelf(record.state, "audit").save(msgspec.structs.replace(PROGRESS, active=False))
    refused = hooks(record, "hooks", "retry", "audit:812")
    assert (refused.returncode, "Hook audit is configured no more" in refused.stderr) == (1, True)
    nothing = hooks(record, "hooks", "retry")
    assert (nothing.returncode, "Which dead letters?" in nothing.stderr) == (2, True)
