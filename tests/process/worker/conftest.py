"""A worker that answers with one version; modules that need another one say so themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evertrain.core.identity import VersionId
from evertrain.core.routing import Route
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RunningWorker, until

MODEL = "def predict(rows):\n    return [0.5 if row['vip'] else row['amount'] / 1000 for row in rows]\n"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "state")


@pytest.fixture
def champion(installation: Installation) -> VersionId:
    version = installation.add(MODEL)
    installation.route(Route(service=SHOP, champion=version))
    return version


@pytest.fixture
def worker(installation: Installation, champion: VersionId) -> Iterator[RunningWorker]:
    running = RunningWorker(installation)
    until(lambda: running.serves(champion))
    yield running
    running.close()
