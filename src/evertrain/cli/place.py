"""The installation that a command is about, for commands that need nothing else of the settings."""

import os
from pathlib import Path

import typer

from evertrain.config.place import find_place
from evertrain.store.state import State

__all__ = ["place_of", "state_in"]


def place_of(folder: Path | None) -> Path:
    """The folder that is named, else the one that the settings name; what is wrong with them otherwise is only told."""
    place = find_place(folder, os.environ)
    if place.fault is not None:
        typer.echo(f"evertrain: warning: {place.fault} This command goes on with {place.dir}.", err=True)
    return place.dir


def state_in(folder: Path | None) -> State:
    """The installation there."""
    return State.open(place_of(folder))
