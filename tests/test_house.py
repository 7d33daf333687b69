"""The rules of the house: what every package, module, lock and tracked file must be."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "evertrain"
LONGEST_MODULE = 400
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "processor", "impl"}
# Written backwards, so that this file does not hold what it looks for.
HOSTS = [host[::-1] for host in ("gro.ipyp", "gro.detsohnohtyp", "gro.sjmpn.yrtsiger", "gro.naibed.bed")]
MACHINE_PATH = re.compile(r"(?:^|[^A-Za-z0-9_.])/(?:work|farm|root|tmp/bash)/")
LOCKS = ("base", "demo", "dev")


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 20
    return found


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_every_room_is_a_package() -> None:
    migrations = PACKAGE / "store" / "migrations"  # Alembic runs these by path
    folders = {path.parent for path in modules() if not path.is_relative_to(migrations)}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = {path.name: count for path in modules() if (count := len(path.read_text().splitlines())) > LONGEST_MODULE}
    assert long == {}


def test_names_tell_something() -> None:
    everywhere = [path for path in tracked() if path.suffix == ".py"]
    assert [path for path in everywhere if path.stem.lower() in VAGUE] == []


def test_tracked_files_name_no_machine_and_no_registry() -> None:
    found = []
    for path in tracked():
        for number, line in enumerate(text_of(path).splitlines(), start=1):
            if MACHINE_PATH.search(line) or any(host in line for host in HOSTS):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_tests_stand_where_the_module_stands() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    beside = {"contract", "crash", "docs", "examples", "journey", "simulation"}
    assert folders - rooms - beside == set()


@pytest.mark.parametrize("name", LOCKS)
def test_locks_pin_by_hash_and_name_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    for requirement in re.split(r"\n(?=[a-z0-9])", text.strip()):
        assert "==" in requirement
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]


def test_each_lock_holds_the_smaller_one() -> None:
    pins = {
        name: set(
            re.findall(r"^([a-z0-9._-]+==[^ ]+)", (ROOT / "requirements" / f"{name}.lock").read_text(), re.MULTILINE)
        )
        for name in LOCKS
    }
    assert pins["base"] < pins["demo"] < pins["dev"]


def test_locks_hold_every_declared_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=~! ;\[]", line)[0] for line in project["dependencies"]}
    text = (ROOT / "requirements" / "base.lock").read_text()
    assert {name for name in wanted if not re.search(rf"^{re.escape(name)}==", text, re.MULTILINE)} == set()


def test_import_layers_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Production never imports testing KEPT" in done.stdout


def test_lint_has_no_list_of_exceptions() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert [contract["name"] for contract in contracts if contract.get("ignore_imports")] == []


def test_doors_of_the_house_can_be_run() -> None:
    for name in (".ci/run", ".ci/browser", "requirements/setup.sh", "requirements/lock.sh", "requirements/size.sh"):
        mode = subprocess.run(
            ["git", "ls-files", "-s", name], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert mode.startswith("100755"), f"{name} is not tracked as executable"
