"""The installation audits itself: every stored byte that something vouches for is compared with it.

The ledger vouches for tables, log segments, quarantined files and versions; the names of blobs, manifests and
attestations vouch for their content; keys vouch for signatures; the signed heads vouch for the ledger. What is
rebuilt from the rest (cache) or only says what is so right now (routing table, heartbeats) is left out, by name.
"""

import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import TypeVar

from evertrain.core.audit import Finding, Report
from evertrain.core.event import (
    BundleFrozen,
    ChampionOverridden,
    Event,
    FileQuarantined,
    InstallationCreated,
    ModelVouched,
    RoutingChanged,
    SegmentRetired,
    SegmentSealed,
    ServiceDeclared,
    StageFinished,
    TableCommitted,
    VersionBuilt,
    VersionCleared,
    VersionJudged,
)
from evertrain.core.identity import Digest, VersionId, canonical
from evertrain.core.merkle import SignedHead
from evertrain.errors import NotFoundError, StateError, TrustError
from evertrain.store.access import DOORS, unmatched
from evertrain.store.artifact import Artifacts
from evertrain.store.audit import audit_ledger
from evertrain.store.file import digest_of_file
from evertrain.store.signature import Signer, Verifier
from evertrain.store.state import State

__all__ = ["LEFT_OUT", "verify"]

LEFT_OUT = (
    "cache/ (rebuilt from the rest)",
    "control/arrivals/ (when each file was first seen; the rows that came of it are in the tables)",
    "control/log.json (how far the log is taken into the tables; it is found again from them)",
    "control/keys/signing.key, where it is absent (a copy for an auditor has none)",
    "control/tasks/ and control/reports/ (what counts of them is kept as blobs)",
    "control/quarantine/: rows that were set aside (whole files are checked)",
    "serving/routing.json, serving/processes/, serving/clock (what is so right now; the ledger has the history)",
    "serving/log/: segments that are not sealed yet",
    "serving/statistics/ (counters for the page and Prometheus)",
    "source files, which lie where their owner keeps them",
)

_POLL_S = 0.5
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")
_SEGMENT = re.compile(r"\d+\.seg")
_OF_WRITERS = (".lock", ".next")
_DRAFT = re.compile(r"\.(.+\.)?\d+\.[0-9a-f]{8,16}")
"""A file whose writing was cut off: it has no name yet, and nobody reads it."""

_Fact = TypeVar("_Fact")


def verify(state: State, *, anchors: tuple[SignedHead, ...] = (), patience_s: float = 0.0) -> Report:
    """Audit the whole state directory.

    anchors: signed heads that were exported earlier. patience_s: files that nothing vouches for may be a commit whose
    event is on its way; while there are such, the audit is repeated for so long.
    """
    deadline = time.monotonic() + patience_s
    while True:
        audit = _SelfAudit(state)
        audit.run(anchors)
        if not audit.strangers or time.monotonic() >= deadline:
            return audit.report()
        time.sleep(_POLL_S)


