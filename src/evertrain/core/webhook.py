"""What a webhook carries: an event as a CloudEvent, signed as Standard Webhooks say, and when to try it again.

CloudEvents 1.0, JSON format, structured mode. The signature is the HMAC-SHA256 of `id.timestamp.body`; see
https://www.standardwebhooks.com. Both have receivers' libraries in every language that people use.
"""

import base64
import hashlib
import hmac
from typing import Any, Literal

import msgspec

from evertrain.core.event import Event
from evertrain.core.time import say_instant

__all__ = ["Decided", "cloud_event", "headers_of", "lane_of", "pause_after", "read_decision"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 600.0
_LONGEST_REASON = 300
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/-_.~")


class Decided(msgspec.Struct, frozen=True):
    """What somebody who was asked answered."""

    decision: Literal["allow", "deny", "wait"]
    reason: str = ""


def cloud_event(event: Event, installation: str) -> bytes:
    """An event of the ledger as a CloudEvent. installation: the digest of its key, which makes ids unique."""
    fact: dict[str, Any] = msgspec.to_builtins(event.fact)
    kind = fact.pop("kind")
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": f"urn:evertrain:{installation[:16]}",
            "type": f"evertrain.{kind}",
            "subject": event.subject,
            "time": say_instant(event.at),
            "datacontenttype": "application/json",
            "sequence": f"{event.sequence:012d}",
            "data": {"sequence": event.sequence, "actor": event.actor, "reason": event.reason, **fact},
        }
    )


def headers_of(event: Event, body: bytes, secret: bytes, at_s: int) -> dict[str, str]:
    """The headers of one attempt. at_s: seconds since 1970 by the system's clock, which the receiver compares.

    >>> from evertrain.core.event import AlertCleared
    >>> from evertrain.core.time import Instant
    >>> told = AlertCleared(alert="disk")
    >>> event = Event(sequence=1, id="alert:1", at=Instant(0), actor="data", subject="disk", reason="", fact=told)
    >>> headers_of(event, b"{}", b"0" * 32, 1_700_000_000)["webhook-signature"]
    'v1,tFa7AGcnnAIkdm34jdZeTKEX8tSdWBmn7YqeuPlXJ7o='
    """
    name = _plain(event.id)
    signed = hmac.new(secret, b"%s.%d.%s" % (name.encode(), at_s, body), hashlib.sha256).digest()
    return {
        "content-type": "application/cloudevents+json; charset=utf-8",
        "user-agent": "evertrain",
        "webhook-id": name,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def _plain(text: str) -> str:
    """What may stand in a header, each other byte as `%` and two digits."""
    return "".join(
        each if each in _PLAIN else "".join(f"%{byte:02X}" for byte in each.encode("utf-8", "replace")) for each in text
    )


def lane_of(event: Event) -> str:
    """Events of one lane arrive in order: those of a service, and those of the machine ("")."""
    return str(getattr(event.fact, "service", ""))


def pause_after(attempts: int, chance: float, longest_s: float = _LONGEST_PAUSE_S) -> float:
    """Seconds until the next attempt. chance: uniform in [0, 1), so that many senders do not come back at once.

    >>> pause_after(1, 0.5), pause_after(4, 0.0), pause_after(400, 0.999) <= 600
    (0.75, 4.0, True)
    """
    whole = min(_FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30), longest_s)
    return whole * (0.5 + chance / 2)


def read_decision(body: bytes) -> Decided | None:
    """What the answer to a question decides; None when it is no such answer."""
    try:
        found = msgspec.json.decode(body, type=Decided)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    words = " ".join("".join(each if each.isprintable() else " " for each in found.reason).split())
    return Decided(found.decision, words[:_LONGEST_REASON])
