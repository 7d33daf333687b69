"""A key that comes twice is seen, and nothing else is taken for one; so is how deep a body is nested."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.deploy.body import _STRING, nesting, refuse_repeated
from evertrain.errors import RequestError

SIGNS = st.text(alphabet='":\\ {}n1,\té', max_size=8)


@given(record=st.dictionaries(SIGNS, SIGNS | st.integers() | st.none(), max_size=4), indent=st.sampled_from([None, 1]))
def test_signs_in_a_text_are_no_keys(record: dict[str, object], indent: int | None) -> None:
    refuse_repeated(json.dumps(record, indent=indent).encode(), len(record))


@given(
    record=st.dictionaries(SIGNS, SIGNS | st.integers(), min_size=1, max_size=4),
    gap=st.sampled_from(["", " ", "\t ", "\r\n"]),
    data=st.data(),
)
def test_a_key_that_comes_twice_is_seen(record: dict[str, object], gap: str, data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(sorted(record)))
    pairs = [*record.items(), (twice, 5)]
    body = ",".join(f"{json.dumps(key)}{gap}:{json.dumps(value)}" for key, value in pairs)
    with pytest.raises(RequestError, match="comes twice in one record") as refusal:
        refuse_repeated(f"{{{body}}}".encode(), len(record))
    assert refusal.value.field == twice


@given(st.text(alphabet='[]{}" ,\\', max_size=40))
def test_the_depth_of_brackets_is_counted_outside_of_texts(body: str) -> None:
    depth = deepest = 0
    for sign in _STRING.sub(b"", body.encode()):
        depth += {91: 1, 123: 1, 93: -1, 125: -1}.get(sign, 0)
        deepest = max(deepest, depth)
    assert nesting(body.encode(), 0) == deepest


def test_megabytes_of_brackets_are_looked_at_in_no_time() -> None:
    """While they are, nobody else is answered."""
    body = b"[]" * (2 << 20)
    begun = time.process_time()
    assert nesting(body, 32) == 1
    assert time.process_time() - begun < 1.0  # one sign after the other in Python takes longer
