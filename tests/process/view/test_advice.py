"""What whoever is on call is told to do, and that nothing is said where nothing is to be done."""

import msgspec
import pytest

from evertrain.core.identity import ServiceName, SourceName, VersionId
from evertrain.core.routing import RoutingTable
from evertrain.core.time import DAY, Instant, parse_instant
from evertrain.monitor.health import Totals
from evertrain.monitor.unfamiliar import Unknown
from evertrain.process.view.advice import advise
from evertrain.process.view.fruitless import Fruitless
from evertrain.process.view.running import Running
from evertrain.process.view.situation import (
    Refusing,
    ServiceSituation,
    Situation,
    Trial,
    Waiting,
)
from evertrain.process.view.supply import SourceSituation
from evertrain.store.room import Level, Room

VERSION = VersionId("3f2a90c1bb" + "0" * 54)
SERVICE = ServiceSituation(
    service=ServiceName("shop"),
    enabled=True,
    notice="",
    champion=VERSION,
    ordinal=2,
    requests=Totals(answered=1, failed=0, invalid=0),
)
SOURCE = SourceSituation(
    source=SourceName("orders"),
    rows=1,
    newest=Instant(0),
    fresh_within=None,
    stale=False,
    owner="the desk",
    rows_aside=0,
    files_aside=0,
)
HELD = Waiting(
    cycle="shop/c3", state="inconclusive", since=Instant(0), why="too few", ordinal=3, until=Instant(DAY), pushed=True
)
FAILED = Fruitless(
    cycle="shop/c1",
    state="failed",
    at=Instant(0),
    why="no rows",
    log="/state/control/tasks/shop-c1-train-0/stderr.log",
)
PROCESSES = tuple(
    Running(name=name, role=role, pid=number, alive=True)
    for number, (name, role) in enumerate([("supervisor",) * 2, ("controller",) * 2, ("data",) * 2, ("w0", "worker")])
)
WELL = Situation(
    at=Instant(0),
    dir="/state",
    events=1,
    routing=RoutingTable(generation=0, routes={}),
    services=(SERVICE,),
    sources=(SOURCE,),
    alerts=(),
    processes=PROCESSES,
    again="evertrain up --dir /state --port 9280",
)

TRIAL = Trial(
    version=VERSION,
    ordinal=3,
    state="preparing",
    share=0.0,
    step=0,
    steps=3,
    since=Instant(0),
    why="",
)


def without(*roles: str) -> Situation:
    """The same with these processes dead."""
    return msgspec.structs.replace(
        WELL,
        processes=tuple(msgspec.structs.replace(one, alive=one.role not in roles) for one in PROCESSES),
    )


def with_service(**parts: object) -> Situation:
    return msgspec.structs.replace(WELL, services=(msgspec.structs.replace(SERVICE, **parts),))


def with_source(**parts: object) -> Situation:
    return msgspec.structs.replace(WELL, sources=(msgspec.structs.replace(SOURCE, **parts),))


def test_when_all_is_well_nothing_is_to_be_done() -> None:
    assert advise(WELL) == ()


def test_nobody_is_sent_for_what_is_only_being_started() -> None:
    starting = [msgspec.structs.replace(one, starting=True, note="waits for w0, controller") for one in PROCESSES]
    found = msgspec.structs.replace(
        WELL, processes=tuple(one for one in starting if one.role == "supervisor"), lacking=("There is no ledger.",)
    )
    assert (found.starting, advise(found)) == ("waits for w0, controller", ())
    dead = msgspec.structs.replace(
        found, processes=tuple(msgspec.structs.replace(one, alive=False) for one in found.processes)
    )
    assert [one.urgent for one in advise(dead)] == [True, True]


@pytest.mark.parametrize(("level", "urgent"), [("low", False), ("short", False), ("full", True)])
def test_a_disk_that_fills_up_is_one_thing_to_do_by_the_worst_off(level: Level, urgent: bool) -> None:
    rooms = [Room(), Room("low", "5 MiB are free at /state."), Room(level, f"It is {level}."), Room("full", "Gone.")]
    scarce = [
        msgspec.structs.replace(one, name=f"w{number}", room=room, alive=room.says != "Gone.")
        for number, (one, room) in enumerate(zip(PROCESSES, rooms, strict=True))
    ]
    found = msgspec.structs.replace(WELL, processes=(*PROCESSES, *scarce))
    [told] = advise(found)
    expected = "5 MiB are free at /state." if level == "low" else f"It is {level}."
    assert (told.what, told.urgent) == (f"Room for the prediction log is {level}: {expected}", urgent)
    assert "du -xh" in told.remedy


