"""What is said against a version before a rollback lets it answer: exactly what its verdict leaves open."""

from pathlib import Path

import msgspec
import pytest

from evertrain.core.card import Card
from evertrain.core.gate import Criterion
from evertrain.core.identity import VersionId, canonical, digest_of
from evertrain.core.model import Fingerprint, Verdict
from evertrain.core.registry import ServiceRecord, Version
from evertrain.core.time import Instant
from evertrain.process.view.caution import mended_by, minds_of_rollback, standing_caution
from evertrain.store.artifact import Artifacts
from evertrain.testing.card import card_of_nine
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.overview import SERVICE

BEATS = Criterion(name="constant", status="pass", words="log_loss 0.4792, that of a constant 0.5011")


def minds(folder: Path, verdict: Verdict, **changes: object) -> str:
    """Of a version 1 that stands by behind version 2. changes: of its card."""
    artifacts = Artifacts.at(folder)
    card: Card = msgspec.structs.replace(card_of_nine(), verdict=verdict, **changes)
    first, second = (VersionId(digest_of(number)) for number in (1, 2))
    versions = {
        version: Version(
            version=version,
            ordinal=place,
            fingerprint=Fingerprint(model=digest_of("m"), features=digest_of("f")),
            cycle=None,
            built=Instant(0),
            verdict=verdict if version == first else "pass",
            card=artifacts.blobs.put(canonical(card)) if version == first else None,
        )
        for place, version in enumerate((first, second), start=1)
    }
    record = ServiceRecord(service=SERVICE, versions=versions, champion=second, served=[first, second])
    [mind] = minds_of_rollback(record, artifacts)
    lead = "Mind of version 1 of late-flights, which answers then: "
    assert mind.startswith(lead)
    return mind.removeprefix(lead)


FIRST = "there was no version to hold it against, and it beats a constant on 5,918 rows that it never saw"
ON_TABLE = "on 5,918 rows of the table it was not shown to be worse, and it may have been trained on them."
NEITHER = "on 5,918 rows it was shown neither to be as good as the version before it nor to be worse."


@pytest.mark.parametrize(
    ("verdict", "changes", "says"),
    [
        ("health only", {"champion": None, "criteria": (BEATS,)}, f"{FIRST} ({BEATS.words})."),
        ("health only", {"training_rows": 0}, ON_TABLE),
        ("health only", {"training_rows": 0, "figures": ()}, "whether it is good was never shown."),
        ("inconclusive", {}, NEITHER),
    ],
)
def test_what_a_verdict_leaves_open_is_said_by_its_card(
    tmp_path: Path, verdict: Verdict, changes: dict[str, object], says: str
) -> None:
    assert minds(tmp_path, verdict, **changes) == f"its verdict was {verdict!r}: {says}"


def test_labels_that_a_later_version_was_judged_on_say_how_good_the_one_before_is(tmp_path: Path) -> None:
    artifacts = Artifacts.at(tmp_path)
    first, second = (VersionId(digest_of(number)) for number in (1, 2))
    card: Card = msgspec.structs.replace(card_of_nine(), claim="traffic", champion=first, version=second)
    versions = {
        version: Version(
            version=version,
            ordinal=place,
            fingerprint=Fingerprint(model=digest_of("m"), features=digest_of("f")),
            cycle=None,
            built=Instant(0),
            verdict="health only" if version == first else "pass",
            card=None if version == first else artifacts.blobs.put(canonical(card)),
        )
        for place, version in enumerate((first, second), start=1)
    }
    record = ServiceRecord(service=SERVICE, versions=versions, champion=second, served=[first, second])
    figures = {one.who: one.metrics for one in card.figures}
    name = min(figures["champion"])
    mine, its = figures["champion"][name], figures["challenger"][name]
    [mind] = minds_of_rollback(record, artifacts)
    assert mind.endswith(f"on {card.holdout_rows:,} labelled rows it had {name} {mine:.4g}, version 2 {its:.4g}.")


def test_what_a_training_said_stands_until_a_later_one_by_its_recipe_says_it_no_more(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "state")
    artifacts = installation.artifacts
    sound = installation.add("def predict(rows):\n    return [0.5 for _ in rows]\n")
    odd, other = (
        artifacts.put_manifest(msgspec.structs.replace(artifacts.manifest(sound), parameters={"caution": words}))
        for words in ("it codes 'plan' by itself", "another one")
    )

    def known(*versions: tuple[VersionId, str], refused: str = "", verdict: Verdict = "pass") -> ServiceRecord:
        made = {
            version: Version(
                version=version,
                ordinal=place,
                fingerprint=artifacts.manifest(version).fingerprint,
                cycle=None,
                built=Instant(0),
                recipe=recipe,
                verdict=verdict,
                refused=refused if version == sound else "",
            )
            for place, (version, recipe) in enumerate(versions, start=1)
        }
        return ServiceRecord(service=SHOP, versions=made)

    def standing(*versions: tuple[VersionId, str], refused: str = "") -> str:
        return standing_caution(known(*versions, refused=refused), odd, artifacts)

    said = "it codes 'plan' by itself"
    assert standing((odd, "default")) == standing() == said
    assert standing((sound, "default"), (odd, "default")) == said
    assert standing((odd, "default"), (sound, "other")) == said
    assert standing((odd, "default"), (other, "default")) == said
    mended = ((odd, "default"), (sound, "default"))
    assert standing(*mended) == ""
    assert standing(*mended, refused="a person took it back") == said
    assert mended_by(known(*mended, refused="a person took it back"), odd, artifacts) == sound
    assert mended_by(known(*mended), odd, artifacts) is None
    failed = known(*mended, refused="it is worse", verdict="fail")
    assert standing_caution(failed, odd, artifacts) == said
    assert mended_by(failed, odd, artifacts) is None, "what the gate refused is no way out"
    assert standing_caution(ServiceRecord(service=SHOP), None, artifacts) == ""
