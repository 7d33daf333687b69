"""What a person orders through commands, and the answer of a real controller (there are no workers to obey it)."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.core.event import OrderGiven
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, beat, forget, heartbeat_of, heartbeats
from evertrain.testing.record import ShopRecord
from evertrain.testing.tree import free_port, wait_until

THIRD = "def predict(rows):\n    return [0.75 for _ in rows]\n"


def evertrain(*words: str, within: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evertrain", *words], capture_output=True, text=True, check=False, cwd=within
    )


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopRecord]:
    """One state for all tests, in the order in which they stand, with its controller."""
    folder = tmp_path_factory.mktemp("order")
    made = ShopRecord.with_two_versions(folder / "state")
    with (folder / "controller.log").open("w") as log:
        controller = subprocess.Popen(
            [sys.executable, "-m", "evertrain.process.controller.controlling", "--dir", str(made.state.path)],
            env=os.environ | {"EVERTRAIN_CONTROL_PORT": str(free_port())},
            stderr=log,
        )
    try:
        wait_until(lambda: any(one.role == "controller" and alive(one) for one in heartbeats(made.state)), "it")
        yield made
    finally:
        controller.send_signal(signal.SIGTERM)
        controller.wait(180)


def ordered(record: ShopRecord, *words: str) -> subprocess.CompletedProcess[str]:
    return evertrain(*words, "--dir", str(record.state.path))


def test_a_retraining_of_what_has_no_recipe_is_declined(record: ShopRecord) -> None:
    done = ordered(record, "retrain", "--reason", "new data")
    assert done.returncode == 1
    assert done.stdout == "Recipe 'default' is not declared (declared: none).\n"


def test_a_rollback_goes_back_with_the_words_kept_beside_the_ledger(record: ShopRecord, tmp_path: Path) -> None:
    first, second = record.versions
    (tmp_path / "evertrain.toml").write_text(f'dir = "{record.state.path}"\nworkers = = 3\n')
    done = evertrain("rollback", "--reason", "complaints of Ms Müller", within=tmp_path)
    assert done.returncode == 0, done.stderr
    told = "evertrain: warning: evertrain.toml is no TOML: Invalid value (at line 2, column 11). Mend the file."
    assert done.stderr.startswith(f"{told} This command goes on with {record.state.path}.\n"), "a typo stops nobody"
    assert done.stdout == f"A person (operator) took back version 2 ({second[:10]}); version 1 answers again.\n"
    assert "Mind of version 1 of shop, which answers then: its verdict was 'health only'" in done.stderr
    after = record.stands
    assert after.champion == first
    assert after.versions[second].refused
    with Ledger.open(record.state.ledger) as ledger:
        order = [event.fact for event in ledger.read() if isinstance(event.fact, OrderGiven)][-1]
        assert ledger.words(order.words) == "complaints of Ms Müller"
    assert "Müller" not in ordered(record, "ledger", "list", "--limit", "1000", "--json").stdout


def test_there_is_nothing_behind_the_first_version(record: ShopRecord) -> None:
    done = ordered(record, "rollback", "--reason", "again", "--json")
    assert done.returncode == 1
    told = msgspec.json.decode(done.stdout)
    assert (told["answered"], told["accepted"]) == (True, False)
    assert "no earlier version" in told["says"]


def test_a_push_is_taken_in_once(record: ShopRecord, tmp_path: Path) -> None:
    (tmp_path / "third.py").write_text(THIRD)
    done = ordered(record, "push", str(tmp_path / "third.py"))
    assert done.returncode == 0, done.stderr
    assert "is checked now, and then enters as its service declares" in done.stdout
    again = ordered(record, "push", str(tmp_path / "third.py"), "--wait", "--within", "0s")
    assert again.returncode == 3
    assert again.stdout == (
        "This file is version 3 of shop already.\n"
        "Version 3 of shop is not in service. It is under way still: `evertrain status` says what it waits for.\n"
    )


def test_what_was_refused_cannot_be_pushed_again(record: ShopRecord, tmp_path: Path) -> None:
    record.refuse(list(record.stands.versions)[2], "canary errors 3 of 16")
    (tmp_path / "another_name.py").write_text(THIRD)
    done = ordered(record, "push", str(tmp_path / "another_name.py"))
    assert done.returncode == 1
    assert done.stdout == (
        "The same artifact was refused as version 3: canary errors 3 of 16. "
        "`evertrain promote` puts it into service all the same.\n"
    )
    again = ordered(record, "push", str(tmp_path / "another_name.py"), "--json")
    assert again.returncode == 1
    assert msgspec.json.decode(again.stdout)["new"] is False
    attempts = [decision for decision in record.stands.decisions if decision.outcome == "declined"]
    assert [decision.reason for decision in attempts[-2:]] == [done.stdout.strip()] * 2


def test_a_refused_version_is_not_promoted_by_the_way(record: ShopRecord) -> None:
    orders = len(record.stands.decisions)
    done = ordered(record, "promote", "2", "--reason", "a slip")
    assert done.returncode == 1
    assert done.stderr.startswith("Version 2 of shop was refused: A person (operator) took back ")
    assert "Nobody answered, and version 2 stays refused." in done.stderr
    assert "--yes" in done.stderr
    assert len(record.stands.decisions) == orders


def test_an_override_puts_it_into_service_on_record(record: ShopRecord) -> None:
    second = record.versions[1]
    done = ordered(record, "promote", second[:8], "--reason", "I know better", "--yes")
    assert done.returncode == 3, done.stderr
    assert done.stdout == (
        "A person (operator) puts version 2, which was refused, into service.\n"
        "Not yet: the workers are to load version 2; `evertrain status` shows when it answers.\n"
    )
    after = record.stands
    assert "took back" in after.versions[second].overruled
    assert after.open_rollout is not None
    assert after.open_rollout.version == second
    assert not after.versions[second].refused


def test_promote_says_whether_the_workers_took_it(record: ShopRecord) -> None:
    second, third = (list(record.stands.versions)[place] for place in (1, 2))
    beat(record.state, msgspec.structs.replace(heartbeat_of("w0", "worker"), failed={third: "model.py is cut in half"}))
    done = ordered(record, "promote", "3", "--reason", "once more", "--yes")
    assert done.returncode == 1
    assert "Version 3 of shop does not answer: A worker cannot load it: model.py is cut in half" in done.stdout
    assert "half; who answered before goes on" in done.stdout
    assert record.stands.champion == record.versions[0]
    beat(record.state, msgspec.structs.replace(heartbeat_of("w0", "worker"), ready=(second,), generation=1_000))
    done = ordered(record, "promote", "2", "--reason", "I still know better", "--json")
    told = msgspec.json.decode(done.stdout)
    assert (done.returncode, told["outcome"]) == (0, "answers")
    assert told["says"].endswith("Version 2 of shop answers.")
    assert record.stands.champion == second
    forget(record.state, "w0")


def test_promote_tells_the_end_of_its_own_rollout_from_that_of_the_trial_before(record: ShopRecord) -> None:
    first = record.versions[0]
    assert ordered(record, "promote", "1", "--reason", "nobody loads it yet").returncode == 3
    trial = record.stands.open_rollout
    assert trial is not None
    assert trial.version == first
    beat(record.state, heartbeat_of("w0", "worker"))
    command = [sys.executable, "-m", "evertrain", "promote", "1", "--reason", "now", "--dir", str(record.state.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as promoting:
        wait_until(lambda: record.stands.rollouts[trial.rollout].state == "aborted", "the end of the one before")
        beat(record.state, msgspec.structs.replace(heartbeat_of("w0", "worker"), ready=(first,), generation=2_000))
        said, _ = promoting.communicate(timeout=300)
    assert (promoting.returncode, said.splitlines()[-1]) == (0, "Version 1 of shop answers.")
    forget(record.state, "w0")


def test_a_version_that_does_not_exist_is_named_with_those_that_do(record: ShopRecord) -> None:
    done = ordered(record, "promote", "9", "--reason", "why not")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "evertrain: shop has no version '9'."
    assert "There are versions 1, 2, 3." in done.stderr


def test_what_is_no_model_is_refused_before_anything_is_ordered(record: ShopRecord, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    before = record.stands
    done = ordered(record, "push", str(tmp_path / "model.pkl"))
    assert done.returncode == 1
    assert "is a pickle" in done.stderr
    assert list(record.stands.versions) == list(before.versions)


def test_an_order_needs_a_reason(record: ShopRecord) -> None:
    for words in (["rollback"], ["promote", "1"], ["retrain"]):
        assert ordered(record, *words).returncode == 2


def test_without_a_controller_nothing_is_ordered(tmp_path: Path) -> None:
    made = ShopRecord.with_two_versions(tmp_path / "state")
    done = ordered(made, "rollback", "--reason", "the night shift is asleep")
    assert done.returncode == 1
    assert "Nobody runs who could carry that out" in done.stderr
    assert "Nothing was ordered" in done.stderr
    assert len(made.stands.orders) == 0
