"""Tokens are made once, private, and recognised without being known."""

import stat
from pathlib import Path

import pytest

from evertrain.core.access import Door
from evertrain.errors import UserError
from evertrain.store.access import create_token, credential, token


def test_a_token_is_made_once_and_its_file_is_private(tmp_path: Path) -> None:
    keys, trusted = tmp_path / "keys", tmp_path / "trusted"
    keys.mkdir()
    trusted.mkdir()
    made: dict[Door, str] = {door: create_token(door, keys, trusted) for door in ("control", "data")}
    assert made["control"] != made["data"]
    assert create_token("data", keys, trusted) == made["data"] == token("data", keys)
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}
    known = credential("data", trusted)
    assert known.admits(made["data"])
    for wrong in (made["control"], "", made["data"][:-1], made["data"] + "x", "ü"):
        assert not known.admits(wrong)
    assert not any(made["data"].encode() in path.read_bytes() for path in trusted.iterdir())


def test_errors_name_the_file_and_never_the_token(tmp_path: Path) -> None:
    for read in (lambda: token("data", tmp_path), lambda: credential("data", tmp_path)):
        with pytest.raises(UserError, match="data"):
            read()
    (tmp_path / "token-data").write_text("S3CRET")
    with pytest.raises(UserError, match="token-data") as raised:
        token("data", tmp_path)
    assert "S3CRET" not in str(raised.value)
