"""What a look at one thing comes to: events to record, something awaited, or a time to look again."""

import msgspec

from evertrain.core.event import Draft
from evertrain.core.time import Instant

__all__ = ["NOTHING", "Step"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of reconciling one thing once.

    drafts: facts to append, together or not at all; they change the state, so the loop looks again at once.
    awaiting: in words, what is under way now and must be waited for ("" when nothing is).
    until: nothing will happen before this instant of business time, as far as is known.
    """

    drafts: tuple[Draft, ...] = ()
    awaiting: str = ""
    until: Instant | None = None


NOTHING = Step()
