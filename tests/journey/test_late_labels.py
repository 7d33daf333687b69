"""A bad file is pushed before anybody knows what came of the requests; the labels come while it is on trial."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from evertrain.core.rollout import RolloutState
from evertrain.store.access import token
from evertrain.testing.served import Served
from evertrain.testing.tree import wait_until

MODEL = "import math\n\n\ndef predict(rows):\n    return [1 / (1 + math.exp({sign}3 * row['a'])) for row in rows]\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path, "good.py")
    for name, sign in (("good.py", "-"), ("turned.py", "")):
        (made.folder / name).write_text(MODEL.format(sign=sign))
    try:
        made.serve()
        yield made
    finally:
        made.end()


def test_labels_that_come_during_a_trial_end_it(served: Served) -> None:
    draws = np.random.default_rng(1)
    rows = [dict(zip("abc", draws.uniform(-1, 1, 3).tolist(), strict=True)) for _ in range(200)]
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", trust_env=False, timeout=60) as client:
        answers = client.post("/predict/shop", json={"rows": rows}).json()["predictions"]
        version = served.push("turned.py")
        wait_until(lambda: "held       version 2" in served.run("status").stdout, "its being held")
        held = served.record().versions[version]
        assert (held.verdict, held.evidence["labelled"]) == ("health only", 0.0)
        assert held.hold.startswith("it ranks requests the other way round than the champion")
        assert "is held and gets no traffic: it ranks" in served.run("status").stdout
        labels = [
            {"prediction_id": one["id"], "value": bool(draws.uniform() < 1 / (1 + np.exp(-3 * row["a"])))}
            for one, row in zip(answers, rows, strict=True)
        ]
        bearer = {"authorization": f"Bearer {token('data', served.state.keys)}"}
        assert client.post("/labels/shop", json={"labels": labels}, headers=bearer).json() == {"taken": 200}
    record = served.settle(version)
    [rollout] = [one for one in record.rollouts.values() if one.version == version]
    assert (rollout.state, rollout.started) == (RolloutState.ROLLED_BACK, None)
    assert "Judged again, its verdict is fail" in record.versions[version].refused
    assert "it is shown to be worse" in record.versions[version].refused
