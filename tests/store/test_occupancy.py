import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evertrain.store.occupancy import Occupancy, Place

WORKER = (
    "import sys; from pathlib import Path; from evertrain.store.occupancy import Occupancy\n"
    "own = Occupancy(Path(sys.argv[1])); own.say(3, took=True); print(own.others(), flush=True)\n"
    "if sys.stdin.readline() == 'leave': own.close()"
)


@contextmanager
def another(path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with a place of its own that holds three connections, and what it sees of the others."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        yield worker, worker.stdout.readline().strip()
        worker.kill()


def test_workers_see_each_other_and_never_share_a_place(tmp_path: Path) -> None:
    own = Occupancy(tmp_path / "occupancy")
    assert own.others() == {}
    own.say(1, took=True)
    with another(tmp_path / "occupancy") as (first, seen):
        assert seen == str({0: Place(1, 1)})
        assert own.others() == {1: Place(3, 1)}
        with another(tmp_path / "occupancy") as (_, seen_by_second):
            assert seen_by_second == str({0: Place(1, 1), 1: Place(3, 1)})
        first.communicate("leave")
        assert own.others().keys() == {2}
    own.close()


def test_the_place_of_a_killed_worker_stands_until_it_is_claimed_again(tmp_path: Path) -> None:
    own = Occupancy(tmp_path / "occupancy")
    with another(tmp_path / "occupancy") as (dead, _):
        dead.kill()
        dead.wait()
        assert own.others() == {1: Place(3, 1)}
    with another(tmp_path / "occupancy"):
        assert own.others() == {1: Place(3, 1)}
    own.close()


def test_who_takes_no_connections_is_not_seen(tmp_path: Path) -> None:
    own = Occupancy(tmp_path / "occupancy")
    with another(tmp_path / "occupancy") as (_, seen):
        assert seen == "{}"
    own.close()
