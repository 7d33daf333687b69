"""Blobs are what their names say."""

import stat
from pathlib import Path

import pytest

from evertrain.core.identity import Digest, digest_of_bytes
from evertrain.errors import IntegrityError, NotFoundError
from evertrain.store.blob import Blobs
from evertrain.store.file import digest_of_file, write_atomically


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def test_bytes_come_back_by_their_digest(blobs: Blobs, tmp_path: Path) -> None:
    digest = blobs.put(b"abc")
    assert digest == digest_of_bytes(b"abc") == blobs.put(b"abc")
    assert blobs.get(digest) == b"abc"
    assert blobs.has(digest)
    (tmp_path / "file").write_bytes(b"def" * 1_000_000)
    other = blobs.put_file(tmp_path / "file")
    assert blobs.put_file(tmp_path / "file") == other
    assert blobs.get(other) == b"def" * 1_000_000
    names = {path.name for path in blobs.folder.rglob("*") if path.is_file()}
    assert names == {digest, other}
    assert {stat.S_IMODE(path.stat().st_mode) for path in blobs.folder.rglob("*") if path.is_file()} == {0o444}


def test_altered_bytes_are_never_handed_out_and_mended_by_putting_again(blobs: Blobs) -> None:
    digest = blobs.put(b"abc")
    blobs.path(digest).chmod(0o644)
    blobs.path(digest).write_bytes(b"abd")
    with pytest.raises(IntegrityError, match=digest):
        blobs.get(digest)
    blobs.put(b"abc")
    assert blobs.get(digest) == b"abc"


def test_what_is_not_there_is_named(blobs: Blobs) -> None:
    with pytest.raises(NotFoundError, match="missing"):
        blobs.get(Digest("0" * 64))
    assert not blobs.has(Digest("0" * 64))
    for name in ("", "..", "../" * 22, "G" * 64):
        with pytest.raises(NotFoundError, match="not a digest"):
            blobs.path(Digest(name))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(OSError, match="target"):
        write_atomically(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_file_is_hashed_whole_or_up_to_a_length(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    assert digest_of_file(path) == digest_of_bytes(b"x" * 3_000_000)
    assert digest_of_file(path, 2_000_001) == digest_of_bytes(b"x" * 2_000_001)
    assert digest_of_file(path, 4_000_000) == digest_of_file(path)
