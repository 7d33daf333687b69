"""A model file comes in: its columns, its trust, its place in the ledger. Nothing in it is run."""

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import msgspec
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from typer.testing import CliRunner

from evertrain import runtime
from evertrain.cli import command_line
from evertrain.config.declaration import ServiceSpec
from evertrain.core.event import ChampionReverted, Draft, VersionBuilt, VersionRefused
from evertrain.core.golden import Golden
from evertrain.core.identity import ServiceName, VersionId, digest_of_bytes
from evertrain.core.model import Manifest
from evertrain.core.stage import Check, Evaluated
from evertrain.core.time import HOUR, Instant
from evertrain.errors import EvertrainError, ModelError, TrustError, UserError
from evertrain.process.steering.importing import Request, import_file, main
from evertrain.process.trainer.evaluation import check_version, do
from evertrain.store.artifact import Artifacts
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.signature import Signer, Verifier, admit
from evertrain.store.state import State

SERVICE = ServiceName("churn")
SAMPLE = "customer,tenure,visits,city,left\nc1,1.5,3,Ulm,1\nc2,20.25,0,Bonn,0\nc3,,7,Ulm,0\n"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return install(tmp_path / ".evertrain", Instant(0))


def manifest_of(state: State, version: VersionId) -> Manifest:
    return Artifacts.at(state.artifacts).manifest(version)


def golden_of(state: State, manifest: Manifest) -> Golden:
    assert manifest.golden is not None
    return msgspec.json.decode(Artifacts.at(state.artifacts).blobs.get(manifest.golden), type=Golden)


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def numbers(names: list[str] | None = None) -> Any:
    """A logistic regression on two columns, which it knows by name where there are names."""
    draws = np.random.default_rng(3).normal(size=(100, 2))
    model = LogisticRegression().fit(draws, draws[:, 0] > 0)
    if names:
        model.feature_names_in_ = np.array(names, dtype=object)
    return model


def cities() -> Any:
    """An encoder of text that was fitted on objects, and refuses a city that it does not know."""
    rows = np.array([["Ulm", 1.0], ["Bonn", 2.0], ["Ulm", 3.0], ["Bonn", 9.0]], dtype=object)
    columns = make_column_transformer((OneHotEncoder(), [0]), (StandardScaler(), [1]))
    return make_pipeline(columns, LogisticRegression()).fit(rows, [0, 1, 0, 1])


def built(version: VersionId, manifest: Manifest) -> Draft:
    """What the loop puts on record when it takes a version up."""
    fact = VersionBuilt(service=SERVICE, version=version, fingerprint=manifest.fingerprint, ordinal=1, cycle=None)
    return Draft(id="built", at=Instant(1), actor="controller", subject="service/churn", reason="It came.", fact=fact)


# Columns --------------------------------------------------------------------------------------------------------------


def test_a_sample_gives_the_types_of_the_columns_that_the_model_names(state: State, tmp_path: Path) -> None:
    path = tmp_path / "churn.skops"
    skops.io.dump(numbers(["tenure", "visits"]), path)
    version, order, _ = import_file(state, path, SERVICE, Request(sample=written(tmp_path / "s.csv", SAMPLE)), "first")
    manifest = manifest_of(state, version)
    assert order is not None
    assert [(one.name, one.type, one.nullable) for one in manifest.inputs.columns] == [
        ("tenure", "float64", True),
        ("visits", "int64", False),
    ]
    assert [request.row for request in golden_of(state, manifest).requests] == [(1.5, 3), (20.25, 0), (None, 7)]


