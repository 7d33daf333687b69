"""A declaration names a lock beside it."""

from pathlib import Path

import pytest

from evertrain.config.authoring import load
from evertrain.config.environment import files_of_locks, with_locks
from evertrain.core.identity import digest_of_bytes
from evertrain.errors import DeclarationError

DECLARED = """
import evertrain as et

service = et.Service.from_table(
    "churn", "x.csv", key="id", at="t", label="y", horizon="1d", environment={lock!r}, train=print
)
"""


def declared(folder: Path, lock: str) -> Path:
    path = folder / "service.py"
    path.write_text(DECLARED.format(lock=lock))
    return path


def test_the_lock_is_kept_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("numpy==2.1.0\n")
    [spec] = with_locks(load(declared(tmp_path, "requirements.lock")), tmp_path)
    assert spec.runs_in == digest_of_bytes(b"numpy==2.1.0\n")
    assert files_of_locks([spec]) == {"requirements.lock": spec.runs_in}


def test_without_one_nothing_changes(tmp_path: Path) -> None:
    [spec] = with_locks(load(declared(tmp_path, "")), tmp_path)
    assert spec.runs_in == ""
    assert files_of_locks([spec]) == {}


@pytest.mark.parametrize(
    ("lock", "content", "says"),
    [
        ("requirements.lock", None, "cannot be read"),
        ("requirements.lock", "numpy>=2\n", "not one exact version"),
        ("../requirements.lock", None, "no file below"),
        ("/requirements.lock", None, "no file below"),
    ],
)
def test_what_is_no_lock_is_refused(tmp_path: Path, lock: str, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / lock).write_text(content)
    with pytest.raises(DeclarationError, match=says):
        with_locks(load(declared(tmp_path, lock)), tmp_path)
