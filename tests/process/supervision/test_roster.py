from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.routing import Arm, Route, RoutingTable
from evertrain.process.supervision.roster import Trial, hides, serves, trials

A, B, C = (VersionId(letter * 64) for letter in "abc")


def table(**route: object) -> RoutingTable:
    shop = ServiceName("shop")
    return RoutingTable(generation=5, routes={shop: Route(service=shop, **route)})  # type: ignore[arg-type]


def arm(version: VersionId, attempt: int = 0) -> Arm:
    return Arm(version=version, share=0.1, deadline_s=1.0, attempt=attempt)


def test_each_arm_of_each_route_gets_a_process() -> None:
    found = trials(table(champion=A, canary=arm(B, 2), control=arm(A, 2), reference=C))
    assert found == {
        "canary-bbbbbbbbbb-2": Trial("canary", B, 2),
        "control-aaaaaaaaaa-2": Trial("control", A, 2),
        "reference-cccccccccc-0": Trial("reference", C),
    }
    assert trials(table(champion=A, prepare=(B,), previous=C)) == {}


def test_another_attempt_is_another_process() -> None:
    assert trials(table(canary=arm(B, 1))).keys() != trials(table(canary=arm(B, 2))).keys()


def test_a_worker_serves_when_it_obeys_the_table_with_every_champion_loaded() -> None:
    assert serves(table(champion=A), 5, (A, B))
    assert not serves(table(champion=A), 4, (A,))
    assert not serves(table(champion=A), 5, (B,))
    assert serves(table(champion=A, enabled=False), 5, ())
    assert serves(table(), 6, ())


def test_a_version_on_trial_is_asked_what_is_personal_where_its_service_says_so() -> None:
    personal = table(champion=A, canary=arm(B), reference=C, personal=("email",))
    assert [hides(personal, version) for version in (A, B, C, None)] == [False, True, True, False]
    assert not hides(table(champion=A, canary=arm(B)), B)
