"""The `evertrain` command: parse, call one function, print.

Each module of this folder that COMMANDS names holds a Typer `app` with commands, or with one group of them. Faults that
the caller can mend are told on one screen, without a traceback.
"""

import importlib
import sys
from collections.abc import Iterable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evertrain.cli.fault import MISUSE, print_fault, usage_of
from evertrain.config.wording import suggestion
from evertrain.errors import EvertrainError, UsageError

__all__ = ["COMMANDS", "command_line", "main"]

COMMANDS = {
    "demo": "demo",
    "init": "init",
    "up": "up",
    "plan": "plan",
    "serve": "serve",
    "trust": "trust",
    "push": "order",
    "watch": "watch",
    "apply": "apply",
    "status": "status",
    "models": "record",
    "decisions": "record",
    "retrain": "order",
    "promote": "order",
    "rollback": "order",
    "off": "switch",
    "on": "switch",
    "approve": "switch",
    "deny": "switch",
    "restart": "restart",
    "ledger": "ledger",
    "hooks": "hooks",
    "doctor": "doctor",
    "settings": "settings",
    "explain": "explain",
}
"""Command to the module of this folder that holds it, in the order in which help shows them."""


class _Commands(TyperGroup):
    """The commands by name; one that is mistyped is refused as every mistyped name is."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise UsageError(f"There is no command {args[0]!r}.", suggestion(args[0], COMMANDS))
        return super().resolve_command(ctx, args)


def command_line(commands: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="evertrain",
        cls=_Commands,
        no_args_is_help=True,
        add_completion=True,
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
        code = command_line(asked or COMMANDS)(prog_name="evertrain", standalone_mode=False)
    except EvertrainError as error:
        sys.exit(_tell(error))
    except MISUSE as misuse:
        usage = usage_of(misuse)
        if usage is None:
            misuse.show()  # type: ignore[attr-defined]  # the help, which a command without words prints
            sys.exit(2)
        sys.exit(_tell(usage))
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: EvertrainError) -> int:
    print_fault(error, as_json="--json" in sys.argv)
    return 2 if isinstance(error, UsageError) else 1


def _say_release(asked: bool) -> None:
    if asked:
        typer.echo(f"evertrain {version('evertrain')}")
        raise typer.Exit


def _evertrain(
    *,
    release: Annotated[
        bool, typer.Option("--version", callback=_say_release, is_eager=True, help="Print the release and exit.")
    ] = False,
) -> None:
    """Keep machine-learning models in production fresh: ingest, retrain, prove, roll out, watch, take back."""