def test_how_successors_enter_is_said_once(state: State, tmp_path: Path) -> None:
    path = tmp_path / "churn.skops"
    skops.io.dump(numbers(["tenure", "visits"]), path)
    sample = written(tmp_path / "s.csv", SAMPLE)
    first = Request(sample=sample, enters={"step_for": 60_000_000, "approval": ("promotion",)})
    version = import_file(state, path, SERVICE, first, "first").version
    for again in ({}, {"step_for": 60_000_000}):
        assert import_file(state, path, SERVICE, Request(sample=sample, enters=again), "again").version == version
    other = Request(sample=sample, enters={"step_for": 60_000_000, "back": HOUR, "by_pool": True, "steps": (1.0,)})
    with pytest.raises(UserError, match="is on record, and otherwise: --blue-green"):
        import_file(state, path, SERVICE, other, "again")


def test_a_second_file_is_taken_for_a_successor_unless_it_is_named(state: State, tmp_path: Path) -> None:
    path = tmp_path / "churn.skops"
    skops.io.dump(numbers(["tenure", "visits"]), path)
    request = Request(sample=written(tmp_path / "s.csv", SAMPLE), named=False)
    import_file(state, path, SERVICE, request, "first")
    import_file(state, path, SERVICE, request, "the same, after a restart")
    with pytest.raises(UserError, match="churn is served here already") as refusal:
        import_file(state, path, ServiceName("churn-2"), request, "second")
    assert f"evertrain push {path}" in refusal.value.remedy
    import_file(state, path, ServiceName("churn-2"), request._replace(named=True), "second")


def test_without_names_the_sample_is_taken_as_it_is(state: State, tmp_path: Path) -> None:
    path = tmp_path / "churn.skops"
    skops.io.dump(numbers(), path)
    sample = written(tmp_path / "s.csv", "a,b\n1,2\n")
    version = import_file(state, path, SERVICE, Request(sample=sample), "first").version
    assert manifest_of(state, version).inputs.names == ("a", "b")
    with pytest.raises(ModelError, match=r"takes 2 inputs, and 5 columns were given: customer"):
        import_file(state, path, ServiceName("other"), Request(sample=written(sample, SAMPLE)), "first")


def test_a_pipeline_that_encodes_text_takes_the_text_of_the_sample(state: State, tmp_path: Path) -> None:
    path = tmp_path / "city.skops"
    skops.io.dump(cities(), path)
    sample = written(tmp_path / "s.csv", "city,visits\nUlm,1.5\nBonn,2\n")
    version = import_file(state, path, SERVICE, Request(sample=sample), "first").version
    manifest = manifest_of(state, version)
    assert [one.type for one in manifest.inputs.columns] == ["string", "float64"]
    model = runtime.load(manifest, Artifacts.at(state.artifacts).blobs.path(manifest.model))
    vectors = [request.vector for request in golden_of(state, manifest).requests]
    expected = cities().predict_proba(np.array(vectors, dtype=object))[:, 1]
    assert model.score(vectors).tolist() == expected.tolist()
    with Ledger.open(state.ledger) as ledger:
        ledger.append(built(version, manifest))
    # Its successor is tried with the same rows: made ones would name cities that nobody knows.
    skops.io.dump(cities().set_params(logisticregression__C=0.5), path)
    again = import_file(state, path, SERVICE, Request(), "second").version
    assert golden_of(state, manifest_of(state, again)).requests == golden_of(state, manifest).requests


def booster(path: Path, rounds: int = 3) -> Path:
    draws = np.random.default_rng(1).normal(size=(200, 2))
    data = lightgbm.Dataset(draws, draws[:, 0], feature_name=["a", "b"])
    lightgbm.train({"objective": "regression", "verbose": -1, "num_threads": 1}, data, rounds).save_model(path)
    return path


def test_a_booster_says_its_columns_and_what_a_score_is(state: State, tmp_path: Path) -> None:
    version = import_file(state, booster(tmp_path / "m.txt"), SERVICE, Request(), "first").version
    manifest = manifest_of(state, version)
    assert manifest.inputs.names == ("a", "b")
    assert (manifest.output.kind, manifest.output.high) == ("value", None)
    assert manifest.declaration is not None
    spec = msgspec.json.decode(Artifacts.at(state.artifacts).blobs.get(manifest.declaration), type=ServiceSpec)
    assert spec.gate.primary == "rmse"


