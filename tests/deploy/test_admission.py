"""How long an answer may take, as a client or the proxy in front of it says."""

import pytest

from evertrain.deploy.admission import deadline_of
from evertrain.errors import RequestError


@pytest.mark.parametrize(
    ("headers", "within_ms"),
    [
        ({}, 60_000),
        ({b"x-evertrain-timeout-ms": b"250"}, 250),
        ({b"x-envoy-expected-rq-timeout-ms": b"0000000250"}, 250),
        ({b"x-evertrain-timeout-ms": b"86400000"}, 60_000),
    ],
)
def test_nobody_waits_longer_than_is_said_or_set(headers: dict[bytes, bytes], within_ms: int) -> None:
    assert deadline_of(headers, 7, 60.0) == 7 + within_ms * 1_000_000


@pytest.mark.parametrize(
    "said", [b"0", b"-5", b"1.5", b"1e3", b" ", b"86400001", b"0000000001" + b"0" * 5_000, b"1" * 5_000]
)
def test_what_is_no_number_of_milliseconds_is_refused(said: bytes) -> None:
    with pytest.raises(RequestError, match="no number of milliseconds"):
        deadline_of({b"x-evertrain-timeout-ms": said}, 0, 60.0)
