"""One altered byte in anything that the ledger vouches for is found and named."""

import copy
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl
import pytest

from evertrain.core.access import Door
from evertrain.core.audit import Report
from evertrain.core.event import (
    AlertCleared,
    BundleFrozen,
    ChampionOverridden,
    Draft,
    Event,
    Fact,
    FileQuarantined,
    ModelVouched,
    RoutingChanged,
    SegmentSealed,
    TableCommitted,
    VersionBuilt,
    VersionCleared,
    VersionJudged,
    kind_of,
)
from evertrain.core.identity import Digest, ServiceName, SourceName, VersionId, digest_of_bytes
from evertrain.core.merkle import TreeHead
from evertrain.core.model import Manifest, Output, Vouched
from evertrain.core.prediction import Labelled
from evertrain.core.schema import Column, Input, Schema
from evertrain.core.time import Instant
from evertrain.govern.selfaudit import verify
from evertrain.store.access import DOORS, create_token
from evertrain.store.artifact import Artifacts
from evertrain.store.file import write_atomically
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.log import LogWriter
from evertrain.store.reader import LogReader
from evertrain.store.signature import Signer
from evertrain.store.state import State
from evertrain.store.table import Table

SERVICE = ServiceName("churn")


class House:
    """A state directory in which each kind of file stands, all of it vouched for."""

    def __init__(self, folder: Path) -> None:
        self.state = install(folder, Instant(1))
        self.signer = Signer.load(self.state.keys)
        self.artifacts = Artifacts.at(self.state.artifacts)
        self.ledger = Ledger.open(self.state.ledger)
        self.version = self._version()
        self.vouched = self._vouch()
        self._table()
        self.segment = self._segment()
        self.quarantined = self._quarantine()
        self.words = self.ledger.keep_words("because I say so, the tests said")
        self.ledger.sign_head(self.signer, Instant(2))

    def copied(self, folder: Path) -> "House":
        shutil.copytree(self.state.path, folder)
        house = copy.copy(self)
        house.state = State.open(folder)
        house.ledger = Ledger.open(house.state.ledger)
        house.vouched = folder / self.vouched.relative_to(self.state.path)
        house.segment = folder / self.segment.relative_to(self.state.path)
        house.quarantined = folder / self.quarantined.relative_to(self.state.path)
        return house

    def record(self, fact: Fact) -> None:
        draft_id = f"{kind_of(fact)}/{self.ledger.count()}"
        self.ledger.append(
            Draft(id=draft_id, at=Instant(2), actor="test", subject="test", reason="A test did it.", fact=fact)
        )

    def close(self) -> State:
        self.ledger.close()
        return self.state

    def _version(self) -> VersionId:
        bundle = self.artifacts.blobs.put(b"the user's code, frozen")
        card = self.artifacts.blobs.put(b"a card")
        manifest = Manifest(
            service=SERVICE,
            format="lightgbm",
            model=self.artifacts.blobs.put(b"tree\nversion=v4\n"),
            bundle=bundle,
            features=digest_of_bytes(b"features"),
            inputs=Schema((Column(name="x", type="float64"),)),
            vector=(Input(name="x"),),
            output=Output(),
        )
        version = self.artifacts.put_manifest(manifest)
        self.artifacts.attest(self.signer.sign_attestation("built", version, SERVICE, Instant(1)))
        self.artifacts.attest(self.signer.sign_attestation("judged", version, SERVICE, Instant(1), verdict="pass"))
        self.record(BundleFrozen(service=SERVICE, bundle=bundle, files=1))
        self.record(
            VersionBuilt(service=SERVICE, version=version, fingerprint=manifest.fingerprint, ordinal=1, cycle=None)
        )
        self.record(VersionJudged(service=SERVICE, version=version, verdict="pass", card=card))
        return version

    def _vouch(self) -> Path:
        model = digest_of_bytes(b"a pickle")
        self.artifacts.vouch(self.signer.sign(Vouched(model=model, at=Instant(1), role="operator")))
        self.record(ModelVouched(model=model, role="operator", names=("sklearn.Pipeline",), whole=True))
        return self.state.artifacts / "vouched" / f"{model}.json"

    def _table(self) -> None:
        for sequence in range(2):
            table = Table(self.state.tables, "source.flights")
            committed = table.append(pl.DataFrame({"x": [sequence, 7]}), writer="w", sequence=sequence)
            assert committed is not None
            self.record(
                TableCommitted(
                    table=committed.table, version=committed.version, rows=committed.rows, files=committed.files
                )
            )

    def _segment(self) -> Path:
        label = Labelled(service=SERVICE, prediction="", key="k", value=1.0, known=Instant(1), received=Instant(1))
        writer = LogWriter(self.state.log, "worker-1", segment_bytes=1 << 16)
        writer.append(label)
        writer.close()
        (sealed,) = self._seals()
        self.record(sealed)
        return self.state.log / sealed.writer / f"{sealed.sequence:012d}.seg"

    def _seals(self) -> list[SegmentSealed]:
        with LogReader(self.state.log) as reader:
            return [
                SegmentSealed(
                    writer=writer,
                    sequence=sequence,
                    digest=digest_of_bytes(path.read_bytes()),
                    frames=1,
                    bytes=path.stat().st_size,
                )
                for writer, sequence, path in reader.sealed()
            ]

    def _quarantine(self) -> Path:
        content = b"a,b\n1\n"
        digest: Digest = digest_of_bytes(content)
        source = SourceName("flights")
        folder = self.state.quarantine(source)
        folder.mkdir()
        write_atomically(folder / f"{digest}.bytes", content)
        self.record(FileQuarantined(source=source, file="bad.csv", digest=digest, because="a row is short"))
        return folder / f"{digest}.bytes"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(tmp_path_factory.mktemp("built") / "state")
    house.close()
    return house


