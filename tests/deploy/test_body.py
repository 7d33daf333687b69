"""A key that comes twice is seen, and nothing else is taken for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.deploy.body import refuse_repeated
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
