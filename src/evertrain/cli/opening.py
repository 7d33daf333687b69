"""Where the commands that look at an installation begin: its state, ledger and registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from evertrain.cli.place import state_in
from evertrain.core.registry import Registry
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

__all__ = ["Opened", "Service", "opened"]

Service = Annotated[str | None, typer.Option(help="The service; may be left out when there is only one.")]


class Opened(NamedTuple):
    """An installation that exists."""

    state: State
    ledger: Ledger
    registry: Registry


@contextmanager
def opened(folder: Path | None) -> Iterator[Opened]:
    """The installation in `folder`, else in the one that the settings name."""
    state = state_in(folder)
    with Ledger.open(state.ledger) as ledger:
        yield Opened(state, ledger, Registry(ledger.read()))
