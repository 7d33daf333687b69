"""Where the commands that look at an installation begin: its state, ledger and registry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from evertrain.config.settings import load
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
    stated = load({"dir": None if folder is None else str(folder)}, environment=os.environ)
    state = State.open(Path(stated.settings.dir))
    with Ledger.open(state.ledger) as ledger:
        yield Opened(state, ledger, Registry(ledger.read()))