@pytest.fixture
def house(built: House, tmp_path: Path) -> House:
    """A copy in a folder of its own, with an odd name; the original is built once because it syncs so often."""
    return built.copied(tmp_path / "Grüße 100% #1")


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))


def subjects(report: Report) -> set[str]:
    return {finding.subject for finding in report.findings}


def relative(state: State, path: Path) -> str:
    return path.relative_to(state.path).as_posix()


def test_a_sound_installation_is_sound_and_says_what_was_checked(house: House) -> None:
    report = verify(house.close())
    assert report.findings == ()
    assert report.sound
    assert report.checked == {
        "attestations": 2,
        "blobs": 3,
        "events": 9,
        "keys": 1,
        "manifests": 1,
        "quarantined files": 1,
        "sealed segments": 1,
        "signed heads": 2,
        "trusted pickles": 1,
        "signing key": 1,
        "table files": 4,
        "tokens": 2,
    }
    assert any(text.startswith("cache/") for text in report.left_out)


def test_what_is_not_checked_is_left_out_by_name(house: House) -> None:
    left_out = "\n".join(verify(house.close()).left_out)
    for path in ("control/arrivals/", "control/log.json", "serving/statistics/", "control/keys/signing.key"):
        assert path in left_out


@pytest.mark.parametrize("door", DOORS)
def test_a_token_and_its_digest_vouch_for_one_another(house: House, door: Door) -> None:
    state = house.close()
    create_token(door, state.keys, state.trusted)
    kept, digest = state.keys / f"token-{door}", state.trusted / f"{door}-token.sha256"
    assert verify(state).sound
    assert verify(state).checked["tokens"] >= 1
    for path in (kept, digest):
        content = path.read_bytes()
        for harmed in (bytes([content[0] ^ 1]) + content[1:], b"", b"\xff" * 64, None):
            path.unlink() if harmed is None else path.write_bytes(harmed)
            assert subjects(verify(state)) == {relative(state, digest)}
            path.write_bytes(content)


def test_a_signing_key_that_the_ledger_does_not_name_is_found(house: House, tmp_path: Path) -> None:
    state = house.close()
    (tmp_path / "other").mkdir()
    Signer.create(tmp_path / "other", tmp_path / "other")
    private = state.keys / "signing.key"
    for content in ((tmp_path / "other" / "signing.key").read_bytes(), b"no key"):
        private.write_bytes(content)
        assert subjects(verify(state)) == {relative(state, private)}
    private.unlink()
    assert verify(state).sound


def test_an_open_ledger_can_be_verified_and_stays_as_it_is(house: House) -> None:
    before = house.ledger.head()
    assert verify(house.state).sound
    house.record(AlertCleared(alert="x"))
    assert verify(house.state).sound
    assert house.ledger.head().size == before.size + 1


EACH: dict[str, Callable[[House], list[Path]]] = {
    "blob": lambda house: [path for path in (house.state.artifacts / "blobs").rglob("*") if path.is_file()],
    "manifest": lambda house: list((house.state.artifacts / "manifests").iterdir()),
    "attestation": lambda house: list((house.state.artifacts / "attestations").rglob("*.json")),
    "table": lambda house: [path for path in house.state.tables.rglob("*") if path.is_file()],
    "segment": lambda house: [house.segment],
    "quarantine": lambda house: [house.quarantined],
}


