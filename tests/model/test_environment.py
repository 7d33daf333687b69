"""An environment is built from its lock by uv, once, whole or not at all. Packages come from the index: it is real."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from evertrain.core.identity import Digest, ServiceName, VersionId
from evertrain.core.schema import Column, Schema
from evertrain.core.time import Instant
from evertrain.core.trial import LACKING
from evertrain.errors import PackageError
from evertrain.model.checkserver import CheckServer
from evertrain.model.environment import furnish
from evertrain.model.importing import import_model
from evertrain.store.artifact import Artifacts
from evertrain.store.environment import own_digest
from evertrain.store.signature import Signer
from evertrain.store.state import State
from evertrain.testing.older import HERE, LOCK, SAYS_VERSION, THERE, Older, furnishing
from evertrain.testing.tree import wait_until

LOOK = """
import sys
from pathlib import Path
import lightgbm
from evertrain.store.environment import own_digest
from evertrain.store.state import State
places = State.open(Path(sys.argv[1])).environments
print(lightgbm.__version__, own_digest(), places.is_home(sys.argv[2]), places.is_home(""))
"""


def kept(state: State, lock: str) -> Digest:
    return Artifacts.at(state.artifacts).blobs.put(lock.encode())


def test_it_holds_the_packages_of_the_lock_and_the_evertrain_that_runs(older: Older) -> None:
    python = furnish(older.state, older.lock)
    assert python == older.state.interpreter(older.lock)
    words = [str(python), "-P", "-c", LOOK, str(older.state.path), older.lock]
    said = subprocess.run(words, cwd="/", capture_output=True, text=True, check=True).stdout
    assert said == f"4.6.0 {own_digest()} True False\n"
    standing = older.state.environments.standing(older.lock)
    assert standing.state == "there"
    assert standing.packages["lightgbm"] == "4.6.0"
    assert standing.packages["evertrain"]


def test_two_who_ask_at_once_get_one(older: Older) -> None:
    assert not older.rebuilt
    left = [path.name for path in older.state.environments.path.iterdir() if path.name.startswith(".")]
    assert left == []


def test_what_a_killed_building_left_is_no_environment_and_is_removed(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    lock, places = kept(state, LOCK), state.environments
    with furnishing(state, lock) as builder:
        wait_until(lambda: "packages" in places.standing(lock).says, "the packages")
        assert places.standing(lock).state == "being built"
        os.killpg(builder.pid, signal.SIGKILL)
    wait_until(lambda: places.standing(lock).state == "not built yet", "the end of all who built")
    [left] = places.path.glob(".*")
    with furnishing(state, lock, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "none")) as again:
        again.communicate()
    assert not left.exists()
    assert not places.interpreter(lock).exists()


@pytest.mark.parametrize(
    ("lock", "says", "to_do"),
    [
        ("numpy==1.26.4", "you require numpy==1.26.4 and numpy>=2.0", "what evertrain requires"),
        ("evertrain-no-such-package==1.0", "was not found", "versions of your index"),
    ],
)
def test_what_cannot_be_built_is_said_and_stays_on_record(tmp_path: Path, lock: str, says: str, to_do: str) -> None:
    state = State.create(tmp_path / "state")
    digest = kept(state, lock)
    with pytest.raises(PackageError) as told:
        furnish(state, digest)
    assert says in told.value.what
    assert to_do in told.value.remedy
    standing = state.environments.standing(digest)
    assert standing.state == "failed"
    assert says in standing.says
    assert list(state.environments.path.glob(".*")) == []


def test_files_of_other_bytes_than_were_locked_are_refused(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    with pytest.raises(PackageError, match="Hash mismatch") as told:
        furnish(state, kept(state, f"lightgbm==4.6.0 --hash=sha256:{'a' * 64}"))
    assert "before you lock anew" in told.value.remedy


def test_where_the_cache_of_the_user_cannot_be_made_it_lies_in_the_state(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    (tmp_path / "home").write_text("no folder")
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": "", "UV_OFFLINE": "1"}
    with furnishing(state, kept(state, LOCK), **home) as builder:
        said, _ = builder.communicate()
    assert "Unset UV_OFFLINE" in said
    assert (state.cache / "uv").is_dir()


def test_an_index_that_is_not_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    lock = kept(state, LOCK)
    with furnishing(
        state, lock, UV_DEFAULT_INDEX="http://me:secret@127.0.0.1:9/simple", UV_HTTP_RETRIES="0"
    ) as builder:
        said, _ = builder.communicate()
    assert builder.returncode == LACKING
    assert "uv.toml" in said
    assert "secret" not in said + state.environments.standing(lock).says


# Versions in it -------------------------------------------------------------------------------------------------------


def version_with(state: State, folder: Path, lock: bytes | None) -> VersionId:
    """A model that answers with the LightGBM that it finds."""
    path = folder / "model.py"
    path.write_text(SAYS_VERSION)
    service, artifacts = ServiceName("pricing"), Artifacts.at(state.artifacts)
    schema = Schema((Column(name="amount", type="float64"),))
    version = import_model(artifacts, service, path, schema, lock=lock).version
    signer = Signer.create(state.keys, state.trusted)
    artifacts.attest(signer.sign_attestation("built", version, service, Instant(0)))
    return version


def test_versions_answer_side_by_side_each_with_its_own_library(older: Older, tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    older.lend(state)
    own, other = version_with(state, tmp_path, None), version_with(state, tmp_path, LOCK.encode())
    assert own != other
    log = tmp_path / "log"
    with CheckServer(state, own, log=log) as here, CheckServer(state, other, log=log) as there:
        assert here.score([(1.0,)]) == (HERE,)
        assert there.score([(1.0,)]) == (THERE,)


def test_a_version_whose_environment_cannot_be_built_is_not_held_against_it(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    version = version_with(state, tmp_path, b"evertrain-no-such-package==1.0")
    with (
        pytest.raises(PackageError, match="evertrain-no-such-package was not found"),
        CheckServer(state, version, log=tmp_path / "log"),
    ):
        pass
