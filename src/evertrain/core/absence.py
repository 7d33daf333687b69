"""A process that a rollout needs and that does not stand, through no fault of the version on trial.

The control arm runs the champion, so that its ends say nothing of the version beside it; neither does one of its own
that finds its packages missing here. It is started again and again. Where that leads to nothing the trial ends, and
its version is not refused.
"""

import msgspec

from evertrain.core.time import MINUTE, Instant

__all__ = ["ABSENT_FOR", "Absence", "ended"]

ABSENT_FOR = 10 * MINUTE
"""So long it is tried: by then what passes by itself, as a full disk or a short memory, has passed."""

_APART = 20 * MINUTE
"""Ends further apart have nothing to do with each other; building an environment alone may take 15 minutes."""

_MOST_ENDS = 8
"""In a story, whose time stands still while a process is waited for."""


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """Ends of one process in a row. beside: of the control arm. since, last: of the first and the newest; why: that."""

    beside: bool
    since: Instant
    last: Instant
    why: str
    ends: int = 1

    def is_lasting(self, *, paced: bool) -> bool:
        """Whether it was tried long enough; counted from end to end, so that an outage of all does not count.

        >>> one = Absence(beside=True, since=Instant(0), last=Instant(0), why="It was killed by SIGSEGV.")
        >>> later = ended(one, beside=True, at=ABSENT_FOR, why=one.why)
        >>> one.is_lasting(paced=False), later.is_lasting(paced=False), later.is_lasting(paced=True)
        (False, True, False)
        """
        return self.ends >= _MOST_ENDS if paced else self.last - self.since >= ABSENT_FOR

    @property
    def says(self) -> str:
        """What does not stand, and why.

        >>> Absence(beside=True, since=Instant(0), last=Instant(0), why="No file.").says
        'the process of the version that answers, which it is compared with, does not stand (ended once): No file.'
        """
        whose = "the process of the version that answers, which it is compared with," if self.beside else "its process"
        times = "once" if self.ends == 1 else f"{self.ends} times"
        return f"{whose} does not stand (ended {times}): {self.why}"


def ended(before: Absence | None, *, beside: bool, at: Instant, why: str) -> Absence:
    """One more end, of the same process soon after the one before, or the first of others.

    >>> one = ended(None, beside=True, at=Instant(0), why="No file.")
    >>> ended(one, beside=True, at=Instant(_APART), why="No file.").ends
    2
    >>> ended(one, beside=True, at=Instant(_APART + 1), why="No file.").ends
    1
    >>> ended(one, beside=False, at=Instant(1), why="No package.").ends
    1
    """
    if before is None or before.beside != beside or at - before.last > _APART:
        return Absence(beside=beside, since=at, last=at, why=why)
    return msgspec.structs.replace(before, last=at, why=why, ends=before.ends + 1)