HARMS: dict[str, Callable[[bytes], bytes | None]] = {
    "first byte": lambda kept: bytes([kept[0] ^ 1]) + kept[1:],
    "middle byte": lambda kept: (
        kept[: len(kept) // 2] + bytes([kept[len(kept) // 2] ^ 128]) + kept[len(kept) // 2 + 1 :]
    ),
    "last byte": lambda kept: kept[:-1] + bytes([kept[-1] ^ 1]),
    "cut": lambda kept: kept[:-1],
    "longer": lambda kept: kept + b"\0",
    "missing": lambda kept: None,
}


@pytest.mark.parametrize("kind", EACH)
def test_every_file_that_was_harmed_is_named(house: House, kind: str) -> None:
    state = house.close()
    paths = EACH[kind](house)
    assert paths
    for path in paths:
        kept = path.read_bytes()
        path.chmod(0o644)
        for harm, inflict in HARMS.items():
            harmed = inflict(kept)
            if harmed is None:
                path.unlink()
            else:
                path.write_bytes(harmed)
            if not (kind == "attestation" and harm == "missing"):
                assert relative(state, path) in subjects(verify(state)), (path, harm)
        path.write_bytes(kept)
    assert verify(state).sound


def test_each_byte_of_each_event_is_covered(house: House) -> None:
    state = house.close()
    kept = state.ledger.read_bytes()
    with Ledger.open(state.ledger) as ledger:
        count = ledger.count()
    connection = sqlite3.connect(state.ledger)
    leaves = [leaf for (leaf,) in connection.execute("SELECT leaf FROM events ORDER BY sequence")]
    connection.close()
    assert len(leaves) == count
    for sequence, leaf in enumerate(leaves):
        start = kept.index(leaf)
        for offset in range(sequence % 7, len(leaf), 29):
            flip(state.ledger, start + offset)
            report = verify(state)
            assert f"control/ledger.db: event {sequence}" in subjects(report), (sequence, offset)
            state.ledger.write_bytes(kept)
    assert verify(state).sound


@pytest.mark.parametrize("text", ["version.built/3", "token"])
def test_columns_beside_the_leaf_are_covered(house: House, text: str) -> None:
    state = house.close()
    change(state, "UPDATE events SET subject = 'other' WHERE sequence = 3")
    assert subjects(verify(state)) == {"control/ledger.db: event 3"}


def change(state: State, *statements: str) -> None:
    connection = sqlite3.connect(state.ledger)
    for trigger in ("events_refuse_update", "events_refuse_delete", "heads_refuse_update", "heads_refuse_delete"):
        connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_removed_event_is_missed(house: House) -> None:
    state = house.close()
    change(state, "DELETE FROM events WHERE sequence = 3")
    assert "control/ledger.db: event 3" in subjects(verify(state))


def test_a_cut_tail_is_missed_although_the_frontier_was_cut_with_it(house: House, tmp_path: Path) -> None:
    with Ledger.open(house.state.ledger) as ledger:
        events = ledger.read()
    state = house.close()
    short = tmp_path / "short.db"
    with Ledger.open(short, make=True) as other:
        other.append(*(draft_of(event) for event in events[:-2]))
        head = other.head()
    connection = sqlite3.connect(short)
    (peaks,) = connection.execute("SELECT peaks FROM frontier").fetchone()
    connection.close()
    change(state, "DELETE FROM events WHERE sequence >= 6", "DELETE FROM heads WHERE size > 6")
    change(state, f"UPDATE frontier SET size = {head.size}, peaks = x'{peaks.hex()}'")
    assert "control/ledger.db: events 6 to 8" in subjects(verify(state))


def draft_of(event: Event) -> Draft:
    return Draft(
        id=event.id, at=event.at, actor=event.actor, subject=event.subject, reason=event.reason, fact=event.fact
    )


def test_a_history_that_was_written_anew_does_not_match_the_signed_heads(house: House, tmp_path: Path) -> None:
    with Ledger.open(house.state.ledger) as ledger:
        events = ledger.read()
        anchor = ledger.signed_head()
    state = house.close()
    assert anchor is not None
    for path in state.ledger.parent.glob("ledger.*"):
        path.unlink()
    with Ledger.open(state.ledger, make=True) as ledger:
        ledger.append(*(draft_of(event) for event in events[:4]))
        ledger.append(*(msgspec.structs.replace(draft_of(event), reason="Nothing happened.") for event in events[4:]))
        ledger.sign_head(Signer.load(state.keys), Instant(2))
    assert verify(state).sound  # whoever has the key can rewrite history ...
    found = verify(state, anchors=(anchor,))  # ... but not against a head that is kept elsewhere
    assert subjects(found) == {"control/ledger.db: events 0 to 8"}


def test_a_forged_head_does_not_count(house: House, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Signer.create(tmp_path / "other", tmp_path / "other")
    house.record(AlertCleared(alert="x"))
    house.ledger.sign_head(stranger, Instant(3))
    report = verify(house.close())
    assert any("not trusted" in finding.what for finding in report.findings)


def test_altered_words_are_named(house: House) -> None:
    state = house.close()
    change(state, "UPDATE words SET text = 'because they made me'")
    assert subjects(verify(state)) == {f"control/ledger.db: words {house.words}"}


@pytest.mark.parametrize("position", [0, 20, 100, 4_096, -10])
def test_a_corrupt_database_is_a_finding_and_no_traceback(house: House, position: int) -> None:
    state = house.close()
    content = bytearray(state.ledger.read_bytes())
    content[position : position + 3_000 if position >= 0 else None] = b"\xff" * (3_000 if position >= 0 else 10)
    state.ledger.write_bytes(bytes(content))
    assert any(subject.startswith("control/ledger.db") for subject in subjects(verify(state)))


@pytest.mark.parametrize("content", [b"", b"not a database at all, only text" * 200])
def test_a_database_that_is_none_is_a_finding(house: House, content: bytes) -> None:
    state = house.close()
    state.ledger.write_bytes(content)
    assert any(subject.startswith("control/ledger.db") for subject in subjects(verify(state)))
    state.ledger.unlink()
    assert "control/ledger.db" in subjects(verify(state))


def test_after_sigkill_both_copies_of_a_leaf_are_covered(house: House, tmp_path: Path) -> None:
    """A killed process leaves a write-ahead log; the database file under it is read by nobody until then."""
    house.close()
    ledger = Ledger.open(house.state.ledger)
    ledger.append(
        Draft(id="late", at=Instant(3), actor="t", subject="s", reason="r", fact=AlertCleared(alert="late-alert"))
    )
    shutil.copytree(house.state.path, tmp_path / "killed")
    ledger.close()
    state = State.open(tmp_path / "killed")
    log = state.ledger.with_name("ledger.db-wal")
    kept_log, kept = log.read_bytes(), state.ledger.read_bytes()
    assert verify(state).sound
    flip(log, kept_log.rindex(b"late-alert"))
    assert not verify(state).sound
    log.write_bytes(kept_log)
    flip(state.ledger, kept.index(b'"kind":"installation.created"') + 12)
    assert "control/ledger.db: event 0" in subjects(verify(state))


@pytest.mark.parametrize(
    "name",
    [
        "control/tables/source.flights/part-evil.parquet",
        "control/tables/source.flights/_delta_log/00000000000000000002.json",
        "serving/log/worker-1/notes.txt",
        "serving/artifacts/model.pkl",
        "serving/artifacts/blobs/00/model.pkl",
        "serving/artifacts/manifests/latest.json",
        "serving/artifacts/attestations/pass.json",
    ],
)
def test_a_file_that_nothing_vouches_for_is_named(house: House, name: str) -> None:
    state = house.close()
    (state.path / name).parent.mkdir(parents=True, exist_ok=True)
    (state.path / name).write_bytes(b"{}")
    assert subjects(verify(state)) == {name}


def test_a_name_that_is_no_utf8_is_said_all_the_same(house: House) -> None:
    state = house.close()
    (state.tables / "source.flights" / os.fsdecode(b"evil\xff.parquet")).write_bytes(b"")
    report = verify(state)
    assert subjects(report) == {"control/tables/source.flights/evil\\udcff.parquet"}
    assert msgspec.json.encode(report)


def test_a_pipe_in_the_place_of_a_file_blocks_nobody(house: House) -> None:
    state = house.close()
    house.segment.unlink()
    os.mkfifo(house.segment)
    assert subjects(verify(state)) == {relative(state, house.segment)}


def test_columns_that_are_no_utf8_are_a_finding(house: House) -> None:
    state = house.close()
    change(state, "UPDATE events SET kind = CAST(x'ff41' AS TEXT) WHERE sequence = 2", "UPDATE words SET text = x'ff'")
    assert {"control/ledger.db: event 2"} < subjects(verify(state))


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "the schema"),
        ("DELETE FROM alembic_version", "the schema"),
        ("UPDATE heads SET head = 7", "the signed head of 1 events"),
        ("DELETE FROM frontier", "the frontier"),
        ("UPDATE events SET hash = 'text' WHERE sequence = 4", "event 4"),
        ("UPDATE events SET leaf = 3.5 WHERE sequence = 4", "event 4"),
        ("DROP TABLE words", "the words"),
        ("DROP TABLE events", "the events"),
    ],
)
def test_whatever_was_done_to_the_database_is_a_finding(house: House, statement: str, place: str) -> None:
    state = house.close()
    change(state, statement)
    assert f"control/ledger.db: {place}" in subjects(verify(state))


