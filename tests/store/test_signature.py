"""What may be loaded: every way in which a version can be wrong is refused with its id, file, reason and remedy."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from evertrain.core.identity import Digest, ServiceName, VersionId, canonical, digest_of_bytes, short
from evertrain.core.model import Attestation, Fingerprint, Manifest, Output, Verdict
from evertrain.core.routing import Refusal
from evertrain.core.schema import Column, Input, Schema
from evertrain.core.time import Instant
from evertrain.errors import NotFoundError, TrustError, UserError
from evertrain.store.artifact import Artifacts
from evertrain.store.signature import Signer, Verifier, admit

SERVICE = ServiceName("churn")


class Shop:
    """An installation's key, its artifacts, and one version that is built and judged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("keys", "trusted"):
            (folder / name).mkdir(parents=True)
        self.signer = Signer.create(folder / "keys", folder / "trusted")
        self.artifacts = Artifacts.at(folder / "artifacts")
        self.model = self.artifacts.blobs.put(b"tree\nversion=v4\n")
        self.bundle = self.artifacts.blobs.put(b"the user's code")
        self.version = self.artifacts.put_manifest(self.manifest())
        self.built = self.attest("built")
        self.judged = self.attest("judged", verdict="pass")

    def manifest(self, model: Digest | None = None) -> Manifest:
        return Manifest(
            service=SERVICE,
            format="callable",
            model=model or self.model,
            bundle=self.bundle,
            features=digest_of_bytes(b"features"),
            inputs=Schema((Column(name="x", type="float64"),)),
            vector=(Input(name="x"),),
            output=Output(),
        )

    def attest(
        self, kind: str, *, verdict: Verdict | None = None, at: int = 1, signer: Signer | None = None
    ) -> Attestation:
        assert kind in {"built", "judged"}
        attestation = (signer or self.signer).sign_attestation(
            "built" if kind == "built" else "judged", self.version, SERVICE, Instant(at), verdict=verdict, reason="so"
        )
        self.artifacts.attest(attestation)
        return attestation

    def admit(self, need: str = "judged", refused: tuple[Refusal, ...] = ()) -> Manifest:
        return admit(
            self.artifacts,
            Verifier.load(self.folder / "trusted"),
            self.version,
            need="built" if need == "built" else "judged",
            refused=refused,
        )


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def replace(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def refused(shop: Shop, need: str = "judged") -> TrustError:
    with pytest.raises(TrustError) as raised:
        shop.admit(need)
    assert short(shop.version) in str(raised.value)
    assert raised.value.remedy
    return raised.value


def test_a_built_and_judged_version_is_admitted(shop: Shop) -> None:
    assert shop.admit() == shop.admit("built") == shop.manifest()
    assert shop.artifacts.versions() == [shop.version]


def test_half_a_model_file_is_refused(shop: Shop) -> None:
    path = shop.artifacts.blobs.path(shop.model)
    replace(path, path.read_bytes()[:4])
    assert str(path) in str(refused(shop))


@pytest.mark.parametrize("part", ["model", "bundle"])
def test_one_altered_byte_is_refused(shop: Shop, part: str) -> None:
    path = shop.artifacts.blobs.path(shop.model if part == "model" else shop.bundle)
    content = path.read_bytes()
    replace(path, bytes([content[0] ^ 1]) + content[1:])
    error = refused(shop)
    assert part in error.what
    assert str(path) in error.what


def test_a_missing_blob_is_refused(shop: Shop) -> None:
    shop.artifacts.blobs.path(shop.model).unlink()
    assert "missing" in refused(shop).what


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_a_planted_pickle_runs_nothing(shop: Shop, tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "planted"
    replace(shop.artifacts.blobs.path(shop.model), pickle.dumps(_Bomb(marker)))
    refused(shop)
    assert not marker.exists()


@pytest.mark.parametrize("position", [0, 20, -2])
def test_an_altered_manifest_is_refused(shop: Shop, position: int) -> None:
    path = shop.folder / "artifacts" / "manifests" / f"{shop.version}.json"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    replace(path, bytes(content))
    assert str(path) in refused(shop).what


def test_a_missing_manifest_is_refused(shop: Shop) -> None:
    (shop.folder / "artifacts" / "manifests" / f"{shop.version}.json").unlink()
    assert "no manifest" in refused(shop).what


def test_a_version_without_attestations_is_refused(shop: Shop) -> None:
    shop.artifacts.attestation_path(shop.built).unlink()
    assert "how it was built" in refused(shop).what
    assert "how it was built" in refused(shop, "built").what


def test_a_check_server_takes_what_is_built_and_users_what_is_judged(shop: Shop) -> None:
    shop.artifacts.attestation_path(shop.judged).unlink()
    assert shop.admit("built") == shop.manifest()
    assert "not judged" in refused(shop).what


@pytest.mark.parametrize("verdict", ["fail", "error", "inconclusive"])
def test_a_bad_verdict_is_refused_until_a_person_overrides(shop: Shop, verdict: Verdict) -> None:
    shop.attest("judged", verdict=verdict, at=2)
    assert verdict in refused(shop).what
    shop.attest("judged", verdict="override", at=2)
    assert shop.admit() == shop.manifest()
    shop.attest("judged", verdict=verdict, at=3)
    assert verdict in refused(shop).what


def test_of_one_instant_the_bad_verdict_counts(shop: Shop) -> None:
    shop.attest("judged", verdict="fail", at=1)
    assert "fail" in refused(shop).what


def test_a_foreign_key_is_refused(shop: Shop, tmp_path: Path) -> None:
    stranger = Shop(tmp_path / "stranger")
    shop.artifacts.attestation_path(shop.judged).unlink()
    forged = shop.attest("judged", verdict="pass", signer=stranger.signer)
    error = refused(shop)
    assert "not trusted" in error.what
    assert str(shop.artifacts.attestation_path(forged)) in error.what


def test_an_unsigned_attestation_is_refused(shop: Shop) -> None:
    shop.artifacts.attest(msgspec.structs.replace(shop.judged, at=Instant(9), signature=""))
    assert "not signed" in refused(shop).what


def test_a_rewritten_verdict_is_refused(shop: Shop) -> None:
    failed = shop.attest("judged", verdict="fail", at=2)
    shop.artifacts.attestation_path(failed).unlink()
    shop.artifacts.attest(msgspec.structs.replace(failed, verdict="pass"))
    assert "altered" in refused(shop).what


def test_one_altered_byte_of_an_attestation_is_refused(shop: Shop) -> None:
    path = shop.artifacts.attestation_path(shop.judged)
    replace(path, path.read_bytes().replace(b'"pass"', b'"Pass"'))
    assert str(path) in refused(shop).what


def test_an_attestation_for_another_service_is_refused(shop: Shop) -> None:
    other = shop.signer.sign_attestation("judged", shop.version, ServiceName("fraud"), Instant(1), verdict="pass")
    shop.artifacts.attest(other)
    assert "'fraud'" in refused(shop).what


def test_an_attestation_of_another_version_does_not_count(shop: Shop) -> None:
    other = shop.signer.sign_attestation("judged", VersionId("0" * 64), SERVICE, Instant(1), verdict="pass")
    content = canonical(other)
    (shop.artifacts.attestation_folder(shop.version) / f"{digest_of_bytes(content)}.json").write_bytes(content)
    refused(shop)


def test_a_refusal_matches_the_same_bytes_under_any_name(shop: Shop) -> None:
    manifest = shop.manifest()
    refusal = Refusal(version=VersionId("ab" * 32), fingerprint=manifest.fingerprint, reason="it invents numbers")
    with pytest.raises(TrustError, match="it invents numbers"):
        shop.admit("built", refused=(refusal,))
    other = Fingerprint(model=manifest.model, features=manifest.features, threshold=0.5)
    assert shop.admit(refused=(msgspec.structs.replace(refusal, fingerprint=other),)) == manifest


def test_a_manifest_is_never_ahead_of_its_bytes(shop: Shop) -> None:
    with pytest.raises(NotFoundError, match="Put the blob first"):
        shop.artifacts.put_manifest(shop.manifest(model=Digest("0" * 64)))
    with pytest.raises(NotFoundError, match="not a digest"):
        shop.artifacts.manifest(VersionId("../../etc/passwd"))


def test_a_judgement_has_a_verdict_and_nothing_else_has(shop: Shop) -> None:
    with pytest.raises(ValueError, match="verdict"):
        shop.signer.sign_attestation("judged", shop.version, SERVICE, Instant(1))
    with pytest.raises(ValueError, match="verdict"):
        shop.signer.sign_attestation("built", shop.version, SERVICE, Instant(1), verdict="pass")


def test_keys_are_made_once_and_stay_private(shop: Shop) -> None:
    key = shop.folder / "keys" / "signing.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = Signer.create(shop.folder / "keys", shop.folder / "trusted")
    assert again.key == shop.signer.key
    assert Verifier.load(shop.folder / "trusted").keys == {again.key}


@pytest.mark.parametrize("content", [b"-----BEGIN S3CRET", b"", None])
def test_a_damaged_private_key_is_named_and_never_shown(shop: Shop, content: bytes | None) -> None:
    key = shop.folder / "keys" / "signing.key"
    if content is None:
        key.unlink()
    else:
        key.write_bytes(content)
    with pytest.raises(UserError) as raised:
        Signer.load(shop.folder / "keys")
    assert str(key) in str(raised.value)
    assert "S3CRET" not in repr(raised.value)
    assert "S3CRET" not in repr(raised.value.__cause__)


def test_a_public_key_under_another_name_is_refused(shop: Shop, tmp_path: Path) -> None:
    stranger = Shop(tmp_path / "stranger")
    (path,) = (shop.folder / "trusted").glob("*.pub")
    path.write_bytes(stranger.signer.public_pem())
    with pytest.raises(TrustError, match="not the Ed25519 key that its name says"):
        Verifier.load(shop.folder / "trusted")
    path.write_bytes(b"nonsense")
    with pytest.raises(TrustError, match="no public key"):
        Verifier.load(shop.folder / "trusted")
