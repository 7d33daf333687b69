import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.errors import OccupiedError
from evertrain.store.lease import Lease

HOLD = (
    "import sys; from pathlib import Path; from evertrain.store.lease import Lease\n"
    "lease = Lease.take(Path(sys.argv[1]), 'evertrain up'); print('held', flush=True); sys.stdin.readline()"
)


def test_a_lease_has_one_holder_and_names_it(tmp_path: Path) -> None:
    with Lease.take(tmp_path / "lease", "evertrain up"), pytest.raises(OccupiedError) as caught:
        Lease.take(tmp_path / "lease", "evertrain up")
    assert f"process {os.getpid()} (evertrain up)" in caught.value.what
    assert str(tmp_path) in caught.value.what


def test_a_released_lease_may_be_taken_again(tmp_path: Path) -> None:
    Lease.take(tmp_path / "lease", "first").release()
    with Lease.take(tmp_path / "lease", "second"):
        pass


def test_the_death_of_the_holder_ends_the_lease(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OccupiedError, match=f"process {holder.pid} "):
            Lease.take(path, "evertrain up")
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=120)
    with Lease.take(path, "evertrain up"):
        pass


def test_a_child_does_not_keep_the_lease(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path / "lease", "parent")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lease.release()
        with Lease.take(tmp_path / "lease", "next"):
            child.communicate(b"\n", timeout=120)


def test_a_holder_that_left_nonsense_is_still_refused(tmp_path: Path) -> None:
    with Lease.take(tmp_path / "lease", "first"):
        (tmp_path / "lease").write_text("nonsense")
        with pytest.raises(OccupiedError, match="another process"):
            Lease.take(tmp_path / "lease", "second")
