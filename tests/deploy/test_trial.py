"""The worker's side of a trial, against real sockets that misbehave."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from evertrain.core.identity import VersionId
from evertrain.core.model import Output
from evertrain.core.routing import Arm
from evertrain.core.score import RowScore
from evertrain.core.time import Instant
from evertrain.core.trial import Answer, Predict, decode_ask, frame, frame_length
from evertrain.deploy.trial import AbsentError, Trials, socket_name
from evertrain.deploy.version import ScoreError

VERSION = VersionId("c" * 64)
ASKS = [Predict(id=f"p{number}", row=(number,), at=Instant(0)) for number in range(3)]
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(answer: Callable[[Predict], Answer]) -> Peer:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = frame_length(await reader.readexactly(4))
                ask = decode_ask(await reader.readexactly(length))
                assert isinstance(ask, Predict)
                writer.write(frame(answer(ask)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return peer


async def _peers_end(trials: Trials) -> None:
    """Hang up, and wait until the peers have noticed."""
    trials.keep(())
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=30)


def asked(folder: Path, peer: Peer, *, times: int = 1, deadline_s: float = 30.0) -> list[list[Answer]]:
    """Ask a peer over a real Unix socket, one time after the other."""

    async def go() -> list[list[Answer]]:
        trials = Trials(folder.joinpath)
        arm = Arm(version=VERSION, share=0.1, deadline_s=deadline_s)
        path = folder / socket_name("canary", VERSION, 0)
        server = await asyncio.start_unix_server(peer, path)
        try:
            return [await trials.ask("canary", arm, ASKS, Output()) for _ in range(times)]
        finally:
            await _peers_end(trials)
            server.close()

    return asyncio.run(go())


def test_answers_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    peer = answering(lambda ask: Answer(ok=True, score=(ask.row[0] or 0) / 10, vector=ask.row))  # type: ignore[operator]
    for answers in asked(tmp_path, peer, times=3):
        assert [answer.score for answer in answers] == [0.0, 0.1, 0.2]


def test_connections_are_used_again(tmp_path: Path) -> None:
    connections = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(lambda _: Answer(ok=True, score=0.5))(reader, writer)

    asked(tmp_path, counting, times=5)
    assert connections == 1


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(ok=False, cause="error", detail="KeyError: 'x'"), "error"),
        (Answer(ok=True, score=math.nan), "nan"),
        (Answer(ok=True, score=math.inf), "nan"),
        (Answer(ok=True, score=1.5), "range"),
    ],
)
def test_an_answer_that_is_none_has_a_cause(tmp_path: Path, answer: Answer, cause: str) -> None:
    with pytest.raises(ScoreError) as caught:
        asked(tmp_path, answering(lambda _: answer))
    assert caught.value.cause == cause


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def _hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(4)
    writer.close()


async def _babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(4)
    writer.write(b"\x00\x00\x00\x04oops")
    writer.close()


async def _boasting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(4)
    writer.write(b"\xff\xff\xff\xff")
    writer.close()


@pytest.mark.parametrize(
    ("peer", "cause"),
    [(_silent, "deadline"), (_hanging_up, "crash"), (_babbling, "protocol"), (_boasting, "protocol")],
)
def test_a_peer_that_misbehaves_costs_at_most_the_deadline(tmp_path: Path, peer: Peer, cause: str) -> None:
    assert cause_of(tmp_path, peer, deadline_s=0.5 if cause == "deadline" else 30.0) == cause


def cause_of(folder: Path, peer: Peer, deadline_s: float) -> str:
    """Why it does not answer. Who asks may be late at a deadline itself, on a full machine, and then asks again."""
    try:
        asked(folder, peer, deadline_s=deadline_s)
    except AbsentError:
        return cause_of(folder, peer, deadline_s)
    except ScoreError as error:
        return error.cause
    return "nothing"


def test_a_deadline_that_this_process_slept_through_is_held_against_nobody(tmp_path: Path) -> None:
    async def stands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        time.sleep(1.0)  # the whole loop stands, as where its process gets no processor
        await _silent(reader, writer)

    with pytest.raises(AbsentError):
        asked(tmp_path, stands, deadline_s=0.5)


def test_a_peer_that_comes_back_is_found_again(tmp_path: Path) -> None:
    async def go() -> list[RowScore]:
        trials = Trials(tmp_path.joinpath)
        arm = Arm(version=VERSION, share=0.1, deadline_s=30)
        path = tmp_path / socket_name("canary", VERSION, 0)
        scores = []
        for score in (0.25, 0.75):
            fixed = answering(lambda _, score=score: Answer(ok=True, score=score))  # type: ignore[misc]
            server = await asyncio.start_unix_server(fixed, path)
            scores.append((await trials.ask("canary", arm, ASKS, Output()))[0].score)
            await _peers_end(trials)
            server.close()
            path.unlink(missing_ok=True)
        return scores

    assert asyncio.run(go()) == [0.25, 0.75]


def test_a_peer_that_was_let_go_because_its_trial_ended_has_not_crashed(tmp_path: Path) -> None:
    async def go() -> None:
        path = tmp_path / socket_name("canary", VERSION, 0)
        trials = Trials(tmp_path.joinpath, lambda: trials.keep(()))
        trials.keep([path.name])
        server = await asyncio.start_unix_server(_hanging_up, path)
        with pytest.raises(AbsentError):
            await trials.ask("canary", Arm(version=VERSION, share=0.1, deadline_s=30), ASKS, Output())
        server.close()

    asyncio.run(go())


def test_what_a_peer_had_in_hand_when_it_ended_has_crashed_and_until_it_is_back_it_is_absent(tmp_path: Path) -> None:
    async def go() -> None:
        trials = Trials(tmp_path.joinpath)
        arm = Arm(version=VERSION, share=0.1, deadline_s=30)
        path = tmp_path / socket_name("canary", VERSION, 0)
        with pytest.raises(AbsentError):
            await trials.ask("canary", arm, ASKS, Output())
        for _ in range(2):
            server = await asyncio.start_unix_server(_hanging_up, path)
            with pytest.raises(ScoreError) as caught:
                await trials.ask("canary", arm, ASKS, Output())
            assert caught.value.cause == "crash"
            server.close()
            path.unlink(missing_ok=True)
            for _ in range(3):
                with pytest.raises(AbsentError):
                    await trials.ask("canary", arm, ASKS, Output())

    asyncio.run(go())


def test_a_connection_whose_trial_ends_while_it_answers_is_closed_behind_the_answer(tmp_path: Path) -> None:
    async def go() -> None:
        ended = asyncio.Event()

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in ASKS:
                await reader.readexactly(frame_length(await reader.readexactly(4)))
            trials.keep(())
            writer.write(frame(Answer(ok=True, score=0.5)) * len(ASKS))
            assert await reader.read() == b""
            writer.close()
            ended.set()

        trials = Trials(tmp_path.joinpath)
        path = tmp_path / socket_name("canary", VERSION, 0)
        trials.keep([path.name])
        server = await asyncio.start_unix_server(peer, path)
        answers = await trials.ask("canary", Arm(version=VERSION, share=0.1, deadline_s=30), ASKS, Output())
        assert [answer.score for answer in answers] == [0.5] * 3
        await asyncio.wait_for(ended.wait(), 30)
        server.close()

    asyncio.run(go())
