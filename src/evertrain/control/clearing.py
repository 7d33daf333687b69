"""Whose model files are removed: those of versions that were refused long ago, and that nothing can need any more."""

from typing import Final

from evertrain.control.step import NOTHING, Step, recorded
from evertrain.core.event import VersionCleared
from evertrain.core.record import Version
from evertrain.core.registry import ServiceRecord
from evertrain.core.time import Instant

__all__ = ["MOST_REFUSED", "ClearingDesk"]

MOST_REFUSED: Final = 50
"""Refused versions of a service whose files stay, so that a person may put one into service all the same."""


class ClearingDesk:
    """Looks at the refused versions of one service at one instant of business time."""

    def __init__(self, record: ServiceRecord, now: Instant, most: int = MOST_REFUSED) -> None:
        self._record = record
        self._now = now
        self._most = most

    def step(self) -> Step:
        """Put on record which of them are cleared: all but the newest, as far as they are at rest."""
        refused = [one for one in self._record.versions.values() if one.refused]
        over = [one for one in refused[: max(0, len(refused) - self._most)] if self._may_go(one)]
        if not over:
            return NOTHING
        service = self._record.service
        return recorded(
            f"cleared:{over[0].version}:{len(self._record.decisions)}",
            self._now,
            f"service/{service}",
            f"It was refused, and {self._most} later ones were too: its file is not kept.",
            *(VersionCleared(service=service, version=one.version, model=one.fingerprint.model) for one in over),
        )

    def _may_go(self, version: Version) -> bool:
        record = self._record
        kept = {record.champion, record.previous, record.anchor, record.pools.held_by_other(record.service)}
        return not version.cleared and version.version not in kept and record.rests(version.version)
