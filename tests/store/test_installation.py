"""The first start on a state directory, also beside a command that looks at it too early."""

import shutil
from pathlib import Path

import pytest

from evertrain.core.event import InstallationCreated
from evertrain.core.routing import RoutingTable
from evertrain.core.time import Instant
from evertrain.errors import IntegrityError, StateError
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State


def test_a_look_at_a_directory_that_is_being_made_does_no_harm(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    with pytest.raises(IntegrityError, match="is gone"):
        Ledger.open(state.ledger)
    assert not state.ledger.exists()
    install(state.path, Instant(0))
    install(state.path, Instant(1))
    with Ledger.open(state.ledger) as ledger:
        assert [type(event.fact) for event in ledger.read()] == [InstallationCreated]


def test_a_ledger_that_lost_its_key_gets_no_new_one(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(0))
    (state.keys / "signing.key").unlink()
    with pytest.raises(StateError, match=r"signing\.key is missing"):
        install(state.path, Instant(1))


@pytest.mark.parametrize("all_of_it", [False, True])
def test_a_ledger_that_is_gone_is_not_begun_anew(tmp_path: Path, all_of_it: bool) -> None:
    """An empty one would say that nothing ever was, and take the place of the one that is brought back."""
    state = install(tmp_path / "state", Instant(0))
    state.ledger.unlink()
    if all_of_it:
        for file in state.ledger.parent.glob("ledger.*"):
            file.unlink()
        RoutingFile(state.routing).publish(RoutingTable(generation=1, routes={}))
    for again in (lambda: install(state.path, Instant(1)), lambda: Ledger.open(state.ledger)):
        with pytest.raises(IntegrityError, match=r"ledger\.db is gone\. Restore it from a backup"):
            again()
    assert not state.ledger.exists()


def test_what_is_served_does_not_get_a_new_ledger_where_all_of_control_is_gone(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(0))
    RoutingFile(state.routing).publish(RoutingTable(generation=1, routes={}))
    shutil.rmtree(state.path / "control")
    with pytest.raises(IntegrityError, match=r"ledger\.db is gone"):
        install(state.path, Instant(1))
