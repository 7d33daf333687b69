"""What a hook is told: by real requests to a real receiver, which others' libraries read."""

import base64
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from standardwebhooks import Webhook, WebhookVerificationError

from evertrain.config.hook import Hook, written_hooks
from evertrain.core import event as facts
from evertrain.core.identity import CycleId, RolloutId
from evertrain.core.time import HOUR, Instant
from evertrain.process.controller.dispatch import dispatching
from evertrain.process.controller.messenger import Messenger
from evertrain.store.hook import HookProgress, HookRoll, HookShelf, read_hook_progress
from evertrain.store.ledger import Ledger
from evertrain.testing.installation import BEGIN, SHOP
from evertrain.testing.receiver import Answer, Receiver
from evertrain.testing.record import SECOND, ShopRecord
from evertrain.testing.tree import free_port, wait_until

RECEIVER = Path(__file__).parents[3] / "examples" / "serve" / "receive.py"
SECRET = f"whsec_{base64.b64encode(b'0123456789abcdef0123456789abcdef').decode()}"
OTHER = f"whsec_{base64.b64encode(b'another one, as long as the first').decode()}"


class World:
    """A state, a receiver, and a hook that is told by hand. now: the clock by which events are given up."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.record = ShopRecord(folder / "state")
        self.receiver = receiver
        self.secret = folder / "secret"
        self.secret.write_text(SECRET + "\n")
        self.now = 1_800_000_000.0
        self.at = BEGIN
        self.ledger = Ledger.open(self.record.state.ledger)
        self.messenger = self.begin()

    def begin(self, **changes: object) -> Messenger:
        hook = Hook(name="audit", url=f"{self.receiver.address}/hooks?to=us", secret_file=str(self.secret))
        self.messenger = Messenger(
            msgspec.structs.replace(hook, **changes),
            self.record.state,
            self.ledger,
            lambda: self.at,
            lambda: self.now,
        )
        return self.messenger

    def alert(self, name: str) -> None:
        self.record.tell(f"{name} is wrong.", facts.AlertRaised(alert=name, owner="desk", severity="warning"))

    def refuse(self, name: str) -> None:
        """An event of the service's lane."""
        moved = facts.CycleMoved(service=SHOP, cycle=CycleId(f"{SHOP}/c1"), move=name, before="a", after="b")
        self.record.tell(f"{name}.", moved)

    def rest(self) -> None:
        """Look until nothing is due."""
        while self.messenger.look():
            pass

    @property
    def progress(self) -> HookProgress:
        [found] = read_hook_progress(self.record.state)
        return found


@pytest.fixture
def world(tmp_path: Path, receiver: Receiver) -> Iterator[World]:
    made = World(tmp_path, receiver)
    yield made
    made.ledger.close()


def test_an_event_comes_as_a_signed_cloud_event_that_others_can_read(world: World) -> None:
    world.alert("disk")
    world.rest()
    [request] = world.receiver.received
    assert request.path == "/hooks?to=us"
    event = from_structured_event(HTTPMessage(request.headers, request.body))
    assert (event.get_type(), event.get_subject()) == ("evertrain.alert.raised", f"service/{SHOP}")
    assert event.get_id() == world.ledger.last()[0].id == request.headers["webhook-id"]
    assert event.get_data() == {
        "sequence": 2,
        "actor": "test",
        "reason": "disk is wrong.",
        "alert": "disk",
        "owner": "desk",
        "severity": "warning",
    }
    at = int(request.headers["webhook-timestamp"])
    assert at == int(world.now)


def test_the_signature_holds_for_the_secret_and_for_no_other_and_no_other_body(world: World) -> None:
    world.now = time.time()
    world.alert("disk")
    world.rest()
    [request] = world.receiver.received
    Webhook(SECRET).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body.replace(b"disk", b"dusk"), request.headers)


def test_the_receiver_of_the_how_to_page_reads_it_and_refuses_what_was_altered(world: World) -> None:
    verified = runpy.run_path(str(RECEIVER))["verified"]
    world.now = time.time()
    world.alert("disk")
    world.now -= 301
    world.rest()
    world.now = time.time()
    world.alert("disk")
    world.rest()
    old, request = world.receiver.received
    assert verified(SECRET, request.headers, request.body)["type"] == "evertrain.alert.raised"
    for secret, found, body in ((OTHER, request, request.body), (SECRET, request, b"{}"), (SECRET, old, old.body)):
        with pytest.raises(ValueError, match=r"the signature is wrong|the message is too old"):
            verified(secret, found.headers, body)


