"""The `evertrain` command: parse, call one function, print.

Each module of this folder that is named in COMMANDS holds a Typer `app` with one command or one group. Faults that the
caller can mend are told on one screen, without a traceback.
"""

import importlib
import sys

import typer

from evertrain.cli.fault import print_fault
from evertrain.errors import EvertrainError

__all__ = ["COMMANDS", "command_line", "main"]

COMMANDS = ("demo", "up", "serve", "status", "record", "order", "ledger")
"""Modules of this folder, in the order in which help shows them."""


def command_line() -> typer.Typer:
    """All commands."""
    app = typer.Typer(
        name="evertrain",
        help="Keep machine-learning models in production fresh: ingest, retrain, prove, roll out, watch, take back.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for name in COMMANDS:
        app.add_typer(importlib.import_module(f"evertrain.cli.{name}").app)
    return app


def main() -> None:
    """Run a command and exit: 0 done, 1 a fault that is told, 2 the command line itself is wrong."""
    try:
        command_line()()
    except EvertrainError as error:
        print_fault(error, as_json="--json" in sys.argv)
        sys.exit(1)
