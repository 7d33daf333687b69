"""The files of deploy/ hold together: systemd accepts its unit; image, compose file and unit say the same."""

import configparser
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from evertrain.config.settings import load
from evertrain.store.state import State

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
WORST = 2.0
"""The exposure that `systemd-analyze security` may find at most, of 10."""


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "evertrain.service")
    return parser["Service"]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit as it would be where evertrain is this environment's."""
    text = (DEPLOY / "evertrain.service").read_text()
    path = tmp_path / "evertrain.service"
    path.write_text(text.replace("/opt/evertrain/bin/evertrain", str(Path(sys.executable).with_name("evertrain"))))
    return path


def analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    """A missing tool is a failure, never a skipped test: `.ci/systemd` installs it."""
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_systemd_accepts_the_unit(installed: Path) -> None:
    done = analyze("verify", str(installed))
    assert (done.returncode, done.stderr) == (0, "")
    installed.write_text(installed.read_text().replace("KillMode=mixed", "KilMode=mixed"))
    assert "KilMode" in analyze("verify", str(installed)).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_unit_is_hardened(installed: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(installed))
    found = re.search(r"Overall exposure level for evertrain\.service: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= WORST


def test_a_drain_has_the_time_that_the_settings_give_it() -> None:
    shutdown = load({}, environment={}).settings.shutdown_s
    service = compose()["services"]["evertrain"]
    for grace in (float(unit()["TimeoutStopSec"]), float(service["stop_grace_period"].removesuffix("s"))):
        assert grace > shutdown + 10
    assert unit()["KillMode"] == "mixed"


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return read


def test_the_container_may_write_to_its_volume_alone() -> None:
    service = compose()["services"]["evertrain"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [volume.rpartition("}")[2] for volume in service["volumes"]] == [":/service:ro", "state:/var/lib/evertrain"]
    assert service["build"] == {"context": "..", "dockerfile": "deploy/Containerfile"}
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    [page] = [port for port in service["ports"] if port.endswith(":8081")]
    assert page.startswith("127.0.0.1:"), "the page is for this machine"


def test_what_the_image_copies_is_there_and_its_settings_are_settings() -> None:
    stages = CONTAINERFILE.split("\nFROM ")
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", stages[1], re.MULTILINE) for word in line.split()
    ]
    assert {"pyproject.toml", "requirements", "src"} <= {*copied}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    wheel = re.findall(r'^"(examples/\w+)" =', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {*wheel} <= {*copied}, "the wheel takes them in"
    environment = dict(re.findall(r"(EVERTRAIN_\w+)=(\S+)", stages[2]))
    stated = load({}, environment=environment)
    assert {name for name, origin in stated.origins.items() if origin == "environment"} == {
        "dir",
        "host",
        "control_host",
    }
    [user] = re.findall(r"^USER (\d+):(\d+)$", stages[2], re.MULTILINE)
    assert min(map(int, user)) >= 10_000
    extras = re.findall(r"^ARG EXTRAS=(.+)$", CONTAINERFILE, re.MULTILINE)[0].split(",")
    known = re.findall(
        r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text().partition("optional-dependencies]")[2], re.MULTILINE
    )
    assert {*extras} <= {*known}


def test_the_state_lies_below_its_volume(tmp_path: Path) -> None:
    """A fresh volume holds things of its own (lost+found), so the state is a folder in it."""
    (tmp_path / "lost+found").mkdir()
    for said in (unit()["Environment"], CONTAINERFILE):
        [folder] = set(re.findall(r"EVERTRAIN_DIR=(\S+)", said))
        assert Path(folder).parent == Path("/var/lib/evertrain")
        assert State.create(tmp_path / Path(folder).name).path.is_dir()
