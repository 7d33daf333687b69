"""`evertrain settings`: each setting under one name in three places, and which of them won."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evertrain.config.settings import FILE, Settings, load, stated_settings


def settings(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", "settings", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def listed(folder: Path, *words: str, **environment: str) -> dict[str, dict[str, Any]]:
    told = settings(folder, *words, "--json", **environment)
    assert told.returncode == 0, told.stderr
    return {one["name"]: one for one in msgspec.json.decode(told.stdout)}


def test_every_setting_is_listed_with_its_value_and_origin(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('port = 1\nworkers = 3\ncommit_every = "90m"\n')
    told = listed(tmp_path, "--port", "3", EVERTRAIN_PORT="2", EVERTRAIN_WORKERS="4")
    assert list(told) == list(Settings.__struct_fields__)
    assert {name: (one["value"], one["origin"]) for name, one in told.items() if one["origin"] != "default"} == {
        "port": ("3", "flag"),
        "workers": ("4", "environment"),
        "commit_every": ("1h 30m", "file"),
    }
    assert all(one["meaning"] and one["flag"] == f"--{name.replace('_', '-')}" for name, one in told.items())
    screen = settings(tmp_path, "--port", "3", EVERTRAIN_WORKERS="4").stdout
    assert len(screen.splitlines()) == len(Settings.__struct_fields__)
    assert "from --port" in screen
    assert "from EVERTRAIN_WORKERS" in screen


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_what_is_shown_can_be_given_back_in_each_place(name: str, tmp_path: Path) -> None:
    [shown] = [one for one in stated_settings(load({}, environment={}, file=_empty(tmp_path))) if one.name == name]
    by_flag = load({name: shown.value}, environment={}, file=_empty(tmp_path))
    by_environment = load({}, environment={shown.environment: shown.value}, file=_empty(tmp_path))
    assert by_flag.settings == by_environment.settings == Settings()
    assert (by_flag.origins[name], by_environment.origins[name]) == ("flag", "environment")


def _empty(folder: Path) -> Path:
    (folder / "empty.toml").write_text("")
    return folder / "empty.toml"


@pytest.mark.parametrize("command", ["settings", "up"])
def test_a_flag_of_a_setting_is_refused_as_in_every_other_place(command: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "evertrain", command]
    told = subprocess.run([*words, "--max-rows", "many"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr.splitlines()[0]) == (
        1,
        "evertrain: --max-rows must be a whole number, from 1 to 1,000,000.",
    )
    told = subprocess.run([*words, "--max-row", "7"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (told.returncode, 'Did you mean "--max-rows"?' in told.stderr) == (2, True)