def test_what_the_machine_mends_alone_is_nobodys_task() -> None:
    assert advise(without("data")) == ()


@pytest.mark.parametrize(
    ("situation", "what", "remedy", "urgent"),
    [
        (without("worker"), "Nobody answers.", "evertrain up --dir /state --port 9280", True),
        (
            msgspec.structs.replace(without("worker"), services=(msgspec.structs.replace(SERVICE, watched=True),)),
            "Observations are not taken",
            "evertrain up --dir /state",
            True,
        ),
        (without("supervisor"), "No supervisor runs", "evertrain up --dir /state --port 9280", True),
        (without("controller"), "nothing is decided", "log of evertrain up", True),
        (msgspec.structs.replace(WELL, lacking=("The ledger is damaged.",)), "damaged", "evertrain doctor", True),
        (with_service(enabled=False, notice="by order"), "by order", "evertrain on ", True),
        (
            with_service(refusing=(Refusing(process="w0", version=VERSION, ordinal=2, reason="no library"),)),
            "nothing answers there",
            "evertrain rollback --service shop",
            True,
        ),
        (
            with_service(refusing=(Refusing(process="w0", version=VERSION, ordinal=2, reason="", instead=1),)),
            "version 1 answers there meanwhile",
            "evertrain rollback --service shop",
            False,
        ),
        (
            with_service(
                cycles=(Waiting(cycle="c", state="held", since=Instant(0), why="", ordinal=3, until=Instant(9)),)
            ),
            "Version 3 of shop is held",
            "evertrain promote 3 --service shop",
            False,
        ),
        (
            with_service(champion=None, fruitless=FAILED),
            "No version of shop answers. The last training ended as failed: no rows",
            "evertrain apply FILE. All that it printed: /state/control/tasks/shop-c1-train-0/stderr.log",
            True,
        ),
        (
            with_service(fruitless=msgspec.structs.replace(FAILED, again=2), caution="a step is missing"),
            "made version 2 of shop again, so nothing changed: ",
            "evertrain promote 2 --service shop",
            False,
        ),
        (
            with_service(fruitless=FAILED),
            "The last training ended as failed: no rows",
            "evertrain retrain --service shop",
            False,
        ),
        (
            with_service(champion=None, fruitless=msgspec.structs.replace(FAILED, pushed=True, log="")),
            "The file that was pushed ended as failed",
            "evertrain push FILE --service shop",
            True,
        ),
        (
            with_service(caution="the model knows the category 'unknown'"),
            "Version 2 of shop: the model knows the category 'unknown'.",
            "evertrain retrain --service shop",
            False,
        ),
        (
            with_service(caution="the model knows the category 'unknown'", renewed=True),
            "Version 2 of shop: the model knows the category 'unknown'.",
            "evertrain retrain --service shop --reason ...",
            False,
        ),
        (
            with_service(caution="the model knows the category 'unknown'", renewed=True, mended=3),
            "Version 2 of shop: the model knows the category 'unknown'.",
            "Version 3 was trained without that, and was refused or taken back: evertrain retrain --service shop",
            False,
        ),
        (
            with_service(cautions=("it does not know 'tablet' in column 'device'",)),
            "Version 2 of shop: it does not know 'tablet' in column 'device'.",
            "evertrain rollback --service shop",
            False,
        ),
        (
            with_service(cycles=(HELD,)),
            "Version 3 of shop is held",
            "Wait: it is looked at again at 2 Jan 1970, 00:00 UTC, on the labels that came since. Post labels to",
            False,
        ),
        (
            with_service(cycles=(msgspec.structs.replace(HELD, pushed=False),)),
            "Version 3 of shop is held",
            "or evertrain retrain --service shop --reason ... makes another instead.",
            False,
        ),
        (with_source(stale=True), "orders is stale", "Ask the desk.", False),
        (with_source(trouble="no such table"), "no such table", "Ask the desk", False),
        (with_source(rows_aside=3), "3 rows and 0 files", "control/quarantine/orders", False),
    ],
)
def test_each_trouble_has_its_remedy(situation: Situation, what: str, remedy: str, urgent: bool) -> None:
    [found] = advise(situation)
    assert (what in found.what, remedy in found.remedy, found.urgent) == (True, True, urgent)


