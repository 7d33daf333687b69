"""How the inputs of a pushed file differ from those of the version that answers, by both manifests and both files."""

from evertrain.core.likeness import LostCategories, Retyped, lost_categories, retyped_columns
from evertrain.core.model import Manifest
from evertrain.core.schema import Column
from evertrain.errors import EvertrainError
from evertrain.runtime.artifact import describe
from evertrain.store.artifact import Artifacts

__all__ = ["changes_of_inputs"]


def changes_of_inputs(
    artifacts: Artifacts, successor: Manifest, champion: Manifest
) -> tuple[LostCategories | Retyped, ...]:
    """What a person should know before the successor answers. Types are compared where both files say them alike."""
    lost = lost_categories(champion.vector, successor.vector)
    if successor.format != champion.format:
        return lost
    return (*lost, *retyped_columns(_columns(artifacts, champion), _columns(artifacts, successor)))


def _columns(artifacts: Artifacts, manifest: Manifest) -> tuple[Column, ...]:
    """What a model file says of its columns; a file that cannot be read again says nothing."""
    try:
        return describe(artifacts.blobs.path(manifest.model), manifest.format).columns or ()
    except EvertrainError:
        return ()
