from collections.abc import Iterator

import httpx
import pytest

from evertrain.testing.door import TOKEN, ControlPort, control_port


@pytest.fixture(scope="module")
def opened() -> Iterator[ControlPort]:
    with control_port() as port:
        yield port


@pytest.fixture
def port(opened: ControlPort) -> ControlPort:
    opened.actions.taken.clear()
    return opened


@pytest.fixture
def api(port: ControlPort) -> Iterator[httpx.Client]:
    """A program that bears the token."""
    with httpx.Client(base_url=port.address, headers={"authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
        yield client


@pytest.fixture
def browser(port: ControlPort) -> Iterator[httpx.Client]:
    """A person who has opened the link with the token."""
    accepts = {"accept": "text/html"}
    with httpx.Client(base_url=port.address, headers=accepts, follow_redirects=True, timeout=60) as client:
        assert client.get("/", params={"token": TOKEN}).status_code == 200
        yield client


@pytest.fixture
def stranger(port: ControlPort) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=port.address, timeout=60) as client:
        yield client
