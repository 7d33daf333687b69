"""Serve only, with an XGBoost file that somebody has: no schema, labels posted, a worse and a better successor.

The real command, its real processes, real HTTP. The churn that is asked about is made here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from evertrain.core.card import Card
from evertrain.core.identity import VersionId
from evertrain.store.access import token
from evertrain.store.artifact import Artifacts
from evertrain.testing.served import SHOP, Served
from evertrain.testing.tree import wait_until

NAMES = ["tenure", "visits", "paid"]
SETTINGS = {"objective": "binary:logistic", "nthread": 1, "max_depth": 3, "seed": 5}
ASKED = 1500


def churn(seed: int, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Customers who leave after few visits, or early."""
    draws = np.random.default_rng(seed)
    table = np.column_stack([draws.uniform(0, 60, rows), draws.poisson(4, rows), draws.uniform(0, 1, rows)])
    chance = 1 / (1 + np.exp(0.08 * table[:, 0] + 0.7 * table[:, 1] - 5))
    return table, (draws.uniform(size=rows) < chance).astype(np.float64)


def save(path: Path, label: NDArray[np.float64], table: NDArray[np.float64], rounds: int) -> None:
    data = xgboost.DMatrix(table, label, feature_names=NAMES, feature_types=["float", "int", "float"])
    xgboost.train(SETTINGS, data, num_boost_round=rounds).save_model(path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("someone's models")
    table, label = churn(1, 3000)
    save(folder / "model.ubj", label, table, rounds=4)
    save(folder / "better.json", label, table, rounds=30)
    save(folder / "worse.ubj", 1 - label, table, rounds=30)
    made = Served(folder, "model.ubj", columns=())
    try:
        made.serve()
        yield made
    finally:
        made.end()


def post(served: Served, path: str, body: object, **headers: str) -> httpx.Response:
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=20) as client:
        return client.post(
            path, content=msgspec.json.encode(body), headers={"content-type": "application/json", **headers}
        )


def record(row: NDArray[np.float64]) -> dict[str, float | int]:
    return {"tenure": float(row[0]), "visits": int(row[1]), "paid": float(row[2])}


def card_of(served: Served, version: VersionId) -> Card:
    def judged() -> bool:
        known = served.record().versions.get(version)
        return known is not None and known.card is not None

    wait_until(judged, "a verdict", 60)
    found = served.record().versions[version].card
    assert found is not None
    return msgspec.json.decode(Artifacts.at(served.state.artifacts).blobs.get(found), type=Card)


def test_the_columns_are_those_of_the_model(served: Served) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
        told: Mapping[str, Any] = client.get("/v2/models/shop").json()
    assert [one["name"] for one in told["inputs"]] == NAMES
    assert [one["datatype"] for one in told["inputs"]] == ["FP64", "INT64", "FP64"]


def test_answers_are_those_of_the_model(served: Served) -> None:
    table, _ = churn(2, 50)
    told = post(served, "/predict/shop", {"rows": [record(row) for row in table]}).json()["predictions"]
    booster = xgboost.Booster(model_file=served.folder / "model.ubj")
    expected = booster.predict(xgboost.DMatrix(table, feature_names=NAMES, feature_types=["float", "int", "float"]))
    assert [one["score"] for one in told] == expected.astype(np.float64).tolist()


def test_without_labels_the_verdict_says_health_only(served: Served) -> None:
    first = served.record().champion
    assert first is not None
    assert card_of(served, first).claim == "health only"


def test_a_worse_successor_is_refused_on_the_logged_requests(served: Served) -> None:
    table, label = churn(3, ASKED)
    answers = post(served, "/predict/shop", {"rows": [record(row) for row in table]}).json()["predictions"]
    labels = [{"prediction_id": one["id"], "value": value} for one, value in zip(answers, label.tolist(), strict=True)]
    bearer = f"Bearer {token('data', served.state.keys)}"
    assert post(served, "/labels/shop", {"labels": labels}, authorization=bearer).json() == {"taken": ASKED}

    version = served.push("worse.ubj")
    card = card_of(served, version)
    assert (card.claim, card.verdict) == ("traffic", "fail"), card.reasons
    assert card.holdout_rows == ASKED
    assert any("shown to be worse" in reason for reason in card.reasons)
    assert any("training rows of a file are unknown" in reason for reason in card.reasons)
    assert served.settle(version).versions[version].refused
    assert [one for one in served.record().rollouts.values() if one.version == version] == []


def test_a_better_successor_passes_and_goes_to_its_canary(served: Served) -> None:
    version = served.push("better.json")
    card = card_of(served, version)
    assert (card.claim, card.verdict) == ("traffic", "pass"), card.reasons
    assert [one.who for one in card.figures] == ["challenger", "champion", "constant"]
    challenger, champion = (one.metrics["log_loss"] for one in card.figures[:2])
    assert challenger < champion
    wait_until(lambda: any(one.version == version for one in served.record().rollouts.values()), "its canary")
    assert served.told("status")["routing"]["routes"][SHOP]["champion"] == served.record().champion
