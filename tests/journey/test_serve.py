"""The first thing that a user does: serve a model file, and push its successors, good and bad, under traffic.

The real command, its real processes, real HTTP. Customers ask all the time; whatever is pushed, each of their
requests gets a good answer.
"""

import base64
import logging
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect
from standardwebhooks import Webhook

from evertrain.core.identity import VersionId
from evertrain.core.prediction import Predicted, Shadowed
from evertrain.core.routing import Route
from evertrain.store.access import token
from evertrain.store.process import alive, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.testing.older import LOCK, Older
from evertrain.testing.receiver import Answer, Receiver
from evertrain.testing.served import SHOP, Customers, Served, train
from evertrain.testing.tree import wait_until

log = logging.getLogger(__name__)

FAULTY = """
import ctypes

HOARD = []


def predict(rows):
    return [score(row) for row in rows]


def score(row):
    if row["a"] > 1 and row["b"] < -1:  # no golden request is like that
        {fault}
    return 0.25
"""
FAULTS = {
    "raises": 'raise RuntimeError("no such shop")',
    "hangs": "while True: pass",
    "segfaults": "ctypes.string_at(0)",
    "eats memory": "while True: HOARD.append(b'x' * (32 << 20))",
    "answers NaN": 'return float("nan")',
}
SECRET = f"whsec_{base64.b64encode(b'something that nobody knows').decode()}"
HOOK = """
[[hooks]]
name = "audit"
url = "{url}/evertrain"
secret_file = "secret"
veto = ["promotion"]
"""
CAUSES = {
    "raises": {"error"},
    "hangs": {"deadline", "crash"},
    "segfaults": {"crash"},
    "eats memory": {"error", "deadline", "crash"},
    "answers NaN": {"nan"},
}
"""What the log may say of each: a deadline comes before the end of a process where the machine is slow."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A system that is told of everything, and asked before each promotion, which it allows."""
    with Receiver() as made:
        made.usual = Answer(status=200, body=b'{"decision": "allow", "reason": "it may"}')
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Served]:
    """One server for all tests, in the order in which they stand."""
    made = Served(tmp_path_factory.mktemp("a user's folder"), "model1.txt")
    (made.folder / "secret").write_text(SECRET)
    (made.folder / "evertrain.toml").write_text(HOOK.format(url=receiver.address))
    for number, rounds in enumerate((20, 21), start=1):  # as fast as one another: latency is evidence too
        train(rounds, made.folder / f"model{number}.txt")
    try:
        made.serve()
        yield made
    finally:
        made.end()


@pytest.fixture
def customers(served: Served) -> Iterator[Customers]:
    """Customers who ask during the whole test; not one of them may get a bad answer."""
    with Customers(served.port, state=served.state) as asking:
        yield asking
    served.answered += asking.total
    assert asking.bad[:3] == []
    assert asking.total > 0


def test_a_good_push_is_promoted_also_when_its_rollout_was_off_for_a_while(
    served: Served, customers: Customers
) -> None:
    first = served.record().champion
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(served.run, "push", "model2.txt", "--wait")
        wait_until(lambda: len(customers.answered) == 2, "answers of the version on trial")
        asked = time.monotonic()
        turn(served, "pause")
        wait_until(lambda: route_of(served).canary is None and served.answers(), "the pause")
        [trial] = set(customers.answered) - {first}
        seen = customers.total
        wait_until(lambda: customers.total > seen + 500, "answers without it")
        late = customers.late(trial, asked)
        log.info("the last answer of the version on trial came %.0f ms after the order", late * 1000)
        assert late < 1.0
        assert "turned the rollout of version 2 off" in served.run("status").stdout
        turn(served, "resume")
        done = pushing.result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Version 2 of shop answers.\n")
    version = next(one.version for one in served.record().versions.values() if one.ordinal == 2)
    record = served.settle(version)
    assert record.champion == version, served.newest()
    assert record.previous == first
    assert [rollout.shares[-1][1] for rollout in record.rollouts.values() if rollout.version == version] == [1.0]
    wait_until(lambda: customers.answered.get(version, 0) > 1000, "answers of the new champion")


