"""What `evertrain status` tells whoever is on call, from a record made by hand."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from evertrain.core import event as facts
from evertrain.core.identity import CycleId, RolloutId, SourceName, VersionId, digest_of, digest_of_bytes
from evertrain.core.routing import Arm, Refusal, Route
from evertrain.core.time import DAY, HOUR, Instant
from evertrain.data.freshness import Freshness
from evertrain.data.quarantine import Quarantine
from evertrain.data.source import Broken
from evertrain.monitor.gist import Gist
from evertrain.monitor.performance import Ripening
from evertrain.process.view.looks import Look, leave_gists, leave_looked_at_first, leave_looks
from evertrain.store.file import write_atomically
from evertrain.store.ledger import Ledger
from evertrain.store.process import beat, heartbeat_of
from evertrain.store.state import State
from evertrain.testing.installation import SHOP
from evertrain.testing.record import ShopRecord


def status(state: State, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", "status", "--dir", str(state.path), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def told(state: State) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(status(state, "--json").stdout)
    return found


def in_trouble(folder: Path) -> ShopRecord:
    """The champion is refused by a worker, a third version is on trial, a source is late and has rows set aside."""
    record = ShopRecord.with_two_versions(folder)
    state, (first, second) = record.state, record.versions
    third = record.build("def predict(rows):\n    return [0.75 for _ in rows]\n", lock="lightgbm==4.6.0\n")
    fingerprint = record.installation.artifacts.manifest(first).fingerprint
    record.installation.route(
        Route(
            service=SHOP,
            champion=second,
            previous=first,
            canary=Arm(version=third, share=0.05, deadline_s=1.0),
            refused=(Refusal(version=first, fingerprint=fingerprint, reason="it was inverted"),),
        )
    )
    rollout = RolloutId(f"{SHOP}/r3")
    begun = facts.RolloutBegun(
        service=SHOP, rollout=rollout, version=third, champion=second, steps=(0.05, 0.5), cycle=None
    )
    moves = [
        facts.RolloutMoved(
            service=SHOP, rollout=rollout, version=third, move=move, before=before, after=after, step=step, share=share
        )
        for move, before, after, step, share in (
            ("prepare", "pending", "preparing", -1, 0.0),
            ("start", "preparing", "stepping", 0, 0.05),
        )
    ]
    record.tell("It gets a first share.", begun, *moves)
    ripening = Ripening(certain=1, early=1_200, next=Instant(30 * DAY))
    look = Look(requests_24h=0.0, pace=0.0, waits="Waiting: about 300 more canary requests.", ripening=ripening)
    leave_looks(state.reports, {SHOP: look})
    worker = msgspec.structs.replace(
        heartbeat_of("w0", "worker"), ready=(first,), failed={second: "model.txt is cut in half"}
    )
    beat(state, worker)
    record.tell(
        "Weather is late.", facts.AlertRaised(alert="source/weather/freshness", owner="desk", severity="warning")
    )
    weather = Freshness(
        source=SourceName("weather"),
        newest=Instant(0),
        arrived=None,
        rows=12,
        quarantined=2,
        files_quarantined=1,
        pending=0,
        fresh_within=6 * HOUR,
        owner="desk",
        again=1,
    )
    write_atomically(state.reports / "sources.json", msgspec.json.encode([weather]))
    quarantine = Quarantine(state.quarantine(weather.source))
    quarantine.file("day2.parquet", digest_of("2"), b"PAR1", "no readable Parquet file")
    quarantine.rows("day3.csv", digest_of("3"), [Broken(7, ["x"], "amount: 'x' is no float64")])
    return record


def test_one_screen_says_what_serves_what_waits_and_what_is_wrong(tmp_path: Path) -> None:
    record = in_trouble(tmp_path / "state")
    done = status(record.state)
    assert done.returncode == 0, done.stderr
    screen = done.stdout
    for words in (
        f"shop: version 2 ({record.versions[1][:10]}) answers since 14 Nov 2023, 22:13",
        "because    Every worker holds it; it answers everything.",
        "version 2 is wanted of w0, which holds version 1: model.txt is cut in half",
        f"version 3 ({record.versions[2][:10]}) gets 5 % of the requests",
        "step 1 of 2",
        "Waiting: about 300 more canary requests.",
        "labels     1 label certain, 1,200 not yet; the next is from 31 Jan 1970, 00:00 UTC on",
        f"version 1 ({record.versions[0][:10]}): It was inverted.",
        "version 3 begins with 5 % of the traffic: It gets a first share.",
        "warning source/weather/freshness since 14 Nov 2023, 22:13, desk is told: Weather is late.",
        "12 rows, newest 1 Jan 1970, 00:00, to be fresh within 6h, STALE",
        "set aside: 2 rows, 1 file",
        "read again by the declaration that was applied: 1 file of it",
        "row 7 of day3.csv: amount: 'x' is no float64",
        f"worker, process {heartbeat_of('w0', 'worker').pid}",
        f"Environments\n  {digest_of_bytes(b'lightgbm==4.6.0' + bytes([10]))[:10]}   not built yet",
        "for version 3 of shop",
        "the workers that answer now run in another",
    ):
        assert words in screen, screen
    assert max(map(len, screen.splitlines())) < 320
    assert "\x1b" not in screen, "plain in a pipe"
    todo = screen.partition("To do\n")[2].partition("\n\n")[0].splitlines()
    assert todo[0].strip().startswith("URGENT: No supervisor runs")
    assert todo[1].strip() == f"evertrain up --dir {record.state.path}"
    assert "  Source weather is stale: models answer from old rows." in todo


def test_json_says_the_same(tmp_path: Path) -> None:
    record = in_trouble(tmp_path / "state")
    found = told(record.state)
    [shop] = found["services"]
    assert (shop["ordinal"], shop["standby"], shop["champion"]) == (2, 1, record.versions[1])
    assert shop["trial"]["waits"] == "Waiting: about 300 more canary requests."
    assert [(one["process"], one["ordinal"], one["instead"]) for one in shop["refusing"]] == [("w0", 2, 1)]
    assert found["sources"][0]["set_aside"]["reason"] == "amount: 'x' is no float64"
    assert found["sources"][0]["stale"]
    assert [alert["owner"] for alert in found["alerts"]] == ["desk"]
    assert [(one["name"], one["alive"]) for one in found["processes"]] == [("w0", True)]
    assert found["routing"]["routes"][SHOP]["champion"] == record.versions[1]
    assert found["answers"]
    assert found["lacking"] == []


def test_when_nobody_answers_it_says_so_and_exits_with_1(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path / "state")
    record.installation.route(Route(service=SHOP, champion=record.versions[1]))
    done = status(record.state)
    assert done.returncode == 1
    assert "NOBODY ANSWERS" in done.stdout
    assert "version 2" in done.stdout
    assert "is to answer" in done.stdout


def test_while_everything_starts_it_says_so_and_what_it_waits_for(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path / "state")
    supervisor = heartbeat_of("supervisor", "supervisor")
    beat(record.state, msgspec.structs.replace(supervisor, starting=True, note="waits for controller, w0"))
    done = status(record.state)
    assert done.returncode == 1
    assert "STARTING: nobody answers yet; it waits for controller, w0." in done.stdout
    for alarm in ("NOBODY ANSWERS", "URGENT", "has ended", "The page is"):
        assert alarm not in done.stdout


def test_a_worker_that_has_loaded_nothing_yet_does_not_answer(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path / "state")
    record.installation.route(Route(service=SHOP, champion=record.versions[1]))
    loading = heartbeat_of("w0", "worker")
    beat(record.state, loading)
    alone = status(record.state)
    assert alone.returncode == 1
    assert "NOBODY ANSWERS: the workers start" in alone.stdout
    supervisor = heartbeat_of("supervisor", "supervisor")
    beat(record.state, msgspec.structs.replace(supervisor, starting=True, note="waits for w0"))
    assert f"shop: version 2 ({record.versions[1][:10]}) is starting\n" in status(record.state).stdout
    beat(record.state, msgspec.structs.replace(loading, ready=(record.versions[1],), generation=1))
    done = status(record.state)
    assert done.returncode == 0
    assert "version 2" in done.stdout
    assert "answers since" in done.stdout


def test_the_page_is_named_without_its_token_and_what_is_to_do_is_told_whole(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path / "state")
    beat(record.state, msgspec.structs.replace(heartbeat_of("supervisor", "supervisor"), page="http://127.0.0.1:8081/"))
    beat(record.state, heartbeat_of("w0", "worker"))
    cycle = CycleId(f"{SHOP}/c1")
    record.tell("none yet", facts.TriggerDecided(service=SHOP, trigger="first", decision="run", cycle=cycle))
    why = f"The stage train failed: the columns {', '.join(f'column_{place}' for place in range(60))} are missing."
    record.tell(why, facts.CycleMoved(service=SHOP, cycle=cycle, move="fail", before="triggered", after="failed"))
    shown = status(record.state).stdout
    assert f"ended as failed: {why}" in shown
    key = record.state.keys / "token-control"
    assert f"The page is http://127.0.0.1:8081/; its link is that with ?token= and what {key} holds." in shown
    assert told(record.state)["page"] == "http://127.0.0.1:8081/"


def test_a_first_training_that_failed_is_told_with_its_end_and_its_log(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path / "state")
    beat(record.state, heartbeat_of("w0", "worker"))
    cycle = CycleId(f"{SHOP}/c1")
    record.tell("none yet", facts.TriggerDecided(service=SHOP, trigger="first", decision="run", cycle=cycle))
    frames = "".join(f'  File "train.py", line {line}, in step\n    next(step)\n' for line in range(40))
    record.tell(
        f"The stage train failed: It exited with code 1.\nTraceback:\n{frames}ValueError: no column 'amuont'",
        facts.CycleMoved(service=SHOP, cycle=cycle, move="fail", before="triggered", after="failed"),
    )
    log = record.state.tasks / "shop-c1-train-0" / "stderr.log"
    log.parent.mkdir(parents=True)
    log.write_text("ValueError")
    done = status(record.state)
    assert done.returncode == 1, "the service is not answered"
    todo = done.stdout.partition("To do\n")[2].partition("\n\n")[0]
    assert "URGENT: No version of shop answers. The last training ended as failed: The stage train failed" in todo
    assert "ValueError: no column 'amuont'" in todo
    assert done.stdout.count("no column 'amuont'") == 1
    assert "cycle c1 failed: as above" in done.stdout
    assert f"All that it printed: {log}" in todo
    assert max(map(len, done.stdout.splitlines())) < 320


def test_an_ordered_training_that_made_a_refused_version_again_says_the_way_out(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path / "state")
    first, second = record.versions
    fingerprint = record.installation.artifacts.manifest(first).fingerprint
    record.refuse(first, "A person (operator) took back version 1")
    cycle, again = CycleId(f"{SHOP}/c7"), VersionId("e" * 64)
    record.tell(
        "by order", facts.TriggerDecided(service=SHOP, trigger="order", decision="run", cycle=cycle, recipe="default")
    )
    record.tell(
        "The same artifact was refused.",
        facts.VersionBuilt(service=SHOP, version=again, fingerprint=fingerprint, ordinal=3, cycle=cycle),
        facts.CycleMoved(service=SHOP, cycle=cycle, move="give up", before="training", after="no_op"),
    )
    record.installation.route(Route(service=SHOP, champion=second))
    todo = status(record.state).stdout.partition("To do\n")[2].partition("\n\n")[0]
    assert "The last training made version 1 of shop again, so nothing changed: The same artifact was refused." in todo
    assert "evertrain promote 1 --service shop --reason" in todo


def test_a_version_that_a_person_put_past_its_refusal_says_so(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path / "state")
    first, second = record.versions
    record.refuse(first, "The gate's verdict is fail: log_loss is worse.")
    with Ledger.open(record.state.ledger) as ledger:
        words = ledger.keep_words("the desk wants it")
    record.tell("by order", facts.ChampionOverridden(service=SHOP, version=first, role="operator", words=words))
    record.enter(first, "r9")
    record.installation.route(Route(service=SHOP, champion=first, previous=second))
    assert (
        "  override   Was refused: The gate's verdict is fail: log_loss is worse; "
        "a person put it into service: the desk wants it."
    ) in status(record.state).stdout


def test_without_a_ledger_processes_and_routing_are_still_told(tmp_path: Path) -> None:
    record = in_trouble(tmp_path / "state")
    for damage, said in ((b"not a database at all" * 1000, "is damaged"), (None, "There is no ledger")):
        for beside in record.state.ledger.parent.glob("ledger.db*"):
            beside.unlink()
        if damage is not None:
            record.state.ledger.write_bytes(damage)
        done = status(record.state)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
        assert f"shop: version {record.versions[1][:10]} answers" in done.stdout
        assert "worker, process" in done.stdout
    assert not record.state.ledger.exists()


def test_a_routing_table_that_is_damaged_is_named(tmp_path: Path) -> None:
    record = in_trouble(tmp_path / "state")
    record.state.routing.write_bytes(b'{"generation": "\xff"}')
    found = told(record.state)
    assert "is not a routing table" in found["lacking"][0]
    assert [one["name"] for one in found["processes"]] == ["w0"]


def test_on_a_terminal_it_has_colours(tmp_path: Path) -> None:
    record = in_trouble(tmp_path / "state")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "evertrain", "status", "--dir", str(record.state.path)]
    surroundings = {**os.environ, "TERM": "xterm-256color"}
    surroundings.pop("NO_COLOR", None)
    with subprocess.Popen(command, stdout=theirs, env=surroundings) as shown:
        os.close(theirs)
        screen = read_all(ours)
        assert shown.wait() == 0
    assert b"\x1b[1;31mWANTED\x1b[0m" in screen
    assert b"\x1b[1;31mURGENT\x1b[0m" in screen
    assert b"\x1b[1mSources\x1b[0m" in screen


def read_all(handle: int) -> bytes:
    """What a terminal shows until its last writer has gone."""
    parts = []
    with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
        while part := os.read(handle, 65_536):
            parts.append(part)
    os.close(handle)
    return b"".join(parts)


def test_watch_shows_each_change_until_it_is_interrupted(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path / "state")
    command = [sys.executable, "-m", "evertrain", "status", "--watch", "--dir", str(record.state.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        first = iter(watching.stdout.readline, "")
        assert any("NOBODY ANSWERS" in line for line in first)
        beat(record.state, heartbeat_of("w0", "worker"))
        assert any("worker, process" in line for line in first)
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 130
        assert watching.stderr.read() == ""


def test_what_to_know_of_a_watched_stream_is_told_whole_and_as_of_when(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path)
    record.installation.route(Route(service=SHOP, observed=True))
    warning = f"Only {'a few ' * 60}labels have come: name --horizon 10d."
    suspicion = f"Suspicious: region = west{', and so on' * 30}."
    leave_looked_at_first(record.state.reports, {SHOP: 7})
    first = status(record.state).stdout
    assert "NOT TAKEN: no worker runs, and what is posted of shop is not taken." in first
    assert "NOBODY ANSWERS" not in first
    assert "  observed   7 predictions taken; the first look is under way" in first.splitlines()
    gist = Gist(
        service=SHOP, at=Instant(9 * HOUR), rows=2, labelled=1, missing=0, waiting=1, newest=Instant(8 * HOUR),
        metric="log_loss", figure=0.5, base=0.5, warnings=(warning,), suspicious=("region = west",),
        suspicion=suspicion,
    )  # fmt: skip
    leave_gists(record.state.reports, [gist])
    lines = status(record.state).stdout.splitlines()
    assert f"  MIND       {warning}" in lines
    assert f"  SUSPECT    {suspicion}" in lines
    assert f"  shop: {suspicion}" in lines  # to do, and not cut off
    assert any(line.startswith("  looked at  1 Jan 1970, 09:00, ") and line.endswith(" ago") for line in lines)
