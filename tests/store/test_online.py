"""The embedded store: whole transactions, several processes, and what a kill leaves behind."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.errors import UnavailableError
from evertrain.store.online import OnlineStore


def test_reading_what_was_never_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no online states"):
        OnlineStore.open(tmp_path)


def test_a_transaction_is_whole_or_not_at_all(tmp_path: Path) -> None:
    store = OnlineStore.open(tmp_path, write=True)
    with store.write() as transaction:
        transaction.put(b"a", b"1")

    def fail_half_way() -> None:
        with store.write() as transaction:
            transaction.put(b"a", b"2")
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail_half_way()
    with store.read() as cursor:
        assert cursor.get(b"a") == b"1"
    store.close()


def test_an_open_reader_keeps_what_it_saw(tmp_path: Path) -> None:
    store = OnlineStore.open(tmp_path, write=True)
    reader = OnlineStore.open(tmp_path)
    with store.write() as transaction:
        transaction.put(b"a", b"1")
    with reader.read() as cursor:
        with store.write() as transaction:
            transaction.put(b"a", b"2")
        assert cursor.get(b"a") == b"1"
    with reader.read() as cursor:
        assert cursor.get(b"a") == b"2"
    reader.close()
    store.close()


WRITER = """
import sys
from pathlib import Path
from evertrain.store.online import OnlineStore
store = OnlineStore.open(Path(sys.argv[1]), write=True)
number = 0
while True:
    with store.write() as transaction:
        transaction.put(b"first", str(number).encode())
        transaction.put(b"second", str(number).encode())
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_loses_nothing_that_it_committed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(200)]
        writer.send_signal(signal.SIGKILL)
    store = OnlineStore.open(tmp_path, write=True)
    with store.read() as cursor:
        assert cursor.get(b"first") == cursor.get(b"second")
        assert int(cursor.get(b"first")) >= int(said[-1])
    store.close()


def test_states_of_another_start_of_the_machine_are_thrown_away_unless_it_was_shut_down(tmp_path: Path) -> None:
    def put_and_leave(marker: bytes | None) -> None:
        store = OnlineStore.open(tmp_path, write=True)
        with store.write() as transaction:
            transaction.put(b"a", b"1")
        store.close()
        if marker is not None:
            (tmp_path / "boot").write_bytes(marker)

    put_and_leave(None)
    store = OnlineStore.open(tmp_path, write=True)
    with store.read() as cursor:
        assert cursor.get(b"a") == b"1"
    store.close()
    put_and_leave(b"an earlier start")
    store = OnlineStore.open(tmp_path, write=True)
    with store.read() as cursor:
        assert cursor.get(b"a") is None
    store.close()
