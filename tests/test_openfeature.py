"""The OpenFeature provider, as application code uses it: through the real SDK, from a real control port."""

import threading
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from evertrain.core.cohort import arm_of
from evertrain.core.flag import ServiceFlags
from evertrain.core.identity import RolloutId, ServiceName, VersionId
from evertrain.core.routing import Arm, Route
from evertrain.errors import UserError
from evertrain.openfeature import Provider
from evertrain.testing.door import ControlPort, control_port
from evertrain.testing.tree import free_port, wait_until

CHAMPION, TRIAL = VersionId("a" * 64), VersionId("b" * 64)
ROUTE = Route(
    service=ServiceName("churn"),
    champion=CHAMPION,
    canary=Arm(version=TRIAL, share=0.25, deadline_s=1.0),
    control=Arm(version=CHAMPION, share=0.25, deadline_s=1.0),
    rollout=RolloutId("churn/r2"),
    salt="churn/r2",
)
CHURN = ServiceFlags.of(ROUTE, ("customer",), {CHAMPION: 1, TRIAL: 2})
WHOLE = ServiceFlags.of(msgspec.structs.replace(ROUTE, canary=None, control=None, rollout=None), (), {CHAMPION: 1})


@pytest.fixture
def port() -> Iterator[ControlPort]:
    with control_port() as made:
        made.readings.switches = (CHURN,)
        yield made


@pytest.fixture
def client(port: ControlPort) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(Provider(port.address, refresh_s=0.05, timeout_s=30))
    yield api.get_client()
    api.clear_providers()


def test_a_model_is_on_until_somebody_turns_it_off(port: ControlPort, client: OpenFeatureClient) -> None:
    found = client.get_boolean_details("models.churn", False)
    assert (found.value, found.variant, found.reason) == (True, "on", Reason.STATIC)
    off = msgspec.structs.replace(CHURN, enabled=False, notice="A person (operator) turned it off.")
    port.readings.switches = (off,)
    wait_until(lambda: not client.get_boolean_value("models.churn", True), "the switch")
    found = client.get_boolean_details("models.churn", True)
    assert found.flag_metadata["notice"] == "A person (operator) turned it off."
    version = client.get_string_details("models.churn.version", "mine", EvaluationContext("c17"))
    assert (version.value, version.reason) == ("mine", Reason.DISABLED)


def test_each_entity_is_told_the_version_that_the_worker_assigns_it(client: OpenFeatureClient) -> None:
    versions = {"champion": CHAMPION, "control": CHAMPION, "canary": TRIAL}
    seen = set()
    for number in np.random.default_rng(3).integers(0, 10**9, 300):
        key = f"c{number}"
        found = client.get_string_details("models.churn.version", "", EvaluationContext(key))
        arm = arm_of(ROUTE, key)
        assert (found.value, found.variant, found.reason) == (versions[arm], arm, Reason.SPLIT)
        assert found.flag_metadata["ordinal"] == (2 if arm == "canary" else 1)
        seen.add(arm)
    assert seen == set(versions)


def test_a_key_of_columns_is_put_together_as_the_worker_does(port: ControlPort, client: OpenFeatureClient) -> None:
    port.readings.switches = (msgspec.structs.replace(CHURN, key=("carrier", "flight")),)
    wait_until(lambda: port.readings.switches[0] in _known(), "the new key")
    flights: list[dict[str, str | int]] = [{"carrier": "UA", "flight": number} for number in range(40)]
    for flight in flights:
        found = client.get_string_details("models.churn.version", "", EvaluationContext(attributes=flight))
        assert found.variant == arm_of(ROUTE, f'["UA",{flight["flight"]}]')


def _known() -> list[ServiceFlags]:
    provider = api.get_client().provider
    assert isinstance(provider, Provider)
    return list(provider._known.values())


def test_whether_a_rollout_gets_traffic_is_a_flag_of_its_own(port: ControlPort, client: OpenFeatureClient) -> None:
    assert client.get_boolean_value("models.churn.rollout", False)
    port.readings.switches = (WHOLE,)
    wait_until(lambda: not client.get_boolean_value("models.churn.rollout", True), "the end of the rollout")
    found = client.get_string_details("models.churn.version", "")
    assert (found.value, found.variant, found.reason) == (CHAMPION, "champion", Reason.STATIC)


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("models.fraud", ErrorCode.FLAG_NOT_FOUND),
        ("models.churn.other", ErrorCode.FLAG_NOT_FOUND),
        ("churn", ErrorCode.FLAG_NOT_FOUND),
        ("", ErrorCode.FLAG_NOT_FOUND),
        ("models.churn.version", ErrorCode.TYPE_MISMATCH),
    ],
)
def test_what_is_no_such_flag_gives_the_default_and_says_why(
    client: OpenFeatureClient, flag: str, code: ErrorCode
) -> None:
    found = client.get_boolean_details(flag, True)
    assert (found.value, found.reason, found.error_code) == (True, Reason.ERROR, code)


def test_every_other_type_and_a_missing_key_give_the_default_and_say_why(client: OpenFeatureClient) -> None:
    assert client.get_string_details("models.churn", "x").error_code is ErrorCode.TYPE_MISMATCH
    assert client.get_integer_details("models.churn", 7).error_code is ErrorCode.TYPE_MISMATCH
    assert client.get_float_details("models.churn", 7.5).error_code is ErrorCode.TYPE_MISMATCH
    assert client.get_object_details("models.churn", {"x": 1}).error_code is ErrorCode.TYPE_MISMATCH
    found = client.get_string_details("models.churn.version", "x")
    assert (found.value, found.error_code) == ("x", ErrorCode.TARGETING_KEY_MISSING)


def test_changes_are_events_of_the_sdk(port: ControlPort, client: OpenFeatureClient) -> None:
    told: list[str] = []
    heard = threading.Event()

    def note(details: EventDetails) -> None:
        told.extend(details.flags_changed or [])
        heard.set()

    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, note)
    port.readings.switches = (WHOLE,)
    assert heard.wait(120)
    assert told == ["models.churn", "models.churn.rollout", "models.churn.version"]


def test_when_the_port_falls_silent_the_last_values_go_on_and_say_so_until_it_is_back() -> None:
    number = free_port()
    with control_port(number=number) as port:
        port.readings.switches = (CHURN,)
        api.set_provider_and_wait(Provider(port.address, refresh_s=0.05, timeout_s=2))
        client = api.get_client()
        assert client.get_boolean_details("models.churn", False).reason == Reason.STATIC
    try:
        wait_until(lambda: client.get_provider_status() is ProviderStatus.STALE, "the stale state")
        found = client.get_boolean_details("models.churn", False)
        assert (found.value, found.reason) == (True, Reason.STALE)
        with control_port(number=number) as port:
            port.readings.switches = (msgspec.structs.replace(CHURN, enabled=False),)
            wait_until(lambda: client.get_provider_status() is ProviderStatus.READY, "the port")
            assert not client.get_boolean_value("models.churn", True)
    finally:
        api.clear_providers()


def test_without_a_port_the_default_holds_and_it_is_ready_once_there_is_one() -> None:
    number = free_port()
    api.set_provider(Provider(f"http://127.0.0.1:{number}", refresh_s=0.05, timeout_s=2))
    client = api.get_client()
    try:
        found = client.get_boolean_details("models.churn", True)
        assert (found.value, found.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
        with control_port(number=number) as port:
            port.readings.switches = (CHURN,)
            wait_until(lambda: client.get_boolean_details("models.churn", False).value, "the port")
    finally:
        api.clear_providers()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="no control port"):
        Provider("file:///etc/passwd")
