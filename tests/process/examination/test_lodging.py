"""What the doctor says of environments: nothing where none is needed, and what is missing where one is."""

from pathlib import Path

import pytest

from evertrain.core.routing import Arm, Route
from evertrain.process.examination.lodging import look_at_environments
from evertrain.testing.installation import SHOP, Installation

SOURCE = "def predict(rows):\n    return [0.5 for _ in rows]\n"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A version on trial that needs another environment than the champion."""
    made = Installation(tmp_path / "state")
    trial = made.add(SOURCE, lock="lightgbm==4.6.0\n")
    made.route(Route(service=SHOP, champion=made.add(SOURCE), canary=Arm(version=trial, share=0.1, deadline_s=1.0)))
    return made


def lock_of(installation: Installation) -> str:
    return max(map(installation.artifacts.runs_in, installation.artifacts.versions()))


def test_what_is_not_built_yet_is_watched(installation: Installation) -> None:
    [found] = look_at_environments(installation.state)
    assert found.tone == "watch"
    assert found.what == f"Environment {lock_of(installation)[:10]}, for shop, is not built yet."


def test_what_could_not_be_built_is_a_fault_with_its_cause(installation: Installation) -> None:
    installation.state.environments.note(lock_of(installation), "numpy 1 is too old", failed=True)
    [found] = look_at_environments(installation.state)
    assert (found.tone, found.why) == ("bad", "numpy 1 is too old")


def test_nothing_is_said_where_none_is_needed(tmp_path: Path) -> None:
    made = Installation(tmp_path / "state")
    made.route(Route(service=SHOP, champion=made.add(SOURCE)))
    assert list(look_at_environments(made.state)) == []