def turn(served: Served, verb: str) -> None:
    """A switch by the control API, which takes the order and returns at once."""
    bearer = {"authorization": f"Bearer {token('control', served.state.keys)}"}
    address = f"http://127.0.0.1:{served.control_port}/api/services/{SHOP}/{verb}"
    httpx.post(address, json={"reason": "to be sure"}, headers=bearer, trust_env=False, timeout=60).raise_for_status()


def wait_beyond(count: int, counted: Callable[[], int], what: str) -> None:
    wait_until(lambda: counted() > count, what)


def route_of(served: Served) -> Route:
    return RoutingFile(served.state.routing).read().routes[SHOP]


def test_whoever_is_hooked_was_asked_before_and_told_of_each_step_after(served: Served, receiver: Receiver) -> None:
    def told(kind: str) -> list[str]:
        events = [one.event for one in receiver.received if one.event["type"] == f"evertrain.{kind}"]
        return [event["data"].get("move", event["data"].get("approver")) for event in events]

    wait_until(lambda: told("rollout.moved").count("promote") == 2, "the news of both promotions")
    assert told("approval.asked") == ["hook audit"] * 2
    moves = ["prepare", "start", "promote", "prepare", "start", "pause", "resume", "start"]
    assert told("rollout.moved")[: len(moves)] == moves
    for one in receiver.received:
        Webhook(SECRET).verify(one.body, one.headers)
    [second] = [one for one in served.record().rollouts.values() if one.champion is not None]
    assert "hook audit allows the promotion." in second.why
    assert SECRET not in served.log.read_text()
    [service] = served.told("status")["services"]
    assert "hook audit allows the promotion. “it may”" in [one["reason"] for one in service["decisions"]]


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_bad_push_is_rolled_back_and_nobody_notices(served: Served, customers: Customers, fault: str) -> None:
    champion = served.record().champion
    file = served.folder / f"{fault.replace(' ', '_')}.py"
    file.write_text(FAULTY.format(fault=FAULTS[fault]))
    version = served.push(file.name)
    record = served.settle(version)
    assert record.champion == champion
    [rollout] = [one for one in record.rollouts.values() if one.version == version]
    assert rollout.state.value == "rolled_back"
    assert rollout.evidence["e_errors"] >= rollout.evidence["e_limit"] == 100.0
    assert "canary errors" in record.versions[version].refused
    assert "; its failures, most often (" in record.versions[version].refused
    found = served.failures(version)
    assert found
    assert found <= CAUSES[fault]

    again = served.run("push", file.name)
    assert again.returncode == 1
    assert "The same artifact was refused" in again.stdout
    assert "canary errors" in again.stdout
    assert len(customers.answered) <= 2  # the champion, and the canary where it could answer


def test_a_push_that_fails_in_the_check_server_gets_no_traffic(served: Served, customers: Customers) -> None:
    (served.folder / "broken.py").write_text("def predict(rows):\n    raise KeyError('a')\n")
    done = served.run("push", "broken.py", "--wait")
    assert done.returncode == 1
    assert " was refused: " in done.stdout
    version = max(served.record().versions.values(), key=lambda one: one.ordinal).version
    record = served.settle(version)
    assert [one for one in record.rollouts.values() if one.version == version] == []
    assert "KeyError" in record.versions[version].refused
    assert version not in customers.answered


def test_the_commands_tell_the_truth(served: Served) -> None:
    record = served.record()
    models = served.told("models")
    assert [one["version"] for one in models] == list(record.versions)
    states = [one["state"] for one in models]
    assert states.count("champion") == 1
    assert states.count("standby") == 1
    assert states.count("refused") == len(FAULTS) + 1
    status = served.told("status")
    assert status["routing"]["routes"][SHOP]["champion"] == record.champion
    assert {one["role"] for one in status["processes"] if one["alive"]} >= {"worker", "controller", "data"}
    decisions = served.told("decisions", "--limit", "1000")
    assert len(decisions) == min(1000, len(record.decisions))
    assert all(one["reason"] for one in decisions)
    for name in ("models", "status", "decisions"):
        plain = served.run(name)
        assert plain.returncode == 0
        assert "no such shop" in plain.stdout or "canary errors" in plain.stdout


