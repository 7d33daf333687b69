"""Whoever is asked about keeps one version while another is on trial: over real HTTP, by header, entity or request."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

import evertrain as et
from evertrain.core.cohort import arm_of
from evertrain.core.identity import VersionId, canonical, digest_of
from evertrain.core.model import Manifest
from evertrain.core.routing import Route
from evertrain.core.schema import Input
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RECORD, RunningWorker, on_trial, until

MODEL = "def predict(rows):\n    return [0.25 for row in rows]\n"
TRIED = "def predict(rows):\n    return [0.75 for row in rows]\n"
HEADER = "x-evertrain-cohort"
PEOPLE = [f"c{number}" for number in range(16)]
DAYS = [f"2026-03-{day:02d}T00:00:00Z" for day in range(1, 6)]


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


def declared(*key: str) -> Any:
    """A service of this key."""
    columns = {"who": "string", "t": "timestamp", "amount": "float64", "bad": "bool"}
    table = et.Source("orders", et.files("orders.csv"), key=key, event_time="t", columns=columns)
    asked = et.Examples(table, key=key, at="t", request=["who", "t", "amount"])
    label = et.Label(source=table, of=asked, value="bad", horizon="1d")
    return et.Service(SHOP, examples=asked, label=label, features=[et.column("amount")], train=train)


def put(installation: Installation, spec: Any, model: str) -> VersionId:
    blobs = installation.artifacts.blobs
    return installation.put(
        Manifest(
            service=SHOP,
            format="callable",
            model=blobs.put(model.encode()),
            bundle=None,
            features=digest_of(spec.features),
            inputs=spec.inputs,
            vector=(Input(name="amount"),),
            output=spec.output,
            declaration=blobs.put(canonical(spec)),
        )
    )


def heard(worker: RunningWorker, bodies: Sequence[object], **headers: str) -> set[str]:
    """The versions that answer to these bodies."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    responses = [worker.client.post(f"/predict/{SHOP}", json=body, headers=named) for body in bodies]
    assert {response.status_code for response in responses} == {200}
    return {response.headers["x-evertrain-version"] for response in responses}


def test_whom_the_header_names_keeps_a_version_whatever_is_asked(
    worker: RunningWorker, installation: Installation, champion: VersionId
) -> None:
    tried = installation.add(TRIED)
    with on_trial(installation, tried) as arm:
        half = msgspec.structs.replace(arm, share=0.5)
        route = Route(service=SHOP, champion=champion, canary=half, salt="r1")
        installation.route(route)
        until(lambda: worker.serves(champion))
        bodies = [RECORD | {"n": number} for number in range(4)] + [{"rows": [RECORD] * 3}]
        found = {who: heard(worker, bodies, x_evertrain_cohort=who) for who in PEOPLE}
    assert found == {who: {tried if arm_of(route, who) == "canary" else champion} for who in PEOPLE}
    assert len({version for versions in found.values() for version in versions}) == 2


@pytest.mark.parametrize("key", [("who",), ("who", "t"), ("t", "who")])
def test_an_entity_keeps_a_version_from_day_to_day(installation: Installation, key: tuple[str, ...]) -> None:
    """A table has one row of a customer for each day: the key tells the days apart, and the canary does not."""
    spec = declared(*key)
    champion, tried = put(installation, spec, MODEL), put(installation, spec, TRIED)
    with on_trial(installation, tried) as arm:
        half = msgspec.structs.replace(arm, share=0.5)
        route = Route(service=SHOP, champion=champion, canary=half, salt="r1")
        installation.route(route)
        worker = RunningWorker(installation)
        try:
            until(lambda: worker.serves(champion))
            asked = {who: [{"who": who, "t": day, "amount": 1.0} for day in DAYS] for who in PEOPLE}
            found = {who: heard(worker, bodies) for who, bodies in asked.items()}
            others = heard(worker, [{"rows": asked["c1"] + asked["c2"]}])
        finally:
            worker.close()
    expected = {who: {tried if arm_of(route, who) == "canary" else champion} for who in PEOPLE}
    assert found == expected
    assert others == expected["c1"]  # a batch goes by its first row
    assert len({version for versions in found.values() for version in versions}) == 2


def test_a_header_that_is_too_long_is_refused_by_name(worker: RunningWorker) -> None:
    refused = worker.client.post(f"/predict/{SHOP}", json=RECORD, headers={HEADER: "x" * 201})
    assert (refused.status_code, refused.json()["field"]) == (400, HEADER)
    assert "200 characters" in refused.json()["what"]
