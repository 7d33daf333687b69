"""Which installation is meant, though something in the settings is broken."""

from pathlib import Path

import pytest

from evertrain.config.place import find_place
from evertrain.config.settings import FILE
from evertrain.errors import SettingsError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('dir = "mine"\nworkers = = 3\n', r"evertrain.toml is no TOML: Invalid value \(at line 2, column 11\)"),
        ('"dir"="mine" # here\n[[hooks]\n', r"evertrain.toml is no TOML: .*\(at line 2, column 8\)"),
        (
            'port = 80\ndir = "mine"\nworker = 3\n',
            'evertrain.toml, line 3: worker is no setting. Did you mean "workers"',
        ),
        ('dir = "mine"\nworkers = 0\n', "evertrain.toml, line 2: workers must be a whole number, from 1 to 64"),
        ('dir = "mine"\n[[hooks]]\nname = "a"\n', r"evertrain.toml, line 2: hooks\[0\]: "),
        ('dir = "mine"\nwarn_free_mb = 1\n', "warn_free_mb is below min_free_mb"),
    ],
)
def test_what_is_broken_elsewhere_in_the_file_is_told_and_does_not_matter(text: str, says: str) -> None:
    Path(FILE).write_text(text)
    place = find_place(None, {})
    assert place.dir == Path("mine")
    with pytest.raises(SettingsError, match=says):
        raise place.fault or AssertionError("nothing is said")


def test_a_flag_and_the_environment_come_before_a_broken_file() -> None:
    Path(FILE).write_text('dir = "mine"\nworkers = = 3\n')
    assert find_place(Path("flagged"), {"EVERTRAIN_DIR": "yours"}).dir == Path("flagged")
    assert find_place(None, {"EVERTRAIN_DIR": "yours"}).dir == Path("yours")


def test_a_broken_file_without_a_folder_and_a_broken_environment_mean_the_default() -> None:
    assert find_place(None, {"EVERTRAIN_WORKERS": "many"}).dir == Path(".evertrain")
    Path(FILE).write_text('workers = = 3\n[[hooks]]\ndir = "of a hook"\n')
    assert find_place(None, {}).dir == Path(".evertrain")


@pytest.mark.parametrize("line", ['dir = "mine', "dir = 3", "dir = /srv/state"])
def test_nobody_guesses_where_the_folder_itself_cannot_be_read(line: str) -> None:
    Path(FILE).write_text(f"{line}\n")
    with pytest.raises(SettingsError, match=r"evertrain.toml.*line 1"):
        find_place(None, {})
    assert find_place(Path("flagged"), {}).dir == Path("flagged")


def test_where_all_is_well_nothing_is_said() -> None:
    assert find_place(None, {}) == (Path(".evertrain"), None)
    Path(FILE).write_text('dir = "mine"\n')
    assert find_place(None, {}) == (Path("mine"), None)
