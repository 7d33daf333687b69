"""How-to pages that need only a table are followed; journey/test_serve_formats follows those of what runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.testing.walk import SURROUNDINGS, Walk, blocks_of, pages_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOW_TO = DOCS / "how-to"


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """The folder of the tutorial about one table: its data, and the declaration that it ends with."""
    folder = tmp_path_factory.mktemp("customers")
    make, declare = [
        one.text for one in blocks_of((DOCS / "tutorial" / "table.md").read_text()) if one.language == "python"
    ]
    subprocess.run([sys.executable, "-c", make], cwd=folder, check=True)
    (folder / "service.py").write_text(declare)
    return Walk(folder, {})


@pytest.mark.parametrize("name", pages_of("a table"))
def test_a_page_does_what_it_says(walk: Walk, name: str) -> None:
    assert walk.follow(HOW_TO / f"{name}.md") > 0


def test_every_page_that_types_something_is_followed_or_says_why_not() -> None:
    typed = {
        page.stem
        for page in HOW_TO.glob("*.md")
        if any(block.language == "sh" for block in blocks_of(page.read_text()))
    }
    assert typed == set(SURROUNDINGS)


@pytest.mark.parametrize("page", sorted(HOW_TO.glob("*.md")), ids=lambda page: page.name)
def test_a_question_is_answered_in_two_screens(page: Path) -> None:
    most = 160 if page.name == "train.md" else 100  # how to train is several questions in one
    assert len(page.read_text().splitlines()) <= most
    assert page.name == "README.md" or f"({page.name})" in (HOW_TO / "README.md").read_text()
