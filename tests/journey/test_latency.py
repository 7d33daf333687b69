"""A push that answers right but late: latency alone takes it back, by the wall clock.

A story never decides on latency, so this is where the whole way from a measured microsecond to a rollback is walked.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evertrain.core.registry import Rollout, ServiceRecord
from evertrain.testing.served import Customers, Served

FAST = "def predict(rows):\n    return [0.25 + row['a'] / 100 for row in rows]\n"
AS_FAST = FAST.replace("/ 100", "/ 90")
SLOW = f"import time\n\n\n{FAST}".replace("    return", "    time.sleep(0.03)\n    return")
CUSTOMERS = 12
"""So few that all of them in one queue for the slow version are answered well within a canary's deadline of 1 s."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server without a past: the less traffic a day has, the sooner a share is admitted."""
    made = Served(tmp_path, "fast.py")
    for name, source in (("fast.py", FAST), ("as_fast.py", AS_FAST), ("slow.py", SLOW)):
        (made.folder / name).write_text(source)
    try:
        made.serve()
        yield made
    finally:
        made.end()


def pushed(served: Served, file: str) -> tuple[ServiceRecord, Rollout]:
    """What became of a file that is pushed while customers ask; not one of them may get a bad answer."""
    version = served.push(file)
    with Customers(served.port, CUSTOMERS) as customers:
        record = served.settle(version)
    assert customers.bad[:3] == []
    assert customers.answered[version] > 0
    assert served.failures(version) <= {"deadline"}  # within which a machine that stalls does not answer
    [rollout] = [one for one in record.rollouts.values() if one.version == version]
    return record, rollout


def test_a_push_that_is_as_fast_is_promoted(served: Served) -> None:
    record, rollout = pushed(served, "as_fast.py")
    assert record.champion == rollout.version, served.newest()
    assert rollout.shares[-1][1] == 1.0


def test_a_slow_push_is_rolled_back_by_its_latency_alone(served: Served) -> None:
    champion = served.record().champion
    record, rollout = pushed(served, "slow.py")
    assert record.champion == champion
    assert rollout.state.value == "rolled_back"
    seen = rollout.evidence
    assert seen["e_latency"] / 4 >= seen["e_limit"] == 100.0  # which is enough alone: latency has a quarter of alpha
    refused = record.versions[rollout.version].refused
    assert "latency against the control arm" in refused.split("; ")[1]
    told = served.run("decisions")
    assert "latency against the control arm" in told.stdout
