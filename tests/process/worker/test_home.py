"""A process loads only what runs in its own environment."""

from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from evertrain.core.identity import digest_of_bytes
from evertrain.errors import PackageError
from evertrain.process.worker.home import misfit, require_home
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


@pytest.mark.parametrize(
    ("lock", "says"),
    [
        (f"numpy=={version('numpy')}\n", ""),
        ("numpy==0.1\n", f"numpy is {version('numpy')} here, and was to be 0.1"),
        ("numpy==0.1 ; sys_platform == 'win32'\n", ""),
        ("no-such==1.0\n", "no-such 1.0 is not installed here"),
    ],
)
def test_what_a_lock_promises_and_is_not_here_is_named(tmp_path: Path, lock: str, says: str) -> None:
    made = Installation(tmp_path / "state")
    assert misfit(made.artifacts, made.artifacts.manifest(made.add("", lock=lock))) == says
