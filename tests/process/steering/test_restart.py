"""What is done before a restart is ordered: environments of pools that an upgrade has made old are built."""

from pathlib import Path

import pytest

from evertrain.core.identity import VersionId
from evertrain.core.pool import FIRST, Pool
from evertrain.core.routing import Route
from evertrain.errors import PackageError, UserError
from evertrain.process.steering.restart import build_environments
from evertrain.store.process import beat, heartbeat_of
from evertrain.testing.installation import SHOP, Installation

ROUTE = Route(service=SHOP, champion=VersionId("a" * 64))
GONE = "f" * 64


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "state")
    beat(made.state, heartbeat_of("supervisor", "supervisor"))
    return made


def test_workers_of_the_installations_own_libraries_need_nothing(installation: Installation) -> None:
    installation.route(ROUTE)
    assert list(build_environments(installation.state)) == []


def test_what_a_pool_runs_in_is_built_first_and_what_cannot_be_built_ends_it(installation: Installation) -> None:
    installation.route(ROUTE, (FIRST, Pool(number=1, environment=GONE)), accepting=1)
    building = build_environments(installation.state)
    assert next(building) == GONE
    with pytest.raises(PackageError, match=f"The lock {GONE[:10]} cannot be read"):
        next(building)


def test_nothing_is_built_where_nobody_runs(tmp_path: Path) -> None:
    made = Installation(tmp_path / "state")
    made.route(ROUTE, (FIRST, Pool(number=1, environment=GONE)), accepting=1)
    with pytest.raises(UserError, match="Nobody runs who could carry that out"):
        next(build_environments(made.state))