def test_a_successor_that_was_trained_for_another_kind_of_score_says_so(state: State, tmp_path: Path) -> None:
    first = import_file(state, booster(tmp_path / "m.txt"), SERVICE, Request(output="probability"), "first")
    assert first.cautions == ()
    again = booster(tmp_path / "again.txt", rounds=4)
    assert import_file(state, again, SERVICE, Request(), "second").cautions == (
        "it was trained to give a value, by its objective, and its service answers with a probability",
    )


def test_what_a_score_is_can_be_said(state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text("def predict(rows):\n    return [40.0 for row in rows]\n")
    sample = written(tmp_path / "s.csv", SAMPLE)
    version = import_file(state, path, SERVICE, Request(sample=sample, output="value"), "first").version
    assert manifest_of(state, version).output.kind == "value"


def test_a_folder_of_mlflow_is_served_by_its_native_file(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    booster(folder / "model.lgb")
    inputs = json.dumps([{"type": "double", "name": "b"}, {"type": "double", "name": "a"}])
    (folder / "MLmodel").write_text(f"flavors:\n  lightgbm:\n    data: model.lgb\nsignature:\n  inputs: '{inputs}'\n")
    version = import_file(state, folder, SERVICE, Request(), "first").version
    manifest = manifest_of(state, version)
    assert manifest.format == "lightgbm"
    assert manifest.inputs.names == ("b", "a")
    assert [item.name for item in manifest.vector] == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "words", "reason"),
    [
        (lambda path: skops.io.dump(numbers(), path), [], "does not say which columns"),
        (lambda path: skops.io.dump(numbers(["x", "tenure"]), path), ["--sample", "s.csv"], "lacks 'x'"),
        (lambda path: skops.io.dump(numbers(), path), ["--sample", "empty.csv"], "has no rows"),
        (lambda path: skops.io.dump(numbers(), path), ["--sample", "gone.csv"], "cannot be read"),
        (lambda path: skops.io.dump(numbers(), path), ["--sample", "s.xlsx"], "no known form"),
        (lambda path: skops.io.dump(numbers(), path), ["--schema", "s.csv"], "cannot be read"),
        (lambda path: skops.io.dump(numbers(), path), ["--sample", "times.csv"], "is a time"),
        (lambda path: path.write_bytes(b"hello"), [], "no model file"),
    ],
)
def test_what_cannot_be_taken_in_is_refused_without_a_state_directory(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], object],
    words: list[str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "s.csv": SAMPLE,
        "s.xlsx": "a",
        "empty.csv": "a,b\n",
        "times.csv": "a,b\n2024-01-01T00:00:00Z,2\n",
    }.items():
        (tmp_path / name).write_text(text)
    make(tmp_path / "model")
    before = sorted(tmp_path.iterdir())
    assert main(["--service", "churn", *words, "model"]) == 1
    assert reason in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


# Trust ----------------------------------------------------------------------------------------------------------------


class _Planted:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def pickled(path: Path, model: object) -> Path:
    path.write_bytes(pickle.dumps(model))
    return path


def trust(state: State | None, *words: str, answer: str = "") -> Any:
    """The command; without a state directory it looks for one where it is typed."""
    where = [] if state is None else ["--dir", str(state.path)]
    return CliRunner().invoke(command_line(["trust"]), ["trust", *where, *words], input=answer)


