"""The first start on a state directory, also beside a command that looks at it too early."""

from pathlib import Path

import pytest

from evertrain.core.event import InstallationCreated
from evertrain.core.time import Instant
from evertrain.errors import StateError
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.state import State


def test_a_look_at_a_directory_that_is_being_made_does_no_harm(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    with Ledger.open(state.ledger) as early:
        assert early.count() == 0
    install(state.path, Instant(0))
    install(state.path, Instant(1))
    with Ledger.open(state.ledger) as ledger:
        assert [type(event.fact) for event in ledger.read()] == [InstallationCreated]


def test_a_ledger_that_lost_its_key_gets_no_new_one(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(0))
    (state.keys / "signing.key").unlink()
    with pytest.raises(StateError, match=r"signing\.key is missing"):
        install(state.path, Instant(1))
