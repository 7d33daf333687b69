"""A declaration is read into frozen values, and what is wrong with it is refused with name, reason and remedy."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest

import evertrain as et
from evertrain.config.authoring import load
from evertrain.config.declaration import FunctionRef, LookupSpec, ScriptSpec, ServiceSpec, SourceSpec, WindowSpec
from evertrain.config.function import declared_estimator
from evertrain.core.identity import canonical
from evertrain.core.time import DAY, HOUR
from evertrain.errors import DeclarationError, NotFoundError


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


def orders(**changes: Any) -> SourceSpec:
    described: dict[str, Any] = {
        "event_time": "t",
        "key": "id",
        "columns": {"id": "string", "shop": "string", "t": "timestamp", "amount": "int64?", "vip": "bool"},
    }
    return et.Source("orders", et.files("orders/*.csv"), **(described | changes))


OUTCOMES = et.Source(
    "outcomes",
    et.files("outcomes/*.csv"),
    event_time="t",
    key="id",
    columns={"id": "string", "t": "timestamp", "bad": "bool"},
)
ASKED = et.Examples(orders(), key="id", at="t - 1h", request=["shop", "t"])
BAD = et.Label(source=OUTCOMES, of=ASKED, value="bad", horizon="30d")


def service(**changes: Any) -> ServiceSpec:
    described: dict[str, Any] = {"examples": ASKED, "label": BAD, "train": train}
    return et.Service("risk", **(described | changes))


def test_a_service_becomes_values_that_travel_as_json() -> None:
    seen = et.windows(orders(), "count 7d as seen", entity="shop", where="vip", amount=["mean 4h as spent"])
    spec = service(features=[et.column("shop"), seen], categories="shop", triggers=[et.every("7d"), et.rows(100)])
    assert spec.vector == ("shop", "seen", "spent")
    assert spec.inputs.names == ("id", "shop", "t")
    assert [source.name for source in spec.sources] == ["orders", "outcomes"]
    window = spec.features[1]
    assert isinstance(window, WindowSpec)
    assert (window.start, window.filter, window.entity) == (7 * DAY, "vip", (("shop", "shop"),))
    assert spec.label is not None
    assert str(spec.label.mature_at) == "at + 30d"
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ServiceSpec) == spec
    assert spec.recipes["default"].duration == 6 * HOUR


def test_lookups_go_on_from_one_another() -> None:
    found = et.latest(
        orders(), entity="shop", columns={"amount": "last_amount"}, ttl="6h", then=et.latest(OUTCOMES, entity="id")
    )
    lookup = service(features=[found]).features[0]
    assert isinstance(lookup, LookupSpec)
    assert lookup.outputs == (("last_amount", "amount"),)
    assert lookup.then is not None


@pytest.mark.parametrize(
    ("wrong", "what", "remedy"),
    [
        (lambda: service(triggers=["weekly"]), "unknown trigger 'weekly'", "et.every"),
        (lambda: service(features=[et.windows(orders(), amuont=["mean 4h"])]), "'amuont'", 'mean "amount"?'),
        (lambda: service(features=[et.windows(orders(), "count 4h", entity="shp")]), "'shp'", '"shop"?'),
        (lambda: service(features=[et.windows(orders(), "count 4h", entity={"t": "shop"})]), "'t'", "same type"),
        (lambda: service(features=[et.column("shop"), et.column("tt")]), "'tt'", "mean"),
        (lambda: et.Label(source=OUTCOMES, of=ASKED, value="bad").spec, "has no clock", "horizon="),
        (lambda: service(label=et.Label(source=OUTCOMES, of=ASKED, value="bda", horizon="1d")), "'bda'", '"bad"?'),
        (lambda: service(segments="regoin"), "'regoin'", "Known are"),
        (lambda: service(ownr="me"), "ownr", '"owner"?'),
        (lambda: et.Gate(margin=-1.0), "margin", "Mend"),
        (lambda: et.Canary(steps=[0.1, 1.5]), "steps", "Mend"),
        (lambda: et.performance("log_los", drop=0.1), "metric", '"log_loss"?'),  # type: ignore[arg-type]
        (lambda: et.Gate(primary="acuracy"), "primary", '"accuracy"?'),  # type: ignore[arg-type]
        (lambda: service(gate="log_loss"), "(gate=...) is 'log_loss'", "Write et.Gate("),
        (lambda: service(rollout=0.1), "(rollout=...) is 0.1", "Write et.Canary("),
        (lambda: service(examples=orders()), "(examples=...) is SourceSpec", "Write et.Examples("),
        (lambda: service(label="bad"), "(label=...) is 'bad'", "Write et.Label("),
        (lambda: service(features=["amount"]), "One of et.Service(features=...) is 'amount'", 'Write et.column("'),
        (lambda: service(features=et.column("shop")), "(features=...) is no list", "Write [et.column"),
        (lambda: service(triggers=et.every("7d")), "(triggers=...) is no list", 'Write [et.every("7d")]'),
        (lambda: et.windows(orders(), amount=["median 4h"]), "'median'", "mean"),
        (lambda: et.windows(orders(), "count 4h until 5h"), "empty", "begin"),
        (lambda: service(train=lambda data, run: None), "lambda", "def"),
        (lambda: orders(columns={"t": "time"}), "'time'", "timestamp"),
        (lambda: service(examples=et.Examples(orders(), key="id", at="when", request=["t"])), "'when'", "Known"),
        (lambda: service(features=[et.windows(orders(), vip=["rate 1d"]), et.windows(orders(), vip=["rate 1d"])]),
         "named 'orders_vip_rate_1d'", "otherwise"),
        (lambda: service(examples=et.Examples(orders(zone="Mars/Base"), key="id", at="t", request=["t"])),
         "Mars/Base", "IANA"),
        (lambda: service(triggers=[et.cron("0 0 30 2 *")]), "'0 0 30 2 *' never comes", "five fields"),
        (lambda: service(triggers=[et.cron("0 6 * * *", "Mars/Base")]), "Mars/Base", "IANA"),
        (
            lambda: service(triggers=[et.every("7d", recipe="defalt")]),
            "Trigger 'schedule every 7d by defalt' of service 'risk': there is no recipe 'defalt'.",
            'Did you mean "default"?',
        ),
        (lambda: service(triggers=[et.every("0s")]), "never rests", 'et.every("7d")'),
        (lambda: service(gate=et.Gate(holdout="7d", block="1d")), "holds 7 blocks of 1d", "Declare a holdout of 20d"),
        (lambda: service(rollout=et.Canary(margin=1e-9)), "needs 8,326,862,272 canary requests", "at most 10,000,000"),
        (lambda: service(rollout=et.Canary(margin=1e-12)), "more requests than can be counted", "1e-6 does"),
        (lambda: service(rollout=et.Canary(steps=[0.5, 0.1])), "do not rise: 0.5, 0.1", "rising order"),
        (lambda: service(rollout=et.Canary(steps=[])), "do not rise: there are none", "rising order"),
        (lambda: service(rollout=et.Canary(steps=[0.1, 1.0])), "nothing to compare it with", "step of 1.0 out"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_a_remedy(wrong: Callable[[], object], what: str, remedy: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        wrong()
    assert what in refusal.value.what
    assert remedy in refusal.value.remedy


def test_the_smallest_margin_that_is_named_as_a_remedy_is_taken() -> None:
    assert service(rollout=et.Canary(margin=1e-6)).rollout.margin == 1e-6


def test_a_file_is_loaded_with_references_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "learn_orders.py").write_text("def train(data, run):\n    return None\n")
    (tmp_path / "orders_service.py").write_text(
        dedent("""
        import evertrain as et
        from learn_orders import train

        orders = et.Source("orders", et.files("*.csv"), key="id", event_time="t",
                           columns={"id": "string", "t": "timestamp", "bad": "bool"})
        asked = et.Examples(orders, key="id", at="t", request=["t"])
        service = et.Service("risk", examples=asked, train=train,
                             label=et.Label(source=orders, of=asked, value="bad", horizon="1d"))
        """)
    )
    (spec,) = load(tmp_path / "orders_service.py")
    assert spec.recipes["default"].train == FunctionRef(module="learn_orders", name="train")


HOUSES = """
import evertrain as et
from sklearn.linear_model import LinearRegression, LogisticRegression

