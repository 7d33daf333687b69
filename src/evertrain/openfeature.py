"""An OpenFeature provider: application code asks whether a model is on, and which version answers whom.

    from openfeature import api
    from evertrain.openfeature import Provider

    api.set_provider_and_wait(Provider("http://127.0.0.1:8081"))
    if api.get_client().get_boolean_value("models.churn", True):
        ...

Needs `pip install 'evertrain[openfeature]'`. What is evaluated was read from the control port at most `refresh_s` ago,
on a thread of its own: an evaluation costs no request. When the port is silent the last known values go on, and say so
by the reason STALE.

    models.NAME           boolean  whether the service answers; False where a person turned it off
    models.NAME.rollout   boolean  whether a version on trial gets a share of the traffic
    models.NAME.version   string   the version that answers the entity of the targeting key; the variant is its arm
"""

import http.client
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import (
    FlagNotFoundError,
    ProviderNotReadyError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from evertrain.core.flag import ServiceFlags, assigned, key_in
from evertrain.errors import UserError

__all__ = ["Provider"]

_PREFIX = "models."
_MOST_BYTES = 8 << 20
_MISSED = 3
"""After so many readings in a row that did not come, what is known counts as stale."""

_SILENT = (OSError, http.client.HTTPException, msgspec.MsgspecError, ValueError)

Value = TypeVar("Value")


class _Read(msgspec.Struct, frozen=True):
    """The body of `GET /flags`."""

    services: tuple[ServiceFlags, ...]


class Provider(AbstractProvider):
    """Reads the flags of one installation. Safe for all threads; goes on in the children of a process that forks.

    address: of the control port. refresh_s: between two readings; timeout_s: of each of them.
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8081", *, refresh_s: float = 0.5, timeout_s: float = 2.0
    ) -> None:
        super().__init__()
        if urlsplit(address).scheme not in ("http", "https") or refresh_s <= 0 or timeout_s <= 0:
            raise UserError(f"{address!r} with these times is no control port.", "Give http://HOST:PORT.")
        self._url = f"{address.rstrip('/')}/flags"
        self._refresh_s = refresh_s
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._known: Mapping[str, ServiceFlags] = {}
        self._read_at = float("-inf")
        self._stale = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    # The provider's life --------------------------------------------------------------------------------------------

    def get_metadata(self) -> Metadata:
        return Metadata(name="evertrain")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Read once, and go on reading. ProviderNotReadyError while the port is silent; it is ready by itself later."""
        self._stopping.clear()
        try:
            self._read()
        except _SILENT as error:
            self._stale = True
            raise ProviderNotReadyError(f"{self._url} does not tell the flags: {error}") from error
        finally:
            self._follow()

    def shutdown(self) -> None:
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._timeout_s + 1.0)
        self._thread = None

    def _follow(self) -> None:
        """See that somebody reads: at first, and in the child of a fork, where no thread lives."""
        with self._starting:
            if not self._stopping.is_set() and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, name="evertrain flags", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(self._refresh_s):
            try:
                changed = self._read()
            except _SILENT as error:
                if self._is_late and not self._stale:
                    self._stale = True
                    self._tell(ProviderEvent.PROVIDER_STALE, message=f"{self._url} is silent: {error}")
                continue
            if self._stale:
                self._stale = False
                self._tell(ProviderEvent.PROVIDER_READY)
            if changed:
                self._tell(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, changed)

    def _tell(self, event: ProviderEvent, changed: list[str] | None = None, message: str | None = None) -> None:
        emit = getattr(self, "_on_emit", None)
        if emit is not None:
            emit(self, event, ProviderEventDetails(flags_changed=changed, message=message))

    def _read(self) -> list[str]:
        """Read the flags; returns the names of those that changed. One of _SILENT where they cannot be had."""
        with self._opener.open(self._url, timeout=self._timeout_s) as answer:
            body = answer.read(_MOST_BYTES)
        known = {str(one.service): one for one in msgspec.json.decode(body, type=_Read).services}
        before, self._known = self._known, known
        self._read_at = time.monotonic()
        changed = [name for name in {*before, *known} if before.get(name) != known.get(name)]
        return sorted(f"{_PREFIX}{name}{rest}" for name in changed for rest in ("", ".rollout", ".version"))

    @property
    def _is_late(self) -> bool:
        return time.monotonic() - self._read_at > _MISSED * self._refresh_s + self._timeout_s

    # Flags ----------------------------------------------------------------------------------------------------------

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        service, what = self._find(flag_key, ("", "rollout"))
        on = service.splits if what == "rollout" else service.enabled
        return self._resolved(service, on, variant="on" if on else "off", reason=Reason.STATIC)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """The default, with the reason DISABLED, where nothing answers."""
        service, _ = self._find(flag_key, ("version",))
        context = evaluation_context or EvaluationContext()
        values = {
            name: value for name, value in context.attributes.items() if isinstance(value, str | int | float | bool)
        }
        key = key_in(service, context.targeting_key or "", values)
        found = assigned(service, key) if service.enabled else None
        if found is None:
            return self._resolved(service, default_value, variant=None, reason=Reason.DISABLED)
        if service.splits and not key:
            raise TargetingKeyMissingError(f"Two versions of {service.service} answer: give the entity's key.")
        version, arm = found
        reason = Reason.SPLIT if service.splits else Reason.STATIC
        return self._resolved(service, str(version), variant=arm, reason=reason, ordinal=service.ordinals.get(version))

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        raise self._mistyped(flag_key)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        raise self._mistyped(flag_key)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        raise self._mistyped(flag_key)

    def _find(self, flag_key: str, wanted: tuple[str, ...]) -> tuple[ServiceFlags, str]:
        """The service of a flag, and which of its flags it is. FlagNotFoundError, or TypeMismatchError by its type."""
        self._follow()
        if self._read_at == float("-inf"):
            raise ProviderNotReadyError(f"{self._url} has not told the flags yet.")
        name, _, what = flag_key.removeprefix(_PREFIX).partition(".")
        service = self._known.get(name) if flag_key.startswith(_PREFIX) else None
        if service is None or what not in ("", "rollout", "version"):
            raise FlagNotFoundError(f"There is no flag {flag_key!r}.")
        if what not in wanted:
            raise TypeMismatchError(f"{flag_key} is {'a text' if what == 'version' else 'a yes or no'}.")
        return service, what

    def _mistyped(self, flag_key: str) -> Exception:
        self._find(flag_key, ("", "rollout", "version"))
        return TypeMismatchError(f"{flag_key} is no number and no object.")

    def _resolved(
        self, service: ServiceFlags, value: Value, *, variant: str | None, reason: Reason, ordinal: int | None = None
    ) -> FlagResolutionDetails[Value]:
        told: dict[str, bool | int | float | str] = {"service": str(service.service), "share": service.share}
        if service.notice:
            told["notice"] = service.notice
        if service.rollout is not None:
            told["rollout"] = str(service.rollout)
        if ordinal is not None:
            told["ordinal"] = ordinal
        return FlagResolutionDetails(
            value=value, reason=Reason.STALE if self._is_late else reason, variant=variant, flag_metadata=told
        )