def test_an_untrusted_pickle_does_not_come_in(state: State, tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pkl", tmp_path / "planted"
    sample = written(tmp_path / "s.csv", "a,b\n1,2\n")
    pickled(path, _Planted(mark))
    with pytest.raises(TrustError, match=r"runs whatever code.*evertrain trust"):
        import_file(state, path, SERVICE, Request(sample=sample), "first")
    assert Artifacts.at(state.artifacts).versions() == []
    assert not mark.exists()


def test_trust_says_what_is_in_a_pickle_and_asks(state: State, tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pkl", tmp_path / "planted"
    pickled(path, _Planted(mark))
    refused = trust(state, str(path), answer="n\n")
    assert isinstance(refused.exception, UserError)
    for part in ("can run any command as you", "DANGEROUS: pathlib", "SHA-256"):
        assert part in refused.output
    assert not (state.artifacts / "vouched").exists()
    assert trust(state, str(path), answer="y\n").exit_code == 0
    assert list((state.artifacts / "vouched").iterdir())
    assert not mark.exists()


def test_exactly_the_bytes_that_were_trusted_come_in(state: State, tmp_path: Path) -> None:
    path = pickled(tmp_path / "model.pkl", numbers())
    sample = written(tmp_path / "s.csv", "a,b\n1,2\n")
    assert trust(state, str(path), "--yes").exit_code == 0
    version = import_file(state, path, SERVICE, Request(sample=sample), "first").version
    manifest = manifest_of(state, version)
    assert manifest.format == "pickle"
    assert {"scikit-learn", "numpy"} <= manifest.environment.keys()
    path.write_bytes(path.read_bytes() + b".")
    with pytest.raises(TrustError):
        import_file(state, path, SERVICE, Request(), "second")


def test_a_worker_admits_a_pickle_only_with_the_signature(state: State, tmp_path: Path) -> None:
    path = pickled(tmp_path / "model.pkl", numbers())
    assert trust(state, str(path), "--yes").exit_code == 0
    sample = written(tmp_path / "s.csv", "a,b\n1,2\n")
    version = import_file(state, path, SERVICE, Request(sample=sample), "first").version
    artifacts, signer = Artifacts.at(state.artifacts), Signer.load(state.keys)
    artifacts.attest(signer.sign_attestation("built", version, SERVICE, Instant(1)))
    verifier = Verifier.load(state.trusted)
    assert admit(artifacts, verifier, version, need="built").format == "pickle"
    [vouched] = (state.artifacts / "vouched").iterdir()
    said = json.loads(vouched.read_bytes())
    vouched.chmod(0o600)
    vouched.write_text(json.dumps(said | {"role": "somebody"}))
    with pytest.raises(TrustError, match="altered"):
        admit(artifacts, verifier, version, need="built")
    vouched.unlink()
    with pytest.raises(TrustError, match="is a pickle"):
        admit(artifacts, verifier, version, need="built")


def test_trust_makes_the_state_directory_that_serve_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = pickled(tmp_path / "model.pkl", numbers())
    assert trust(None, str(path), "--yes", "--json").exit_code == 0
    sample = written(tmp_path / "s.csv", "a,b\n1,2\n")
    import_file(State.open(tmp_path / ".evertrain"), path, SERVICE, Request(sample=sample), "first")


def test_what_runs_no_code_needs_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.skops"
    skops.io.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), path)
    refused = trust(None, str(path), "--yes")
    assert isinstance(refused.exception, EvertrainError)
    assert "needs no trust" in str(refused.exception)
    assert not (tmp_path / ".evertrain").exists()


# The real check server ------------------------------------------------------------------------------------------------


