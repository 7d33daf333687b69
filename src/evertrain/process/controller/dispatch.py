"""Keeps a messenger at work for each hook that is in force, also when that changes while everything runs."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from evertrain.config.hook import Hook
from evertrain.core.time import Instant
from evertrain.errors import EvertrainError
from evertrain.process.controller.messenger import Messenger
from evertrain.store.hook import HookRoll, HookShelf, read_hook_progress
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

__all__ = ["Dispatch", "dispatching"]

_LOOK_S = 0.2

_log = logging.getLogger(__name__)


class Dispatch:
    """The messengers of an installation. One thread uses it at a time. now: the business time."""

    def __init__(self, roll: HookRoll, state: State, ledger: Ledger, now: Callable[[], Instant]) -> None:
        self._roll = roll
        self._state = state
        self._ledger = ledger
        self._now = now
        self._at_work: dict[str, Messenger] = {}
        self._done: tuple[Hook, ...] | None = None

    def look(self) -> None:
        """Begin and end messengers as the hooks in force say.

        One that is changed begins when the one before it has ended: what that one sends meanwhile is on file by then,
        and comes once.
        """
        hooks = self._roll.hooks
        if hooks == self._done:
            return
        wanted = {hook.name: hook for hook in hooks}
        for name, one in list(self._at_work.items()):
            if wanted.get(name) != one.hook:
                one.stop()
            if one.has_ended:
                del self._at_work[name]
        for progress in read_hook_progress(self._state):
            if progress.active and progress.hook not in wanted and progress.hook not in self._at_work:
                HookShelf(self._state, progress.hook).save(msgspec.structs.replace(progress, active=False))
        for name in wanted.keys() - self._at_work.keys():
            one = Messenger(wanted[name], self._state, self._ledger, self._now)
            one.start()
            self._at_work[name] = one
        if self._at_work.keys() == wanted.keys() and not any(one.is_stopping for one in self._at_work.values()):
            self._done = hooks

    def end(self) -> None:
        """End all of them, without waiting for an answer that does not come."""
        for one in self._at_work.values():
            one.stop()
        for one in self._at_work.values():
            one.join()


@contextmanager
def dispatching(roll: HookRoll, state: State, ledger: Ledger, now: Callable[[], Instant]) -> Iterator[None]:
    """Tell all hooks what happens, for as long as the context lasts."""
    dispatch, ending = Dispatch(roll, state, ledger, now), threading.Event()
    dispatch.look()

    def follow() -> None:
        while not ending.wait(_LOOK_S):
            try:
                dispatch.look()
            except (EvertrainError, OSError):
                _log.exception("hooks could not be changed; it is tried again")

    thread = threading.Thread(target=follow, name="hooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        dispatch.end()
