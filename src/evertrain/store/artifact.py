"""Model versions as files: a manifest by its digest, and the attestations that were made about it.

blobs/ab/<digest>                         model files, bundles, cards, results
manifests/<version>.json                  canonical JSON, whose digest is the version
attestations/<version>/<digest>.json      canonical JSON, named by its own digest
vouched/<digest>.json                     that a person trusts the pickle of this digest
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from evertrain.core.identity import Digest, VersionId, canonical, digest_of_bytes, short
from evertrain.core.model import Attestation, Manifest, Vouched
from evertrain.errors import EvertrainError, NotFoundError, TrustError
from evertrain.store.blob import Blobs
from evertrain.store.file import write_atomically

__all__ = ["Artifacts"]

_Value = TypeVar("_Value")


class Artifacts:
    """The manifests and attestations of all versions, beside the blobs that they name."""

    def __init__(self, blobs: Blobs, folder: Path) -> None:
        self.blobs = blobs
        self.folder = folder

    @classmethod
    def at(cls, folder: Path) -> "Artifacts":
        """The artifacts of a state directory (`State.artifacts`)."""
        return cls(Blobs(folder / "blobs"), folder)

    def put_manifest(self, manifest: Manifest) -> VersionId:
        """Keep a manifest. Its blobs must stand already, so that a manifest is never ahead of its bytes."""
        for digest in filter(None, (manifest.model, manifest.bundle, Digest(manifest.runs_in))):
            if not self.blobs.has(digest):
                raise NotFoundError(f"The manifest names blob {digest}, which is not kept.", "Put the blob first.")
        version = manifest.version
        target = self._manifest_path(version)
        if not target.exists():
            _write(target, canonical(manifest))
        return version

    def manifest(self, version: VersionId) -> Manifest:
        """The manifest, checked against its name. Raises TrustError."""
        path = self._manifest_path(version)
        remedy = "Restore it from a backup."
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise TrustError(f"Version {short(version)} has no manifest at {path}.", remedy) from error
        if VersionId(digest_of_bytes(content)) != version:
            raise TrustError(f"Version {short(version)}: its manifest {path} was altered.", remedy)
        return _read(content, Manifest, path)

    def runs_in(self, version: VersionId) -> str:
        """The environment to start a process of this version in; "" too where its manifest cannot be read.

        The process will refuse such a version, and say why.
        """
        try:
            return self.manifest(version).runs_in
        except EvertrainError:
            return ""

    def versions(self) -> list[VersionId]:
        """All versions that have a manifest, in no order that means anything."""
        return sorted(VersionId(path.stem) for path in (self.folder / "manifests").glob("*.json"))

    def attest(self, attestation: Attestation) -> None:
        """Keep an attestation that is signed already. The same one twice is no error."""
        target = self.attestation_path(attestation)
        if not target.exists():
            _write(target, canonical(attestation))

    def attestations(self, version: VersionId) -> list[Attestation]:
        """All attestations that lie in the version's folder, checked against their names but not their signatures."""
        found = []
        for path in sorted(self.attestation_folder(version).glob("*.json")):
            content = path.read_bytes()
            if digest_of_bytes(content) != path.stem:
                raise TrustError(
                    f"Version {short(version)}: the attestation {path} was altered.", "Restore it from a backup."
                )
            found.append(_read(content, Attestation, path))
        return found

    def attestation_folder(self, version: VersionId) -> Path:
        """Where the attestations of a version lie."""
        return self.folder / "attestations" / version

    def attestation_path(self, attestation: Attestation) -> Path:
        """Where an attestation lies, or would lie."""
        return self.attestation_folder(attestation.version) / f"{digest_of_bytes(canonical(attestation))}.json"

    def vouch(self, vouched: Vouched) -> None:
        """Keep a statement about a pickle that is signed already."""
        _write(self._vouched_path(vouched.model), canonical(vouched))

    def vouched(self, model: Digest) -> Vouched | None:
        """What was said of a pickle of this digest, unchecked; None when nobody said anything."""
        path = self._vouched_path(model)
        return _read(path.read_bytes(), Vouched, path) if path.exists() else None

    def _vouched_path(self, model: Digest) -> Path:
        self.blobs.path(model)  # refuses what is no digest
        return self.folder / "vouched" / f"{model}.json"

    def _manifest_path(self, version: VersionId) -> Path:
        self.blobs.path(Digest(version))  # refuses what is no digest
        return self.folder / "manifests" / f"{version}.json"


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content, mode=0o444)


def _read(content: bytes, kind: type[_Value], path: Path) -> _Value:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrustError(f"{path} cannot be read by this version of evertrain.", "Upgrade evertrain.") from error
