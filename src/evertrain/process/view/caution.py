"""What is to be known of a version that answers or is about to: past which refusal, and what it takes in otherwise."""

import msgspec

from evertrain.core.card import Card
from evertrain.core.identity import VersionId
from evertrain.core.registry import Version
from evertrain.errors import EvertrainError
from evertrain.process.view.chronicle import Chronicle
from evertrain.store.artifact import Artifacts

__all__ = ["caution_of", "cautions_of", "override_of"]


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
