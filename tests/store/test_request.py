"""Commit requests: asked once, answered once, found again by whoever starts anew."""

from pathlib import Path

from evertrain.core.identity import ServiceName
from evertrain.store.request import CommitRequest, CommitRequests
from evertrain.store.state import State


def test_a_request_stands_until_it_is_answered(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    asking, answering = CommitRequests(state), CommitRequests(state)
    request = CommitRequest(id="s-c1-0", service=ServiceName("s"))
    assert answering.pending() == []
    asking.ask(request)
    asking.ask(request)
    assert answering.pending() == [request]
    assert asking.answered("s-c1-0") is None
    answering.answer(request, {"source.a": 3})
    assert asking.answered("s-c1-0") == {"source.a": 3}
    asking.ask(request)
    assert answering.pending() == []