def test_a_secret_that_is_changed_in_place_signs_the_next_message(world: World) -> None:
    world.now = time.time()
    world.secret.write_text(OTHER)
    world.alert("disk")
    world.rest()
    [request] = world.receiver.received
    Webhook(OTHER).verify(request.body, request.headers)


def test_a_new_hook_is_told_of_what_happens_from_then_on_and_only_of_what_it_wants(world: World) -> None:
    world.record.tell("too late", facts.AlertCleared(alert="disk"))
    world.begin(events=("alert.raised", "cycle.*"), services=(SHOP,))
    world.record.tell("unwanted", facts.AlertCleared(alert="disk"))
    world.alert("disk")
    world.refuse("train")
    world.rest()
    assert [one.event["type"] for one in world.receiver.received] == ["evertrain.alert.raised", "evertrain.cycle.moved"]
    world.begin(services=("another",))
    world.refuse("judge")
    world.rest()
    assert len(world.receiver.received) == 2


def test_what_is_not_taken_holds_up_its_own_lane_and_comes_again_in_order(world: World) -> None:
    world.receiver.answers.extend([Answer(status=500), Answer()])
    for name in ("first", "second"):
        world.refuse(name)
    world.alert("disk")
    world.rest()
    assert [one.event["data"].get("move", "alert") for one in world.receiver.received] == ["first", "alert"]
    assert world.progress.failing[SHOP].error == "it answered 500"
    assert (world.progress.told, world.progress.waiting) == (1, 2)
    wait_until(lambda: world.messenger.look() or len(world.receiver.received) == 4, "the rest")
    world.rest()
    told = [one.event["data"].get("move", "alert") for one in world.receiver.received]
    assert told == ["first", "alert", "first", "second"]
    assert len({one.headers["webhook-id"] for one in world.receiver.received}) == 3
    assert world.progress.failing == {}
    assert world.progress.floor == world.ledger.count() - 1


def test_what_is_never_taken_becomes_a_dead_letter_and_is_sent_once_more_on_demand(world: World) -> None:
    world.receiver.usual = Answer(status=404)
    world.begin(give_up_after=0)
    world.refuse("first")
    world.refuse("second")
    world.rest()
    assert [(one.sequence, one.attempts, one.error) for one in world.progress.dead] == [
        (2, 1, "it answered 404"),
        (3, 1, "it answered 404"),
    ]
    shelf = HookShelf(world.record.state, "audit")
    shelf.ask_again(2)
    world.rest()
    assert [(one.sequence, one.attempts) for one in world.progress.dead] == [(3, 1), (2, 2)]
    world.receiver.usual = Answer()
    shelf.ask_again(2)
    world.rest()
    assert [one.sequence for one in world.progress.dead] == [3]
    assert shelf.asked_again() == []


def test_an_event_is_given_up_by_the_time_since_its_first_attempt(world: World) -> None:
    world.receiver.usual = Answer(status=503)
    world.refuse("first")
    world.rest()
    world.now += 6 * 3600 + 1
    world.begin()  # as a new controller does: the first attempt is on file
    world.rest()
    [letter] = world.progress.dead
    assert (letter.attempts, letter.kind) == (2, "cycle.moved")


def test_a_new_messenger_goes_on_where_the_last_one_was(world: World) -> None:
    for name in ("first", "second", "third"):
        world.refuse(name)
    world.messenger.look()
    world.begin()
    world.rest()
    assert world.receiver.sequences == [2, 3, 4]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://no-such-host.invalid/", "its host is not known here"),
        ("http://127.0.0.1:1/", "connection refused"),
    ],
)
def test_why_a_receiver_cannot_be_reached_is_told(world: World, url: str, says: str) -> None:
    world.begin(url=url)
    world.alert("disk")
    world.rest()
    assert world.progress.failing[""].error == says