def test_the_page_shows_the_versions_the_verdicts_and_once_labels_come_how_good_it_is(
    served: Served, opened: Callable[[str], Page]
) -> None:
    page = opened(f"http://127.0.0.1:{served.control_port}/?token={token('control', served.state.keys)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 2 serves")
    quality = page.get_by_role("region", name="Quality")
    expect(quality).to_contain_text("No label was posted yet")
    versions = page.get_by_role("region", name="Model versions").get_by_role("row")
    newest = len(served.record().versions)  # the one that the check server refused
    expect(versions).to_have_count(1 + newest)
    for state, name in (("champion", "2"), ("standby", "1"), ("rolled back", "3"), ("refused", str(newest))):
        expect(versions.filter(has=page.get_by_role("link", name=name, exact=True))).to_contain_text(state)
    expect(page.get_by_role("region", name="Decisions")).to_contain_text("Version 3 rolled back")
    expect(page.get_by_role("button", name="Retrain …")).to_have_count(0)  # there is nothing to train it from

    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", trust_env=False, timeout=60) as client:
        rows = [{"a": place / 50, "b": 0.0, "c": 0.0} for place in range(-50, 50)]
        answers = client.post("/predict/shop", json={"rows": rows}).json()["predictions"]
        served.answered += len(answers)
        labels = [{"prediction_id": one["id"], "value": row["a"] > 0} for one, row in zip(answers, rows, strict=True)]
        bearer = {"authorization": f"Bearer {token('data', served.state.keys)}"}
        assert client.post("/labels/shop", json={"labels": labels}, headers=bearer).json() == {"taken": 100}
    expect(quality).to_contain_text("all 100 labels")
    expect(quality.get_by_role("img", name="AUC over business time")).to_be_visible()
    expect(quality.locator(".dot.lone").first).to_have_css("fill-opacity", "1")  # one hour makes no line

    champion = served.record().champion
    assert champion is not None
    wait_until(lambda: served.record().versions[champion].verdict == "pass", "a verdict on its quality")
    page.get_by_role("region", name="Model versions").get_by_role("link", name="2", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 2: pass")


def test_a_rollback_takes_less_than_a_second(served: Served, customers: Customers) -> None:
    before = served.record()
    assert before.champion is not None
    wait_until(lambda: customers.answered.get(before.champion or "", 0) > 100, "answers of the champion")
    done = served.run("rollback", "--reason", "complaints from the desk")
    returned = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert "answers again" in done.stdout
    previous = before.previous or ""
    wait_until(lambda: customers.answered.get(previous, 0) > 500, "answers of the version before")
    late = customers.late(before.champion, returned)
    log.info("the last answer of what was taken back came %.0f ms after the command returned", late * 1000)
    assert late < 1.0
    again = served.run("push", "model2.txt")
    assert again.returncode == 1
    assert "took back" in again.stdout


def test_off_and_on_take_less_than_a_second(served: Served) -> None:
    """In the median of three rounds: what a disk takes for a sync is no figure of ours."""
    champion = served.record().champion or ""
    off_s, on_s = list[float](), list[float]()
    with Customers(served.port, state=served.state) as customers:
        wait_until(lambda: customers.answered.get(champion, 0) > 100, "answers of the champion")
        for _ in range(3):
            asked, refused = time.monotonic(), len(customers.bad)
            turn(served, "off")
            wait_beyond(refused + 500, lambda: len(customers.bad), "refusals")
            told = httpx.get(f"http://127.0.0.1:{served.control_port}/flags", trust_env=False, timeout=60).json()
            off_s.append(customers.late(champion, asked))
            status = served.run("status")
            before = customers.total
            done = served.run("on", SHOP)
            returned = time.monotonic()
            wait_beyond(before, lambda: customers.total, "an answer")
            on_s.append(customers.late(champion, returned))
    log.info("the last answer came %s s after the order", off_s)
    assert statistics.median(off_s) < 1.0
    assert statistics.median(on_s) < 1.0
    [flags] = told["services"]
    assert (flags["service"], flags["enabled"], flags["champion"]) == (SHOP, False, champion)
    assert flags["notice"].startswith("A person (operator) turned it off at ")
    assert flags["ordinals"] == {champion: served.record().versions[VersionId(champion)].ordinal}
    assert status.returncode == 1
    assert "shop: TURNED OFF: A person (operator) turned it off at " in status.stdout
    assert f"evertrain on {SHOP}" in status.stdout
    assert "refused while off" in status.stdout
    assert (done.returncode, done.stdout) == (0, "A person (operator) turned it on again.\n")
    served.answered += customers.total
    assert {reply.status for reply in customers.bad} == {503}
    assert all(b"does not answer: A person (operator) turned it off at" in reply.body for reply in customers.bad)


def test_a_person_denies_a_version_and_approves_it_on_the_page_when_it_comes_again(
    served: Served, receiver: Receiver, customers: Customers, opened: Callable[[str], Page]
) -> None:
    champion = served.record().champion
    receiver.usual = Answer(status=200, body=b'{"decision": "wait"}')
    (served.folder / "evertrain.toml").write_text(HOOK.format(url=f"{receiver.address}/moved"))
    assert served.run("hooks", "apply").stdout.startswith("audit: url changed; it goes on where it was\n")
    train(24, served.folder / "model4.txt")
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(served.run, "push", "model4.txt", "--wait")
        version = awaited(served)
        ordinal = served.record().versions[version].ordinal
        other = served.run("approve", "--version", "1", "--reason", "the one before")
        assert (other.returncode, "does not wait for an approval; version" in other.stdout) == (1, True)
        denied = served.run("deny", "--version", str(ordinal), "--reason", "not before the weekend")
        said = f"A person (operator) denied the promotion of version {ordinal}."
        assert (denied.returncode, denied.stdout) == (0, f"{said}\n")
        done = pushing.result()
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        1,
        f"Version {ordinal} of shop is not in service. {said}",
    )
    assert route_of(served).champion == champion

    (served.folder / "model4.txt").rename(served.folder / "again.txt")
    assert served.run("push", "again.txt").returncode == 0
    assert awaited(served) == version
    page = opened(f"http://127.0.0.1:{served.control_port}/?token={token('control', served.state.keys)}")
    page.get_by_role("button", name="Approve …").click()
    form = page.locator("form#do-approve")
    expect(form).to_contain_text(f"It is version {ordinal}, on trial beside version")
    form.get_by_label("Why?").fill("seen by the committee")
    form.get_by_role("button", name="Approve", exact=True).click()
    expect(form).to_contain_text("On record as event")
    wait_until(lambda: served.record().champion == version, "the promotion")
    twice = served.run("approve", "--reason", "me too")
    said = f"A person (operator) approved the promotion of version {ordinal}."
    assert (twice.returncode, twice.stdout) == (1, f"Nothing waits for an approval. The last answer: {said}\n")
    wait_until(lambda: customers.answered.get(version, 0) > 500, "answers of the new champion")
    asked = [one.path for one in receiver.received if one.event["type"] == "evertrain.approval.asked"]
    assert asked[-1] == "/moved/evertrain"
    receiver.usual = Answer(status=200, body=b'{"decision": "allow"}')


