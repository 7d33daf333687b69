"""Door one with a label of several classes: trips, and by what people went. Real commands, processes and HTTP.

From a CSV to a first model, to a successor that passes the gate and the canary under requests; a class that nobody
declared is set aside, and labels are posted by name.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.core.card import Card
from evertrain.core.identity import ServiceName
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.store.access import token
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.state import State
from evertrain.testing.tree import Tree, free_port, wait_until

pytestmark = pytest.mark.timeout(900)

MODES = ("bike", "bus", "car")
WEATHER = ("dry", "storm", "wet")
NOW = datetime.fromtimestamp(time.time() // 60 * 60, UTC)
HORIZON = timedelta(days=1)


def trips(count: int, *, days: int, seed: int) -> pl.DataFrame:
    """Trips of the `days` until now; short ones go by bike unless there is a storm, long ones by car."""
    draws = np.random.default_rng(seed)
    ago = np.sort(draws.uniform(0, days * 24 * 60, count).astype(int))[::-1]
    distance = np.round(draws.gamma(2.0, 4.0, count), 2)
    weather = draws.integers(0, len(WEATHER), count)
    wish = np.stack([3.0 - 0.6 * distance - 2.0 * (weather == 1), np.full(count, 0.5), 0.3 * distance - 1.5])
    mode = (wish + 0.7 * draws.gumbel(size=wish.shape)).argmax(axis=0)
    at = [NOW - timedelta(minutes=int(one)) for one in ago]
    return pl.DataFrame(
        {
            "trip": [f"t{seed}-{number}" for number in range(count)],
            "at": [f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in at],
            "distance": distance,
            "weather": [WEATHER[one] for one in weather],
            "mode": [MODES[one] if when + HORIZON <= NOW else None for one, when in zip(mode, at, strict=True)],
        }
    )


class Town:
    """A folder with trips, and the commands that are typed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.control_port = free_port(), free_port()
        (folder / "data").mkdir()
        trips(3_000, days=120, seed=1).write_csv(folder / "data" / "trips.csv")
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=90)

    @property
    def state(self) -> State:
        return State.open(self.folder / ".evertrain")

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", "evertrain", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def record(self) -> ServiceRecord:
        with Ledger.open(self.state.ledger) as ledger:
            return Registry(ledger.read()).service(ServiceName("trips"))

    def cards(self) -> list[Card | None]:
        """Of each version; None while it is not judged."""
        blobs = Artifacts.at(self.state.artifacts).blobs
        kept = [one.card for one in self.record().versions.values()]
        return [None if card is None else msgspec.json.decode(blobs.get(card), type=Card) for card in kept]

    def ask(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        rows = [
            {"trip": f"new{n}", "at": f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "distance": n % 40 / 2, "weather": WEATHER[n % 3]}
            for n in numbers
        ]
        answer = self.client.post("/predict/trips", json={"rows": rows})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])

    def label(self, prediction: str, value: str) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {token('data', self.state.keys)}"}
        body = {"labels": [{"prediction_id": prediction, "value": value}]}
        return self.client.post("/labels/trips", json=body, headers=bearer)

    def waiting(self) -> dict[str, Any]:
        """What the page shows of the one source."""
        [source] = msgspec.json.decode((self.state.reports / "sources.json").read_bytes())
        return dict(source)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """`evertrain init` and `evertrain up`, as they are typed."""
    made = Town(tmp_path_factory.mktemp("a town"))
    roles = ["--key", "trip", "--at", "at", "--label", "mode", "--horizon", "1d", "--train", "lightgbm"]
    says = made.run("init", "trips", "--data", "data", *roles)
    assert "mode: one of 3 classes (" in says
    assert 'output=et.classes("bike", "bus", "car"),' in says
    written, busy = (
        (made.folder / "service.py").read_text(),
        "rollout=et.Canary(steps=[0.1, 0.5], margin=0.03, max_bad_answers=1e9),",
    )
    (made.folder / "service.py").write_text(written.replace('horizon="1d",', f'horizon="1d", {busy}'))
    words = ["up", "service.py", "--port", str(made.port), "--control-port", str(made.control_port), "--workers", "1"]
    faster = {"EVERTRAIN_TICK_S": "0.1", "EVERTRAIN_SCAN_S": "0.3"}
    with (made.folder / "up.log").open("w") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "evertrain", *words],
            cwd=made.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | faster,
        )
    assert up.stdout is not None
    assert up.stdout.readline().startswith("Predictions"), (made.folder / "up.log").read_text()[-4000:]
    with Tree(made.state, port=made.port) as tree:
        tree.supervisor = up
        wait_until(lambda: made.record().champion is not None, "a champion", 400)
        yield made
    made.client.close()


def test_each_class_gets_a_probability_and_the_likeliest_is_named(town: Town) -> None:
    wait_until(lambda: town.client.get("/v2/models/trips/ready").status_code == 200, "an answer")
    near, far = town.ask([3, 39])
    assert (near["class"], far["class"]) == ("bike", "car")
    for answer in (near, far):
        assert tuple(answer["scores"]) == MODES
        assert sum(answer["scores"].values()) == pytest.approx(1.0)
        assert answer["score"] == max(answer["scores"].values()) == answer["scores"][answer["class"]]


def test_a_label_names_a_class(town: Town) -> None:
    [asked] = town.ask([3])
    assert town.label(asked["id"], "bike").status_code == 200
    refused = town.label(asked["id"], "bikes")
    assert (refused.status_code, refused.json()["remedy"]) == (400, 'Did you mean "bike"?')
    wait_until(lambda: town.waiting()["pending"] + town.waiting()["rows"] > 3_000, "the label as a row of the table")


def test_a_successor_of_new_rows_is_judged_and_promoted_and_an_undeclared_class_is_set_aside(town: Town) -> None:
    first = town.record().champion
    rows = trips(2_000, days=40, seed=2)
    ferry = pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("ferry")).otherwise("mode")
    rows.with_columns(mode=ferry).write_csv(town.folder / "data" / ".next.csv")
    (town.folder / "data" / ".next.csv").rename(town.folder / "data" / "trips-2.csv")
    wait_until(lambda: town.waiting()["pending"] > 1_000, "the new file's rows")
    town.run("retrain", "--reason", "new trips")
    status = town.run("status")
    assert "5 rows" in status
    assert "mode: not one of the declared values" in status
    wait_until(lambda: len(town.record().versions) == 2 and town.cards()[-1] is not None, "a verdict", 400)
    card = town.cards()[-1]
    assert card is not None
    assert card.verdict == "pass", card.reasons
    assert isinstance(card.base_rate, tuple)
    assert sum(card.base_rate) == pytest.approx(1.0)
    assert {"log_loss", "accuracy", "brier"} == {*card.figures[0].metrics}
    answered, number, end = set(), 0, time.monotonic() + 400
    while town.record().champion == first and time.monotonic() < end:
        for place in range(40):
            [one] = town.ask([number + place])
            answered.add(one["version"])
        number += 40
    assert answered == {first, town.record().champion}