def test_a_segment_that_is_not_sealed_is_only_counted(house: House) -> None:
    state = house.close()
    shutil.copyfile(house.segment, house.segment.with_name("000000000099.seg"))
    report = verify(state)
    assert report.sound
    assert report.checked["unsealed segments (not compared)"] == 1


def test_a_key_that_the_ledger_does_not_name_is_named(house: House, tmp_path: Path) -> None:
    state = house.close()
    (tmp_path / "other").mkdir()
    stranger = Signer.create(tmp_path / "other", state.trusted)
    assert subjects(verify(state)) == {f"serving/keys/{stranger.key}.pub"}


def test_heads_beside_the_database_are_compared(house: House) -> None:
    state = house.close()
    head = state.ledger.with_suffix(".head")
    head.write_bytes(msgspec.json.encode(TreeHead(size=3, root=Digest("0" * 64))))
    assert subjects(verify(state)) == {"control/ledger.db: events 0 to 2"}
    head.write_bytes(b"{")
    assert subjects(verify(state)) == {"control/ledger.head"}
    head.unlink()
    assert subjects(verify(state)) == {"control/ledger.head"}


def test_the_file_of_a_cleared_version_may_be_gone_until_a_person_puts_it_into_service(house: House) -> None:
    model = house.artifacts.manifest(house.version).model
    path = Artifacts.at(house.state.artifacts).blobs.path(model)
    house.record(VersionCleared(service=SERVICE, version=house.version, model=model))
    house.ledger.sign_head(house.signer, Instant(3))
    assert verify(house.state).sound, "it may be there as well"
    path.unlink()
    assert verify(house.state).sound
    house.record(ChampionOverridden(service=SERVICE, version=house.version, role="operator", words=house.words))
    house.ledger.sign_head(house.signer, Instant(4))
    state = house.close()
    assert subjects(verify(state)) == {relative(state, path)}


