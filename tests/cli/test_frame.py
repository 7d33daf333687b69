import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from evertrain.cli import COMMANDS
from evertrain.testing.installation import Installation
from evertrain.testing.tree import free_port

GOOD = "def predict(rows):\n    return [0.5 for _ in rows]\n"


def evertrain(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evertrain", *words], capture_output=True, text=True, check=False, cwd=folder
    )


def test_help_names_every_command() -> None:
    told = evertrain("--help")
    assert told.returncode == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in told.stdout] == []


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_and_speaks_json(name: str) -> None:
    told = evertrain(name, "--help")
    assert told.returncode == 0
    assert "--json" in told.stdout or "Commands:" in told.stdout


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("upp", 'Did you mean "up"?'),
        ("up --prot 1", 'Did you mean "--port"?'),
        ("status --port 1", "Known are: --dir, --"),
        ("up --port", "See `--help` of the command."),
        ("ledger list --limit many", "See `evertrain ledger list --help`."),
        ("ledger verfy", "See `evertrain ledger --help`."),
    ],
)
def test_a_wrong_command_line_is_code_2_and_gets_a_suggestion(line: str, remedy: str) -> None:
    told = evertrain(*line.split())
    assert told.returncode == 2
    assert told.stderr.splitlines()[1].strip().startswith(remedy), told.stderr
    assert told.stderr.splitlines()[2].strip().startswith("ET-U02")


def test_a_wrong_command_line_is_told_to_machines_too() -> None:
    told = evertrain("upp", "--json")
    assert (told.returncode, msgspec.json.decode(told.stderr)["code"]) == (2, "ET-U02")


def test_the_release_is_said() -> None:
    told = evertrain("--version")
    assert (told.returncode, told.stdout) == (0, f"evertrain {version('evertrain')}\n")


def test_without_words_the_help_is_shown() -> None:
    for words in ([], ["ledger"]):
        told = evertrain(*words)
        assert (told.returncode, told.stderr.startswith("Usage: evertrain")) == (2, True)


def test_a_fault_is_told_without_a_traceback(tmp_path: Path) -> None:
    told = evertrain("status", "--dir", str(tmp_path / "nowhere"))
    assert told.returncode == 1
    assert "is no state directory of evertrain." in told.stderr
    assert "Traceback" not in told.stderr
    told = evertrain("status", "--dir", str(tmp_path / "nowhere"), "--json")
    error = msgspec.json.decode(told.stderr)
    assert (error["error"], error["code"]) == ("StateError", "ET-U04")
    assert error["what"].endswith("is no state directory of evertrain.")
    assert error["remedy"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--workers", "0"], "--workers must be"),
        (["--port", "70000"], "--port must be"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(tmp_path: Path, flags: list[str], says: str) -> None:
    told = evertrain("up", "--dir", str(tmp_path / "new"), "--port", "0", "--control-port", "0", *flags)
    assert told.returncode == 1
    assert says in told.stderr
    assert not (tmp_path / "new").exists()


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    told = evertrain("up", "--dir", str(tmp_path), "--port", "0", "--control-port", str(free_port()))
    assert told.returncode == 1
    assert "is not empty and is no state directory" in told.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    state = Installation(tmp_path / "state").state
    (state.path / "state.json").write_text('{"schema": 999}')
    told = evertrain("up", "--dir", str(state.path), "--port", "0", "--control-port", str(free_port()))
    assert told.returncode == 1
    assert "was written by a newer evertrain" in told.stderr


def test_a_declaration_that_is_refused_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text("import evertrain as et\n\nservice = et.no_such_thing\n")
    told = evertrain(
        "up", "service.py", "--dir", "state", "--port", "0", "--control-port", str(free_port()), folder=tmp_path
    )
    assert told.returncode == 1
    assert "no_such_thing" in told.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("evertrain stat", {"status"}), ("evertrain up --max-r", {"--max-rows"}), ("evertrain ledger ver", {"verify"})],
)
def test_the_shell_completes_commands_and_options(typed: str, offered: set[str]) -> None:
    told = subprocess.run(
        [Path(sys.executable).with_name("evertrain")],
        env=os.environ
        | {"_EVERTRAIN_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, set(told.stdout.split())) == (0, offered)
