"""What is to be known of a version that answers or is about to: past which refusal, and what it takes in otherwise."""

import msgspec

from evertrain.core.card import Card
from evertrain.core.identity import VersionId
from evertrain.core.model import Verdict
from evertrain.core.registry import ServiceRecord, Version
from evertrain.core.wording import say_many
from evertrain.errors import EvertrainError
from evertrain.process.view.chronicle import Chronicle
from evertrain.store.artifact import Artifacts

__all__ = [
    "caution_of",
    "cautions_of",
    "doubts_of",
    "mended_by",
    "minds_of_rollback",
    "override_of",
    "standing_caution",
]


def override_of(champion: Version, chronicle: Chronicle) -> str:
    """What is to be known of a champion that a person put into service."""
    words = chronicle.forced.get(champion.version)
    if words is None:
        return ""
    refused = f"was refused: {champion.overruled.rstrip('.')}; " if champion.overruled else ""
    return f"{refused}a person put it into service: {words}"


def caution_of(champion: VersionId, artifacts: Artifacts) -> str:
    """What its training says of it."""
    try:
        return artifacts.manifest(champion).caution
    except (EvertrainError, OSError):
        return ""  # a version that cannot be read cannot be loaded either, and that is told of whoever tries


def standing_caution(record: ServiceRecord, champion: VersionId | None, artifacts: Artifacts) -> str:
    """What its training says of a champion, as long as nobody has mended it.

    It is mended when a later training by its recipe has nothing said of it, and that version was not refused.
    """
    said = "" if champion is None else caution_of(champion, artifacts)
    sound = _sound_since(record, champion, artifacts) if said else []
    return said if all(one.refused for one in sound) else ""


def mended_by(record: ServiceRecord, champion: VersionId | None, artifacts: Artifacts) -> VersionId | None:
    """The newest version that was trained without what is said of a champion, though it was refused."""
    if not standing_caution(record, champion, artifacts):
        return None
    return next((one.version for one in reversed(_sound_since(record, champion, artifacts))), None)


def _sound_since(record: ServiceRecord, champion: VersionId | None, artifacts: Artifacts) -> list[Version]:
    """Later versions by the recipe of a champion of which nothing is said, and its gate nothing bad; oldest first."""
    mine = None if champion is None else record.versions.get(champion)
    if mine is None:
        return []
    later = (one for one in record.versions.values() if one.ordinal > mine.ordinal and one.recipe == mine.recipe)
    sound = (one for one in later if one.verdict not in ("fail", "error", None))
    return [one for one in sound if not caution_of(one.version, artifacts)]


def cautions_of(version: Version, artifacts: Artifacts) -> tuple[str, ...]:
    """What its card says of a file that takes in otherwise than the version that answered when it was judged."""
    card = _card_of(version, artifacts)
    return () if card is None else card.cautions


def doubts_of(record: ServiceRecord, champion: Version, artifacts: Artifacts) -> tuple[str, ...]:
    """Why the figures of a trained champion are hard to believe.

    None once a person has put such a version into service past its hold: what is new since then is held again.
    """
    believed = any(one.recipe and one.hold and one.championed is not None for one in record.versions.values())
    card = None if believed else _card_of(champion, artifacts)
    return () if card is None else card.doubts


def _card_of(version: Version, artifacts: Artifacts) -> Card | None:
    """Its newest card; a card that is lost hides nothing else."""
    if version.card is None:
        return None
    try:
        return msgspec.json.decode(artifacts.blobs.get(version.card), type=Card)
    except (EvertrainError, OSError, msgspec.DecodeError):
        return None


def minds_of_rollback(record: ServiceRecord, artifacts: Artifacts) -> tuple[str, ...]:
    """What speaks against the version that a rollback lets answer, said before it is ordered.

    Nothing where it ends a canary: who answers goes on.
    """
    trial, back = record.open_rollout, record.previous
    if back is None or (trial is not None and trial.champion is not None):
        return ()
    version, said = record.versions[back], []
    if caution := caution_of(back, artifacts):
        said.append(caution)
    if version.overruled:
        said.append(f"it was refused before a person put it into service: {version.overruled.rstrip('.')}")
    if version.verdict in ("health only", "inconclusive"):
        beside = _beside_a_later(record, back, artifacts)
        said.append(beside or _about(version.verdict, _card_of(version, artifacts)))
    return tuple(f"Mind of version {version.ordinal} of {record.service}, which answers then: {one}." for one in said)


def _about(verdict: Verdict, card: Card | None) -> str:
    """What a verdict that is no "pass" leaves open, and what it does show, by the card."""
    lead = f"its verdict was {verdict!r}"
    if card is None or not card.figures:
        return f"{lead}: whether it is good was never shown"
    rows = say_many(card.holdout_rows, "row")
    if verdict == "inconclusive":
        return f"{lead}: on {rows} it was shown neither to be as good as the version before it nor to be worse"
    if card.training_rows:
        constant = next((one.words for one in card.criteria if one.name == "constant" and one.status == "pass"), "")
        beat = f", and it beats a constant on {rows} that it never saw ({constant})" if constant else ""
        return f"{lead}: there was no version to hold it against{beat}"
    return f"{lead}: on {rows} of the table it was not shown to be worse, and it may have been trained on them"


def _beside_a_later(record: ServiceRecord, back: VersionId, artifacts: Artifacts) -> str:
    """How a version did on labels beside the newest one that was judged against it; "" where none was."""
    for later in reversed(record.versions.values()):
        card = _card_of(later, artifacts)
        if card is None or card.champion != back or card.claim not in ("traffic", "digest"):
            continue
        metrics = {one.who: one.metrics for one in card.figures}
        mine, its = metrics.get("champion", {}), metrics.get("challenger", {})
        told = [
            f"{name} {mine[name]:.4g}, version {later.ordinal} {its[name]:.4g}" for name in sorted(mine) if name in its
        ]
        if told:
            return f"on {say_many(card.holdout_rows, 'labelled row')} it had {told[0]}"
    return ""