class _SelfAudit:
    """One pass over a state directory."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._findings: list[Finding] = []
        self._checked: Counter[str] = Counter()
        self._artifacts = Artifacts.at(state.artifacts)
        self.strangers = False

    def run(self, anchors: tuple[SignedHead, ...]) -> None:
        # Folders are listed before the ledger is read: what is committed in between has its event and is no stranger.
        tables, segments = list(_files(self._state.tables)), list(_files(self._state.log))
        verifier = self._verifier()
        ledger = audit_ledger(self._state.ledger, verifier, anchors)
        self._findings += [Finding(f"control/{finding.subject}", finding.what) for finding in ledger.findings]
        self._checked.update({"events": len(ledger.events), "signed heads": ledger.heads})
        self._check_keys(ledger.events, verifier)
        self._check_tokens()
        self._check_tables(_facts(ledger.events, TableCommitted), tables)
        retired = {(fact.writer, fact.sequence) for fact in _facts(ledger.events, SegmentRetired)}
        self._check_segments(_facts(ledger.events, SegmentSealed), segments, retired)
        self._check_quarantine(_facts(ledger.events, FileQuarantined))
        self._check_artifacts(verifier)
        self._check_vouched(_facts(ledger.events, ModelVouched), verifier)
        self._check_named(ledger.events)
        self._check_served(ledger.events)

    def report(self) -> Report:
        return Report(
            findings=tuple(sorted(set(self._findings))), checked=dict(sorted(self._checked.items())), left_out=LEFT_OUT
        )

    def _say(self, path: Path, what: str) -> None:
        inside = path.is_relative_to(self._state.path)
        name = (path.relative_to(self._state.path) if inside else path).as_posix()
        printable = name.encode("utf-8", "backslashreplace").decode()  # a name on disk may be no UTF-8
        self._findings.append(Finding(printable, what))

    def _say_stranger(self, path: Path) -> None:
        self.strangers = True
        self._say(path, "nothing vouches for this file")

    def _compare(self, path: Path, digest: Digest, kind: str, size: int | None = None) -> None:
        """One file against its digest; with `size`, it has that many bytes and no more."""
        self._checked[kind] += 1
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                self._say(path, "it is no regular file")
            elif size is not None and found.st_size != size:
                self._say(path, f"it has {found.st_size} bytes, not the {size} that were recorded")
            elif digest_of_file(path) != digest:
                self._say(path, "it was altered: its bytes are not those that were recorded")
        except FileNotFoundError:
            self._say(path, "it is missing")
        except (OSError, ValueError) as error:
            self._say(path, f"it cannot be read: {error}")

    # What vouches for what -------------------------------------------------------------------------------------------

    def _verifier(self) -> Verifier:
        try:
            return Verifier.load(self._state.trusted)
        except TrustError as error:
            self._say(self._state.trusted, error.what)
            return Verifier({})

    def _check_keys(self, events: Iterable[Event], verifier: Verifier) -> None:
        recorded = {fact.key for fact in _facts(events, InstallationCreated)}
        self._checked["keys"] += len(verifier.keys)
        for key in sorted(verifier.keys - recorded):
            self._say(self._state.trusted / f"{key}.pub", "the ledger does not name this key")
        for key in sorted(recorded - verifier.keys):
            self._say(self._state.trusted / f"{key}.pub", "it is missing")
        private = self._state.keys / "signing.key"
        if private.exists():
            self._checked["signing key"] += 1
            try:
                if Signer.load(self._state.keys).key not in recorded:
                    self._say(private, "it is not the key that the ledger names")
            except (StateError, OSError) as error:
                self._say(private, error.what if isinstance(error, StateError) else f"it cannot be read: {error}")

    def _check_tokens(self) -> None:
        """A token and its digest vouch for one another; nothing else does."""
        for door in DOORS:
            self._checked["tokens"] += (self._state.keys / f"token-{door}").exists()
            wrong = unmatched(door, self._state.keys, self._state.trusted)
            if wrong:
                self._say(self._state.trusted / f"{door}-token.sha256", wrong)

    def _check_tables(self, commits: Iterable[TableCommitted], present: Iterable[Path]) -> None:
        recorded: dict[Path, Digest] = {}
        for commit in commits:
            for name, digest in commit.files.items():
                recorded[self._state.tables / commit.table / name] = digest
        for path, digest in recorded.items():
            self._compare(path, digest, "table files")
        for path in present:
            if path not in recorded:
                self._say_stranger(path)

    def _check_segments(
        self, sealed: Iterable[SegmentSealed], present: Iterable[Path], retired: Set[tuple[str, int]]
    ) -> None:
        recorded = {(fact.writer, fact.sequence): fact for fact in sealed}
        found: set[tuple[str, int]] = set()
        for path in present:
            if not _SEGMENT.fullmatch(path.name):
                if path.name not in _OF_WRITERS:
                    self._say_stranger(path)
                continue
            place = (path.parent.name, int(path.stem))
            found.add(place)
            if place in recorded:
                self._compare(path, recorded[place].digest, "sealed segments", recorded[place].bytes)
            else:
                self._checked["unsealed segments (not compared)"] += 1
        for writer, sequence in sorted(set(recorded) - found - retired):
            self._say(self._state.log / writer / f"{sequence:012d}.seg", "it is missing")

    def _check_quarantine(self, facts: Iterable[FileQuarantined]) -> None:
        for fact in facts:
            self._compare(
                self._state.quarantine(fact.source) / f"{fact.digest}.bytes", fact.digest, "quarantined files"
            )

    def _check_artifacts(self, verifier: Verifier) -> None:
        """Blobs, manifests and attestations against their names, attestations against their signatures as well."""
        folders: dict[str, Callable[[Path], bool]] = {
            "blobs": lambda path: path.parent.name == path.name[:2],
            "manifests": lambda path: path.suffix == ".json",
            "attestations": lambda path: path.suffix == ".json" and bool(_HEXADECIMAL.fullmatch(path.parent.name)),
        }
        for kind, belongs in folders.items():
            for path in _files(self._state.artifacts / kind):
                if _DRAFT.fullmatch(path.name):
                    continue
                if _HEXADECIMAL.fullmatch(path.name.removesuffix(".json")) and belongs(path):
                    self._compare(path, Digest(path.name.removesuffix(".json")), kind)
                else:
                    self._say_stranger(path)
        for path in _files(self._state.artifacts):
            if path.relative_to(self._state.artifacts).parts[0] not in (*folders, "vouched"):
                self._say_stranger(path)
        for version in _versions(self._state.artifacts / "attestations"):
            self._check_attestations(version, verifier)

    def _check_vouched(self, facts: Iterable[ModelVouched], verifier: Verifier) -> None:
        """What a person said of a pickle: on record, signed, and not a byte of it altered."""
        recorded = {fact.model: self._state.artifacts / "vouched" / f"{fact.model}.json" for fact in facts}
        for model, path in recorded.items():
            self._checked["trusted pickles"] += 1
            try:
                vouched = self._artifacts.vouched(model)
                if vouched is None:
                    self._say(path, "it is missing")
                    continue
                verifier.check(vouched)
                if vouched.model != model or path.read_bytes() != canonical(vouched):
                    self._say(path, "it was altered: its bytes are not those that were signed")
            except TrustError as error:
                self._say(path, f"it does not count. {error.what}")
        for path in _files(self._state.artifacts / "vouched"):
            if path not in recorded.values() and not _DRAFT.fullmatch(path.name):
                self._say_stranger(path)

    def _check_attestations(self, version: VersionId, verifier: Verifier) -> None:
        try:
            attestations = self._artifacts.attestations(version)
        except TrustError as error:
            self._say(self._artifacts.attestation_folder(version), error.what)
            return
        for attestation in attestations:
            try:
                verifier.check(attestation)
            except TrustError as error:
                self._say(self._artifacts.attestation_path(attestation), f"it does not count. {error.what}")
            if attestation.version != version:
                self._say(self._artifacts.attestation_folder(version), "it holds an attestation of another version")

    def _check_named(self, events: Sequence[Event]) -> None:
        """Every blob and manifest that an event or a manifest names must be there, but for what was cleared."""
        cleared = _cleared(events)
        for version in _named_versions(events):
            try:
                manifest = self._artifacts.manifest(version)
            except (TrustError, NotFoundError) as error:
                self._say(self._artifacts.folder / "manifests" / f"{version}.json", error.what)
                continue
            self._expect_blobs((None if version in cleared else manifest.model, manifest.bundle))
        for event in events:
            self._expect_blobs(_named_blobs(event))

    def _check_served(self, events: Iterable[Event]) -> None:
        """Every version that ever answered a user must still have both attestations."""
        routed = [(fact.champion, fact.canary) for fact in _facts(events, RoutingChanged)]
        for version in dict.fromkeys(version for pair in routed for version in pair if version is not None):
            try:
                kinds = {attestation.kind for attestation in self._artifacts.attestations(version)}
            except TrustError:
                continue  # said above
            for kind in ("built", "judged"):
                if kind not in kinds:
                    self._say(self._artifacts.attestation_folder(version), f"the attestation {kind!r} is missing")

    def _expect_blobs(self, digests: Iterable[Digest | None]) -> None:
        for digest in digests:
            if digest is None:
                continue
            if not _HEXADECIMAL.fullmatch(digest):
                self._say(self._artifacts.blobs.folder, f"an event names {digest!r}, which is no digest")
            elif not self._artifacts.blobs.has(digest):
                self._say(self._artifacts.blobs.path(digest), "it is missing")


def _facts(events: Iterable[Event], kind: type[_Fact]) -> list[_Fact]:
    return [event.fact for event in events if isinstance(event.fact, kind)]


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, in order; a link counts as a file, so nothing outside is followed."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path


def _versions(folder: Path) -> list[VersionId]:
    if not folder.is_dir():
        return []
    return sorted(VersionId(path.name) for path in folder.iterdir() if _HEXADECIMAL.fullmatch(path.name))


def _named_versions(events: Iterable[Event]) -> list[VersionId]:
    return list(dict.fromkeys(fact.version for fact in _facts(events, VersionBuilt)))


def _cleared(events: Iterable[Event]) -> set[VersionId]:
    """The versions whose model file may be gone: those that were cleared, and not put into service since."""
    found: set[VersionId] = set()
    for event in events:
        match event.fact:
            case VersionCleared(version=version):
                found.add(version)
            case ChampionOverridden(version=version):
                found.discard(version)
            case _:
                pass
    return found


def _named_blobs(event: Event) -> tuple[Digest | None, ...]:
    match event.fact:
        case BundleFrozen(bundle=bundle):
            return (bundle,)
        case ServiceDeclared(declaration=declaration, bundle=bundle):
            return declaration, bundle
        case StageFinished(result=result):
            return (result,)
        case VersionJudged(card=card):
            return (card,)
        case _:
            return ()
