"""Hooks that are changed while everything runs: nothing is lost, nothing is doubled, and nobody starts anew."""

import base64
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.config.hook import Hook
from evertrain.core import event as facts
from evertrain.process.controller.dispatch import Dispatch, dispatching
from evertrain.store.hook import HookProgress, HookRoll, read_hook_progress
from evertrain.store.ledger import Ledger
from evertrain.testing.installation import BEGIN
from evertrain.testing.receiver import Answer, Receiver
from evertrain.testing.record import ShopRecord
from evertrain.testing.tree import wait_until

SECRET = f"whsec_{base64.b64encode(b'0123456789abcdef0123456789abcdef').decode()}"


class World:
    """A state with a hook, and a receiver of it."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.record = ShopRecord(folder / "state")
        self.receiver = receiver
        (folder / "secret").write_text(SECRET)
        self.hook = Hook(name="audit", url=f"{receiver.address}/old", secret_file=str(folder / "secret"))
        self.roll = HookRoll(self.record.state, (self.hook,))
        self.ledger = Ledger.open(self.record.state.ledger)

    def alert(self, name: str) -> None:
        self.record.tell(f"{name} is wrong.", facts.AlertRaised(alert=name, owner="desk", severity="warning"))

    def put(self, **changes: object) -> None:
        self.roll.put((msgspec.structs.replace(self.hook, **changes),))

    def progress(self, hook: str = "audit") -> HookProgress:
        return next(one for one in read_hook_progress(self.record.state) if one.hook == hook)

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.receiver.received]


@pytest.fixture
def world(tmp_path: Path, receiver: Receiver) -> Iterator[World]:
    made = World(tmp_path, receiver)
    yield made
    made.ledger.close()


def test_what_could_not_be_told_goes_to_the_new_address(world: World) -> None:
    world.receiver.usual = Answer(status=500)
    with dispatching(world.roll, world.record.state, world.ledger, lambda: BEGIN):
        world.alert("disk")
        wait_until(lambda: bool(world.progress().failing), "the first attempt")
        world.alert("clock")
        world.put(url=f"{world.receiver.address}/new")
        wait_until(lambda: "/new" in world.paths, "an attempt at the new address")
        world.receiver.usual = Answer()
        wait_until(lambda: world.receiver.sequences[-1] == 3, "both at the new address")
    moved = world.paths.index("/new")
    assert set(world.paths[moved:]) == {"/new"}
    assert set(world.receiver.sequences[moved:]) == {2, 3}


def test_one_that_is_added_is_told_from_then_on_and_one_that_is_taken_out_no_more(world: World) -> None:
    with dispatching(world.roll, world.record.state, world.ledger, lambda: BEGIN):
        world.alert("disk")
        wait_until(lambda: world.paths == ["/old"], "what happened before")
        world.put(name="risk", url=f"{world.receiver.address}/risk")
        wait_until(lambda: len(read_hook_progress(world.record.state)) == 2, "the new one")
        wait_until(lambda: not world.progress().active, "the end of the old one")
        world.alert("clock")
        wait_until(lambda: world.paths == ["/old", "/risk"], "what happened then")
    assert world.receiver.sequences == [2, 3]


def test_a_message_that_is_under_way_is_waited_for_and_comes_once(world: World) -> None:
    dispatch = Dispatch(world.roll, world.record.state, world.ledger, lambda: BEGIN)
    world.receiver.answers.append(Answer(holds=True))
    world.put(timeout_s=1.0)
    dispatch.look()
    try:
        world.alert("disk")
        wait_until(lambda: world.paths == ["/old"], "the message that is not answered")
        world.put(url=f"{world.receiver.address}/new")
        dispatch.look()
        assert world.paths == ["/old"], "the one before has not ended"

        def begun() -> bool:
            dispatch.look()
            return len(world.paths) == 2

        wait_until(begun, "the new one")
    finally:
        dispatch.end()
    assert world.paths == ["/old", "/new"]


def test_hooks_that_cannot_be_read_leave_those_that_were(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert world.roll.hooks == (world.hook,), "nothing was put into force yet"
    world.put(timeout_s=2.0)
    before = world.roll.hooks
    assert before[0].timeout_s == 2.0
    file = world.record.state.path / "control" / "hooks.json"
    assert file.stat().st_mode & 0o077 == 0
    file.write_text('[{"name": "audit"')
    assert world.roll.hooks == world.roll.hooks == before
    assert [record.message for record in caplog.records if "stay as they were" in record.message] != []
    assert len(caplog.records) == 1, "it is said once"
    world.roll.forget()
    world.put(timeout_s=3.0)
    assert world.roll.hooks[0].timeout_s == 3.0


def test_a_service_that_a_hook_names_and_that_there_is_not_is_known(world: World) -> None:
    world.put(services=("shop", "shp"))
    assert world.roll.astray(("shop", "churn")) == {"audit": ("shp",)}
    assert world.roll.astray(("shop", "shp")) == {}
