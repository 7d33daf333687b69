"""`evertrain ledger` as a process: what it prints, and its exit code."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from evertrain.core.event import AlertCleared, Draft
from evertrain.core.merkle import hash_leaf, verify_inclusion
from evertrain.core.time import Instant
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

_RUN = "from evertrain.cli.ledger import app; app()"


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = install(tmp_path / "Grüße ☃", Instant(1))
    with Ledger.open(made.ledger) as ledger:
        for name in ("disk", "memory"):
            fact = AlertCleared(alert=name)
            ledger.append(
                Draft(id=name, at=Instant(5), actor="t", subject=f"alert/{name}", reason="It is over.", fact=fact)
            )
    return made


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _RUN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_verify_says_what_was_checked_and_exits_with_0(state: State) -> None:
    done = run("verify", "--dir", state.path)
    assert done.returncode == 0, done.stderr
    assert "Everything is as it was recorded. Checked: 3 events" in done.stdout
    assert "cache/" in done.stdout


def test_verify_names_what_differs_and_exits_with_1(state: State) -> None:
    content = state.ledger.read_bytes()
    state.ledger.write_bytes(content.replace(b'"alert":"memory"', b'"alert":"memorz"'))
    done = run("verify", "--dir", state.path, "--json")
    assert done.returncode == 1
    report = msgspec.json.decode(done.stdout)
    assert not report["sound"]
    assert report["findings"][0]["subject"] == "control/ledger.db: event 2"


def test_list_shows_the_newest_and_filters(state: State) -> None:
    done = run("list", "--dir", state.path, "--limit", 2)
    assert done.stdout.splitlines() == [
        "     1  1970-01-01T00:00:00.000005Z  alert.cleared           alert/disk: It is over.",
        "     2  1970-01-01T00:00:00.000005Z  alert.cleared           alert/memory: It is over.",
    ]
    done = run("list", "--dir", state.path, "--kind", "alert.cleared", "--subject", "alert/disk", "--json")
    assert [msgspec.json.decode(line)["sequence"] for line in done.stdout.splitlines()] == [1]
    assert len(run("list", "--dir", state.path, "--after", 0).stdout.splitlines()) == 2


def test_show_gives_an_event_with_its_proof(state: State) -> None:
    done = run("show", 1, "--dir", state.path, "--json")
    shown = msgspec.json.decode(done.stdout)
    leaf = msgspec.json.Encoder(order="sorted").encode(shown["event"])
    proof = [bytes.fromhex(node) for node in shown["proof"]]
    head = shown["head"]
    assert verify_inclusion(hash_leaf(leaf), 1, head["size"], proof, bytes.fromhex(head["root"]))
    assert run("show", 99, "--dir", state.path).returncode != 0


def test_an_export_is_an_anchor_against_history_written_anew(state: State, tmp_path: Path) -> None:
    export = tmp_path / "ledger.jsonl"
    done = run("export", "--to", export, "--dir", state.path)
    assert done.returncode == 0, done.stderr
    lines = [msgspec.json.decode(line) for line in export.read_bytes().splitlines()]
    assert [line.get("sequence") for line in lines] == [0, 1, 2, None]
    assert lines[-1]["kind"] == "tree.head"
    assert run("verify", "--dir", state.path, "--anchor", export).returncode == 0
    stranger = install(tmp_path / "stranger", Instant(1))
    assert run("verify", "--dir", stranger.path, "--anchor", export).returncode == 1
