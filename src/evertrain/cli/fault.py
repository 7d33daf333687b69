"""How a fault is told: what, and what to do about it."""

import sys

import msgspec

from evertrain.errors import EvertrainError

__all__ = ["print_fault"]


def print_fault(error: EvertrainError, *, as_json: bool) -> None:
    """Print to stderr; as one JSON object for machines."""
    if as_json:
        told = {"error": type(error).__name__, "what": error.what, "remedy": error.remedy, "retry": error.retry}
        sys.stderr.write(msgspec.json.encode(told).decode() + "\n")
        return
    sys.stderr.write(f"evertrain: {error.what}\n")
    if error.remedy:
        sys.stderr.write(f"  {error.remedy}\n")
