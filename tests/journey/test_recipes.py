"""A value is predicted, and recipes compete for it: an estimator, a function and a script, through the real commands.

The table has a column of five thousand texts, which one estimator encodes itself and the other takes as numbers.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Page, expect

from evertrain.core.card import Card
from evertrain.core.identity import ServiceName
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.store.access import token
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.state import State
from evertrain.testing.tree import Tree, free_port, wait_until

STREETS: Final = 5_000
DECLARATION: Final = """
import evertrain as et
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

streets = make_pipeline(
    make_column_transformer((TargetEncoder(target_type="continuous"), ["street"]), (StandardScaler(), ["area"])),
    Ridge(),
)


def guess(data, run):
    path = run.path("model.py")
    path.write_text("def predict(rows):\\n    return [row['area'] for row in rows]\\n")
    return path


service = et.Service.from_table(
    "prices", "sold.csv", key="house", at="asked", label="price", horizon="1d", output="value",
    train={"guess": guess, "streets": streets, "old": et.script("old.py", "--rows", "{csv}")},
    gate=et.Gate(primary="mae", margin=5.0, anchor_margin=10.0, holdout="21d", block="1d"),
)
"""
OLD: Final = "import sys\n\nraise RuntimeError('written for ' + sys.argv[1])\n"


def sold(count: int = 9_000) -> pl.DataFrame:
    """Houses whose price follows their area and their street; the label of each is known after a day.

    First comes each street once, then the fifty that houses are mostly sold in.
    """
    draws = np.random.default_rng(4)
    newest = int(time.time()) // 86_400 * 86_400
    asked = np.sort(newest - 86_400 - draws.integers(0, 120 * 24, count) * 3_600)
    street = np.concatenate([np.arange(STREETS), draws.integers(0, 50, count - STREETS)])
    area = np.round(draws.uniform(30, 200, count), 1)
    price = np.round(2.0 * area + 100.0 * (street % 7) + draws.normal(0, 10, count), 2)
    return pl.DataFrame(
        {
            "house": [f"h{number}" for number in range(count)],
            "asked": pl.Series(asked * 1_000_000).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "street": [f"street {number}" for number in street],
            "area": area,
            "price": price,
        }
    )


class Prices:
    """The folder of the service, and what is on record there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.control_port = free_port(), free_port()
        (folder / "service.py").write_text(DECLARATION)
        (folder / "old.py").write_text(OLD)
        sold().write_csv(folder / "sold.csv")

    @property
    def state(self) -> State:
        return State.open(self.folder / ".evertrain")

    def record(self) -> ServiceRecord:
        with Ledger.open(self.state.ledger) as ledger:
            return Registry(ledger.read()).service(ServiceName("prices"))

    def ask(self, street: str | None, area: float) -> float | None:
        """The price of a house; None while nobody answers."""
        row = {"house": "new", "asked": "2030-01-01T00:00:00Z", "street": street, "area": area}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(
                "POST", "/predict/prices", msgspec.json.encode(row), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        return float(msgspec.json.decode(content)["predictions"][0]["score"]) if response.status == 200 else None


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prices]:
    """`evertrain up service.py`, as it is typed, until its first version answers."""
    prices = Prices(tmp_path_factory.mktemp("prices"))
    ports = ["--port", str(prices.port), "--control-port", str(prices.control_port), "--workers", "1", "--json"]
    with (prices.folder / "up.log").open("w") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "evertrain", "up", "service.py", *ports],
            cwd=prices.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"EVERTRAIN_TICK_S": "0.1", "EVERTRAIN_SCAN_S": "0.3", "EVERTRAIN_TRAINER_NICE": "0"},
        )
    assert up.stdout is not None
    assert up.stdout.readline(), (prices.folder / "up.log").read_text()[-4000:]
    with Tree(prices.state, port=prices.port) as tree:
        tree.supervisor = up
        wait_until(lambda: prices.record().champion is not None, "a champion", 240)
        wait_until(lambda: prices.ask("street 3", 50.0) is not None, "an answer", 60)
        yield prices


def test_the_best_recipe_answers_with_values(prices: Prices) -> None:
    cheap, dear = prices.ask("street 7", 100.0), prices.ask("street 6", 100.0)
    assert cheap is not None
    assert dear is not None
    assert abs(cheap - 200.0) < 150.0
    assert dear > cheap + 200.0
    assert prices.ask("no such street", 100.0) == prices.ask(None, 100.0)


def test_the_card_says_which_recipe_won_and_why_the_others_did_not(prices: Prices) -> None:
    record = prices.record()
    [version] = record.versions.values()
    assert version.recipe == "streets"
    assert version.card is not None
    card = msgspec.json.decode(Artifacts.at(prices.state.artifacts).blobs.get(version.card), type=Card)
    guess, old, streets = card.rehearsals
    assert card.recipe == "streets"
    assert card.chosen.startswith("streets had the best mae on")
    assert streets.metrics["mae"] < guess.metrics["mae"] / 2
    assert "Script 'old.py' failed" in old.failed
    assert "RuntimeError: written for --rows" in old.failed
    [figures] = [one for one in card.figures if one.version == version.version]
    assert set(figures.metrics) == {"rmse", "mae"}
    assert guess.boundary is not None
    assert card.boundary is not None
    assert guess.boundary < card.boundary


def test_the_page_leads_to_how_the_recipes_fared(prices: Prices, opened: Callable[[str], Page]) -> None:
    page = opened(f"http://127.0.0.1:{prices.control_port}/?token={token('control', prices.state.keys)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 1 serves")
    page.get_by_role("region", name="Model versions").get_by_role("link", name="1", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 1: health only")
    competed = page.locator("section", has=page.get_by_role("heading", name="Recipes that competed"))
    expect(competed).to_contain_text("Streets had the best mae on")
    rows = competed.get_by_role("row")
    expect(rows).to_have_count(4)
    expect(rows.filter(has_text="old.py")).to_contain_text("out")
    expect(rows.filter(has_text="old.py")).not_to_contain_text("Traceback")