def awaited(served: Served) -> VersionId:
    """The version that waits for its promotion to be approved."""

    def waits() -> bool:
        rollout = served.record().open_rollout
        return rollout is not None and bool(rollout.unanswered)

    wait_until(waits, "a version that somebody has to approve")
    [asked] = [one for one in served.record().rollouts.values() if one.open]
    return asked.version


def test_a_push_in_shadow_sees_what_is_asked_and_answers_nobody(served: Served, customers: Customers) -> None:
    train(23, served.folder / "watching.txt")
    version, champion = VersionId(served.told("push", "watching.txt", "--shadow")["version"]), served.record().champion
    wait_until(lambda: len(served.logged(Shadowed)) > 100, "what it said")
    assert {(one.version, one.champion) for one in served.logged(Shadowed)} == {(version, champion)}

    def waits() -> str:
        (shop,) = served.told("status")["services"]
        return str(shop["trial"]["waits"])

    wait_until(lambda: "correlation +" in waits(), "what status says")
    assert waits().startswith("In shadow until a person promotes it; it has seen ")
    assert "sees live requests in shadow, and answers nobody" in served.run("status").stdout
    assert served.run("rollback", "--reason", "seen enough").returncode == 0
    wait_until(lambda: route_of(served).shadow is None, "its end")
    assert list(customers.answered) == [champion]


