"""Personal columns in front of a real worker: models compute with them, and nothing that is written holds them."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec
import pytest

import evertrain as et
from evertrain.core.identity import VersionId, canonical, digest_of
from evertrain.core.model import Manifest
from evertrain.core.prediction import Failed, Labelled, Predicted
from evertrain.core.routing import Route
from evertrain.core.schema import Input
from evertrain.store.access import token
from evertrain.store.pseudonym import Pseudonyms
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RunningWorker, on_trial, until

WHO, PHONE = "alice@example.org", "+1 555 0100"
MODEL = f"""
def predict(rows):
    if rows[0]["amount"] < 0:
        raise ValueError("no account of {WHO}")
    return [row["amount"] / 100 for row in rows]
"""
ORDERS = et.Source(
    "orders",
    et.files("orders.csv"),
    key="who",
    event_time="t",
    columns={"who": "string", "phone": "string?", "t": "timestamp", "amount": "float64", "bad": "bool"},
)
ASKED = et.Examples(ORDERS, key="who", at="t", request=["who", "phone", "t", "amount"])


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


SPEC = et.Service(
    SHOP,
    examples=ASKED,
    label=et.Label(source=ORDERS, of=ASKED, value="bad", horizon="1d"),
    features=[et.column("amount")],
    train=train,
    personal=["who", "phone"],
)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "state")


@pytest.fixture
def champion(installation: Installation) -> VersionId:
    blobs = installation.artifacts.blobs
    manifest = Manifest(
        service=SHOP,
        format="callable",
        model=blobs.put(MODEL.encode()),
        bundle=None,
        features=digest_of(SPEC.features),
        inputs=SPEC.inputs,
        vector=(Input(name="amount"),),
        output=SPEC.output,
        declaration=blobs.put(canonical(SPEC)),
    )
    return installation.put(manifest)


@pytest.fixture
def worker(installation: Installation, champion: VersionId) -> Iterator[RunningWorker]:
    installation.route(Route(service=SHOP, champion=champion, personal=SPEC.hidden))
    running = RunningWorker(installation)
    until(lambda: running.serves(champion))
    yield running
    running.close()


def ask(worker: RunningWorker, **named: Any) -> httpx.Response:
    row = {"who": WHO, "phone": PHONE, "t": "2024-01-01T12:00:00Z", "amount": 25.0} | named
    return worker.client.post(f"/predict/{SHOP}", json=row)


def label(worker: RunningWorker, **named: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {token('data', worker.installation.state.keys)}"}
    body = {"labels": [{"value": 1, **named}]}
    return worker.client.post(f"/labels/{SHOP}", content=json.dumps(body), headers=headers)


def test_the_log_holds_pseudonyms_by_which_predictions_and_labels_still_meet(worker: RunningWorker) -> None:
    assert ask(worker).json()["predictions"][0]["score"] == 0.25
    assert ask(worker, phone=None).status_code == 200
    assert label(worker, key=WHO).status_code == 200
    first, second, told = worker.records()
    assert isinstance(first, Predicted)
    assert isinstance(second, Predicted)
    assert isinstance(told, Labelled)
    pseudonyms = Pseudonyms(worker.installation.state)
    assert first.row[:2] == (pseudonyms.of(WHO), pseudonyms.of(PHONE))
    assert second.row[1] is None
    assert first.key == second.key == told.key == pseudonyms.of(WHO)
    assert first.vector == (25.0,)


@pytest.mark.parametrize("name", ["canary", "shadow"])
def test_a_version_on_trial_sees_what_came_and_the_log_does_not(
    worker: RunningWorker, champion: VersionId, name: Literal["canary", "shadow"]
) -> None:
    """Also one of before the declaration, to which the value itself is an input."""
    model = f"def predict(rows):\n    return [0.75 if row['who'] == {WHO!r} else 0.5 for row in rows]\n"
    installation = worker.installation
    version = installation.add(model, inputs=SPEC.inputs)
    with on_trial(installation, version, name) as arm:
        installation.route(
            msgspec.structs.replace(Route(service=SHOP, champion=champion, personal=SPEC.hidden), **{name: arm})
        )
        until(lambda: worker.serves(champion))
        answered = ask(worker).json()["predictions"][0]
        seen = until(lambda: [one for one in worker.records() if getattr(one, "version", "") == version])
    assert answered["version"] == (version if name == "canary" else champion)
    assert seen[-1].score == 0.75
    key = Pseudonyms(installation.state).of(WHO)
    assert seen[-1].key == key
    if isinstance(seen[-1], Predicted):
        assert seen[-1].vector[0] == key
    assert WHO.encode() not in b"".join(path.read_bytes() for path in installation.state.log.rglob("*.seg"))


def test_what_a_model_says_of_a_personal_row_is_not_kept(worker: RunningWorker) -> None:
    refused = ask(worker, amount=-1.0)
    assert refused.status_code == 500
    assert refused.json()["what"].endswith("could not answer: predict raised ValueError.")
    [failed] = worker.records()
    assert isinstance(failed, Failed)
    assert failed.detail == "predict raised ValueError (what it says may be personal)"
    assert failed.key == Pseudonyms(worker.installation.state).of(WHO)


def test_no_file_that_a_worker_writes_holds_a_personal_value(worker: RunningWorker, champion: VersionId) -> None:
    for amount in (25.0, -1.0):
        ask(worker, amount=amount)
    label(worker, key=WHO)
    label(worker, key=["too", "many"])
    serving = worker.installation.state.path / "serving"
    written = [path for path in serving.rglob("*") if path.is_file() and "artifacts" not in path.parts]
    assert any(path.suffix == ".seg" for path in written)
    assert [path for path in written if WHO.encode() in path.read_bytes() or PHONE.encode() in path.read_bytes()] == []


def test_without_the_key_nothing_is_logged_as_it_is(installation: Installation, champion: VersionId) -> None:
    path = installation.state.path / "serving" / "pseudonym.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    installation.route(Route(service=SHOP, champion=champion, personal=SPEC.hidden))
    running = RunningWorker(installation)
    until(lambda: running.serves(champion))
    refused = ask(running)
    assert (refused.status_code, "pseudonym.key is missing" in refused.json()["what"]) == (500, True)
    assert running.records() == []
    running.close()