@pytest.mark.parametrize(
    ("answer", "within_s", "says"),
    [
        (Answer(holds=True), 0.2, "it did not answer within 0.2 s"),
        (
            Answer(status=302, headers={"location": "http://127.0.0.1:1/"}),
            30.0,
            "it answered 302, and a redirect is not",
        ),
    ],
)
def test_a_receiver_that_is_slow_or_sends_elsewhere_has_not_taken_it(
    world: World, answer: Answer, within_s: float, says: str
) -> None:
    world.receiver.answers.append(answer)
    world.begin(timeout_s=within_s)
    world.alert("disk")
    world.rest()
    assert says in world.progress.failing[""].error
    assert len(world.receiver.received) == 1


def test_tls_that_is_not_spoken_is_told(world: World) -> None:
    world.begin(url=world.receiver.address.replace("http", "https"))
    world.alert("disk")
    world.rest()
    assert "TLS failed" in world.progress.failing[""].error


def test_a_secret_that_is_gone_is_told_without_it_and_nothing_is_sent_unsigned(world: World) -> None:
    world.secret.write_text("S3CRET")
    world.alert("disk")
    world.rest()
    assert world.receiver.received == []
    assert f"What stands at {world.secret} is no secret" in world.progress.failing[""].error
    assert "S3CRET" not in world.progress.failing[""].error


def test_a_damaged_file_of_progress_begins_where_the_ledger_ends(world: World) -> None:
    world.alert("disk")
    world.rest()
    (world.record.state.path / "control" / "hooks" / "audit.json").write_bytes(b'{"hook":')
    world.begin()
    world.alert("again")
    world.rest()
    assert world.receiver.sequences == [2, 3]


def test_a_hook_that_is_configured_no_more_keeps_its_place(world: World) -> None:
    world.alert("disk")
    world.rest()
    with dispatching(HookRoll(world.record.state), world.record.state, world.ledger, lambda: world.at):
        assert not world.progress.active
    world.alert("again")
    world.begin()
    world.rest()
    assert world.receiver.sequences == [2, 3]


# Questions ------------------------------------------------------------------------------------------------------------


def ask(world: World, approver: str = "hook audit") -> None:
    """A version is on trial, and its promotion waits for whoever is named."""
    first, second = world.record.build("def predict(rows):\n    return [0.5]\n"), world.record.build("# two\n" + SECOND)
    rollout = RolloutId(f"{SHOP}/r1")
    world.record.tell(
        "It is to enter.",
        facts.RolloutBegun(
            service=SHOP, rollout=rollout, version=second, champion=first, steps=(0.1,), cycle=CycleId("c1")
        ),
        facts.ApprovalAsked(
            service=SHOP,
            rollout=rollout,
            version=second,
            gate="promotion",
            approver=approver,
            until=Instant(BEGIN + HOUR),
            on_timeout="hold",
        ),
    )


def answers(world: World) -> list[tuple[str, str, str]]:
    return [
        (event.actor, event.fact.decision, "" if event.fact.words is None else world.ledger.words(event.fact.words))
        for event in world.ledger.read()
        if isinstance(event.fact, facts.ApprovalGiven)
    ]


@pytest.mark.parametrize(("decision", "says"), [("allow", "the tests are green"), ("deny", "")])
def test_a_hook_that_may_veto_is_asked_and_its_decision_goes_on_record(world: World, decision: str, says: str) -> None:
    world.receiver.usual = Answer(
        status=200, body=msgspec.json.encode({"decision": decision} | ({"reason": says} if says else {}))
    )
    world.begin(veto=("promotion",), events=("approval.*",))
    ask(world)
    world.rest()
    assert answers(world) == [("hook audit", decision, says)]
    types = [one.event["type"] for one in world.receiver.received]
    assert types == ["evertrain.approval.asked", "evertrain.approval.given"], "the question is asked, not told as well"
    assert world.receiver.received[0].event["data"]["gate"] == "promotion"
    world.begin(veto=("promotion",))
    world.rest()
    assert len(world.receiver.received) == 2


