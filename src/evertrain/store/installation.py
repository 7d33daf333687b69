"""The first start on a state directory: folders, signing key, tokens, ledger, and the event that says so."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evertrain.core.event import Draft, InstallationCreated
from evertrain.core.time import Instant
from evertrain.store.access import create_token
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger, gone
from evertrain.store.pseudonym import Pseudonyms
from evertrain.store.routing import RoutingFile
from evertrain.store.signature import Signer
from evertrain.store.state import SCHEMA, State

__all__ = ["complete", "install"]


def install(path: Path, at: Instant, actor: str = "evertrain") -> State:
    """Make what is missing of an installation, or find it complete. `at` dates the first event.

    Safe to call at every start, from several processes at once, and after one that was killed half-way. IntegrityError
    where something is served already and its ledger is gone.
    """
    state = State.create(path)
    if not state.ledger.exists() and RoutingFile(state.routing).read().generation:
        raise gone(state.ledger)
    with _alone(state.path), Ledger.open(state.ledger, make=True) as ledger:
        # A ledger without its key is a loss that somebody must hear of, not a reason for a new key; but an empty
        # one may have been made by a command that looked at this directory a moment too early.
        signer = Signer.load(state.keys) if ledger.count() else Signer.create(state.keys, state.trusted)
        create_token("control", state.keys, state.trusted)
        create_token("data", state.keys, state.trusted)
        Pseudonyms(state).create()
        ledger.append(
            Draft(
                id=f"installation/{signer.key}",
                at=at,
                actor=actor,
                subject="installation",
                reason="The state directory was made.",
                fact=InstallationCreated(schema=SCHEMA, key=signer.key),
            )
        )
        if ledger.signed_head() is None:
            ledger.sign_head(signer, at)
    return state


def complete(path: Path) -> State:
    """Install at the time that the installation's own clock shows, if it has one, else now."""
    return install(path, business_clock(path / "serving" / "clock").now())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time: a lock on the folder, which the system frees when its holder dies."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
