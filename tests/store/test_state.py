"""What becomes a state directory, what is refused, and who may enter."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.core.time import Instant
from evertrain.errors import OccupiedError, UserError
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.state import SCHEMA, State


@pytest.mark.parametrize("name", ["plain", "my projects/Grüße ☃", "100% #1/a?b"])
def test_odd_folder_names_hold_a_whole_installation(tmp_path: Path, name: str) -> None:
    state = install(tmp_path / name, Instant(1))
    assert State.open(tmp_path / name).path == state.path == tmp_path / name
    with Ledger.open(state.ledger) as ledger:
        assert ledger.count() == 1
    assert [child.name for child in tmp_path.iterdir()] == [Path(name).parts[0]]


def test_creating_twice_is_opening(tmp_path: Path) -> None:
    before = install(tmp_path / "state", Instant(1))
    content = {path: path.read_bytes() for path in (before.path / "control" / "keys").iterdir()}
    after = install(tmp_path / "state", Instant(2))
    assert {path: path.read_bytes() for path in after.keys.iterdir()} == content
    with Ledger.open(after.ledger) as ledger:
        assert [event.at for event in ledger.read()] == [1]


def test_two_processes_that_install_at_once_agree_on_one_key(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from evertrain.store.installation import install"
    command = [sys.executable, "-c", f"{code}; install(Path(sys.argv[1]), 1)", str(tmp_path / "state")]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    state = State.open(tmp_path / "state")
    with Ledger.open(state.ledger) as ledger:
        assert ledger.count() == 1
    assert len(list(state.trusted.glob("*.pub"))) == 1


def test_a_lost_key_is_said_and_not_replaced(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(1))
    (state.keys / "signing.key").unlink()
    with pytest.raises(UserError, match=r"signing.key is missing"):
        install(tmp_path / "state", Instant(2))
    assert not (state.keys / "signing.key").exists()


def test_control_is_private_and_keys_are_more_so(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(1))
    assert stat.S_IMODE((state.path / "control").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.keys.iterdir()} == {0o600}


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear diary")
    with pytest.raises(UserError, match="not empty"):
        State.create(tmp_path)
    assert [child.name for child in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    (state.path / "state.json").write_text(f'{{"schema": {SCHEMA + 1}, "added": true}}')
    for enter in (State.open, State.create):
        with pytest.raises(UserError, match="newer evertrain"):
            enter(state.path)


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path in (tmp_path / "missing", tmp_path, file):
        with pytest.raises(UserError, match="no state directory"):
            State.open(path)
    with pytest.raises(UserError, match="not a folder"):
        State.create(file)
    state = State.create(tmp_path / "state")
    (state.path / "state.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        State.open(state.path)


def test_a_start_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    (tmp_path / ".state.json.123.abcd").write_text("{")
    assert State.create(tmp_path).ledger.parent.is_dir()


def test_sockets_have_short_private_paths_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    one, other = State.create(tmp_path / ("long" * 40)), State.create(tmp_path / "other")
    assert one.socket("worker-1").name == "worker-1"
    assert one.socket("worker-1") != other.socket("worker-1")
    assert stat.S_IMODE(one.socket("x").parent.stat().st_mode) == 0o700
    assert len(str(one.socket("n" * 48))) <= 107
    with pytest.raises(UserError, match="no name"):
        one.socket("../escape")
    one.socket("worker-1").touch()
    one.clear_sockets()
    one.clear_sockets()
    assert not list(one.socket("x").parent.iterdir())


def test_a_runtime_folder_that_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    state = State.create(tmp_path / "state")
    state.socket("x").parent.chmod(0o755)
    with pytest.raises(OccupiedError, match="not a private folder"):
        state.socket("x")


def test_a_long_runtime_folder_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    path = State.create(tmp_path / "state").socket("n" * 48)
    assert len(str(path)) <= 107
    path.parent.rmdir()


@pytest.mark.parametrize("name", ["my%20projects", "[1]", "a|b", "a\\b", "a^b"])
def test_a_folder_that_the_tables_could_not_lie_in_is_refused_before_it_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="Choose a folder without it"):
        State.create(tmp_path / name)
    assert not list(tmp_path.iterdir())
