"""The questions that a hook is asked: what waits for its answer now, and its answer on record.

A question is sent like any other message, again and again until it is answered, until a person has decided in its
place, or until its time is over; from then on the rollout waits for a person, or goes by what was declared.
"""

import random
import time
from collections.abc import Callable

from evertrain.config.hook import Hook
from evertrain.core.approval import ApprovalAsked, ApprovalGiven
from evertrain.core.event import Draft, Event, RolloutMoved
from evertrain.core.time import Instant
from evertrain.core.webhook import Decided, pause_after, read_decision
from evertrain.process.controller.post import Posted
from evertrain.store.hook import Failing
from evertrain.store.ledger import Ledger

__all__ = ["QUESTION", "QUESTION_KINDS", "Questions"]

QUESTION_KINDS = ("approval.asked", "approval.given", "rollout.moved")

QUESTION = "the question "
"""How the name of each question begins, among what a hook could not be told."""

_WAIT_S = 10.0
"""After "wait" it is asked again so much later; a question that failed, at most so much later."""
_ENDS = ("promote", "abort", "roll back")
_NO_DECISION = 'it answered without a decision: {"decision": "allow"}, "deny" or "wait", with a "reason"'

_Key = tuple[str, str]


class Questions:
    """Folds the ledger's events, and asks what is open. One thread uses it. now: the business time.

    trouble: by question, why there is no answer.
    """

    def __init__(self, hook: Hook, ledger: Ledger, send: Callable[[Event], Posted], now: Callable[[], Instant]) -> None:
        self._hook = hook
        self._ledger = ledger
        self._send = send
        self._now = now
        self._open: dict[_Key, Event] = {}
        self._due: dict[_Key, float] = {}
        self._attempts: dict[_Key, int] = {}
        self._chance = random.Random()
        self.trouble: dict[str, Failing] = {}

    def fold(self, event: Event) -> None:
        """Take in the next event."""
        fact = event.fact
        match fact:
            case ApprovalAsked() if fact.approver == self._hook.approver:
                self._open[fact.rollout, fact.gate] = event
            case ApprovalGiven() if fact.approver == self._hook.approver:
                self._close((fact.rollout, fact.gate))
            case RolloutMoved() if fact.move in _ENDS:
                for key in [key for key in self._open if key[0] == fact.rollout]:
                    self._close(key)
            case _:
                pass

    def is_its_own(self, event: Event) -> bool:
        """Whether an event is a question to this hook, which is asked and not only told."""
        return isinstance(event.fact, ApprovalAsked) and event.fact.approver == self._hook.approver

    def look(self) -> bool:
        """Ask one question, if one is due. Whether there was one."""
        now, tick = self._now(), time.monotonic()
        for key, event in self._open.items():
            fact = event.fact
            if not isinstance(fact, ApprovalAsked) or now >= fact.until:
                self.trouble.pop(_lane(key), None)  # it is asked no more
                continue
            if self._due.get(key, tick) <= tick:
                self._ask(key, event, fact)
                return True
        return False

    def _ask(self, key: _Key, event: Event, fact: ApprovalAsked) -> None:
        sent = self._send(event)
        decided = None if sent.trouble else read_decision(sent.body)
        trouble = sent.trouble or ("" if decided is not None else _NO_DECISION)
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        if decided is None:
            self.trouble[_lane(key)] = Failing(
                sequence=event.sequence, since_s=event.at / 1e6, attempts=attempts, error=trouble
            )
            self._due[key] = time.monotonic() + pause_after(attempts, self._chance.random(), _WAIT_S)
            return
        self.trouble.pop(_lane(key), None)
        if decided.decision == "wait":
            self._due[key] = time.monotonic() + _WAIT_S
            return
        self._answer(fact, decided)
        self._close(key)

    def _answer(self, fact: ApprovalAsked, decided: Decided) -> None:
        did = "allows" if decided.decision == "allow" else "denies"
        self._ledger.append(
            Draft(
                id=f"{fact.rollout}:approval:{fact.gate}:{fact.approver}:answered",
                at=self._now(),
                actor=fact.approver,
                subject=f"rollout/{fact.rollout}",
                reason=f"{fact.approver} {did} the {fact.gate}.",
                fact=ApprovalGiven(
                    service=fact.service,
                    rollout=fact.rollout,
                    gate=fact.gate,
                    approver=fact.approver,
                    decision="allow" if decided.decision == "allow" else "deny",
                    role="hook",
                    words=self._ledger.keep_words(decided.reason) if decided.reason else None,
                ),
            )
        )

    def _close(self, key: _Key) -> None:
        self._open.pop(key, None)
        self._due.pop(key, None)
        self._attempts.pop(key, None)
        self.trouble.pop(_lane(key), None)


def _lane(key: _Key) -> str:
    return f"{QUESTION}before the {key[1]} of {key[0]}"