def save_onnx(path: Path) -> None:
    from onnx import TensorProto, helper

    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 2])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])
    nodes = [
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1]),
        helper.make_node("Sigmoid", ["mean"], ["score"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "graph", [rows], [score]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path.write_bytes(model.SerializeToString())


def save_xgboost(path: Path) -> None:
    draws = np.random.default_rng(1).normal(size=(200, 2))
    data = xgboost.DMatrix(draws, draws[:, 0] > 0)
    path.write_bytes(bytes(xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 3).save_raw("ubj")))


def save_joblib(path: Path) -> None:
    """With an array of objects, which joblib writes as a pickle of its own within the file."""
    draws = np.random.default_rng(3).normal(size=(100, 2))
    joblib.dump(LogisticRegression().fit(draws, np.where(draws[:, 0] > 0, "yes", "no").astype(object)), path)


@pytest.mark.parametrize(("kind", "save"), [("onnx", save_onnx), ("xgboost", save_xgboost), ("pickle", save_joblib)])
def test_each_kind_answers_within_the_limits_of_its_check_server(
    state: State, tmp_path: Path, kind: str, save: Callable[[Path], object]
) -> None:
    path = tmp_path / "model"
    save(path)
    if kind == "pickle":
        assert trust(state, str(path), "--yes").exit_code == 0
    sample = written(tmp_path / "s.csv", "a,b\n0.5,2.25\n1.5,3.5\n")
    version = import_file(state, path, SERVICE, Request(sample=sample), "first").version
    signer = Signer.load(state.keys)
    Artifacts.at(state.artifacts).attest(signer.sign_attestation("built", version, SERVICE, Instant(1)))
    declaration = manifest_of(state, version).declaration
    assert declaration is not None
    task = Check(service=SERVICE, version=version, declaration=declaration, timed=False)
    done = check_version(task, state, tmp_path)
    assert done.verdict == "health only", done.reasons


def refused(state: State, version: VersionId, because: str) -> Draft:
    fingerprint = manifest_of(state, version).fingerprint
    fact = VersionRefused(service=SERVICE, version=version, fingerprint=fingerprint, because=because)
    return Draft(id="refused", at=Instant(2), actor="controller", subject="service/churn", reason=because, fact=fact)


@pytest.mark.parametrize(
    "source",
    [
        "import nobody_has_this.core\n\ndef predict(rows):\n    return [0.5 for _ in rows]\n",
        "def predict(rows):\n    import nobody_has_this\n    return [0.5 for _ in rows]\n",
    ],
)
def test_a_package_that_is_missing_here_is_no_verdict_on_the_file(state: State, tmp_path: Path, source: str) -> None:
    sample = written(tmp_path / "sample.csv", SAMPLE)
    version = import_file(state, written(tmp_path / "m.py", source), SERVICE, Request(sample=sample), "why").version
    signer = Signer.load(state.keys)
    Artifacts.at(state.artifacts).attest(signer.sign_attestation("built", version, SERVICE, Instant(1)))
    declaration = manifest_of(state, version).declaration
    assert declaration is not None
    done = do(Check(service=SERVICE, version=version, declaration=declaration, timed=False), state, tmp_path)
    assert isinstance(done, Evaluated)
    assert "needs the package that brings the module 'nobody_has_this', and it is not installed" in done.unchecked
    assert "Install it where evertrain runs, and push the file again." in done.unchecked


def test_a_first_file_that_was_refused_is_not_served_again_in_silence(state: State, tmp_path: Path) -> None:
    model = written(tmp_path / "model.py", "def predict(rows):\n    return [2.0 for _ in rows]\n")
    request = Request(sample=written(tmp_path / "sample.csv", SAMPLE))
    version, order, _ = import_file(state, model, SERVICE, request, "why")
    assert order is not None
    with Ledger.open(state.ledger) as ledger:
        ledger.append(built(version, manifest_of(state, version)))
    assert import_file(state, model, SERVICE, request, "why").order is not None  # nothing spoke against it
    with Ledger.open(state.ledger) as ledger:
        ledger.append(refused(state, version, "no probability"))
    with pytest.raises(UserError, match=r"refused already, as version 1 of churn, .*: no probability") as raised:
        import_file(state, model, SERVICE, request, "why")
    assert "evertrain promote 1" in raised.value.remedy
    assert import_file(state, model, SERVICE, request, "why", again=True).order is not None  # a push is answered


def by_device(path: Path, categories: list[str], columns: str = "age,device,visits") -> Path:
    """A booster on pandas categories; `visits` is a whole number, unless it is written visits:float."""
    draws, names = np.random.default_rng(3), [one.partition(":")[0] for one in columns.split(",")]
    rows = {
        "age": draws.uniform(18, 80, 300),
        "device": pd.Categorical(draws.choice(categories, 300), categories=categories),
        "visits": draws.poisson(3, 300).astype(float if "visits:float" in columns else int),
    }
    data = xgboost.DMatrix(pd.DataFrame(rows)[names], rows["age"] > 40, enable_categorical=True)
    xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 3).save_model(path)
    return path


