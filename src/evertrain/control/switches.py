"""A person turns a service off and on, or pauses and resumes the rollout that is under way."""

from evertrain.control.answer import answered
from evertrain.control.step import Step, moved
from evertrain.core import event as facts
from evertrain.core.event import Event, OrderGiven
from evertrain.core.registry import Rollout, ServiceRecord
from evertrain.core.rollout import RolloutMove, RolloutState
from evertrain.core.time import Instant, say_instant

__all__ = ["SwitchDesk"]


class SwitchDesk:
    """Answers the orders to switch of one service at one instant of business time."""

    def __init__(self, record: ServiceRecord, now: Instant, *, watched: bool) -> None:
        self._record = record
        self._now = now
        self._watched = watched

    def off(self, event: Event, order: OrderGiven) -> Step:
        """Nothing answers from now on; versions stay loaded, and what is under way goes on."""
        if self._watched:
            return self._decline(event, f"{order.service} is only watched: whoever answers has to be turned off there.")
        if not self._record.enabled:
            return self._decline(event, f"{order.service} is off already. {self._record.notice}")
        at = say_instant(self._now)[:16].replace("T", " ")
        return self._switch(event, order, f"A person ({order.role}) turned it off at {at} UTC.", enabled=False)

    def on(self, event: Event, order: OrderGiven) -> Step:
        """What was turned off answers again."""
        if self._record.enabled:
            return self._decline(event, f"{order.service} is on already.")
        return self._switch(event, order, f"A person ({order.role}) turned it on again.", enabled=True)

    def pause(self, event: Event, order: OrderGiven) -> Step:
        """The version on trial gets no traffic; the champion answers everything."""
        rollout = self._record.open_rollout
        if rollout is None:
            return self._decline(event, "Nothing is on trial.")
        if rollout.champion is None:
            ordinal = self._record.versions[rollout.version].ordinal
            return self._decline(
                event, f"Version {ordinal} is not on trial: it enters whole, and nothing else answers."
            )
        if rollout.state is RolloutState.PAUSED:
            return self._decline(event, f"The rollout of {self._name(rollout)} is off already. {rollout.why}")
        if rollout.state is RolloutState.PENDING:
            return self._decline(event, f"The rollout of {self._name(rollout)} gets no traffic: it has not begun.")
        goes_on = self._record.versions[rollout.champion].ordinal
        reason = f"A person ({order.role}) turned the rollout of {self._name(rollout)} off"
        return self._move(event, rollout, "pause", f"{reason}; version {goes_on} answers everything.")

    def resume(self, event: Event, order: OrderGiven) -> Step:
        """A paused rollout prepares again, and takes up the step where it was."""
        rollout = self._record.open_rollout
        if rollout is None:
            return self._decline(event, "Nothing is on trial.")
        if rollout.state is not RolloutState.PAUSED:
            return self._decline(event, f"The rollout of {self._name(rollout)} is on already.")
        share = rollout.steps[max(rollout.step, 0)]
        reason = f"A person ({order.role}) turned the rollout of {self._name(rollout)} on again"
        return self._move(event, rollout, "resume", f"{reason}; once it is warm it gets {share:.0%} of the traffic.")

    def _switch(self, event: Event, order: OrderGiven, reason: str, *, enabled: bool) -> Step:
        switched = facts.ServiceSwitched(service=order.service, enabled=enabled, role=order.role, words=order.words)
        return answered(self._record, self._now, event, reason, switched)

    def _move(self, event: Event, rollout: Rollout, move: RolloutMove, reason: str) -> Step:
        return answered(self._record, self._now, event, reason, moved(self._record.service, rollout, move))

    def _decline(self, event: Event, reason: str) -> Step:
        return answered(self._record, self._now, event, reason, accepted=False)

    def _name(self, rollout: Rollout) -> str:
        return f"version {self._record.versions[rollout.version].ordinal}"
