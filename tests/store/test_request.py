"""Commit requests: asked once, answered once, found again by whoever starts anew."""

import os
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


def test_the_newest_answers_stay(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    requests = CommitRequests(state, most=2)
    asked = [CommitRequest(id=f"s-c{number}-0", service=ServiceName("s")) for number in range(4)]
    for second, request in enumerate(asked):
        requests.ask(request)
        requests.answer(request, {"source.a": second})
        assert requests.answered(request.id) == {"source.a": second}
        os.utime(state.path / "control" / "requests" / f"{request.id}.answer.json", (second, second))
    assert [requests.answered(one.id) for one in asked] == [None, None, {"source.a": 2}, {"source.a": 3}]
    requests.ask(asked[0])  # whoever needs it after all is answered anew
    assert requests.pending() == [asked[0]]
