"""What the Containerfile starts, started as a container would: process 1, a nameless user, a root that is read-only.

No image is built here. The command, the environment and the user come from the Containerfile; namespaces of the
kernel stand in for the container.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import psutil
import pytest

from evertrain.process.view.situation import look_at
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State
from evertrain.testing.tree import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()
SERVICE = """
import lightgbm

import evertrain as et

columns = {"id": "int64", "at": "timestamp", "amount": "float64", "late": "bool"}
orders = et.Source("orders", et.files("orders.csv"), key="id", event_time="at", columns=columns)
asked = et.Examples(orders, key="id", at="at", request=["id", "at", "amount"])


def train(data, run):
    parameters = {"objective": "binary", "num_threads": 1, "seed": run.seed, "deterministic": True, "verbosity": -1}
    return lightgbm.train(parameters, lightgbm.Dataset(data.X, data.y), num_boost_round=5)


service = et.Service(
    "late-orders",
    examples=asked,
    label=et.Label(source=orders, of=asked, value="late", horizon="1d"),
    features=[et.column("amount")],
    train=train,
)
"""
# A new root namespace; in it `/` is read-only but for the volume, and /mnt stands for the image's /tmp; then its user.
INSIDE = """
mount --bind "$VOLUME" "$VOLUME"
mount -o remount,bind,ro /
mount -t tmpfs tmpfs /mnt
cd "$FOLDER"
exec unshare --user --map-user="$NUMBER" --map-group="$NUMBER" "$@"
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")


def stated(instruction: str) -> str:
    """What an instruction of the Containerfile's last stage says."""
    found: list[str] = re.findall(rf"^{instruction} (.+)$", CONTAINERFILE.rpartition("\nFROM ")[2], re.MULTILINE)
    return found[-1]


def environment() -> dict[str, str]:
    """The settings that the image has."""
    return dict(re.findall(r"(EVERTRAIN_\w+|PYTHON\w+)=(\S+)", CONTAINERFILE))


class Container:
    """A container's process tree. The outer process is the test's; process 1 of the inside is its child."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.volume = folder / "service", folder / "volume"
        self.port, self.control_port = free_port(), free_port()
        self.folder.mkdir()
        self.volume.mkdir()
        (self.folder / "service.py").write_text(SERVICE)
        self.write_orders()
        self.log = folder / "log"
        self.outer = self.start()

    def write_orders(self) -> None:
        begin, chance = datetime.now(UTC) - timedelta(days=40), random.Random(5)
        lines = ["id,at,amount,late"]
        for number in range(1_000):
            amount = round(chance.uniform(0, 100), 2)
            at = begin + timedelta(hours=number * 0.95)
            lines.append(f"{number},{at.isoformat(timespec='seconds')},{amount},{str(amount > 60).lower()}")
        (self.folder / "orders.csv").write_text("\n".join(lines) + "\n")

    def start(self) -> "subprocess.Popen[bytes]":
        entry = msgspec.json.decode(stated("ENTRYPOINT"), type=list[str]) + msgspec.json.decode(
            stated("CMD"), type=list[str]
        )
        program = str(Path(sys.executable).with_name(entry[0]))
        own = {"VOLUME": str(self.volume), "FOLDER": str(self.folder), "NUMBER": stated("USER").partition(":")[0]}
        ports = {"EVERTRAIN_PORT": str(self.port), "EVERTRAIN_CONTROL_PORT": str(self.control_port)}
        settings = {name: value for name, value in environment().items() if name != "EVERTRAIN_DIR"}
        state = str(self.volume / Path(environment()["EVERTRAIN_DIR"]).name)
        namespaces = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
        command = [*namespaces, "--mount-proc", "sh", "-euc", INSIDE, "sh", program, *entry[1:]]
        known = (
            os.environ | settings | ports | own | {"EVERTRAIN_DIR": state, "HOME": "/mnt", "XDG_RUNTIME_DIR": "/mnt"}
        )
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=known, stdout=log, stderr=log, start_new_session=True)

    @property
    def first(self) -> psutil.Process:
        """Process 1 of the inside."""
        [found] = psutil.Process(self.outer.pid).children()
        return found

    def status(self, path: str, body: object = None) -> int:
        """The status of an answer; 0 when nobody answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            content = None if body is None else msgspec.json.encode(body)
            connection.request("GET" if content is None else "POST", path, content)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def enter(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Run a script inside, as `podman exec` would."""
        words = ["nsenter", "-t", str(self.first.pid), "--user", "--pid", "--mount", "--preserve-credentials"]
        return subprocess.run([*words, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=180)

    def has_model(self) -> bool:
        table = RoutingFile(State.open(self.volume / "state").routing).read()
        return any(route.champion is not None for route in table.routes.values())

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        wait_until(lambda: self.outer.poll() is not None or holds(), what)
        assert self.outer.poll() is None, self.log.read_text()[-4000:]


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    made = Container(tmp_path)
    yield made
    made.outer.kill()  # and with it, --kill-child, process 1, and so the namespace
    made.outer.wait(120)


def zombies(parent: psutil.Process) -> list[psutil.Process]:
    """Children that have ended and are not reaped yet."""
    found = []
    for child in parent.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it may be reaped between the two looks
            if child.status() == psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def test_the_image_s_command_as_process_1_with_nothing_but_its_volume(container: Container) -> None:
    container.wait_until(lambda: container.status("/v2/health/live") == 200, "an answer")
    row = {"id": 1, "at": datetime.now(UTC).isoformat(), "amount": 80.0}
    container.wait_until(container.has_model, "a first model")
    container.wait_until(lambda: container.status("/predict/late-orders", row) == 200, "a prediction")

    said = Path(f"/proc/{container.first.pid}/status").read_text()
    assert re.search(r"^NSpid:.*\t1$", said, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", said, re.MULTILINE)
    tried = container.enter(f"id -u; touch /etc/evertrain {container.folder}/x {ROOT}/x")
    assert tried.stdout.split() == [stated("USER").partition(":")[0]]
    assert tried.stderr.count("Read-only file system") == 3

    # An orphan inside becomes process 1's, and is reaped when it ends.
    container.enter("(sleep 0.05 & sleep 0.05 &) ; exit 0")
    wait_until(lambda: not zombies(container.first), "no zombies")

    first, state = container.first, State.open(container.volume / "state")
    assert look_at(state).services[0].champion is not None
    first.send_signal(signal.SIGTERM)
    assert container.outer.wait(180) == 0
    assert "stopped" in container.log.read_text()
    assert not first.is_running()
