"""A value is predicted, and recipes compete for it: an estimator, a function and a script, through the real commands.

The table has a column of five thousand texts, which one estimator encodes itself and the other takes as numbers.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Page, expect

from evertrain.core.card import Card
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.registry import Registry, ServiceRecord, Version
from evertrain.store.access import token
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.state import State
from evertrain.testing.tree import Tree, free_port, wait_until

pytestmark = pytest.mark.timeout(900)

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
    gate=et.Gate(primary="mae", margin=5.0, anchor_margin=10.0, holdout="21d", block="1d", max_p99="5s"),
    rollout=et.Canary(steps=[0.5], margin=0.2, deadline="20s"),
)
"""
OLD: Final = "import sys\n\nraise RuntimeError('written for ' + sys.argv[1])\n"


def sold(count: int = 9_000, *, first: int = 0, days: int = 120, seed: int = 4) -> pl.DataFrame:
    """Houses whose price follows their area and their street; the label of each is known after a day.

    The first ones are one of each street, those after them of the fifty that houses are mostly sold in. They are asked
    about within so many days until the day before yesterday. first: the number of the first house.
    """
    draws = np.random.default_rng(seed)
    newest = int(time.time()) // 86_400 * 86_400
    asked = np.sort(newest - 86_400 - draws.integers(0, days * 24, count) * 3_600)
    once = np.arange(first, max(first, STREETS))[:count]
    street = np.concatenate([once, draws.integers(0, 50, count - len(once))])
    area = np.round(draws.uniform(30, 200, count), 1)
    price = np.round(2.0 * area + 100.0 * (street % 7) + draws.normal(0, 10, count), 2)
    return pl.DataFrame(
        {
            "house": [f"h{number}" for number in range(first, first + count)],
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
        self.houses = sold()
        (folder / "service.py").write_text(DECLARATION)
        (folder / "old.py").write_text(OLD)
        self.houses.write_csv(folder / "sold.csv")

    @property
    def state(self) -> State:
        return State.open(self.folder / ".evertrain")

    def record(self) -> ServiceRecord:
        with Ledger.open(self.state.ledger) as ledger:
            return Registry(ledger.read()).service(ServiceName("prices"))

    def run(self, *words: str) -> str:
        """What a command prints."""
        command = [sys.executable, "-m", "evertrain", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, street: str | None, area: float) -> float | None:
        """The price of a house; None while nobody answers."""
        row = {"house": "new", "asked": "2030-01-01T00:00:00Z", "street": street, "area": area}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            status, content = request(connection, "POST", "/predict/prices", msgspec.json.encode(row))
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        return float(msgspec.json.decode(content)["predictions"][0]["score"]) if status == 200 else None

    def ask_all(self, houses: pl.DataFrame) -> set[str]:
        """Ask for the price of each house, all of which are answered; the versions that answered."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=90)
        found = set()
        for row in houses.drop("price").iter_rows(named=True):
            status, content = request(connection, "POST", "/predict/prices", msgspec.json.encode(row))
            assert status == 200, content
            found.add(str(msgspec.json.decode(content)["predictions"][0]["version"]))
        connection.close()
        return found

    def deliver(self, houses: pl.DataFrame) -> None:
        """The file, written anew with these houses at its end."""
        self.houses = pl.concat([self.houses, houses])
        self.houses.write_csv(self.folder / ".sold.csv")
        (self.folder / ".sold.csv").rename(self.folder / "sold.csv")

    def overview(self) -> dict[str, Any]:
        """What the page says."""
        connection = HTTPConnection("127.0.0.1", self.control_port, timeout=90)
        bearer = {"authorization": f"Bearer {token('control', self.state.keys)}"}
        status, content = request(connection, "GET", "/api/services/prices/overview", None, bearer)
        connection.close()
        assert status == 200, content
        return dict(msgspec.json.decode(content))

    def card(self, version: str) -> Card:
        kept = self.record().versions[VersionId(version)].card
        assert kept is not None
        return msgspec.json.decode(Artifacts.at(self.state.artifacts).blobs.get(kept), type=Card)


def request(
    connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    connection.request(method, path, body, {"content-type": "application/json", **(headers or {})})
    response = connection.getresponse()
    return response.status, response.read()


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
        wait_until(lambda: prices.record().champion is not None, "a champion", 400)
        wait_until(lambda: prices.ask("street 3", 50.0) is not None, "an answer")
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
    card = prices.card(version.version)
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


def test_labels_arrive_and_page_and_status_say_how_far_off_the_answers_were(prices: Prices) -> None:
    houses = sold(120, first=20_000, days=3, seed=8)
    assert prices.ask_all(houses) == {prices.record().champion}
    prices.deliver(pl.concat([houses, sold(600, first=30_000, days=60, seed=9)]))
    wait_until(lambda: labels_on(prices.overview()) == {"MAE": 120, "RMSE": 120}, "labels of all that was asked")
    mae, rmse = (metric["champion"] for metric in prices.overview()["quality"])
    assert 7.0 < mae < rmse < 30.0
    wait_until(lambda: " on 120 labels" in prices.run("status"), "the same in status")
    assert f"quality    MAE {mae:.4g}, RMSE {rmse:.4g} on 120 labels" in prices.run("status")


def test_a_retrained_value_passes_the_gate_and_the_canary_and_answers(prices: Prices) -> None:
    first = prices.record().champion
    prices.run("retrain", "--recipe", "streets", "--reason", "new sales")
    wait_until(lambda: len(prices.record().versions) == 2 and newest(prices).verdict is not None, "a verdict", 400)
    assert newest(prices).verdict == "pass", prices.run("decisions", "--limit", "3")
    card = prices.card(newest(prices).version)
    assert [one.who for one in card.figures] == ["challenger", "champion", "constant"]
    answered: set[str] = set()
    end = time.monotonic() + 400
    while prices.record().champion == first and time.monotonic() < end:
        answered |= prices.ask_all(sold(100, first=40_000, days=3, seed=10))
    assert answered == {first, prices.record().champion}


def test_a_worse_one_is_refused_by_the_gate_with_both_figures(prices: Prices) -> None:
    champion = prices.record().champion
    prices.deliver(sold(200, first=50_000, days=3, seed=11))
    prices.run("retrain", "--recipe", "guess", "--reason", "to see it")
    wait_until(lambda: len(prices.record().versions) == 3 and newest(prices).verdict is not None, "a verdict", 400)
    assert newest(prices).verdict == "fail"
    wait_until(lambda: bool(newest(prices).refused), "its refusal")
    assert prices.record().champion == champion
    said = prices.run("decisions", "--limit", "3")
    assert "shown to be worse" in said
    assert "mae" in said


def labels_on(overview: Mapping[str, Any]) -> dict[str, int]:
    return {metric["name"]: metric["labels"] for metric in overview["quality"]}


def newest(prices: Prices) -> Version:
    return [*prices.record().versions.values()][-1]