sold = et.Source("sold", et.files("*.csv"), key="id", event_time="t",
                 columns={"id": "string", "t": "timestamp", "area": "float64", "price": "float64"})
asked = et.Examples(sold, key="id", at="t", request=["t", "area"])
label = et.Label(source=sold, of=asked, value="price", horizon="1d")
"""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("train=LinearRegression()", 'gives no probabilities.*output="value"'),
        ("train=LinearRegression", "train=LinearRegression is a class.*LinearRegression\\(\\)"),
        ("train=3", "3 is not a function"),
        ('train=LinearRegression(), output="valu"', 'unknown output.*Did you mean "value"'),
        ('train=LinearRegression(), output="value"', "judged by 'log_loss'.*gate=et.Gate"),
        ('train=et.script("learn.R")', "is no Python file"),
        ('train=LogisticRegression(), output="classes"', 'output=et.classes\\("bus"'),
        ('train=LogisticRegression(), output=et.classes("a", "b")', "There are 2 classes.*the label is 0 or 1"),
        ('train=LogisticRegression(), output=et.classes("a", "b", "a")', "two have one: a, a, b"),
        ("train=LogisticRegression(), output=et.classes(1, 2, 3)", "is 1.*each class as a text"),
        ('train=LogisticRegression(), output=et.classes("1", "2", "3")', "'price' of source 'sold', which is float64"),
    ],
)
def test_a_way_to_train_that_cannot_be_is_refused(tmp_path: Path, options: str, words: str) -> None:
    (tmp_path / "houses.py").write_text(
        HOUSES + f'service = et.Service("price", examples=asked, label=label, {options})\n'
    )
    with pytest.raises(DeclarationError, match=rf"(?s)houses\.py, line \d+.*{words}"):
        load(tmp_path / "houses.py")


def test_classes_are_judged_by_what_there_is_of_classes(tmp_path: Path) -> None:
    of_texts = HOUSES.replace('"price": "float64"', '"price": "string"')
    service = 'et.Service("price", examples=asked, label=label, train=LogisticRegression(), output=et.classes(*"zyx")'
    (tmp_path / "houses.py").write_text(f'{of_texts}service = {service}, gate=et.Gate(primary="auc"))\n')
    with pytest.raises(DeclarationError, match="predicts classes, and is judged by 'auc'"):
        load(tmp_path / "houses.py")
    (tmp_path / "houses.py").write_text(f"{of_texts}service = {service})\n")
    (spec,) = load(tmp_path / "houses.py")
    assert spec.output.names == ("x", "y", "z")


def test_every_way_to_train_is_taken(tmp_path: Path) -> None:
    (tmp_path / "houses.py").write_text(
        HOUSES
        + """