def test_a_question_that_stood_before_a_restart_is_asked_by_the_new_messenger(world: World) -> None:
    world.receiver.usual = Answer(status=500)
    world.begin(veto=("promotion",), events=("alert.*",))
    ask(world)
    world.rest()
    assert answers(world) == []
    [failing] = world.progress.failing.items()
    assert failing[0] == f"the question before the promotion of {SHOP}/r1"
    assert failing[1].error == "it answered 500"
    world.receiver.usual = Answer(status=200, body=b'{"decision": "allow"}')
    world.begin(veto=("promotion",), events=("alert.*",))
    world.rest()
    assert answers(world) == [("hook audit", "allow", "")]
    assert world.progress.failing == {}


@pytest.mark.parametrize(
    "body", [b"", b"yes", b'{"decision": "maybe"}', b'{"decision": true}', b"[" * 5000, b'{"reason": "allow"}', b"\xff"]
)
def test_an_answer_that_decides_nothing_is_no_yes(world: World, body: bytes) -> None:
    world.receiver.usual = Answer(status=200, body=body)
    world.begin(veto=("promotion",))
    ask(world)
    world.rest()
    assert answers(world) == []
    [failing] = world.progress.failing.values()
    assert failing.error.startswith("it answered without a decision")


def test_whoever_says_wait_is_asked_again_and_nobody_after_the_time_or_a_persons_word(world: World) -> None:
    world.receiver.usual = Answer(status=200, body=b'{"decision": "wait"}')
    world.begin(veto=("promotion",), events=("alert.*",))
    ask(world)
    world.rest()
    assert (answers(world), world.progress.failing, len(world.receiver.received)) == ([], {}, 1)
    world.at = Instant(BEGIN + HOUR)
    world.begin(veto=("promotion",), events=("alert.*",))
    world.rest()
    assert len(world.receiver.received) == 1, "its time is over"
    world.at = BEGIN
    given = facts.ApprovalGiven(
        service=SHOP,
        rollout=RolloutId(f"{SHOP}/r1"),
        gate="promotion",
        approver="hook audit",
        decision="deny",
        role="operator",
    )
    world.record.tell("A person denied it.", given)
    world.begin(veto=("promotion",), events=("alert.*",))
    world.rest()
    assert len(world.receiver.received) == 1, "a person has decided"


@pytest.mark.parametrize("by", ["a person", "the time"])
def test_what_is_asked_no_more_is_no_trouble_any_more(world: World, by: str) -> None:
    world.receiver.usual = Answer(status=500)
    world.begin(veto=("promotion",), events=("alert.*",))
    ask(world)
    world.rest()
    assert len(world.progress.failing) == 1
    if by == "the time":
        world.at = Instant(BEGIN + HOUR)
    else:
        given = facts.ApprovalGiven(
            service=SHOP,
            rollout=RolloutId(f"{SHOP}/r1"),
            gate="promotion",
            approver="hook audit",
            decision="allow",
            role="operator",
        )
        world.record.tell("A person allowed it.", given)
    world.rest()
    assert world.progress.failing == {}


def test_a_question_to_another_is_only_told(world: World) -> None:
    world.begin(veto=("promotion",), events=("approval.*",))
    ask(world, "hook risk")
    world.rest()
    assert [one.event["data"]["approver"] for one in world.receiver.received] == ["hook risk"]
    assert answers(world) == []


def test_a_killed_controller_loses_no_message_and_repeats_one_at_the_most(world: World) -> None:
    for number in range(60):
        world.alert(f"a{number}")
    world.messenger.look()  # its place is on file
    hook = Hook(name="audit", url=world.receiver.address, secret_file=str(world.secret))
    settings = {"EVERTRAIN_CONTROL_PORT": str(free_port()), "EVERTRAIN_HOOKS": written_hooks((hook,))}
    command = [sys.executable, "-m", "evertrain.process.controller.controlling", "--dir", str(world.record.state.path)]
    for least, end in ((10, signal.SIGKILL), (60, signal.SIGTERM)):
        with subprocess.Popen(command, env=os.environ | settings) as controller:
            wait_until(lambda: len(world.receiver.received) >= least, "messages")  # noqa: B023 - asked before it changes
            controller.send_signal(end)
    told = [one for one in world.receiver.sequences if one <= 61]
    assert sorted(set(told)) == list(range(2, 62))
    assert told == sorted(told)
    assert len(told) <= 61
