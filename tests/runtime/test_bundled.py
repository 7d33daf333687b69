"""Estimators with classes and functions of the declaration's own: saved by their code, loaded with it and no other."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from evertrain.config.bundle import freeze, unpack
from evertrain.config.namespace import import_entry
from evertrain.core.identity import Digest
from evertrain.core.model import Output
from evertrain.core.schema import Input
from evertrain.errors import ModelError, TrustError
from evertrain.model.package import native
from evertrain.runtime.sklearn import SklearnModel

STEPS: Final = """
from os import system

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from bounds import HIGHEST


class StandardScaler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.middle_ = np.minimum(X, HIGHEST).mean(axis=0)
        return self

    def transform(self, X):
        return np.minimum(X, HIGHEST) - self.middle_ - X.mean() * 0


def logs(X):
    return np.log1p(np.abs(X))


nameless = lambda X: X
"""
FILES: Final = {"service.py": "import steps\n", "steps.py": STEPS, "bounds.py": "HIGHEST = 2.0\n"}
VECTOR: Final = (Input(name="a"), Input(name="b"))


class Code:
    """A bundle of files, unpacked, and the module `steps` of it."""

    def __init__(self, folder: Path, **changed: str) -> None:
        source = folder / "source"
        source.mkdir(parents=True)
        for name, text in {**FILES, **{f"{name}.py": text for name, text in changed.items()}}.items():
            (source / name).write_text(text)
        bundle = freeze(source, "service")
        self.digest: Digest = bundle.digest
        self.folder = unpack(bundle.content, bundle.digest, folder / "bundles")
        self.steps = import_entry(self.folder, self.digest, "steps")

    def fitted(self, function: str = "logs") -> Any:
        rows = np.random.default_rng(1).normal(size=(60, 2))
        steps = FunctionTransformer(getattr(self.steps, function)), self.steps.StandardScaler(), LogisticRegression()
        return make_pipeline(*steps).fit(rows, (rows[:, 0] > 0).astype(float))

    def saved(self, path: Path) -> Path:
        content = native(self.fitted(), self.folder)
        assert isinstance(content, bytes)
        path.write_bytes(content)
        return path

    def load(self, path: Path, *, alone: bool = False) -> SklearnModel:
        if alone:
            return SklearnModel(path, VECTOR, Output(), {})
        return SklearnModel(path, VECTOR, Output(), {}, bundle=self.digest, folder=self.folder)


def rewritten(path: Path, changes: Mapping[str, str]) -> Path:
    """A copy of a skops file with other words in its schema."""
    copy = path.with_name("rewritten")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as out:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "schema.json":
                text = content.decode()
                for old, new in changes.items():
                    assert old in text
                    text = text.replace(old, new)
                content = text.encode()
            out.writestr(name, content)
    return copy


def test_own_steps_answer_as_they_did_in_training_one_by_one(tmp_path: Path) -> None:
    code = Code(tmp_path)
    model = code.load(code.saved(tmp_path / "model"))
    rows = np.random.default_rng(2).normal(size=(30, 2))
    scores = model.predict(rows)
    assert np.allclose(scores, code.fitted().predict_proba(rows)[:, 1])
    # A class of somebody's own that is called like one of scikit-learn's may mix rows: each is answered alone.
    assert scores.tolist() == [float(model.predict(row[None])[0]) for row in rows]


def test_what_else_is_in_the_bundle_does_not_change_the_file(tmp_path: Path) -> None:
    first, second = Code(tmp_path / "1"), Code(tmp_path / "2", service="import steps\n\nOTHER = 1\n")
    assert first.digest != second.digest
    contents = [code.saved(tmp_path / name).read_bytes() for code, name in ((first, "a"), (second, "b"))]
    assert contents[0] == contents[1]
    assert str(first.digest).encode() not in contents[0]


@pytest.mark.parametrize("changed", [{"steps": STEPS.replace("log1p", "sqrt")}, {"bounds": "HIGHEST = 1.0\n"}])
def test_other_code_is_another_file_and_does_not_load_this_one(tmp_path: Path, changed: dict[str, str]) -> None:
    before, after = Code(tmp_path / "1"), Code(tmp_path / "2", **changed)
    path = before.saved(tmp_path / "model")
    assert path.read_bytes() != after.saved(tmp_path / "other").read_bytes()
    with pytest.raises(TrustError, match=r"needs module 'steps' as it was in its training; bundle .* holds other code"):
        after.load(path)


def test_a_file_without_its_bundle_is_refused(tmp_path: Path) -> None:
    code = Code(tmp_path)
    with pytest.raises(TrustError, match=r"needs code of the declaration .* came without it"):
        code.load(code.saved(tmp_path / "model"), alone=True)


def test_what_a_module_of_the_bundle_only_imports_is_not_its_own(tmp_path: Path) -> None:
    code = Code(tmp_path)
    path = rewritten(code.saved(tmp_path / "model"), {'"logs"': '"system"'})
    with pytest.raises(TrustError, match="needs system, which steps of its bundle does not define"):
        code.load(path)


def test_a_bundle_cannot_be_named_in_a_file(tmp_path: Path) -> None:
    code = Code(tmp_path)
    path = code.saved(tmp_path / "model")
    with zipfile.ZipFile(path) as archive:
        schema = json.loads(archive.read("schema.json"))
    stated = schema["content"]["content"]["steps"]["content"][1]["content"][1]["__module__"]
    assert stated.endswith(".steps")
    with pytest.raises(TrustError, match="came without it"):
        code.load(rewritten(path, {stated: f"_evertrain_bundle_{code.digest}.steps"}))


def test_other_peoples_code_stays_refused_beside_own_code(tmp_path: Path) -> None:
    code = Code(tmp_path)
    path = rewritten(code.saved(tmp_path / "model"), {'"sklearn.linear_model._logistic"': '"strangers.linear"'})
    with pytest.raises(TrustError, match=r"code that is not scikit-learn's: strangers.linear.LogisticRegression\."):
        code.load(path)


def test_a_lambda_cannot_be_saved(tmp_path: Path) -> None:
    code = Code(tmp_path)
    with pytest.raises(ModelError, match="<lambda> of steps cannot be found again by name"):
        native(code.fitted("nameless"), code.folder)