def test_a_push_with_a_lock_is_tried_with_its_own_library_and_enters_by_workers_that_have_it(
    served: Served, customers: Customers, older: Older
) -> None:
    before = served.record().champion or ""
    lock = older.lend(served.state)
    (served.folder / "requirements.lock").write_text(LOCK)
    train(22, served.folder / "model3.txt")
    told = served.told("push", "model3.txt", "--environment", "requirements.lock")
    version = VersionId(told["version"])
    wait_until(lambda: customers.answered.get(version, 0) > 200, "answers of the version on trial")
    python = str(served.state.interpreter(lock))

    def interpreters(role: str) -> set[str]:
        return {psutil.Process(one.pid).cmdline()[0] for one in heartbeats(served.state) if one.name.startswith(role)}

    assert interpreters("canary") == {python}
    assert python not in interpreters("control") | interpreters("w")
    number = served.record().versions[version].ordinal
    done = served.run("promote", str(number), "--reason", "in a hurry", "--yes")
    returned = time.monotonic()
    # Under much traffic its canary may be over before the order is given.
    assert done.returncode == 0 or "is the champion already" in done.stdout, done.stdout + done.stderr
    wait_until(lambda: customers.asked[version] > returned + 0.5, "answers of its own workers")
    assert customers.asked[before] < returned
    assert python in interpreters("w")
    assert "  pool 0 stands by with version " in served.run("status").stdout
    assert served.run("rollback", "--reason", "seen enough").returncode == 0
    returned = time.monotonic()
    wait_until(lambda: customers.asked[before] > returned + 0.5, "answers of the version before")
    assert customers.asked[version] < returned
    assert served.failures(version) <= {"deadline"}  # within which a machine that stalls does not answer


def test_a_restart_goes_on_where_the_killed_one_was(served: Served) -> None:
    before = served.record()
    workers = [one for one in heartbeats(served.state) if one.role == "worker" and alive(one)]
    with Customers(served.port) as customers:
        served.kill_supervisor()
        served.serve()
        wait_until(lambda: not any(alive(one) for one in workers), "the end of the old workers")
        seen = customers.total
        wait_until(lambda: customers.total > seen + 200, "answers of the new workers")
    served.answered += customers.total
    assert customers.bad[:3] == []
    assert list(customers.answered) == [before.champion]
    after = served.record()
    assert after.champion == before.champion
    assert list(after.versions) == list(before.versions)
    assert served.told("status")["routing"]["routes"][SHOP]["champion"] == before.champion


def test_ctrl_c_ends_everything(served: Served) -> None:
    assert served.supervisor is not None
    os.kill(served.supervisor.pid, signal.SIGINT)
    assert served.supervisor.wait(180) == 0
    assert [one.name for one in heartbeats(served.state) if alive(one)] == []


def test_every_answer_is_on_record_and_the_record_is_sound(served: Served) -> None:
    assert len(served.logged(Predicted)) == served.answered
    proven = served.run("ledger", "verify")
    assert proven.returncode == 0, proven.stdout
    assert "Everything is as it was recorded." in proven.stdout
