"""Documentation is proven: links resolve, examples run or are files, generated pages are fresh, nothing is left out."""

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import evertrain
from evertrain.cli import COMMANDS
from evertrain.cli.reference import PAGES
from evertrain.config.settings import Settings
from evertrain.core.event import Fact
from evertrain.deploy import server

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BOOK = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<(?:img|source|a)\b[^>]*?(?:src|srcset|href)=\"([^\"]+)\"")
BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
SECTIONS = ["Status", "Context", "Decision", "Consequences"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def blocks_of(page: Path, language: str) -> list[re.Match[str]]:
    return [block for block in BLOCK.finditer(page.read_text()) if block["language"] == language]


def test_there_are_pages_of_each_kind() -> None:
    for kind in ("tutorial", "how-to", "concepts", "reference", "adr"):
        assert list((DOCS / kind).glob("*.md")), kind


@pytest.mark.parametrize("page", BOOK, ids=name_of)
def test_links_resolve(page: Path) -> None:
    for found in LINK.finditer(page.read_text()):
        target = found[1] or found[2]
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name_of(page)} links to {target}, which does not exist"
        if anchor and there.suffix == ".md":
            assert anchor in anchors_of(there), f"{name_of(page)} links to {target}; there is no such heading"


@pytest.mark.parametrize("page", BOOK, ids=name_of)
def test_every_page_can_be_found_from_the_start(page: Path) -> None:
    if page.parent in {ROOT, DOCS} or page.name == "README.md":
        return
    linked = {
        (other.parent / (found[1] or found[2]).partition("#")[0]).resolve()
        for other in BOOK
        if other != page
        for found in LINK.finditer(other.read_text())
    }
    assert page in linked, f"no page links to {name_of(page)}"


@pytest.mark.parametrize("page", BOOK, ids=name_of)
def test_python_examples_run_or_are_files(page: Path, tmp_path: Path) -> None:
    script = []
    for block in blocks_of(page, "python"):
        if block["file"]:
            assert block["text"].strip() in (ROOT / block["file"]).read_text(), f"differs from {block['file']}"
        else:
            script.append(block["text"])
    if script:
        command = [sys.executable, "-W", "error", "-c", "\n".join(script)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", BOOK, ids=name_of)
def test_commands_in_the_pages_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in [*blocks_of(page, "sh"), *blocks_of(page, "bash")]:
        assert set(re.findall(r"^make ([a-z]+)", block["text"], re.MULTILINE)) <= targets
        assert set(re.findall(r"^evertrain ([a-z]+)", block["text"], re.MULTILINE)) <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_pages_are_fresh(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == PAGES[name](), "run `make docs` and commit what it writes"


def test_every_kind_of_event_is_told() -> None:
    text = (DOCS / "reference" / "events.md").read_text()
    kinds = {str(fact.__struct_config__.tag) for fact in get_args(Fact)}
    assert len(kinds) > 20
    assert {kind for kind in kinds if f"## `{kind}`" not in text} == set()


def test_every_command_is_told() -> None:
    text = (DOCS / "reference" / "cli.md").read_text()
    assert {name for name in COMMANDS if not re.search(rf"^## `evertrain {name}\b", text, re.MULTILINE)} == set()


def test_everything_that_a_declaration_may_use_is_told() -> None:
    text = (DOCS / "reference" / "declarations.md").read_text()
    assert {name for name in evertrain.__all__ if f"## `et.{name}`" not in text} == set()
    assert [name for name in evertrain.__all__ if not inspect.getdoc(getattr(evertrain, name))] == []


def test_every_setting_is_told() -> None:
    text = (DOCS / "reference" / "settings.md").read_text()
    assert {name for name in Settings.__struct_fields__ if f"| `{name}` |" not in text} == set()


def test_every_route_of_the_predict_door_is_told() -> None:
    text = (DOCS / "reference" / "api.md").read_text()
    paths = re.findall(r"/(?:v2|predict|labels)[/\w{}]*", inspect.getdoc(server) or "")
    assert len(paths) >= 8
    assert {path for path in paths if f" {path}`" not in text} == set()


def test_decisions_are_numbered_and_whole() -> None:
    pages = sorted(path for path in (DOCS / "adr").glob("*.md") if path.name != "README.md")
    index = (DOCS / "adr" / "README.md").read_text()
    assert [path.name[:4] for path in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {page.name[:4]}: ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
        assert f"({page.name})" in index


def test_the_rooms_of_the_architecture_are_those_of_the_package() -> None:
    text = (DOCS / "concepts" / "architecture.md").read_text()
    rooms = text.partition("## Rooms")[2]
    told = {name for line in rooms.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line)}
    package = ROOT / "src" / "evertrain"
    there = {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"} | {"errors"}
    assert there - told == set()


def test_change_fragments_say_what_they_are() -> None:
    for path in (ROOT / "changes").iterdir():
        assert path.name == "README.md" or re.fullmatch(r"[a-z0-9-]+\.(added|changed|fixed|removed)\.md", path.name)


def test_the_readme_states_the_version_that_the_project_has() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"`{version}`" in (ROOT / "README.md").read_text()
