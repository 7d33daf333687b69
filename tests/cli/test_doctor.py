"""`evertrain doctor` as it is typed: one screen, JSON, and an exit code that a script can use."""

import subprocess
import sys
from pathlib import Path

import msgspec

from evertrain.testing.installation import Installation
from evertrain.testing.tree import free_port


def doctor(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ports = {"EVERTRAIN_PORT": str(free_port()), "EVERTRAIN_CONTROL_PORT": str(free_port())}
    command = [sys.executable, "-m", "evertrain", "doctor", *words]
    return subprocess.run(command, cwd=folder, env=ports | environment, capture_output=True, text=True, check=False)


def test_a_sound_installation_is_code_0(tmp_path: Path) -> None:
    state = Installation(tmp_path / "state").state
    told = doctor(tmp_path, "--dir", str(state.path))
    assert told.returncode == 0, told.stdout
    assert "WRONG" not in told.stdout
    found = msgspec.json.decode(doctor(tmp_path, "--dir", str(state.path), "--json").stdout)
    assert {"state", "ports", "disk", "clock", "permissions", "sockets"} <= {one["look"] for one in found}


def test_what_is_wrong_is_told_with_its_remedy_and_code_1(tmp_path: Path) -> None:
    state = Installation(tmp_path / "state").state
    key = next(state.keys.glob("*"))
    key.chmod(0o666)
    told = doctor(tmp_path, "--dir", str(state.path), EVERTRAIN_WORKER="3")
    assert told.returncode == 1
    assert "WRONG settings" in told.stdout
    assert "EVERTRAIN_WORKER is no setting." in told.stdout
    assert f"To do: chmod go= {key}" in told.stdout
