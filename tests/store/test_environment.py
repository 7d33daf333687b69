import os
import sys
from pathlib import Path

from evertrain.core.identity import digest_of_bytes
from evertrain.store.environment import Built
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


def made(state: State, lock: str, used: float) -> str:
    """An environment as if it had been built, and last used at this time (Unix seconds); returns its lock's digest."""
    places, environment = state.environments, digest_of_bytes(lock.encode())
    with places.building(environment) as folder:
        (folder / "environment" / "bin").mkdir(parents=True)
        (folder / "environment" / "bin" / "python").symlink_to(sys.executable)
        places.keep(environment, folder / "environment", Built(lock=environment, packages={}, seconds=1.0))
    os.utime(places.folder(environment) / "environment.json", (used, used))
    return environment


def test_the_last_used_ones_those_in_use_and_those_that_are_wanted_are_kept(tmp_path: Path) -> None:
    state = State.create(tmp_path / "s")
    places = state.environments
    wanted, held, old, older, newest = (made(state, name, at) for at, name in enumerate("abcde", start=1_000))
    handle = places.hold(held)
    os.utime(places.folder(held) / "environment.json", (1_000, 1_000))
    assert places.sweep([wanted, ""], spare=1) == [older, old]
    os.close(handle)
    assert {one for one in (wanted, held, old, older, newest) if places.built(one)} == {wanted, held, newest}
    assert places.sweep([wanted], spare=1) == [held]
    assert list(places.path.glob(".*")) == []


def test_to_run_in_one_makes_it_the_last_used(tmp_path: Path) -> None:
    state = State.create(tmp_path / "s")
    used, unused = made(state, "a", 1_000), made(state, "b", 2_000)
    os.close(state.environments.hold(used))
    assert state.environments.sweep([], spare=1) == [unused]


def test_one_whose_python_is_gone_is_built_anew(tmp_path: Path) -> None:
    state = State.create(tmp_path / "s")
    environment = made(state, "a", 1_000)
    assert state.environments.standing(environment).state == "there"
    python = state.interpreter(environment)
    python.unlink()
    python.symlink_to(tmp_path / "an uninstalled python")
    assert state.environments.standing(environment).state == "not built yet"


def test_the_command_of_a_module_goes_by_the_environment(tmp_path: Path) -> None:
    state = State.create(tmp_path / "s")
    assert state.command("", "platform", "--terse") == (sys.executable, "-P", "-m", "platform", "--terse")
    assert state.command(LOCK, "platform", "--terse")[-4:] == ("--environment", LOCK, "platform", "--terse")
