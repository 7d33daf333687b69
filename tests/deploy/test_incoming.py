"""However its bytes come, a stream of requests is read as the same requests, within the same bounds."""

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.deploy.body import Intake
from evertrain.deploy.incoming import CodingError, ExpectationError, HeadBounds, HeadError, Incoming, StalledError
from evertrain.errors import CapacityError, RequestError, TooLargeError

STREAM = (
    b"POST /predict/a%20b?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
    b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n"
    b"POST /labels/s HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nauthorization: Bearer stolen\r\n\r\n"
    b"HEAD http://127.0.0.1:80/v2/health/live HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"
)


def read(*parts: bytes, most: int = 100, fields: int = 20, size: int = 1000) -> Incoming:
    incoming = Incoming(Intake(max_bytes=most), HeadBounds(size=size, fields=fields))
    for part in parts:
        incoming.feed(part)
    return incoming


def test_requests_are_read_in_order_with_all_that_belongs_to_them() -> None:
    incoming = read(STREAM)
    assert incoming.fault is None
    assert not incoming.partial
    found = [
        (asked.request.method, asked.request.path, asked.request.body, asked.keep, asked.old)
        for asked in incoming.whole
    ]
    assert found == [
        ("POST", "/predict/a b", b"hello", True, False),
        ("GET", "/v2", b"", True, False),
        ("POST", "/labels/s", b"abcde", True, False),
        ("HEAD", "/v2/health/live", b"", True, True),
    ]
    assert incoming.whole[0].request.headers[b"x-a"] == b"1, 2"


def test_a_trailer_is_never_taken_for_a_header() -> None:
    assert b"authorization" not in read(STREAM).whole[2].request.headers


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[start:end] for start, end in pairwise(places)]
    asked = [(found.request.path, found.request.headers, found.request.body) for found in read(*parts).whole]
    assert asked == [(found.request.path, found.request.headers, found.request.body) for found in read(STREAM).whole]


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_damaged_bytes_end_in_a_fault_or_in_requests_and_hold_nothing(seed: int, damages: int) -> None:
    chance = random.Random(seed)
    damaged = bytearray(STREAM)
    for _ in range(damages):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    intake = Intake(max_bytes=100, max_total_bytes=200)
    incoming = Incoming(intake, HeadBounds(size=1000, fields=20))
    for place in range(0, len(damaged), 7):
        incoming.feed(bytes(damaged[place : place + 7]))
    incoming.end()
    assert all(len(asked.request.body) <= 100 for asked in incoming.whole)
    assert intake.hold(100, 0) + intake.hold(100, 0) == 200  # all of its memory is free again


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"nonsense\r\n\r\n", RequestError, "not a valid HTTP request"),
        (b"GET /v2 HTTP/1.1\r\n\r\n", RequestError, "no Host header"),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\nexpect: a-miracle\r\n\r\n", ExpectationError, "expects"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n", CodingError, "'gzip, chunked'"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 101\r\n\r\n", TooLargeError, "limit of 100 bytes"),
        (b"GET /" + b"a" * 1000 + b" HTTP/1.1\r\n", HeadError, "over 1000 bytes"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"a" * 1000, HeadError, "over 1000 bytes"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 30 + b"\r\n", HeadError, "20 fields"),
    ],
)
def test_what_is_refused_says_why(content: bytes, kind: type[RequestError], said: str) -> None:
    for parts in ([content], [content[place : place + 1] for place in range(len(content))]):
        incoming = read(*parts)
        assert type(incoming.fault) is kind
        assert said in str(incoming.fault)
        assert incoming.over
        assert not incoming.whole


def test_a_body_without_a_declared_length_is_bounded_all_the_same() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"20\r\n" + b"x" * 32 + b"\r\n"
    assert read(head, *[chunk] * 3).fault is None
    assert type(read(head, *[chunk] * 4).fault) is TooLargeError
    assert type(read(head + b"80\r\n" + b"x" * 128).fault) is TooLargeError


def test_bodies_that_are_being_received_share_one_bound() -> None:
    intake = Intake(max_bytes=100, max_total_bytes=200)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
    begun = [Incoming(intake, HeadBounds()) for _ in range(3)]
    for incoming in begun:
        incoming.feed(head + b"x" * 40)
        incoming.feed(b"x" * 40)
    assert [type(incoming.fault) for incoming in begun] == [type(None), type(None), CapacityError]
    begun[0].end()
    another = Incoming(intake, HeadBounds())
    another.feed(head + b"x" * 40)
    another.feed(b"x" * 60)
    assert another.whole.pop().request.body == b"x" * 100


def test_after_a_fault_nothing_is_heard() -> None:
    incoming = read(b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\nGET")
    incoming.stop(StalledError("Too slow."))
    incoming.feed(b" /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
    assert len(incoming.whole) == 1
    assert str(incoming.fault) == "Too slow."
    incoming.stop(RequestError("Another."))
    assert str(incoming.fault) == "Too slow."


def test_a_head_is_as_large_as_it_is_wherever_it_is_cut() -> None:
    head = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"a%d: %s\r\n" % (n, b"b" * 95) for n in range(9)) + b"\r\n"
    assert 900 < len(head) < 1000
    for place in range(1, len(head)):
        assert read(head[:place], head[place:]).fault is None
    assert read(*[head[place : place + 1] for place in range(len(head))]).fault is None


def test_what_came_before_a_head_is_no_part_of_it() -> None:
    first = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 600\r\n\r\n"
    incoming = read(first, b"x" * 600 + first[:20], first[20:] + b"x" * 600, most=600, size=200)
    assert incoming.fault is None
    assert len(incoming.whole) == 2


@pytest.mark.parametrize("begun", [b"0\r\nx: ", b"1;"], ids=["a trailer", "an extension of a chunk"])
def test_what_the_parser_says_nothing_of_is_bounded_behind_the_head_too(begun: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert read(head, begun, *[b"a" * 100] * 9).fault is None
    assert type(read(head, begun, *[b"a" * 100] * 12).fault) is HeadError


def test_a_request_that_is_no_request_gives_its_memory_back_once() -> None:
    intake = Intake(max_bytes=100, max_total_bytes=200)
    for _ in range(3):
        incoming = Incoming(intake, HeadBounds())
        incoming.feed(b"POST http://x:99999999/ HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n" + b"x" * 50)
        incoming.feed(b"x" * 50)
        assert "no path" in str(incoming.fault)
    assert intake.hold(100, 0) + intake.hold(100, 0) == 200
    with pytest.raises(CapacityError):
        intake.hold(1, 0)


def test_a_body_of_very_many_pieces_is_read_in_a_moment() -> None:
    pieces = 100_000
    stream = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * pieces
    begun = time.process_time()
    incoming = read(*[stream[place : place + 65_536] for place in range(0, len(stream), 65_536)], most=pieces)
    incoming.feed(b"0\r\n\r\n")
    assert incoming.whole.pop().request.body == b"x" * pieces
    assert time.process_time() - begun < 10


def test_after_a_fault_a_request_that_follows_begins_nothing() -> None:
    incoming = read(b"GET /v2 HTTP/1.1\r\n\r\nGET /v2 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n")
    assert "no Host" in str(incoming.fault)
    assert (incoming.partial, incoming.expects, len(incoming.whole)) == (False, False, 0)


@pytest.mark.parametrize(("size", "enough"), [(0, 17), (30, 4), (100, 2)])
def test_what_waits_is_bounded_in_number_and_in_size(size: int, enough: int) -> None:
    one = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
    assert not read(one * (enough - 1)).crowded
    assert read(one * enough).crowded
