"""`evertrain models` and `evertrain decisions`: what the ledger says, and nothing else."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from evertrain.core import event as facts
from evertrain.core.identity import CycleId, ServiceName, VersionId, digest_of
from evertrain.testing.installation import SHOP
from evertrain.testing.record import ShopRecord


def evertrain(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "evertrain", *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> ShopRecord:
    made = ShopRecord.with_two_versions(tmp_path_factory.mktemp("Grüße ☃") / "state")
    made.refuse(made.build("def predict(rows):\n    return [2.0 for _ in rows]\n"), "canary errors 3 of 16")
    return made


def test_models_says_what_became_of_each_version(record: ShopRecord) -> None:
    done = evertrain("models", "--dir", str(record.state.path))
    assert done.returncode == 0, done.stderr
    first, second, third = record.versions
    lines = done.stdout.splitlines()
    assert lines[0] == f"   1  {first[:10]}  built 2023-11-14T22:13:20Z  standby"
    assert lines[2] == f"   2  {second[:10]}  built 2023-11-14T22:13:20Z  champion"
    assert lines[4:] == [f"   3  {third[:10]}  built 2023-11-14T22:13:20Z  refused", "      canary errors 3 of 16"]


def test_a_version_that_a_training_made_once_more_says_of_which(tmp_path: Path) -> None:
    made = ShopRecord.with_two_versions(tmp_path / "state")
    second, cycle = made.versions[1], CycleId(f"{SHOP}/c1")
    fingerprint = made.installation.artifacts.manifest(second).fingerprint
    made.refuse(second, "a person took it back")
    decided = facts.TriggerDecided(service=SHOP, trigger="order", decision="run", cycle=cycle)
    again = facts.VersionBuilt(
        service=SHOP, version=VersionId(digest_of("again")), fingerprint=fingerprint, ordinal=3, cycle=cycle
    )
    ended = facts.CycleMoved(service=SHOP, cycle=cycle, move="give up", before="trained", after="no_op")
    made.tell("The same artifact was refused: a person took it back", decided, again, ended)
    lines = evertrain("models", "--dir", str(made.state.path)).stdout.splitlines()
    assert lines[-2].endswith("  version 2 again")
    assert lines[-1] == "      The same artifact was refused: a person took it back"


def test_models_as_json(record: ShopRecord) -> None:
    told = msgspec.json.decode(evertrain("models", "--dir", str(record.state.path), "--json").stdout)
    assert [one["version"] for one in told] == record.versions
    assert [one["state"] for one in told] == ["standby", "champion", "refused"]
    assert told[2]["refused"] == "canary errors 3 of 16"


def test_decisions_come_newest_first_with_their_reasons(record: ShopRecord) -> None:
    done = evertrain("decisions", "--dir", str(record.state.path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        f"2023-11-14T22:13:20Z  service/{SHOP}  version.refused: refused",
        "      canary errors 3 of 16",
    ]
    told = msgspec.json.decode(evertrain("decisions", "--dir", str(record.state.path), "--json").stdout)
    assert [one["sequence"] for one in told] == [one.sequence for one in reversed(record.stands.decisions)]
    newest = evertrain("decisions", "--dir", str(record.state.path), "--limit", "1", "--json")
    assert msgspec.json.decode(newest.stdout) == told[:1]


def test_a_service_that_does_not_exist_is_named_with_those_that_do(record: ShopRecord) -> None:
    done = evertrain("models", "--service", "shpo", "--dir", str(record.state.path))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "evertrain: There is no service 'shpo'.",
        '  Did you mean "shop"?',
        "  ET-U03: `evertrain explain ET-U03` says more.",
    ]


def test_two_services_have_to_be_told_apart(tmp_path: Path) -> None:
    made = ShopRecord.with_two_versions(tmp_path / "state")
    other = facts.ServiceDeclared(service=ServiceName("churn"), declaration=made.declaration, bundle=None)
    made.tell("declared", other)
    done = evertrain("models", "--dir", str(made.state.path))
    assert done.returncode == 1
    assert "Which service? There are: churn, shop." in done.stderr
    done = evertrain("models", "--service", "churn", "--dir", str(made.state.path))
    assert done.stdout == "churn has no version yet.\n"
    assert evertrain("decisions", "--service", "churn", "--dir", str(made.state.path)).stdout == (
        "Nothing was decided about churn yet.\n"
    )
