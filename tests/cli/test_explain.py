"""`evertrain explain`: a code read out at night leads to what it means."""

import subprocess
import sys

import msgspec

from evertrain.errors import codes


def explain(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", "explain", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_code_is_explained_however_it_is_typed() -> None:
    told = explain("et-d01")
    assert told.returncode == 0
    assert told.stdout.startswith("ET-D01 (DeclarationError)\n\n")
    assert "To do: " in told.stdout
    assert msgspec.json.decode(explain("ET-P03", "--json").stdout)["retry"]


def test_without_a_code_all_are_listed() -> None:
    assert [line.split("  ")[0] for line in explain().stdout.splitlines()] == list(codes())
    assert msgspec.json.decode(explain("--json").stdout).keys() == codes().keys()


def test_a_mistyped_code_gets_a_suggestion() -> None:
    told = explain("ET-D1")
    assert told.returncode == 1
    assert 'Did you mean "ET-D01"?' in told.stderr
