"""Ed25519 signatures: who may vouch for a version or for the ledger, and the check before anything is loaded.

The private key lies in control/keys and is loaded by the controller and by commands that import a model, never by a
process that runs user code. The public keys that count lie in serving/keys, one PEM file each, named by the key's id.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evertrain.core.identity import Digest, ServiceName, VersionId, canonical, digest_of_bytes, short
from evertrain.core.model import Attestation, Manifest, Verdict
from evertrain.core.routing import Refusal
from evertrain.core.time import Instant
from evertrain.errors import StateError, TrustError
from evertrain.store.artifact import Artifacts
from evertrain.store.file import digest_of_file, write_atomically

__all__ = ["Signer", "Verifier", "admit", "check_vouched", "untrusted"]

_FILE = "signing.key"
_PEM = serialization.Encoding.PEM
_GOOD: frozenset[Verdict | None] = frozenset(("pass", "health only", "override"))


Signed = TypeVar("Signed", bound=msgspec.Struct)


class Signer:
    """Signs with the installation's private key. It never shows the key, also not in its repr."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key = _id_of(private.public_key())

    @classmethod
    def create(cls, keys: Path, trusted: Path) -> "Signer":
        """Make a key in `keys`, or load the one that is there, and see that its public half lies in `trusted`."""
        path = keys / _FILE
        if not path.exists():
            private = Ed25519PrivateKey.generate()
            pem = private.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            write_atomically(path, pem, mode=0o600)
        signer = cls.load(keys)
        target = trusted / f"{signer.key}.pub"
        if not target.exists():
            write_atomically(target, signer.public_pem())
        return signer

    @classmethod
    def load(cls, keys: Path) -> "Signer":
        """The installation's key. Errors name the file, never its content."""
        path = keys / _FILE
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError as error:
            raise StateError(
                f"{path} is missing.", "Restore it from a backup; nothing can be signed without it."
            ) from error
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise StateError(f"{path} is no private key.", "Restore it from a backup.") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise StateError(f"{path} is no Ed25519 key.", "Restore it from a backup.")
        return cls(private)

    def public_pem(self) -> bytes:
        """The public half, as it lies in serving/keys."""
        return self._private.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, statement: Signed) -> Signed:
        """The statement with this key's id and signature."""
        named = msgspec.structs.replace(statement, key=self.key, signature="")
        return msgspec.structs.replace(named, signature=self._private.sign(canonical(named)).hex())

    def sign_attestation(
        self,
        kind: Literal["built", "judged"],
        version: VersionId,
        service: ServiceName,
        at: Instant,
        *,
        verdict: Verdict | None = None,
        reason: str = "",
    ) -> Attestation:
        """A signed attestation; a judgement needs a verdict, and only a judgement has one."""
        if (kind == "judged") != (verdict is not None):
            raise ValueError("a judgement has a verdict, and nothing else has")
        return self.sign(
            Attestation(kind=kind, version=version, service=service, at=at, verdict=verdict, reason=reason)
        )


class Verifier:
    """Checks signatures against the public keys that this installation trusts, by key id."""

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    @classmethod
    def load(cls, trusted: Path) -> "Verifier":
        """All public keys of a folder. A file whose name is not its key's id is refused."""
        keys: dict[str, Ed25519PublicKey] = {}
        for path in sorted(trusted.glob("*.pub")):
            try:
                public = serialization.load_pem_public_key(path.read_bytes())
            except (ValueError, UnsupportedAlgorithm):
                raise TrustError(f"{path} is no public key.", "Restore it from a backup.") from None
            if not isinstance(public, Ed25519PublicKey) or _id_of(public) != path.stem:
                raise TrustError(f"{path} is not the Ed25519 key that its name says.", "Remove or restore the file.")
            keys[path.stem] = public
        return cls(keys)

    @property
    def keys(self) -> frozenset[str]:
        """The ids of the trusted keys."""
        return frozenset(self._keys)

    def check(self, statement: msgspec.Struct) -> None:
        """Raise TrustError unless the statement is signed, unaltered, by a trusted key."""
        key, signature = str(getattr(statement, "key", "")), str(getattr(statement, "signature", ""))
        if not key or not signature:
            raise TrustError("It is not signed.", "Sign it with this installation's key.")
        public = self._keys.get(key)
        if public is None:
            raise TrustError(f"It is signed by the key {short(key)}, which is not trusted here.")
        try:
            public.verify(bytes.fromhex(signature), canonical(msgspec.structs.replace(statement, signature="")))
        except (InvalidSignature, ValueError):
            raise TrustError("Its signature does not match: it was altered.") from None


