"""Whose files are removed: of refused versions the oldest, and nothing that may be needed."""

from evertrain.control.clearing import ClearingDesk
from evertrain.core.event import Event, VersionCleared
from evertrain.core.identity import RolloutId, VersionId, digest_of
from evertrain.core.model import Fingerprint
from evertrain.core.pool import Pool, PoolMember, Pools
from evertrain.core.record import Rollout, Version
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.time import Instant
from evertrain.testing.installation import SHOP

VERSIONS = tuple(VersionId(digest_of(number)) for number in range(8))


def record(*, refused: range) -> ServiceRecord:
    """A service with eight versions, of which these were refused."""
    made = ServiceRecord(service=SHOP)
    for number, version in enumerate(VERSIONS):
        made.versions[version] = Version(
            version=version,
            ordinal=number + 1,
            fingerprint=Fingerprint(model=digest_of(version), features=digest_of("f")),
            cycle=None,
            built=Instant(0),
            refused="It was worse." if number in refused else "",
        )
    return made


def cleared(made: ServiceRecord, most: int) -> list[VersionId]:
    facts = [draft.fact for draft in ClearingDesk(made, Instant(1), most).step().drafts]
    assert all(isinstance(fact, VersionCleared) and fact.model == digest_of(fact.version) for fact in facts)
    return [fact.version for fact in facts if isinstance(fact, VersionCleared)]


def test_the_oldest_refused_versions_are_cleared_once_and_the_newest_stay() -> None:
    made = record(refused=range(1, 6))
    assert cleared(made, most=5) == []
    assert cleared(made, most=2) == list(VERSIONS[1:4])
    for one in VERSIONS[1:4]:
        made.versions[one].cleared = True
    assert cleared(made, most=2) == []
    assert cleared(made, most=1) == [VERSIONS[4]]


def test_what_answers_is_on_trial_stands_by_or_was_the_first_stays() -> None:
    made = record(refused=range(8))
    made.champion, made.anchor = VERSIONS[0], VERSIONS[1]
    rollout = RolloutId(f"{SHOP}/r1")
    made.rollouts[rollout] = Rollout(
        rollout=rollout,
        version=VERSIONS[2],
        champion=VERSIONS[0],
        steps=(0.1,),
        cycle=None,
        began=Instant(0),
        since=Instant(0),
        why="",
    )
    own = PoolMember(service=SHOP, version=VERSIONS[3])
    made.pools = Pools(other=Pool(number=1, own=own))
    assert cleared(made, most=0) == list(VERSIONS[4:])


def test_what_is_cleared_is_known_from_the_record_with_the_reason() -> None:
    made = record(refused=range(8))
    first = ClearingDesk(made, Instant(1), most=7).step().drafts
    registry = Registry()
    registry.services[SHOP] = made
    [draft] = first
    registry.fold(
        Event(sequence=0, id=draft.id, at=draft.at, actor="c", subject="s", reason=draft.reason, fact=draft.fact)
    )
    assert made.versions[VERSIONS[0]].cleared
    assert draft.reason == "It was refused, and 7 later ones were too: its file is not kept."
