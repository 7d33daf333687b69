"""Appending and reading, from one process and from many, and what the ledger refuses."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from evertrain.core.event import AlertCleared, Draft, StoryMarked
from evertrain.core.identity import Digest, canonical
from evertrain.core.merkle import TreeHead, hash_leaf, tree_hash, verify_consistency, verify_inclusion
from evertrain.core.time import Instant
from evertrain.errors import CapacityError, IntegrityError, NotFoundError, UserError
from evertrain.store import migration
from evertrain.store.ledger import Ledger, head_beside
from evertrain.store.signature import Signer, Verifier


def draft(name: str, subject: str = "alert/disk") -> Draft:
    return Draft(
        id=name, at=Instant(7), actor="test", subject=subject, reason="It is over.", fact=AlertCleared(alert=name)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, make=True) as opened:
        yield opened


def test_events_come_back_as_they_were_appended(ledger: Ledger) -> None:
    first, second = ledger.append(draft("a"), draft("b", "alert/memory"))
    assert (first.sequence, second.sequence) == (0, 1)
    assert ledger.read() == [first, second]
    assert ledger.read(after=0) == [second]
    assert ledger.read(subject="alert/disk") == [first]
    assert ledger.read(kinds=["story.marked"]) == []
    assert ledger.read(kinds={"alert.cleared"}, limit=1) == [first]
    assert ledger.last() == [second]
    assert ledger.find("b") == second
    assert ledger.find("c") is None
    assert ledger.append() == []


def test_an_id_that_stands_changes_nothing(ledger: Ledger) -> None:
    (stored,) = ledger.append(draft("a"))
    again, new = ledger.append(draft("a", subject="something else"), draft("b"))
    assert again == stored
    assert new.sequence == 1
    twice = ledger.append(draft("c"), draft("c"))
    assert [event.sequence for event in twice] == [2, 2]
    assert ledger.count() == 3


def test_head_is_the_merkle_tree_of_the_canonical_events(ledger: Ledger, path: Path) -> None:
    for number in range(11):
        ledger.append(draft(f"d{number}"))
        leaves = [hash_leaf(canonical(event)) for event in ledger.read()]
        assert ledger.head() == TreeHead(size=number + 1, root=Digest(tree_hash(leaves).hex()))
    assert head_beside(path).read_bytes() == canonical(ledger.head())


def test_proofs_are_those_of_the_head(ledger: Ledger) -> None:
    events = ledger.append(*(draft(f"d{number}") for number in range(9)))
    head = ledger.head()
    root = bytes.fromhex(head.root)
    for event in events:
        proof = ledger.prove_inclusion(event.sequence)
        assert verify_inclusion(hash_leaf(canonical(event)), event.sequence, head.size, proof, root)
    ledger.append(draft("more"))
    assert verify_consistency(head, ledger.head(), ledger.prove_consistency(head.size))


def test_a_signed_head_is_checked_with_the_public_key_and_kept_once(tmp_path: Path, ledger: Ledger) -> None:
    signer = Signer.create(tmp_path, tmp_path)
    assert ledger.signed_head() is None
    ledger.append(draft("a"))
    signed = ledger.sign_head(signer, Instant(5))
    Verifier.load(tmp_path).check(signed)
    assert ledger.sign_head(signer, Instant(6)) == signed == ledger.signed_head()
    assert (signed.size, signed.root) == (1, ledger.head().root)


def test_words_are_kept_by_digest(ledger: Ledger) -> None:
    digest = ledger.keep_words("Ünsinn ☃")
    assert ledger.keep_words("Ünsinn ☃") == digest
    assert ledger.words(digest) == "Ünsinn ☃"
    with pytest.raises(NotFoundError):
        ledger.words(Digest("0" * 64))


@pytest.mark.parametrize("statement", ["UPDATE events SET reason = 'x'", "DELETE FROM events", "DELETE FROM heads"])
def test_the_database_itself_refuses_a_change(ledger: Ledger, path: Path, statement: str, tmp_path: Path) -> None:
    ledger.append(draft("a"))
    ledger.sign_head(Signer.create(tmp_path, tmp_path), Instant(1))
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement.replace("reason", "subject"))
    connection.close()
    assert ledger.count() == 1


def test_threads_share_one_handle(ledger: Ledger) -> None:
    def work(name: str) -> None:
        for number in range(20):
            ledger.append(draft(f"{name}{number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.sequence for event in ledger.read()] == list(range(60))


_APPEND = """
import sys
from pathlib import Path
from evertrain.core.event import AlertCleared, Draft
from evertrain.store.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]), make=True)
for number in range(int(sys.argv[3])):
    name = f"{sys.argv[2]}{number}"
    ledger.append(Draft(id=name, at=0, actor="t", subject="s", reason="r", fact=AlertCleared(alert=name)))
    print(number, flush=True)
