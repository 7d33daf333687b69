"""What is said of work under way, and of a version that stands in line behind the one on trial."""

from typing import get_args

import msgspec

from evertrain.core.absence import Absence
from evertrain.core.cycle import CycleState
from evertrain.core.identity import CycleId, RolloutId, VersionId, digest_of
from evertrain.core.model import Fingerprint
from evertrain.core.registry import Cycle, Rollout, ServiceRecord, Version
from evertrain.core.rollout import RolloutState
from evertrain.core.stage import StageTask
from evertrain.core.time import Instant
from evertrain.model.progress import UnderWay
from evertrain.process.view.standing import show_evidence, show_rollout, show_work, why_it_waits
from evertrain.testing.installation import SHOP

ON_TRIAL, NEXT = (VersionId(digest_of(number)) for number in (2, 3))
FINGERPRINT = Fingerprint(model=digest_of("m"), features=digest_of("f"))


def trial_of() -> Rollout:
    """A rollout that has just begun."""
    return Rollout(
        rollout=RolloutId("shop/r2"),
        version=ON_TRIAL,
        champion=VersionId(digest_of(1)),
        steps=(0.5,),
        cycle=None,
        began=Instant(0),
        since=Instant(0),
        why="",
    )


def test_a_version_in_line_says_whose_trial_it_waits_for_and_that_it_is_judged_again() -> None:
    trial = trial_of()
    record = ServiceRecord(service=SHOP, rollouts={trial.rollout: trial})
    for ordinal, version in ((2, ON_TRIAL), (3, NEXT)):
        record.versions[version] = Version(
            version=version, ordinal=ordinal, fingerprint=FINGERPRINT, cycle=None, built=Instant(0)
        )
    waits, own = (
        Cycle(
            cycle=CycleId(f"shop/c{number}"),
            kind="external",
            recipe="default",
            trigger="import",
            began=Instant(0),
            since=Instant(0),
            why="0 logged requests have a label",
            state=CycleState.REGISTERED,
            version=version,
        )
        for number, version in ((3, NEXT), (2, ON_TRIAL))
    )
    assert why_it_waits(record, waits) == (
        "it waits until the trial of version 2 has ended, and is judged again then; so far: "
        "0 logged requests have a label"
    )
    assert why_it_waits(record, own) == "0 logged requests have a label"


def test_a_trial_says_which_process_it_waits_for() -> None:
    trial = msgspec.structs.replace(
        trial_of(),
        state=RolloutState.PREPARING,
        absence=Absence(beside=True, since=Instant(0), last=Instant(0), why="No file."),
    )
    record = ServiceRecord(service=SHOP, rollouts={trial.rollout: trial})
    record.versions[ON_TRIAL] = Version(
        version=ON_TRIAL, ordinal=2, fingerprint=FINGERPRINT, cycle=None, built=Instant(0)
    )
    assert show_rollout(record, trial).waiting == (
        "It cannot be tried yet: the process of the version that answers, which it is compared with, does not stand "
        "(ended once): No file."
    )


def test_each_figure_of_a_rollout_that_has_ended_is_said_in_words() -> None:
    names = ("canary", "canary_errors", "rest", "rest_errors", "e_errors", "e_latency", "bound")
    lines = show_evidence({"e_limit": 100.0, **dict.fromkeys(names, 1.0)}, timed=True)
    assert [line.name for line in lines if not line.note] == []


def test_one_that_enters_at_once_is_shown_beside_the_version_that_it_succeeds() -> None:
    trial = msgspec.structs.replace(trial_of(), champion=None, steps=(1.0,))
    answers = VersionId(digest_of(1))
    record = ServiceRecord(service=SHOP, champion=answers, rollouts={trial.rollout: trial})
    for ordinal, version in ((1, answers), (2, ON_TRIAL)):
        record.versions[version] = Version(
            version=version, ordinal=ordinal, fingerprint=FINGERPRINT, cycle=None, built=Instant(0)
        )
    assert show_rollout(record, trial).against == 1
    record.champion = ON_TRIAL
    assert show_rollout(record, msgspec.structs.replace(trial, state=RolloutState.PROMOTED)).against is None


def test_each_kind_of_work_is_said_in_words() -> None:
    for task in get_args(StageTask):
        stage = str(task.__struct_config__.tag)
        under_way = UnderWay(service=SHOP, stage=stage, recipe="trees", began=0.0, limit_s=60.0, took=())
        [work] = show_work(ServiceRecord(service=SHOP), [under_way], 1.0)
        assert " " in work.says, stage
