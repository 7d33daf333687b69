"""The `evertrain` command: parse, call one function, print.

Each module of this folder that COMMANDS names holds a Typer `app` with commands, or with one group of them. Faults that
the caller can mend are told on one screen, without a traceback.
"""

import importlib
import sys
from collections.abc import Iterable

import typer

from evertrain.cli.fault import print_fault
from evertrain.errors import EvertrainError

__all__ = ["COMMANDS", "command_line", "main"]

COMMANDS = {
    "demo": "demo",
    "up": "up",
    "plan": "plan",
    "serve": "serve",
    "push": "order",
    "status": "status",
    "models": "record",
    "decisions": "record",
    "retrain": "order",
    "promote": "order",
    "rollback": "order",
    "ledger": "ledger",
}
"""Command to the module of this folder that holds it, in the order in which help shows them."""


def command_line(commands: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="evertrain",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_evertrain)
    for module in dict.fromkeys(COMMANDS[name] for name in commands):
        app.add_typer(importlib.import_module(f"evertrain.cli.{module}").app)
    return app


def main() -> None:
    """Run a command and exit: 0 done, 1 a fault that is told, 2 the command line itself is wrong."""
    # Only the module of the command that was asked for: `up` lives long, and does not carry the others' libraries.
    asked = [word for word in sys.argv[1:2] if word in COMMANDS]
    try:
        command_line(asked or COMMANDS)()
    except EvertrainError as error:
        print_fault(error, as_json="--json" in sys.argv)
        sys.exit(1)


def _evertrain() -> None:
    """Keep machine-learning models in production fresh: ingest, retrain, prove, roll out, watch, take back."""
