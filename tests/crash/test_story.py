"""A story does not depend on the speed of the machine, nor on what is killed while it is told."""

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from evertrain.core.time import HOUR, Instant
from evertrain.store.state import State
from evertrain.story.demo import Ending
from evertrain.testing.retelling import Retold, Victims, busy_cpu, tell
from evertrain.testing.tale import ShopTale

SOME = {
    10: ["supervisor"],
    24: ["data"],  # right before a bad commit is declared
    25: ["trainer"],
    51: ["controller"],  # its canary has just begun
    54: ["worker"],
    82: ["controller", "data"],
}
MANY = {
    10: ["supervisor"],
    14: ["controller"],
    18: ["data"],
    24: ["data"],
    25: ["trainer"],
    26: ["trainer"],
    27: ["trainer"],
    48: ["controller"],
    49: ["supervisor", "trainer"],
    51: ["controller"],
    52: ["data"],
    54: ["worker"],
    58: ["worker"],
    79: ["data", "trainer"],
    82: ["supervisor"],
    83: ["controller"],
    84: ["data"],
    90: ["worker", "controller", "data", "supervisor"],
}
POINTS = ("data.before_ledger:9", "data.before_cursor:3", "table.after_commit:7", "online.before_commit:40")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ending, Retold]:
    """The story as it goes when nobody is killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return tell(folder / "state", ShopTale(folder / "code"))


def broken(ending: Ending) -> list[str]:
    return [f"{promise.says}: {promise.figure}" for promise in ending.promises if not promise.kept]


def expect_same(disturbed: Retold, undisturbed: Retold) -> None:
    """Part by part, so that a difference is shown by its name."""
    for part in Retold.__struct_fields__:
        assert getattr(disturbed, part) == getattr(undisturbed, part), part


@pytest.mark.timeout(600)
def test_the_story_keeps_its_promises(told: tuple[Ending, Retold]) -> None:
    ending, retold = told
    assert broken(ending) == []
    assert ending.report.retried == 0
    assert [verdict for _, verdict in retold.verdicts] == ["health only", "fail", "pass", "pass"]
    assert {arm for _, _, arm in retold.scores.values()} == {"champion", "canary", "control"}
    outcomes = [outcome for _, kind, _, outcome in retold.decisions if kind == "cycle.moved"]
    assert outcomes == ["promoted", "refused", "rolled_back", "promoted"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("plan", [SOME, pytest.param(MANY, marks=pytest.mark.soak)], ids=["some", "many"])
def test_whoever_is_killed_while_the_machine_is_busy_the_story_is_the_same(
    told: tuple[Ending, Retold], tmp_path: Path, plan: dict[int, Sequence[str]]
) -> None:
    tale = ShopTale(tmp_path / "code")
    victims = Victims(tale, plan, delay=partial(random.Random(1).uniform, 0.0, 0.05))  # in the middle of requests
    with busy_cpu(1):
        ending, retold = tell(tmp_path / "state", tale, each_hour=victims)
    assert broken(ending) == []
    assert {"supervisor", "controller", "data", "trainer", "worker"} <= set(victims.killed)
    connections = 10  # eight of the requests, one of the labels, one of the steady load
    assert ending.report.retried <= connections * victims.killed.count("worker")
    expect_same(retold, told[1])


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", POINTS)
def test_a_data_process_that_dies_again_and_again_at_one_point_changes_nothing(
    told: tuple[Ending, Retold], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setenv("EVERTRAIN_CRASH_AT", point)
    ending, retold = tell(tmp_path / "state", ShopTale(tmp_path / "code"))
    assert broken(ending) == []
    expect_same(retold, told[1])


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_random_hours_change_nothing(told: tuple[Ending, Retold], tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = ("supervisor", "controller", "data", "trainer", "worker")
    plan = {hour: [chance.choice(names)] for hour in chance.sample(range(1, 96), 30)}
    tale = ShopTale(tmp_path / "code")
    victims = Victims(tale, plan, delay=partial(chance.uniform, 0.0, 1.0))
    ending, retold = tell(tmp_path / "state", tale, each_hour=victims)
    assert broken(ending) == []
    expect_same(retold, told[1])


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_killed_candidate_costs_no_answer(tmp_path: Path) -> None:
    """Its end is charged to the version that it ran: the decision may differ, what users get may not."""
    tale = ShopTale(tmp_path / "code")
    killed: list[Instant] = []

    def kill_candidates(state: State, now: Instant) -> None:
        names = [path.stem for path in state.processes.glob("canary-*.json")]
        if now - tale.begin > 72 * HOUR and names and len(killed) < 3:
            Victims(tale, {(now - tale.begin) // HOUR: names})(state, now)
            killed.append(now)

    ending, _ = tell(tmp_path / "state", tale, each_hour=kill_candidates)
    assert killed
    assert ending.report.failed == ending.report.mixed_versions == 0
    assert ending.report.predictions_logged == ending.report.predictions_answered