def admit(
    artifacts: Artifacts,
    verifier: Verifier,
    version: VersionId,
    *,
    need: Literal["built", "judged"],
    refused: Iterable[Refusal] = (),
) -> Manifest:
    """The manifest of a version that may be loaded, or TrustError with the version, the file, the reason, the remedy.

    need "built" is for a check server; what answers users needs "judged", which includes "built". All bytes that the
    manifest names are hashed here, before any of them is parsed or unpickled.
    """
    manifest = artifacts.manifest(version)
    for refusal in refused:
        if refusal.fingerprint == manifest.fingerprint:
            raise TrustError(
                f"Version {short(version)} was refused as version {short(refusal.version)}: {refusal.reason}",
                "A person with the right role can override that, on record.",
            )
    _check_attestations(artifacts, verifier, manifest, version, need)
    if manifest.format == "pickle" and manifest.origin == "import":
        check_vouched(artifacts, verifier, manifest.model, f"version {short(version)}")
    named = (
        {"model": manifest.model} if manifest.bundle is None else {"model": manifest.model, "bundle": manifest.bundle}
    )
    for part, digest in named.items():
        path = artifacts.blobs.path(digest)
        if not path.is_file():
            raise TrustError(f"Version {short(version)}: its {part} {path} is missing.", "Restore it from a backup.")
        if digest_of_file(path) != digest:
            raise TrustError(
                f"Version {short(version)}: its {part} {path} was altered or cut.", "Restore it from a backup."
            )
    return manifest


def check_vouched(artifacts: Artifacts, verifier: Verifier, model: Digest, name: str) -> None:
    """Raise TrustError unless a person has vouched for these bytes, whose loading runs code. name: of the file."""
    vouched = artifacts.vouched(model)
    if vouched is None or vouched.model != model:
        raise untrusted(name)
    verifier.check(vouched)


def untrusted(name: str, file: str = "FILE") -> TrustError:
    """The refusal of a pickle that nobody vouched for. file: as a person would type it."""
    return TrustError(
        f"{name} is a pickle, and loading a pickle runs whatever code is in it.",
        f"`evertrain trust {file}` says what is in it and lets exactly these bytes in. Safer: save the estimator with "
        "skops.io.dump, or the booster with save_model.",
    )


def _check_attestations(
    artifacts: Artifacts, verifier: Verifier, manifest: Manifest, version: VersionId, need: Literal["built", "judged"]
) -> None:
    found = artifacts.attestations(version)
    folder = artifacts.attestation_folder(version)
    for attestation in found:
        _check_one(artifacts, verifier, manifest, version, attestation)
    if not any(attestation.kind == "built" for attestation in found):
        raise TrustError(
            f"Version {short(version)} has no attestation of how it was built in {folder}.",
            "Train it here or import it with `evertrain push`.",
        )
    if need == "built":
        return
    judged = [attestation for attestation in found if attestation.kind == "judged"]
    if not judged:
        raise TrustError(
            f"Version {short(version)} is not judged: {folder} holds no verdict.", "Let the gate judge it first."
        )
    last = max(judged, key=_precedence)
    if last.verdict not in _GOOD:
        raise TrustError(
            f"Version {short(version)} was judged {last.verdict!r}: {last.reason} ({artifacts.attestation_path(last)})",
            "A person with the right role can override that, on record.",
        )


def _check_one(
    artifacts: Artifacts, verifier: Verifier, manifest: Manifest, version: VersionId, attestation: Attestation
) -> None:
    path = artifacts.attestation_path(attestation)
    try:
        verifier.check(attestation)
    except TrustError as error:
        raise TrustError(
            f"Version {short(version)}: the attestation {path} does not count. {error.what}",
            "Remove or restore the file.",
        ) from error
    if attestation.version != version or attestation.service != manifest.service:
        raise TrustError(
            f"Version {short(version)}: the attestation {path} is about version {short(attestation.version)} "
            f"of service {attestation.service!r}, not of {manifest.service!r}.",
            "Remove the file.",
        )


def _precedence(attestation: Attestation) -> tuple[Instant, int]:
    """The newest judgement counts; of one instant, a person's override before a bad verdict before a good one."""
    rank = 2 if attestation.verdict == "override" else 0 if attestation.verdict in _GOOD else 1
    return attestation.at, rank


def _id_of(public: Ed25519PublicKey) -> str:
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return digest_of_bytes(raw)