def learn(data, run): ...

ways = {"function": learn, "estimator": LogisticRegression(), "script": et.script("learn.py", "--rows={csv}"),
        "limited": et.Recipe(LogisticRegression(C=3), memory_mb=512)}
service = et.Service("price", examples=asked, label=label, train=ways)
"""
    )
    (spec,) = load(tmp_path / "houses.py")
    recipes = spec.recipes
    assert recipes["function"].train == FunctionRef(module="houses", name="learn")
    assert recipes["estimator"].estimator == "sklearn.linear_model._logistic.LogisticRegression"
    assert recipes["script"].script == ScriptSpec(path="learn.py", arguments=("--rows={csv}",))
    assert declared_estimator([spec], "price", "limited").C == 3
    again = msgspec.json.decode(canonical(spec), type=ServiceSpec)
    assert again.digest == spec.digest
    with pytest.raises(NotFoundError, match="holds no estimator as recipe 'estimator'"):
        declared_estimator([again], "price", "estimator")


def test_a_file_that_fails_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken_service.py"
    path.write_text("import evertrain as et\net.windows(None, 'often')\n")
    with pytest.raises(DeclarationError, match=r"broken_service\.py"):
        load(path)
    path.write_text("import evertrain as et\n\nwhen = et.evry('7d')\n")
    with pytest.raises(
        DeclarationError, match=r'broken_service\.py, line 3: There is no et\.evry\. Did you mean "every"'
    ):
        load(path)
    path.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(DeclarationError, match=r"broken_service\.py, line 2: .*SystemExit"):
        load(path)
    path.write_text("1 / 0\n")
    with pytest.raises(DeclarationError, match="ZeroDivisionError"):
        load(path)
    path.write_text("x = 1\n")
    with pytest.raises(DeclarationError, match="declares no service"):
        load(path)


def test_a_library_that_is_not_installed_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bare_service.py").write_text("import evertrain as et\nimport no_such_library\n")
    with pytest.raises(
        DeclarationError, match=r"line 2: .*No module named 'no_such_library'\. Install no_such_library"
    ):
        load(tmp_path / "bare_service.py")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('et.Service.from_table("a", "c.csv", key="id", at="t", label="l", horizn="30d")', 'horizn.*mean "horizon"'),
        ('et.Service.from_tabel("a")', r"There is no et\.Service\.from_tabel\. Write et\.Service\.from_table"),
        ("et.Label(sorce=1)", r'et\.Label: there is no argument \'sorce\'\. Did you mean "source"'),
        ("et.Label(source=1)", r"et\.Label lacks of\. Write of="),
        ('et.Examples(1, ky="id")', r'et\.Examples: there is no argument \'ky\'\. Did you mean "key"'),
        ("et.Gate(margn=1)", "argument 'margn'.*mean \"margin\""),
        ('et.between("a", hi=1)', "argument 'hi'.*mean \"high\""),
        ("et.files()", "missing a required argument: 'pattern'"),
        ('et.windows("orders", "count 4h")', r"source of et\.windows is 'orders'\. Write what et\.Source"),
        ('et.windows(et.Source("o", et.files("x"), key="i", event_time="t"), ["count 4h"])', "each by itself"),
    ],
)
def test_a_misspelt_call_is_told_in_our_words(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "misspelt_service.py"
    path.write_text(f"import evertrain as et\n{line}\n")
    with pytest.raises(DeclarationError, match=rf"line 2: .*{told}") as error:
        load(path)
    assert "Error" not in error.value.what


def test_a_personal_column_is_kept_out_of_what_is_logged() -> None:
    seen = et.windows(orders(), "count 7d as seen", entity="shop")
    spec = service(features=[seen], personal=["id", "shop"])
    assert spec.hidden == ("id", "shop")
    assert spec.reads_any(spec.hidden)
    assert not service(features=[seen], personal="id").reads_any(("id",))
    assert service(features=[seen]).personal is msgspec.UNSET


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"personal": "shp"}, "'shp' of service 'risk' is not in the request. Did you mean"),
        ({"personal": "t"}, "'t' of service 'risk' is timestamp; a pseudonym is a text. Declare the column as string."),
        ({"personal": "shop"}, "is given to the model as it is"),
        ({"personal": "shop", "segments": "shop", "features": [et.column("t")]}, "is a segment"),
    ],
)
def test_a_personal_column_that_would_be_logged_or_of_no_use_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        service(**changes)
    assert said in str(refused.value)
