import os
from pathlib import Path

import pytest

from evertrain.store.file import remove_oldest, write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "Grüße ☃.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_failure_leaves_the_old_content_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(path, b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["taken"]


def test_the_files_that_were_changed_last_stay(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abcd"]
    for path, second in zip(paths, (4, 1, 3, 2), strict=True):
        path.touch()
        os.utime(path, (second, second))
    assert remove_oldest([*paths, tmp_path / "gone"], most=2) == [tmp_path / "d", tmp_path / "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
    assert remove_oldest(paths, most=2) == []


def test_the_mode_holds_from_the_first_byte(tmp_path: Path) -> None:
    write_atomically(tmp_path / "secret", b"x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
