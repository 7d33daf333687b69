"""Which answers of two arms count as evidence about their latency: those that no pause can have hit together.

A process stands still for half a second, for whatever reason: a full machine, the garbage collector, a page from the
disk. Everything that it had to answer meanwhile is late, hundreds of requests perhaps. That is one event, which the
other arm might as well have had, and bets that took it for hundreds would take healthy versions back. So

- an answer counts when it was received after the last one of its arm that counts had been *answered*: a pause of any
  length is met once;
- of each arm one answer counts in a quarter of a second, with up to four in hand for requests that come in twos and
  threes (the generic cell rate algorithm of ITU-T I.371, by virtual scheduling): what makes a process slow for a second
  is met a few times;
- neither arm is further ahead of the other than a block has answers: where one has more traffic, its answers would be
  closer together, and the same pauses would be a smaller part of them.

Which answers count depends on when they came and on earlier answers of the same arm, so two arms that are alike have
the same chances. Little traffic loses next to nothing by it: of answers that come by chance, 1.7 a second, 94% count.
"""

from collections.abc import Iterable

import msgspec

from evertrain.core.bet import BLOCK
from evertrain.core.time import SECOND

__all__ = ["EVERY", "Lane", "Spacing", "Timed", "Turn"]

EVERY = SECOND // 4
"""Microseconds of an arm's time in which one answer counts, on the average."""

_IN_HAND = 4
_SETTLES = SECOND // 50
"""Microseconds that an arm has after an answer, to work off what was waiting behind it."""

_BACK = 60 * SECOND
"""An answer that was received so long before the last one is no late record: the clock was set back."""


class Timed(msgspec.Struct, frozen=True, array_like=True):
    """One answer of the canary or of the control arm. received: when it was asked for. score: None where not looked at.

    latency_us, received: microseconds.
    """

    on_canary: bool
    latency_us: int
    received: int
    score: float | None = None


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """When the last one of an arm that counts was received, and from when on the next one may be; microseconds.

    >>> turn = Turn().after(received=5_000_000, took=1_000_000)
    >>> turn.admits(5_900_000), turn.admits(6_000_000)
    (False, True)
    """

    last: int = 0
    until: int = 0

    def admits(self, received: int) -> bool:
        """Whether what was received then was asked for after the last one that counts was over."""
        return received >= self.until or self.is_set_back(received)

    def is_set_back(self, received: int) -> bool:
        """Whether the clock was set back since the last one: that one says nothing of what comes then."""
        return received < self.last - _BACK

    def after(self, received: int, took: int) -> "Turn":
        """The turn after one that counts. took: microseconds until it was over."""
        return Turn(received, received + took)


class Lane(msgspec.Struct, frozen=True, array_like=True):
    """Where one arm stands. seen, counted: answers. due: when the next one would be received, if those that count came
    evenly; microseconds.
    """

    seen: int = 0
    counted: int = 0
    turn: Turn = Turn()
    due: int = 0

    def admits(self, received: int) -> bool:
        """Whether an answer that was received then counts."""
        in_hand = received >= self.due - (_IN_HAND - 1) * EVERY
        return self.turn.admits(received) and (in_hand or self.turn.is_set_back(received))

    def after(self, answer: Timed) -> "Lane":
        """The arm after an answer that counts."""
        received = answer.received
        begun = received if self.turn.is_set_back(received) else max(self.due, received)
        turn = self.turn.after(received, answer.latency_us + _SETTLES)
        return Lane(seen=self.seen, counted=self.counted + 1, turn=turn, due=begun + EVERY)


class Spacing(msgspec.Struct, frozen=True, kw_only=True):
    """Where both arms stand. ahead: by how many answers the canary is ahead of the control arm since the last step.

    >>> answers = [Timed(True, 700, 10_000 * number) for number in range(300)]
    >>> counted, _ = Spacing().apart(answers)
    >>> [answer.received for answer in counted[:7]]
    [0, 30000, 60000, 90000, 250000, 500000, 750000]
    """

    canary: Lane = Lane()
    control: Lane = Lane()
    ahead: int = 0

    def apart(self, answers: Iterable[Timed]) -> "tuple[list[Timed], Spacing]":
        """Those of the answers that count, in their order, which is that in which they were received."""
        lanes, seen, ahead = [self.control, self.canary], [self.control.seen, self.canary.seen], self.ahead
        counted: list[Timed] = []
        for answer in answers:
            arm, way = int(answer.on_canary), 1 if answer.on_canary else -1
            seen[arm] += 1
            if ahead * way < BLOCK and lanes[arm].admits(answer.received):
                lanes[arm] = lanes[arm].after(answer)
                ahead += way
                counted.append(answer)
        control, canary = (msgspec.structs.replace(lane, seen=many) for lane, many in zip(lanes, seen, strict=True))
        return counted, Spacing(canary=canary, control=control, ahead=ahead)

    def even(self) -> "Spacing":
        """Neither arm ahead, as after a step."""
        return msgspec.structs.replace(self, ahead=0)
