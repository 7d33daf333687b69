"""A folder that nobody can write, made so while others write there."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import pytest

from evertrain.testing.disk import read_only
from evertrain.testing.tree import wait_until

OFTEN = 20


def another(found: Sequence[object]) -> None:
    """Wait until there is one more."""
    before = len(found)
    wait_until(lambda: len(found) > before)


@pytest.mark.usefixtures("sealing")
def test_a_folder_becomes_read_only_while_it_is_written(tmp_path: Path) -> None:
    refused: list[str] = []
    written: list[int] = []
    stop = Event()

    def write() -> None:
        while not stop.is_set():
            try:
                with (tmp_path / "file").open("w") as file:
                    written.append(file.write("x"))
            except OSError as error:
                refused.append(type(error).__name__)

    writers = [Thread(target=write) for _ in range(2)]
    for one in writers:
        one.start()
    try:
        for _ in range(OFTEN):
            with read_only(tmp_path):
                another(refused)
                with pytest.raises(OSError, match=r"Read-only|denied"):
                    (tmp_path / "other").touch()
            another(written)
    finally:
        stop.set()
        for one in writers:
            one.join()
    assert not (tmp_path / "other").exists()
