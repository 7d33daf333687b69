"""A table becomes the service that its author would otherwise have written out."""

from pathlib import Path
from typing import Any

import pytest

import evertrain as et
from evertrain.config.authoring import load
from evertrain.config.bundle import closure, digest_of_module
from evertrain.config.declaration import RequestSpec, ServiceSpec
from evertrain.config.namespace import resolve
from evertrain.config.table import OpenService, complete
from evertrain.core.identity import Digest
from evertrain.core.schema import Column
from evertrain.core.time import DAY
from evertrain.errors import DeclarationError

COLUMNS = (
    Column(name="customer", type="string"),
    Column(name="day", type="timestamp"),
    Column(name="plan", type="string", nullable=True),
    Column(name="joined", type="timestamp", nullable=True),
    Column(name="calls", type="int64", nullable=True),
    Column(name="reason", type="string", nullable=True),
    Column(name="left", type="bool", nullable=True),
)


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


def table(**changes: Any) -> OpenService:
    described: dict[str, Any] = {"key": "customer", "at": "day", "label": "left", "horizon": "30d", "exclude": "reason"}
    spec = et.Service.from_table("churn", "customers.csv", **(described | changes))
    assert isinstance(spec, OpenService)
    return spec


def test_a_table_stands_for_source_examples_label_and_features() -> None:
    spec = complete(table(train=train, segments="plan"), COLUMNS)
    assert type(spec) is ServiceSpec
    [source] = spec.sources
    assert (source.name, source.files, source.key, source.event_time) == (
        "churn",
        "customers.csv",
        ("customer",),
        "day",
    )
    assert source.columns == COLUMNS
    assert spec.inputs.names == ("customer", "day", "plan", "joined", "calls")
    assert spec.examples is not None
    assert spec.examples.key == ("customer", "day")
    assert spec.examples.entity == ("customer",)
    assert spec.label is not None
    assert (spec.label.value, str(spec.label.mature_at)) == ("left", "at + 30d")
    assert spec.vector == ("plan", "calls", "days_since_joined")
    assert spec.categories == ("plan",)
    recipe = spec.recipes["default"].train
    assert recipe is not None
    assert recipe.name == "train"
    assert spec.gate.holdout == 28 * DAY


def test_it_is_declared_like_any_other_service(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(
        "import evertrain as et\n\n"
        'service = et.Service.from_table("churn", "x.csv", key="id", at="t", label="y", horizon="1d")\n'
    )
    [spec] = load(tmp_path / "service.py")
    assert isinstance(spec, OpenService)
    recipe = spec.recipes["default"].train
    assert recipe is not None
    assert recipe.module == "evertrain.model.boosting"


def test_the_functions_that_come_with_evertrain_are_found_without_a_bundle(tmp_path: Path) -> None:
    spec = complete(table(), COLUMNS)
    since, recipe = spec.features[-1], spec.recipes["default"].train
    assert isinstance(since, RequestSpec)
    assert since.function is not None
    assert recipe is not None
    for reference in (since.function, recipe):
        assert callable(resolve(reference, tmp_path, Digest("")))
        assert closure(tmp_path, reference.module) == ()
    assert len({digest_of_module(tmp_path, one.module) for one in (since.function, recipe)}) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"label": "lef"}, "Label 'lef' of service 'churn' is no column of 'churn'. Did you mean \"left\"?"),
        ({"exclude": ["reasons"]}, 'Did you mean "reason"?'),
        ({"columns": {"call": "int64"}}, 'Did you mean "calls"?'),
        ({"label": "plan"}, "is string"),
        ({"exclude": ["reason", "plan", "joined", "calls"]}, "has no input"),
        ({"segments": "plam"}, 'Did you mean "plan"?'),
    ],
)
def test_what_the_table_does_not_have_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        complete(table(**changes), COLUMNS)
    assert says in str(refused.value)


def test_a_value_needs_a_gate_in_its_own_units() -> None:
    with pytest.raises(DeclarationError, match="has no gate"):
        table(output="value")
    gate = et.Gate(primary="mae", margin=0.5, holdout="28d", block="1d")
    spec = complete(table(output="value", label="calls", gate=gate), COLUMNS)
    assert (spec.output.kind, spec.output.high, spec.gate.primary) == ("value", None, "mae")


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(DeclarationError, match='Did you mean "horizon"'):
        et.Service.from_table("churn", "x.csv", key="id", at="t", label="y", horizn="1d")  # type: ignore[call-arg]
