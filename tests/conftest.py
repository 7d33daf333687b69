"""What holds for all tests."""

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from evertrain.testing.older import Older

# The processes that tests start keep their bytecode, as a user's do: without it each compiles the whole package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Trainings take what is left over, and beside tests that run at the same time nothing is.
os.environ["EVERTRAIN_TRAINER_NICE"] = "0"

# How long an example takes says more of who else uses the machine than of the example.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "CI" not in os.environ:  # Hypothesis has a profile of its own for that
    settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> "Older":
    """An environment with an older LightGBM, built once for all tests."""
    from evertrain.testing.older import Older

    return Older(tmp_path_factory.mktemp("older") / "state")


@pytest.fixture(scope="session")
def mounting(tmp_path_factory: pytest.TempPathFactory) -> None:
    """This user may mount. Where not, what needs it is skipped; under CI it fails."""
    from evertrain.errors import UnavailableError
    from evertrain.testing.disk import small_disk

    try:
        with small_disk(tmp_path_factory.mktemp("mounting") / "disk", 1 << 20):
            pass
    except UnavailableError as error:
        if "CI" in os.environ:
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def sealing(request: pytest.FixtureRequest) -> None:
    """This user may keep everybody from writing below a folder: root mounts for that, for others modes are enough."""
    if os.geteuid() == 0:
        request.getfixturevalue("mounting")
