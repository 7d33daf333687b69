"""A check server ends with whoever asked for it, also when that one is killed."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.schema import Column, Schema
from evertrain.core.time import Instant
from evertrain.errors import ModelError
from evertrain.model.checkserver import CheckServer
from evertrain.model.importing import import_model
from evertrain.store.artifact import Artifacts
from evertrain.store.process import start_of
from evertrain.store.signature import Signer
from evertrain.store.state import State
from evertrain.testing.tree import wait_until

ASKER = """
import sys, time
from pathlib import Path
from evertrain.model.checkserver import CheckServer
from evertrain.store.state import State
with CheckServer(State.open(Path(sys.argv[1])), sys.argv[2], log=Path(sys.argv[1]) / "log") as server:
    print(server.score([(1.0,)])[0], flush=True)
    time.sleep(60)
"""


def installed(
    folder: Path, *, signed: bool = True, head: str = "", body: str = "return [row['amount'] / 4 for row in rows]"
) -> tuple[State, VersionId]:
    state = State.create(folder / "state")
    signer = Signer.create(state.keys, state.trusted)
    path = folder / "model.py"
    path.write_text(f"{head}\ndef predict(rows):\n    {body}\n")
    artifacts = Artifacts.at(state.artifacts)
    service = ServiceName("pricing")
    version = import_model(artifacts, service, path, Schema((Column(name="amount", type="float64", high=4.0),))).version
    if signed:
        artifacts.attest(signer.sign_attestation("built", version, service, Instant(0)))
    return state, version


def test_it_does_not_outlive_an_asker_that_is_killed(tmp_path: Path) -> None:
    state, version = installed(tmp_path)
    asker = subprocess.Popen([sys.executable, "-c", ASKER, str(state.path), version], stdout=subprocess.PIPE, text=True)
    assert asker.stdout is not None
    assert asker.stdout.readline() == "0.25\n"
    (server,) = psutil.Process(asker.pid).children()
    asker.kill()
    asker.wait()
    asker.stdout.close()
    wait_until(lambda: start_of(server.pid) is None, "its end")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('boom')", "cannot score: predict raised RuntimeError: boom."),
        ("raise MemoryError", "cannot score: predict raised MemoryError."),
    ],
)
def test_what_a_model_raises_is_told_in_plain_words(tmp_path: Path, body: str, said: str) -> None:
    state, version = installed(tmp_path, body=f"if rows[0]['amount'] == 3.25: {body}\n    return [0.5 for _ in rows]")
    with CheckServer(state, version, log=tmp_path / "log") as server, pytest.raises(ModelError) as told:
        server.score([(3.25,)])
    assert told.value.what.endswith(f"in its check server {said}")


def test_the_last_words_of_a_server_that_does_not_load_are_no_log_line(tmp_path: Path) -> None:
    state, version = installed(tmp_path, head="raise RuntimeError('boom')")
    with pytest.raises(ModelError) as told, CheckServer(state, version, log=tmp_path / "log"):
        raise AssertionError("it was loaded")
    assert '"says"' in (tmp_path / "log").read_text()
    assert "exited with code 1: " in told.value.what
    assert "cannot be run: RuntimeError: boom" in told.value.what
    assert not {"{", '"', "\\"} & set(told.value.what)


def test_what_is_not_attested_as_built_is_not_loaded(tmp_path: Path) -> None:
    state, version = installed(tmp_path, signed=False)
    with pytest.raises(ModelError, match="no attestation"), CheckServer(state, version, log=tmp_path / "log"):
        raise AssertionError("it was loaded")
