"""How a fault is told: what, what to do about it, and where to read more."""

import sys
from typing import Any

import msgspec
import typer

from evertrain.config.wording import suggestion
from evertrain.errors import EvertrainError, UsageError

__all__ = ["MISUSE", "print_fault", "usage_of"]

MISUSE: type[Exception] = typer.BadParameter.__bases__[0]
"""What Typer raises for a command line that it cannot read; it keeps the class itself to itself."""


def print_fault(error: EvertrainError, *, as_json: bool) -> None:
    """Print to stderr; as one JSON object for machines."""
    if as_json:
        told = {
            "error": type(error).__name__,
            "code": error.code,
            "what": error.what,
            "remedy": error.remedy,
            "retry": error.retry,
        }
        sys.stderr.write(msgspec.json.encode(told).decode() + "\n")
        return
    lines = [f"evertrain: {error.what}", *([f"  {error.remedy}"] if error.remedy else [])]
    sys.stderr.write("\n".join([*lines, f"  {error.code}: `evertrain explain {error.code}` says more."]) + "\n")


def usage_of(misuse: Any) -> UsageError | None:
    """What Typer says of a command line, as a fault of ours; None where it only wants to show the help."""
    words = misuse.format_message()
    words += "" if words.endswith((".", "?")) else "."
    if misuse.ctx is None:
        return UsageError(words, "See `--help` of the command.")
    if misuse.message == misuse.ctx.get_help():
        return None
    path = misuse.ctx.command_path
    option = getattr(misuse, "option_name", "")
    known = [name for one in misuse.ctx.command.params for name in one.opts if name.startswith("--")]
    if option.startswith("-") and option not in known:
        return UsageError(f"{path} has no option {option}.", suggestion(option, known))
    return UsageError(words, f"See `{path} --help`.")
