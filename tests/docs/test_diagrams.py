"""The pictures of the machines are those of the tables. Run this file as a script to draw them anew."""

from pathlib import Path

import pytest

from evertrain.core.diagram import DIAGRAMS, redraw

CONCEPTS = Path(__file__).resolve().parents[2] / "docs" / "concepts"
PAGES = sorted(page for page in CONCEPTS.glob("*.md") if "<!-- diagram: " in page.read_text())


def test_the_pages_show_the_rollout_and_both_ways_of_a_cycle() -> None:
    text = "".join(page.read_text() for page in PAGES)
    shown = {name for name in DIAGRAMS if f"<!-- diagram: {name} -->" in text}
    assert shown == {"rollout", "full cycle", "external cycle"}
    assert DIAGRAMS["refresh cycle"] == DIAGRAMS["full cycle"]
    assert DIAGRAMS["online cycle"] == DIAGRAMS["external cycle"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_diagrams_are_fresh(page: Path) -> None:
    assert redraw(page.read_text()) == page.read_text(), "run `python tests/docs/test_diagrams.py` and commit the pages"


if __name__ == "__main__":
    for stale in PAGES:
        stale.write_text(redraw(stale.read_text()))
