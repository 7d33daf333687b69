import sys
from pathlib import Path

from evertrain.core.identity import digest_of_bytes
from evertrain.store.state import State

LOCK = digest_of_bytes(b"lightgbm==4.6.0\n")


def test_without_an_environment_of_its_own_a_version_runs_with_the_installation(tmp_path: Path) -> None:
    state = State.create(tmp_path / "s")
    assert state.interpreter("") == Path(sys.executable)
    assert state.environments.is_home("")
    assert not state.environments.is_home(LOCK)


def test_each_lock_has_a_place_of_its_own_and_always_the_same(tmp_path: Path) -> None:
    state = State.create(tmp_path / "s")
    place, other = state.interpreter(LOCK), state.interpreter(digest_of_bytes(b"lightgbm==4.5.0\n"))
    assert place == state.interpreter(LOCK) != other
    assert place.is_relative_to(state.environments.path)
