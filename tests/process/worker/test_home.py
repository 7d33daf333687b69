"""A process loads only what runs in its own environment."""

from pathlib import Path

import msgspec
import pytest

from evertrain.core.identity import digest_of_bytes
from evertrain.errors import PackageError
from evertrain.process.worker.home import require_home
from evertrain.testing.installation import Installation


def test_a_version_of_another_environment_is_not_loaded_here(tmp_path: Path) -> None:
    made = Installation(tmp_path / "state")
    source = "def predict(rows):\n    return [0.5 for _ in rows]\n"
    own, other = (made.artifacts.manifest(made.add(source, lock=lock)) for lock in ("", "lightgbm==4.6.0\n"))
    require_home(made.state, own)
    assert other.runs_in == digest_of_bytes(b"lightgbm==4.6.0\n")
    with pytest.raises(PackageError, match=f"runs in the environment {other.runs_in[:10]}, and this process does not"):
        require_home(made.state, other)
    assert "lock" not in msgspec.to_builtins(own)
