"""What is to be known of a version that answers or is about to: past which refusal, and what it takes in otherwise."""

import msgspec

from evertrain.core.card import Card
from evertrain.core.identity import VersionId
from evertrain.core.registry import ServiceRecord, Version
from evertrain.errors import EvertrainError
from evertrain.process.view.chronicle import Chronicle
from evertrain.store.artifact import Artifacts

__all__ = ["caution_of", "cautions_of", "minds_of_rollback", "override_of"]


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


def cautions_of(version: Version, artifacts: Artifacts) -> tuple[str, ...]:
    """What its card says of a file that takes in otherwise than the version that answered when it was judged."""
    if version.card is None:
        return ()
    try:
        return msgspec.json.decode(artifacts.blobs.get(version.card), type=Card).cautions
    except (EvertrainError, OSError, msgspec.DecodeError):
        return ()  # a card that is lost hides nothing else


def minds_of_rollback(record: ServiceRecord, artifacts: Artifacts) -> tuple[str, ...]:
    """What speaks against the version that a rollback lets answer, said before it is ordered."""
    trial = record.open_rollout
    back = trial.champion if trial is not None and trial.champion is not None else record.previous
    if back is None:
        return ()
    version, said = record.versions[back], []
    if caution := caution_of(back, artifacts):
        said.append(caution)
    if version.overruled:
        said.append(f"it was refused before a person put it into service: {version.overruled.rstrip('.')}")
    if version.verdict in ("health only", "inconclusive"):
        said.append(f"its verdict was {version.verdict!r}: whether it is good was never shown")
    return tuple(f"Mind of version {version.ordinal} of {record.service}, which answers then: {one}." for one in said)