"""


def appender(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _APPEND, str(path), name, str(count)], stdout=subprocess.PIPE)


def test_processes_append_at_once_also_to_a_ledger_that_is_not_there_yet(path: Path) -> None:
    processes = [appender(path, name, 15) for name in "abc"]
    for process in processes:
        process.communicate(timeout=300)
    assert [process.returncode for process in processes] == [0, 0, 0]
    with Ledger.open(path, make=True) as ledger:
        events = ledger.read()
        assert [event.sequence for event in events] == list(range(45))
        assert ledger.head().root == tree_hash([hash_leaf(canonical(event)) for event in events]).hex()


def test_sigkill_loses_nothing_that_append_has_returned(path: Path) -> None:
    process = appender(path, "a", 10_000)
    assert process.stdout is not None
    said = -1
    while said < 20:
        said = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    said = int(rest[-1]) if rest else said
    with Ledger.open(path, make=True) as ledger:
        events = ledger.read()
        assert len(events) in (said + 1, said + 2)
        assert ledger.head().root == tree_hash([hash_leaf(canonical(event)) for event in events]).hex()


def rewrite_leaf(path: Path, old: bytes, new: bytes) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER events_refuse_update")
    connection.execute("UPDATE events SET leaf = CAST(replace(leaf, ?, ?) AS BLOB)", (old, new))
    connection.execute("UPDATE events SET kind = ?", (new.decode(),))
    connection.commit()
    connection.close()


def test_an_event_of_a_newer_version_is_named(ledger: Ledger, path: Path) -> None:
    ledger.append(draft("a"))
    rewrite_leaf(path, b"alert.cleared", b"alert.snoozed")
    with pytest.raises(UserError, match=r"Event 0 is of kind 'alert.snoozed'.*Upgrade"):
        ledger.read()


def test_a_damaged_event_is_named(ledger: Ledger, path: Path) -> None:
    ledger.append(draft("a"))
    rewrite_leaf(path, b'"actor":', b"alert.cleared")
    with pytest.raises(IntegrityError, match="Event 0 is damaged"):
        ledger.read()


def test_a_database_of_a_newer_version_is_refused_in_one_line(path: Path) -> None:
    Ledger.open(path, make=True).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match="newer evertrain") as raised:
        Ledger.open(path)
    assert "\n" not in str(raised.value)


def test_the_known_revision_is_the_newest_script() -> None:
    scripts = ScriptDirectory(str(Path(migration.__file__).parent / "migrations"))
    assert scripts.get_current_head() == migration.HEAD


def test_a_full_disk_is_said_and_passes(ledger: Ledger) -> None:
    ledger.append(draft("a"))
    with ledger._connections.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    secret = StoryMarked(mark="S3CRET" * 10_000)
    with pytest.raises(CapacityError, match="full") as raised:
        ledger.append(Draft(id="big", at=Instant(1), actor="t", subject="s", reason="r", fact=secret))
    assert raised.value.retry
    assert "S3CRET" not in repr(raised.value.__cause__)
    assert ledger.count() == 1
    with ledger._connections.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    assert ledger.append(draft("b"))[0].sequence == 1


@pytest.mark.parametrize("content", [b"no database " * 1_000, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_damaged_database_is_said_in_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"ledger.db is damaged"):
        Ledger.open(path)


def test_events_hold_floats_texts_and_nothing_exactly(ledger: Ledger) -> None:
    fact = StoryMarked(mark='quote " ☃ \x00 \u2028', figures={"pi": 3.141592653589793, "tiny": 5e-324})
    ledger.append(Draft(id="x", at=Instant(-1), actor="t", subject="s", reason="", fact=fact))
    assert ledger.read()[0].fact == fact


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_an_event_that_nobody_could_read_again_is_not_taken(ledger: Ledger, figure: float) -> None:
    ledger.append(draft("a"))
    fact = StoryMarked(mark="m", figures={"pi": figure})
    with pytest.raises(IntegrityError, match="'x' is not taken"):
        ledger.append(draft("b"), Draft(id="x", at=Instant(0), actor="t", subject="s", reason="", fact=fact))
    assert [event.id for event in ledger.read()] == ["a"]
