"""What differs between two declarations, said so that a person can decide."""

import msgspec

from evertrain.config.declaration import RequestSpec, ServiceSpec, TrainingSpec
from evertrain.core.identity import Digest, ServiceName
from evertrain.core.policy import GateSpec, RowsTrigger, ScheduleTrigger
from evertrain.core.schema import Column, Schema
from evertrain.core.time import DAY, HOUR
from evertrain.process.declaration.change import Change, changes_of, code_changes

SPEC = ServiceSpec(name=ServiceName("shop"), inputs=Schema(()), triggers=(ScheduleTrigger(every=DAY),))


def changed(**parts: object) -> dict[str, Change]:
    return {one.part: one for one in changes_of(SPEC, msgspec.structs.replace(SPEC, **parts))}


def test_the_same_differs_in_nothing() -> None:
    assert changes_of(SPEC, msgspec.structs.replace(SPEC)) == ()


def test_a_field_is_told_by_its_path_with_both_values_and_its_unit() -> None:
    gate = changed(gate=GateSpec(margin=0.5, holdout=14 * DAY, protect=("region", "plan")))
    assert {part: (one.before, one.after) for part, one in gate.items()} == {
        "gate.margin": ("0.01", "0.5"),
        "gate.holdout": ("7d", "14d"),
        "gate.protect": ("", "region, plan"),
    }
    assert {one.holds for one in gate.values()} == {"holds from the next decision on"}


def test_a_trigger_more_is_one_difference_wherever_it_stands() -> None:
    found = changed(triggers=(RowsTrigger(rows=1_000_000), *SPEC.triggers))
    assert list(found) == ["triggers.rows 1000000"]
    assert (found["triggers.rows 1000000"].before, found["triggers.rows 1000000"].after) == ("", "rows 1000000")


def test_what_is_made_in_a_training_holds_from_the_next_one() -> None:
    features = changed(features=(RequestSpec(outputs=("amount",), inputs=("amount",)),))
    recipes = changed(recipes={"fast": TrainingSpec(duration=HOUR)})
    assert list(features) == ["features.amount"]
    assert list(recipes) == ["recipes.fast"]
    for one in (*features.values(), *recipes.values()):
        assert one.holds.startswith("holds from the next training on")


def test_code_is_told_file_by_file() -> None:
    old, new = (
        {"a.py": Digest("1" * 64), "b.py": Digest("2" * 64)},
        {"b.py": Digest("3" * 64), "c.py": Digest("4" * 64)},
    )
    found = [(one.part, one.before[:1], one.after[:1]) for one in code_changes(old, new)]
    assert found == [("code a.py", "1", ""), ("code b.py", "2", "3"), ("code c.py", "", "4")]


def test_a_hold_that_stands_is_not_shortened() -> None:
    shorter = msgspec.structs.replace(SPEC, gate=msgspec.structs.replace(SPEC.gate, hold=DAY))
    [change] = changes_of(SPEC, shorter)
    assert change.part == "gate.hold"
    assert "held from now on" in change.holds


def test_personal_columns_are_told_when_they_come_and_go() -> None:
    assert [(one.before, one.after) for one in changed(personal=("email",)).values()] == [("", "email")]


def test_columns_are_told_one_by_one() -> None:
    plan, age, fee = (Column(name=name, type="float64") for name in ("plan", "age", "fee"))
    text = msgspec.structs.replace(age, type="string")
    old, new = (msgspec.structs.replace(SPEC, inputs=Schema(one)) for one in ((plan, age), (fee, text)))
    found = {one.part: (one.before, one.after) for one in changes_of(old, new)}
    assert found["inputs.columns.plan"][1] == found["inputs.columns.fee"][0] == ""
    assert found["inputs.columns.age.type"] == ("float64", "string")
    assert len(found) == 3
    turned = msgspec.structs.replace(SPEC, inputs=Schema((age, plan)))
    [order] = changes_of(old, turned)
    assert (order.part, order.before, order.after) == ("inputs", "one order", "another order")