def test_a_version_that_answered_needs_its_attestations(house: House) -> None:
    house.record(
        RoutingChanged(
            service=SERVICE,
            generation=1,
            route=Digest("0" * 64),
            champion=house.version,
            canary=None,
            share=0.0,
            before=None,
        )
    )
    house.ledger.sign_head(house.signer, Instant(3))
    state = house.close()
    assert verify(state).sound
    folder = state.artifacts / "attestations" / house.version
    for path in folder.iterdir():
        path.unlink()
    report = verify(state)
    assert [finding.what for finding in report.findings] == [
        "the attestation 'built' is missing",
        "the attestation 'judged' is missing",
    ]
    assert subjects(report) == {relative(state, folder)}


def test_patience_waits_for_an_event_that_is_on_its_way(house: House) -> None:
    import threading

    path = house.state.tables / "source.flights" / "late.parquet"
    path.write_bytes(b"rows")
    fact = TableCommitted(table="source.flights", version=2, rows=1, files={"late.parquet": digest_of_bytes(b"rows")})
    threading.Timer(0.3, house.record, [fact]).start()
    assert verify(house.state, patience_s=30).sound


def test_trust_in_a_pickle_counts_as_it_was_signed_and_recorded(house: House) -> None:
    state, path = house.close(), house.vouched
    name = path.relative_to(state.path).as_posix()
    whole = path.read_bytes()
    for altered, said in (
        (whole.replace(b'"at":1', b'"at":2'), "it was altered"),
        (whole + b" ", "it was altered"),
        (b"{", "it does not count"),
        (None, "it is missing"),
    ):
        path.chmod(0o644) if path.exists() else None
        path.unlink() if altered is None else path.write_bytes(altered)
        [finding] = verify(state).findings
        assert (finding.subject, said in finding.what) == (name, True), finding
    path.write_bytes(whole)
    path.with_name(f"{'0' * 64}.json").write_bytes(whole)
    [finding] = verify(state).findings
    assert finding.what == "nothing vouches for this file"