@pytest.fixture
def serving(state: State, tmp_path: Path) -> State:
    """One whose champion knows three devices."""
    model = by_device(tmp_path / "model.ubj", ["desktop", "phone", "tablet"])
    version = import_file(state, model, SERVICE, Request(), "first").version
    reverted = ChampionReverted(service=SERVICE, before=version, after=version)
    with Ledger.open(state.ledger) as ledger:
        ledger.append(built(version, manifest_of(state, version)))
        ledger.append(
            Draft(id="crown", at=Instant(1), actor="test", subject="service/churn", reason="a test", fact=reverted)
        )
    return state


@pytest.mark.parametrize(
    ("categories", "columns", "said"),
    [
        (["tablet", "phone", "desktop"], "age,device,visits", ()),
        (["phone", "watch"], "age,device,visits", ("it does not know 'desktop', 'tablet' in column 'device'",)),
        (["DESKTOP"], "age,device,visits", ("it knows none of the categories of column 'device'",)),
        (["desktop", "phone", "tablet"], "visits:float,age,device", ("it takes column 'visits' as float64, the",)),
    ],
)
def test_a_successor_that_takes_in_otherwise_says_so(
    serving: State, tmp_path: Path, categories: list[str], columns: str, said: tuple[str, ...]
) -> None:
    taken = import_file(serving, by_device(tmp_path / "next.ubj", categories, columns), SERVICE, Request(), "next")
    assert len(taken.cautions) == len(said)
    assert all(words.startswith(start) for words, start in zip(taken.cautions, said, strict=True))


def test_a_successor_that_lost_a_column_is_refused_with_its_name(serving: State, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"takes 2 inputs, and there are 3 columns: it lacks 'device'\.") as raised:
        import_file(serving, by_device(tmp_path / "n.ubj", ["a"], "age,visits"), SERVICE, Request(), "next")
    assert "another name" in raised.value.remedy


def test_categories_where_requests_have_numbers_are_refused(state: State, tmp_path: Path) -> None:
    columns = [{"name": "age", "type": "float64"}, {"name": "device", "type": "int64"}]
    schema = written(tmp_path / "s.json", json.dumps({"columns": [*columns, {"name": "visits", "type": "int64"}]}))
    with pytest.raises(ModelError, match="takes categories in column 'device', and requests have numbers there"):
        import_file(state, by_device(tmp_path / "n.ubj", ["a", "b"]), SERVICE, Request(schema=schema), "first")


