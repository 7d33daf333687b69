"""What a person does on the page or by the control API: each action is an order on record, and the loop takes it up."""

from evertrain.config.wording import suggestion
from evertrain.core.event import OrderGiven
from evertrain.core.identity import ServiceName
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.rehearsal import asked_for
from evertrain.errors import NotFoundError, UserError
from evertrain.process.steering.order import find_service, find_version, give_order
from evertrain.store.ledger import Ledger
from evertrain.store.state import State
from evertrain.web.reading import Accepted, Readings, Ruling, Switch

__all__ = ["OrderedActions"]

_ROLE = "operator"


class OrderedActions:
    """The `Actions` of an installation, for threads of the web. readings: they know the declared recipes."""

    def __init__(self, state: State, ledger: Ledger, readings: Readings) -> None:
        self._state = state
        self._ledger = ledger
        self._readings = readings

    def promote(self, service: ServiceName, version: str, reason: str) -> Accepted:
        record = self._record(service)
        found = find_version(record, version)
        if found == record.champion:
            ordinal = record.versions[found].ordinal
            raise UserError(f"Version {ordinal} of {service} serves already.", "Name another version.")
        words = self._ledger.keep_words(reason)
        return self._give(OrderGiven(service=service, verb="promote", role=_ROLE, words=words, version=found))

    def rollback(self, service: ServiceName, reason: str) -> Accepted:
        if self._record(service).champion is None:
            raise UserError(f"No version of {service} serves.", "There is nothing to take back.")
        words = self._ledger.keep_words(reason)
        return self._give(OrderGiven(service=service, verb="rollback", role=_ROLE, words=words))

    def retrain(self, service: ServiceName, recipe: str, reason: str) -> Accepted:
        recipes = self._readings.overview(service).recipes
        if not recipes:
            raise UserError(f"{service} declares no recipe.", "It serves model files: push a new one.")
        chosen = recipe or "default"
        if not asked_for(chosen, recipes):
            raise NotFoundError(f"{service} has no recipe {recipe!r}.", suggestion(recipe, recipes))
        words = self._ledger.keep_words(reason)
        return self._give(OrderGiven(service=service, verb="retrain", role=_ROLE, words=words, recipe=chosen))

    def switch(self, service: ServiceName, turn: Switch, reason: str) -> Accepted:
        self._record(service)
        words = self._ledger.keep_words(reason)
        return self._give(OrderGiven(service=service, verb=turn, role=_ROLE, words=words))

    def rule(self, service: ServiceName, ruling: Ruling, version: str, reason: str) -> Accepted:
        record = self._record(service)
        meant = find_version(record, version) if version else None
        words = self._ledger.keep_words(reason)
        return self._give(OrderGiven(service=service, verb=ruling, role=_ROLE, words=words, version=meant))

    def _record(self, service: ServiceName) -> ServiceRecord:
        """The service as the ledger has it now; the loop's own records belong to its thread."""
        return find_service(Registry(self._ledger.read()), service)

    def _give(self, order: OrderGiven) -> Accepted:
        event = give_order(self._state, self._ledger, order)
        return Accepted(
            sequence=event.sequence,
            says="The loop takes it up at its next look; its answer stands among the decisions.",
        )
