"""What `evertrain doctor` finds: one value a look."""

from typing import Literal

import msgspec

__all__ = ["Finding", "fault", "fine", "watch"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One look at an installation. tone: "good" is as it should be, "watch" will bite some day, "bad" does already.

    look: what was looked at. what: what is there. why: why it matters. remedy: what to type or do; both are "" for
    what is good.
    """

    look: str
    tone: Literal["good", "watch", "bad"]
    what: str
    why: str = ""
    remedy: str = ""


def fine(look: str, what: str) -> Finding:
    """As it should be."""
    return Finding(look=look, tone="good", what=what)


def watch(look: str, what: str, *, why: str, remedy: str) -> Finding:
    """Nothing is broken yet."""
    return Finding(look=look, tone="watch", what=what, why=why, remedy=remedy)


def fault(look: str, what: str, *, why: str, remedy: str) -> Finding:
    """Broken, or about to be."""
    return Finding(look=look, tone="bad", what=what, why=why, remedy=remedy)
