"""What the doctor sees of a state directory, each fault made for real."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from evertrain.config.settings import Settings
from evertrain.core.model import Format
from evertrain.core.routing import Route
from evertrain.core.time import HOUR, Instant
from evertrain.process.examination.condition import look_at_clock, look_at_libraries
from evertrain.process.examination.examination import examine
from evertrain.process.examination.finding import Finding
from evertrain.store.ledger import Ledger
from evertrain.store.process import Heartbeat, beat, heartbeat_of
from evertrain.testing.installation import BEGIN, SHOP, Installation
from evertrain.testing.record import ShopRecord
from evertrain.testing.tree import free_port, wait_until


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "state")
    made.route(Route(service=SHOP, champion=made.add("def predict(rows):\n    return [0.5 for _ in rows]\n")))
    return made


def examined(path: Path) -> dict[str, Finding]:
    """The worst finding of each look."""
    order = {"good": 0, "watch": 1, "bad": 2}
    found = examine(Settings(dir=str(path), port=free_port(), control_port=free_port()))
    for one in found:
        assert one.what
        assert (one.tone == "good") == (not one.why) == (not one.remedy)
    return {one.look: one for one in sorted(found, key=lambda one: order[one.tone])}


def test_a_sound_installation_has_nothing_wrong(installation: Installation) -> None:
    found = examined(installation.state.path)
    assert {look for look, one in found.items() if one.tone == "bad"} == set()
    for look in ("state", "ports", "disk", "permissions", "ledger", "clock", "processes", "sockets", "libraries"):
        assert found[look].tone == "good", found[look]


def test_a_folder_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    found = examined(tmp_path / "new" / "state")
    assert (found["state"].tone, found["ports"].tone) == ("good", "good")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "says"), [('{"schema": 999}', "newer evertrain"), ("{", "damaged"), (None, "no state directory")]
)
def test_a_state_of_another_version_is_told_and_the_rest_is_still_looked_at(
    tmp_path: Path, content: str | None, says: str
) -> None:
    tmp_path.mkdir(exist_ok=True)
    if content is not None:
        (tmp_path / "state.json").write_text(content)
    found = examined(tmp_path)
    assert (found["state"].tone, says in found["state"].what) == ("bad", True)
    assert found["ports"].tone == "good"


def test_a_key_that_others_can_read_is_told_with_the_command(installation: Installation) -> None:
    key = next(installation.state.keys.glob("*"))
    key.chmod(0o644)
    found = examined(installation.state.path)["permissions"]
    assert (found.tone, found.remedy) == ("bad", f"chmod go= {key}")
    subprocess.run(["sh", "-c", found.remedy], check=True)
    assert examined(installation.state.path)["permissions"].tone == "good"


def test_a_clock_that_was_set_back_is_told(installation: Installation, tmp_path: Path) -> None:
    with Ledger.open(installation.state.ledger) as ledger:
        newest = ledger.last(limit=10)
    [back] = look_at_clock(newest, (), Instant(BEGIN - HOUR))
    assert (back.tone, "1h from now" in back.what) == ("bad", True)
    [good] = look_at_clock(newest, (), Instant(BEGIN + HOUR))
    assert good.tone == "good"
    ahead = tmp_path / "beat.json"
    ahead.write_text("")
    os.utime(ahead, (BEGIN // 1_000_000 + 60, BEGIN // 1_000_000 + 60))
    [late] = look_at_clock(newest, [ahead], Instant(BEGIN))
    assert late.tone == "bad"


def test_a_step_back_between_two_events_is_told(installation: Installation) -> None:
    with Ledger.open(installation.state.ledger) as ledger:
        [event] = ledger.last()
    earlier = msgspec.structs.replace(event, at=Instant(event.at + HOUR))
    [found] = look_at_clock([event, earlier], (), Instant(BEGIN + 2 * HOUR))
    assert (found.tone, "1h" in found.what) == ("watch", True)
    somebody_else = msgspec.structs.replace(earlier, actor="another")
    [found] = look_at_clock([event, somebody_else], (), Instant(BEGIN + 2 * HOUR))
    assert found.tone == "good"


def test_a_worker_that_its_supervisor_left_behind_is_told(installation: Installation) -> None:
    beat(installation.state, heartbeat_of("w0", "worker"))
    found = examined(installation.state.path)["processes"]
    assert (found.tone, found.what) == ("bad", "w0 run without a supervisor.")


def test_a_sign_of_life_of_a_dead_process_is_told(installation: Installation) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        beat(installation.state, Heartbeat(name="w7", role="worker", pid=child.pid, started="long ago"))
        child.send_signal(signal.SIGKILL)
    found = examined(installation.state.path)["processes"]
    assert (found.tone, "w7" in found.what) == ("watch", True)


def test_what_a_killed_process_left_half_written_is_found_and_can_be_removed(installation: Installation) -> None:
    half = installation.state.path / "serving" / ".routing.json.4711.0badf00d"
    half.write_bytes(b"{")
    assert examined(installation.state.path)["half-written files"].tone == "good", "it may still be written"
    os.utime(half, (0, 0))
    found = examined(installation.state.path)["half-written files"]
    assert (found.tone, found.remedy) == ("watch", f"rm {half}")


def test_a_socket_on_which_nobody_listens_is_found(installation: Installation) -> None:
    path = installation.state.socket("canary-dead")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        assert examined(installation.state.path)["sockets"].tone == "good"
    wait_until(lambda: examined(installation.state.path)["sockets"].tone == "watch", "the socket is deaf")
    path.unlink()


def test_a_folder_of_sockets_that_others_can_enter_is_told(installation: Installation) -> None:
    folder = installation.state.socket("any").parent
    folder.chmod(0o755)
    try:
        assert examined(installation.state.path)["sockets"].tone == "bad"
    finally:
        folder.chmod(0o700)


def test_a_ledger_that_is_gone_or_damaged_hides_nothing_else(tmp_path: Path) -> None:
    state = ShopRecord.with_two_versions(tmp_path / "state").state
    for beside in state.ledger.parent.glob("ledger.db*"):
        beside.unlink()
    found = examined(state.path)
    assert (found["ledger"].tone, found["permissions"].tone) == ("bad", "good")
    state.ledger.write_bytes(b"no database " * 1000)
    assert examined(state.path)["ledger"].tone == "bad"


def test_a_library_that_is_not_installed_is_named_with_its_extra(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = next(iter(installation.artifacts.versions()))
    manifest = installation.artifacts.manifest(champion)
    kind: Format = "onnx"
    version = installation.artifacts.put_manifest(msgspec.structs.replace(manifest, format=kind))
    installation.route(Route(service=SHOP, champion=version))
    monkeypatch.setattr(sys, "path", [])  # what is not on the path is not installed
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    [found] = look_at_libraries(installation.state)
    assert (found.tone, found.remedy) == ("bad", "pip install 'evertrain[onnx]'")
