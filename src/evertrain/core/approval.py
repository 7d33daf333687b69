"""Whether a version may go on: who is asked, how each has decided, and what that comes to.

Evidence says that a version is harmless; somebody may want to say that it is wanted. A question is asked once for each
gate of a rollout and each approver, stands on record, and is answered on record: by the approver, by a person in its
place, or by the time-out that was declared for it.
"""

from collections.abc import Collection
from typing import Final, Literal

import msgspec

from evertrain.core.identity import Digest, RolloutId, ServiceName, VersionId
from evertrain.core.time import Instant, Span, say_instant

__all__ = [
    "GATES",
    "PERSON",
    "Approval",
    "ApprovalAsked",
    "ApprovalGiven",
    "Approver",
    "Consent",
    "Decision",
    "OnTimeout",
    "RolloutGate",
    "consent",
]

RolloutGate = Literal["canary", "promotion"]
"""canary: before a version gets any traffic; promotion: before it answers everything."""
Decision = Literal["allow", "deny"]
OnTimeout = Literal["hold", "allow", "deny"]

GATES: Final[tuple[RolloutGate, ...]] = ("canary", "promotion")
PERSON: Final = "a person"
"""The approver who is asked where a declaration wants an approval by hand."""


class Approver(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked ("a person", "hook ci"). within: how long it may take; on_timeout: what holds then."""

    name: str
    within: Span
    on_timeout: OnTimeout = "hold"


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One question of a rollout. decision: None while nobody has decided; why: as the answer says it."""

    approver: str
    gate: RolloutGate
    until: Instant
    on_timeout: OnTimeout
    decision: Decision | None = None
    why: str = ""


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """What all answers come to. until: while it waits, when the next question times out; None: a person decides."""

    action: Literal["go on", "end", "wait"]
    reasons: tuple[str, ...]
    until: Instant | None = None


def consent(approvals: Collection[Approval], now: Instant) -> Consent:
    """One "deny" ends it, and all have to allow it.

    >>> ci = Approval(approver="hook ci", gate="promotion", until=Instant(60_000_000), on_timeout="hold")
    >>> consent([ci], Instant(0)).reasons
    ('waits for approval of its promotion by hook ci until 1970-01-01 00:01 UTC',)
    >>> consent([ci], Instant(60_000_000)).reasons
    ('waits for a person: hook ci decided nothing until 1970-01-01 00:01 UTC',)
    >>> consent([msgspec.structs.replace(ci, decision="allow", why="the tests are green")], Instant(0)).action
    'go on'
    """
    denied = tuple(one.why for one in approvals if one.decision == "deny")
    if denied:
        return Consent(action="end", reasons=denied)
    open_ones = [one for one in approvals if one.decision is None]
    if not open_ones:
        return Consent(action="go on", reasons=tuple(one.why for one in approvals))
    return Consent(
        action="wait",
        reasons=tuple(_waits(one, now) for one in open_ones),
        until=min((one.until for one in open_ones if one.until > now), default=None),
    )


def _waits(one: Approval, now: Instant) -> str:
    until = f"{say_instant(one.until)[:16].replace('T', ' ')} UTC"
    if now < one.until:
        return f"waits for approval of its {one.gate} by {one.approver} until {until}"
    return f"waits for a person: {one.approver} decided nothing until {until}"


class _Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of the facts here; each names its tag."""


class ApprovalAsked(_Fact, frozen=True, kw_only=True, tag="approval.asked"):
    """Somebody is asked whether a version may pass a gate of its rollout. until: on_timeout holds then."""

    service: ServiceName
    rollout: RolloutId
    version: VersionId
    gate: RolloutGate
    approver: str
    until: Instant
    on_timeout: OnTimeout


class ApprovalGiven(_Fact, frozen=True, kw_only=True, tag="approval.given"):
    """A question was answered. role: of who decided; words: digest of the reason that they gave, if they gave one."""

    service: ServiceName
    rollout: RolloutId
    gate: RolloutGate
    approver: str
    decision: Decision
    role: str
    words: Digest | None = None
