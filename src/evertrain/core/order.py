"""Facts of the ledger about what people ask of the loop, and what comes of it at once.

All other facts of services stand in `core.event`, which offers these as well.
"""

from typing import Literal

import msgspec

from evertrain.core.identity import Digest, ServiceName, VersionId

__all__ = ["OrderAnswered", "OrderGiven", "ServiceSwitched", "Verb"]

Verb = Literal["retrain", "promote", "rollback", "import", "off", "on", "pause", "resume", "approve", "deny"]
"""What a person may ask for. off, on: of the whole service; the last four: of the rollout that is under way."""


class _Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of the facts here; each names its tag."""


class OrderGiven(_Fact, frozen=True, kw_only=True, tag="order.given"):
    """A person asked for something, through a command or the page. words: digest of the reason that they typed.

    version: what is promoted, imported, approved or denied; of the last two None is whichever waits. shadow: what is
    imported is to stay in shadow until a person promotes it.
    """

    service: ServiceName
    verb: Verb
    role: str
    words: Digest
    version: VersionId | None = None
    recipe: str = "default"
    shadow: bool = False


class OrderAnswered(_Fact, frozen=True, kw_only=True, tag="order.answered"):
    """The loop took an order up, or refused it; the event's reason says which and why. order: its sequence."""

    service: ServiceName
    order: int
    accepted: bool


class ServiceSwitched(_Fact, frozen=True, kw_only=True, tag="service.switched"):
    """A person turned a service off, or on again. words: digest of the reason that they typed."""

    service: ServiceName
    enabled: bool
    role: str
    words: Digest
