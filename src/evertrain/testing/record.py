"""A real small state for tests of whatever reads the record: versions of a toy service, and no process."""

from pathlib import Path
from typing import Self

from evertrain.config.declaration import ServiceSpec
from evertrain.core import event as facts
from evertrain.core.event import Draft, Fact
from evertrain.core.identity import RolloutId, VersionId, canonical
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.rollout import RolloutMove, RolloutState, advance
from evertrain.store.ledger import Ledger
from evertrain.testing.installation import BEGIN, SHOP, SHOP_SCHEMA, Installation

__all__ = ["ShopRecord"]

FIRST = "def predict(rows):\n    return [0.5 for _ in rows]\n"
SECOND = "def predict(rows):\n    return [0.25 for _ in rows]\n"


_ENTERING: tuple[RolloutMove, ...] = ("prepare", "start", "promote")


class ShopRecord:
    """An installation whose ledger tells a story."""

    def __init__(self, folder: Path) -> None:
        self.installation = Installation(folder)
        self.state = self.installation.state
        spec = ServiceSpec(name=SHOP, inputs=SHOP_SCHEMA)
        self.declaration = self.installation.artifacts.blobs.put(canonical(spec))
        self.tell("declared", facts.ServiceDeclared(service=SHOP, declaration=self.declaration, bundle=None))
        self.versions: list[VersionId] = []

    @classmethod
    def with_two_versions(cls, folder: Path) -> Self:
        """The second one is the champion, the first was it before."""
        record = cls(folder)
        first, second = record.build(FIRST), record.build(SECOND)
        record.crown(first)
        record.crown(second, champion=first)
        return record

    @property
    def stands(self) -> ServiceRecord:
        """What the ledger adds up to now."""
        with Ledger.open(self.state.ledger) as ledger:
            return Registry(ledger.read()).service(SHOP)

    def tell(self, reason: str, *told: Fact) -> None:
        """Put facts on record."""
        with Ledger.open(self.state.ledger) as ledger:
            begun = ledger.count()
            ledger.append(
                *(
                    Draft(
                        id=f"{begun}:{place}",
                        at=BEGIN,
                        actor="test",
                        subject=f"service/{SHOP}",
                        reason=reason,
                        fact=fact,
                    )
                    for place, fact in enumerate(told)
                )
            )

    def build(self, source: str, lock: str = "") -> VersionId:
        """Register a version. lock: of the environment that it runs in; "" for the installation's."""
        version = self.installation.add(source, lock=lock)
        self.versions.append(version)
        fingerprint = self.installation.artifacts.manifest(version).fingerprint
        built = facts.VersionBuilt(
            service=SHOP, version=version, fingerprint=fingerprint, ordinal=len(self.versions), cycle=None
        )
        judged = facts.VersionJudged(service=SHOP, version=version, verdict="health only", card=None)
        self.tell("It loads and answers.", built, judged)
        return version

    def crown(self, version: VersionId, champion: VersionId | None = None) -> None:
        """Have a version answer everything."""
        self.enter(version, f"r{self.versions.index(version) + 1}", champion)

    def enter(self, version: VersionId, name: str, champion: VersionId | None = None) -> None:
        """Have a version answer everything, by a rollout of this name."""
        rollout = RolloutId(f"{SHOP}/{name}")
        begun = facts.RolloutBegun(
            service=SHOP, rollout=rollout, version=version, champion=champion, steps=(1.0,), cycle=None
        )
        moves: list[Fact] = []
        state = RolloutState.PENDING
        for move in _ENTERING:
            after = advance(state, move)
            moves.append(
                facts.RolloutMoved(
                    service=SHOP,
                    rollout=rollout,
                    version=version,
                    move=move,
                    before=state,
                    after=after,
                    step=0,
                    share=1.0,
                )
            )
            state = after
        self.tell("Every worker holds it; it answers everything.", begun, *moves)

    def refuse(self, version: VersionId, because: str) -> None:
        """Take a version back for good."""
        fingerprint = self.installation.artifacts.manifest(version).fingerprint
        refused = facts.VersionRefused(service=SHOP, version=version, fingerprint=fingerprint, because=because)
        self.tell(because, refused)