def of_classes(path: Path, count: int) -> Path:
    """A LightGBM model of so many classes, which its file numbers."""
    rows = np.random.default_rng(1).normal(size=(300, 2))
    settings = {"objective": "multiclass", "num_class": count, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(rows, np.arange(300) % count, feature_name=["tenure", "visits"])
    lightgbm.train(settings, data, 2).save_model(path)
    return path


def test_classes_are_those_of_the_file_or_those_that_were_named(state: State, tmp_path: Path) -> None:
    three, four = (of_classes(tmp_path / f"{count}.txt", count) for count in (3, 4))
    version = import_file(state, three, ServiceName("numbered"), Request(), "first").version
    assert manifest_of(state, version).output.names == ("0", "1", "2")
    named = Request(classes=("bus", "car", "tram"))
    version = import_file(state, three, ServiceName("named"), named, "first").version
    manifest = manifest_of(state, version)
    assert manifest.output.names == ("bus", "car", "tram")
    assert manifest.declaration is not None
    declared = Artifacts.at(state.artifacts).blobs.get(manifest.declaration)
    assert msgspec.json.decode(declared, type=ServiceSpec).gate.primary == "log_loss"
    for service in ("named", "new"):
        with pytest.raises(UserError, match=r"4\.txt has 4 classes \(0, 1, 2, 3\), and 3 are declared"):
            import_file(state, four, ServiceName(service), named, "second")


def test_the_command_takes_names_of_classes_with_commas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())  # it may look, and is told no folder
    path = of_classes(tmp_path / "m.txt", 3)
    words = ["--service", "trips", str(path)]
    assert main([*words, "--classes", "bus, car,tram"]) == 0
    assert main([*words, "--classes", "bus,car"]) != 0
    assert "There are 2 classes" in capsys.readouterr().err
    done = CliRunner().invoke(command_line(["serve"]), ["serve", str(path), "--classes", "a,b,c", "--output", "value"])
    assert isinstance(done.exception, UserError)
    assert "Both --output and --classes" in done.exception.what


# Another environment --------------------------------------------------------------------------------------------------


def test_a_file_comes_in_with_the_lock_that_a_person_names(state: State, tmp_path: Path) -> None:
    path = booster(tmp_path / "m.txt")
    plain = import_file(state, path, SERVICE, Request(), "first").version
    lock = written(tmp_path / "requirements.lock", "lightgbm==4.6.0\n")
    taken = import_file(state, path, SERVICE, Request(environment=lock), "the same, in another environment")
    manifest = manifest_of(state, taken.version)
    assert taken.version != plain
    assert manifest.runs_in == digest_of_bytes(lock.read_bytes())
    assert manifest.environment == {"lightgbm": "4.6.0"}
    assert manifest_of(state, plain).runs_in == ""
    assert taken.cautions[0].startswith("the lock has no hashes for lightgbm:")


def test_a_file_is_served_with_a_lock_and_a_successor_without_one_is_told_so(
    state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = booster(tmp_path / "m.txt"), written(tmp_path / "requirements.lock", "lightgbm==4.6.0\n")
    words = ["--service", SERVICE, str(path), "--environment"]
    monkeypatch.setattr("sys.stdin", io.StringIO())  # it may look, and is told no folder
    assert main([*words, str(written(tmp_path / "other.lock", "xgboost==3.2.0\n"))]) != 0
    assert "needs the package lightgbm, and the lock does not name it" in capsys.readouterr().err
    assert main(["--dir", str(state.path), *words, str(lock)]) == 0
    version = VersionId(capsys.readouterr().out.strip())
    assert manifest_of(state, version).runs_in == digest_of_bytes(lock.read_bytes())
    reverted = ChampionReverted(service=SERVICE, before=version, after=version)
    with Ledger.open(state.ledger) as ledger:
        ledger.append(built(version, manifest_of(state, version)))
        ledger.append(
            Draft(id="crown", at=Instant(1), actor="test", subject="service/churn", reason="a test", fact=reverted)
        )
    taken = import_file(state, path, SERVICE, Request(), "without it")
    assert manifest_of(state, taken.version).runs_in == ""
    assert any(words.startswith("it comes without a lock") for words in taken.cautions)


@pytest.mark.parametrize(
    ("lock", "says"),
    [("lightgbm>=4\n", "not one exact version"), ("scikit-learn==1.7.0\n", "needs the package lightgbm")],
)
def test_a_lock_that_cannot_serve_the_file_is_refused(state: State, tmp_path: Path, lock: str, says: str) -> None:
    path = booster(tmp_path / "m.txt")
    request = Request(environment=written(tmp_path / "requirements.lock", lock))
    with pytest.raises(EvertrainError, match=says):
        import_file(state, path, SERVICE, request, "first")
