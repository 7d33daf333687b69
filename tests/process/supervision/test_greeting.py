"""What is said when a served file answers, is refused, or has to wait."""

import os
from pathlib import Path

import msgspec
import pytest

from evertrain.core import event as facts
from evertrain.core.cycle import CycleState
from evertrain.core.golden import Golden, GoldenRequest
from evertrain.core.identity import CycleId, RolloutId, VersionId, canonical
from evertrain.core.registry import ServiceRecord
from evertrain.core.time import Instant
from evertrain.process.supervision.greeting import Outcome, _example, await_outcome, main
from evertrain.store.process import PARENT
from evertrain.testing.installation import SHOP, SHOP_ROW, SHOP_SCHEMA
from evertrain.testing.record import FIRST, ShopRecord


def test_an_answering_version_is_told(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path)
    found = await_outcome(record.state, SHOP, record.versions[1], 0.0)
    assert (found.state, found.ordinal, found.example) == ("answers", 2, {})


def test_the_request_to_try_is_the_first_that_it_was_tried_with(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path)
    artifacts = record.installation.artifacts
    golden = artifacts.blobs.put(
        canonical(Golden(requests=(GoldenRequest(row=SHOP_ROW, at=Instant(0), vector=SHOP_ROW),)))
    )
    manifest = msgspec.structs.replace(artifacts.manifest(record.build(FIRST)), golden=golden)
    version = artifacts.put_manifest(manifest)
    assert _example(record.state, version) == dict(zip(SHOP_SCHEMA.names, SHOP_ROW, strict=True))


def test_a_version_that_was_followed_names_its_follower(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path)
    found = await_outcome(record.state, SHOP, record.versions[0], 0.0)
    assert (found.state, found.ordinal, found.champion) == ("another", 1, 2)


def test_without_a_version_the_one_that_answers_is_told(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path)
    assert await_outcome(record.state, SHOP, None, 0.0).ordinal == 2


def test_after_a_refusal_that_was_told_only_a_later_cycle_is(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path)
    record.refuse(record.build(FIRST), "it raises KeyError")
    told = await_outcome(record.state, SHOP, None, 0.0)
    assert told.state == "refused"
    assert await_outcome(record.state, SHOP, None, 0.2, beyond=told.cycle) == Outcome(state="waits", ordinal=1)
    assert await_outcome(record.state, SHOP, None, 0.0, beyond="an earlier one") == told


def test_it_does_not_outlive_whoever_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = ShopRecord(tmp_path)
    monkeypatch.setenv(PARENT, str(os.getpid()))  # not the parent of this process
    assert main(["--dir", str(record.state.path), "--service", SHOP, "--seconds", "3600"]) == 0


def test_a_refused_version_is_told_with_its_reason(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path)
    version = record.build(FIRST)
    record.refuse(version, "it raises KeyError")
    found = await_outcome(record.state, SHOP, version, 0.0)
    assert (found.state, found.ordinal, found.why) == ("refused", 1, "it raises KeyError")


def test_what_is_not_decided_in_time_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = ShopRecord(tmp_path)
    unknown = "f" * 64
    words = ["--dir", str(record.state.path), "--service", SHOP, "--version", unknown, "--seconds", "0"]
    assert main(words) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=Outcome).state == "waits"


def test_a_file_that_could_not_be_checked_is_told_with_its_reason(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path)
    version, cycle = record.installation.add("def predict(rows):\n    return [1.0 for _ in rows]\n"), CycleId("shop/c9")
    fingerprint = record.installation.artifacts.manifest(version).fingerprint
    record.tell(
        "Version 3 was imported.",
        facts.TriggerDecided(
            service=SHOP, trigger="import", decision="run", cycle=cycle, cycle_kind="external", version=version
        ),
        facts.VersionBuilt(service=SHOP, version=version, fingerprint=fingerprint, ordinal=3, cycle=cycle),
    )
    record.tell(
        "The environment cannot be built: no such version.",
        facts.CycleMoved(service=SHOP, cycle=cycle, move="fail", before=CycleState.TRIGGERED, after=CycleState.FAILED),
    )
    found = await_outcome(record.state, SHOP, version, 0.0)
    assert (found.state, found.ordinal, found.champion) == ("ended", 3, 2)
    assert found.why == "The environment cannot be built: no such version."


def ask(record: ShopRecord) -> VersionId:
    """The first version waits for a person."""
    version, rollout = record.build(FIRST), RolloutId(f"{SHOP}/r1")
    record.tell(
        "A person is asked.",
        facts.RolloutBegun(service=SHOP, rollout=rollout, version=version, champion=None, steps=(1.0,), cycle=None),
        facts.ApprovalAsked(
            service=SHOP,
            rollout=rollout,
            version=version,
            gate="promotion",
            approver="a person",
            until=Instant(2**55),
            on_timeout="hold",
        ),
    )
    return version


def test_a_version_that_a_person_has_to_approve_says_what_to_type(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path)
    found = await_outcome(record.state, SHOP, ask(record), 0.0)
    assert found.state == "waits"
    assert found.asks.startswith("version 1 waits for approval of its promotion by a person until ")
    assert f"evertrain approve {SHOP} --version 1 --reason" in found.asks


def test_it_is_looked_at_as_long_as_a_person_is_asked(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path)
    version, looks = ask(record), []

    def tell(_: ServiceRecord) -> None:
        looks.append(1)
        if len(looks) == 2:
            record.refuse(version, "it is not wanted")

    found = await_outcome(record.state, SHOP, version, 0.0, while_asked=True, tell=tell)
    assert (found.state, found.why) == ("refused", "it is not wanted")
