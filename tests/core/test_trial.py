"""The frames between a worker and a process on trial."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.model import Output
from evertrain.core.score import fault_of
from evertrain.core.time import Instant
from evertrain.core.trial import MAX_FRAME, Answer, Ask, Ping, Predict, Score, decode_ask, frame, frame_length
from evertrain.errors import RequestError

values = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
rows = st.lists(values, max_size=5).map(tuple)
asks = st.one_of(
    st.builds(Predict, id=st.text(), row=rows, at=st.integers(0, 2**53).map(Instant)),
    st.builds(Score, vectors=st.lists(rows, max_size=3).map(tuple)),
    st.just(Ping()),
)


@given(asks)
def test_a_request_is_read_back_as_it_was_sent(ask: Ask) -> None:
    sent = frame(ask)
    assert frame_length(sent[:4]) == len(sent) - 4
    assert decode_ask(sent[4:]) == ask


def test_an_answer_keeps_a_score_that_is_not_a_number() -> None:
    answer = msgspec.msgpack.decode(frame(Answer(ok=True, score=math.nan))[4:], type=Answer)
    assert isinstance(answer.score, float)
    assert math.isnan(answer.score)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", b"\x81\xa2op\xa4walk", b"\x91" * 100_000])
def test_a_frame_that_is_no_request_is_refused(payload: bytes) -> None:
    with pytest.raises(RequestError, match="no request"):
        decode_ask(payload)


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(RequestError, match="over the limit"):
        frame_length((MAX_FRAME + 1).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("score", "cause"),
    [(0.0, None), (1.0, None), (math.nan, "nan"), (math.inf, "nan"), (-0.1, "range"), (1.1, "range")],
)
def test_a_score_that_must_not_be_answered_has_a_cause(score: float, cause: str | None) -> None:
    fault = fault_of(score, Output())
    assert (fault and fault[0]) == cause