def test_the_urgent_come_first() -> None:
    found = advise(msgspec.structs.replace(with_source(stale=True), lacking=("The ledger is damaged.",)))
    assert [one.urgent for one in found] == [True, False]


def test_a_version_that_contradicts_the_champion_is_for_a_person_to_decide() -> None:
    trial = Trial(
        version=VERSION, ordinal=3, state="preparing", share=0.0, step=0, steps=3, since=Instant(0), why="", hold=""
    )
    assert advise(msgspec.structs.replace(WELL, services=(msgspec.structs.replace(SERVICE, trial=trial),))) == ()
    held = msgspec.structs.replace(trial, hold="it ranks requests the other way round than the champion")
    [told] = advise(msgspec.structs.replace(WELL, services=(msgspec.structs.replace(SERVICE, trial=held),)))
    assert told.what == f"Version 3 of shop is held and gets no traffic: {held.hold}."
    assert "judged again when 50 labels are certain" in told.remedy
    assert "(0 are there: post them to /labels/shop)" in told.remedy
    assert "evertrain promote 3 --service shop --reason" in told.remedy
    early = msgspec.structs.replace(held, labelled=60, early=400, matures=parse_instant("2024-05-31T00:00:00Z"))
    [told] = advise(msgspec.structs.replace(WELL, services=(msgspec.structs.replace(SERVICE, trial=early),)))
    assert "judged again when 120 labels are certain" in told.remedy
    assert "(60 are certain, 400 more from 31 May 2024, 00:00 UTC on)" in told.remedy
    assert not told.urgent


def test_a_version_that_is_too_good_is_for_a_person_and_no_label_frees_it() -> None:
    trial = msgspec.structs.replace(TRIAL, hold="a leak", trained=True)
    [told] = advise(with_service(trial=trial))
    assert told.what == "Version 3 of shop is held and gets no traffic: a leak."
    assert "exclude=[...]" in told.remedy
    assert "evertrain promote 3 --service shop --reason" in told.remedy
    assert "judged again" not in told.remedy
    [told] = advise(with_service(doubts=("a leak: refund",)))
    assert told.what.endswith("of shop: a leak: refund.")
    assert "exclude=[...]" in told.remedy


def test_a_file_that_no_label_can_judge_yet_is_for_a_person_to_know() -> None:
    trial = msgspec.structs.replace(
        TRIAL,
        state="stepping",
        share=0.1,
        step=1,
        unjudged=parse_instant("2026-12-26T00:00:00Z"),
    )
    [told] = advise(with_service(trial=trial))
    assert "has no certain label before about 26 Dec 2026, 00:00 UTC" in told.what
    assert 'et.Canary(approval="promotion")' in told.remedy
    [asked] = advise(with_service(trial=msgspec.structs.replace(trial, asks=("its promotion by a person",))))
    assert asked.what == "Version 3 of shop waits for approval of its promotion by a person."
    assert asked.remedy.startswith("evertrain approve shop --version 3 --reason")


def test_a_hook_for_a_service_that_there_is_not_is_said() -> None:
    [told] = advise(msgspec.structs.replace(WELL, astray={"risk": ("shp",)}))
    assert told.what.startswith("Hook risk is for 'shp', and there is no service of that name: of that it")
    assert "evertrain hooks apply" in told.remedy


def test_columns_that_clients_leave_out_are_one_thing_to_look_at() -> None:
    absent = tuple(Unknown(column=name, rows=300, of=300, absent=True) for name in ("hour", "day"))
    found = with_service(unknown=(*absent, Unknown(column="items", rows=299, of=300, absent=True)))
    [advice] = advise(found)
    assert advice.what.startswith("shop: 2 columns were in none of the last 300 rows: 'hour', 'day'.")
    assert not advice.urgent


def test_a_version_that_cannot_be_tried_is_said_with_the_reason_and_what_becomes_of_it() -> None:
    absent = "its process does not stand (ended once): The environment cannot be built."
    trial = msgspec.structs.replace(TRIAL, absent=absent)
    [stepping] = advise(with_service(trial=msgspec.structs.replace(trial, share=0.1)))
    assert stepping.what == f"Version 3 of shop cannot go on without its control arm: {absent}"
    [told] = advise(with_service(trial=msgspec.structs.replace(trial, share=0.0)))
    assert (told.what, told.urgent) == (f"Version 3 of shop cannot be tried yet: {absent}", False)
    assert "after 10 minutes, the trial ends and the version is not refused" in told.remedy
