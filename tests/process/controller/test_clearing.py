"""What is removed from the cache, and what answers, is on trial, stands by or is declared keeps."""

import os
from pathlib import Path

import msgspec
import pytest

from evertrain.config.bundle import CONTENTS, pack, unpack
from evertrain.core.identity import Digest, VersionId, digest_of_bytes
from evertrain.core.record import Version
from evertrain.core.registry import ServiceRecord
from evertrain.core.routing import Arm, Route, RoutingTable
from evertrain.process.controller.clearing import clear_bundles, clear_models
from evertrain.testing.installation import BEGIN, SHOP, Installation


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "state")


def unpacked(made: Installation, name: str) -> Digest:
    """A bundle that was unpacked long ago."""
    content = pack({CONTENTS: name.encode()})
    digest = digest_of_bytes(content)
    os.utime(unpack(content, digest, made.state.bundles), (1, 1))
    made.artifacts.blobs.put(content)
    return digest


def with_bundle(made: Installation, name: str) -> VersionId:
    manifest = made.artifacts.manifest(made.add(f"# {name}\n"))
    return made.put(msgspec.structs.replace(manifest, bundle=unpacked(made, name)))


def test_what_is_needed_or_was_asked_for_lately_stays(made: Installation) -> None:
    champion, previous, trial, reference, old = (with_bundle(made, name) for name in "abcde")
    route = Route(
        service=SHOP,
        champion=champion,
        previous=previous,
        reference=reference,
        shadow=Arm(version=trial, share=0.1, deadline_s=1.0),
    )
    table = RoutingTable(generation=1, routes={SHOP: route})
    record = ServiceRecord(service=SHOP, bundle=unpacked(made, "declared"))
    bundles = {one: made.artifacts.manifest(one).bundle for one in (champion, previous, trial, reference, old)}

    def there() -> set[str]:
        return {path.name for path in made.state.bundles.iterdir()}

    before = there()
    clear_bundles(made.state, table, [record], most=1)
    assert there() == before, "one that nothing needs is spared"
    clear_bundles(made.state, table, [record], most=0)
    assert before - there() == {bundles[old]}
    clear_bundles(made.state, RoutingTable(generation=2, routes={}), [], most=0)
    assert there() == set()
    unpack(made.artifacts.blobs.get(record.bundle or Digest("")), record.bundle or Digest(""), made.state.bundles)
    clear_bundles(made.state, table, [], most=0)
    assert there() == {record.bundle}, "it was asked for just now"


def test_the_files_of_cleared_versions_go_a_day_after_they_came_unless_another_version_has_them(
    made: Installation,
) -> None:
    record = ServiceRecord(service=SHOP)
    old, young, shared, needed = (f"# {name}\n" for name in "abcd")
    versions = {one: made.add(one) for one in (old, young, shared, needed)}
    twin = made.put(msgspec.structs.replace(made.artifacts.manifest(versions[shared]), recipe="another"))
    for number, version in enumerate((*versions.values(), twin)):
        fingerprint = made.artifacts.manifest(version).fingerprint
        record.versions[version] = Version(
            version=version, ordinal=number, fingerprint=fingerprint, cycle=None, built=BEGIN, cleared=number < 3
        )
        if version != versions[young]:
            os.utime(made.artifacts.blobs.path(fingerprint.model), (1, 1))
    for _ in range(2):
        clear_models(made.state, [record])
        assert {one for one in versions if not made.artifacts.blobs.has(digest_of_bytes(one.encode()))} == {old}
    assert made.artifacts.manifest(versions[old]).version == versions[old]


def test_who_cannot_tell_what_is_needed_removes_nothing(made: Installation) -> None:
    bundle = unpacked(made, "a")
    record = ServiceRecord(service=SHOP, champion=VersionId("0" * 64))
    clear_bundles(made.state, RoutingTable(generation=1, routes={}), [record], most=0)
    assert [path.name for path in made.state.bundles.iterdir()] == [bundle]
