"""A model file from elsewhere becomes a version without being run."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from evertrain import runtime
from evertrain.core.golden import Golden
from evertrain.core.identity import ServiceName
from evertrain.core.schema import Column, Schema
from evertrain.errors import ModelError
from evertrain.model.importing import import_model
from evertrain.store.artifact import Artifacts

SERVICE = ServiceName("pricing")
NUMBERS = Schema(
    (Column(name="amount", type="float64", low=0.0, high=50.0), Column(name="n", type="int64", nullable=True))
)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts.at(tmp_path / "artifacts")


def booster(path: Path, names: list[str]) -> Path:
    import lightgbm

    draws = np.random.default_rng(1)
    rows = draws.normal(size=(300, len(names)))
    data = lightgbm.Dataset(rows, rows[:, 0] > 0, feature_name=names or "auto")
    lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 3).save_model(path)
    return path


def test_a_booster_takes_its_columns_in_its_own_order(tmp_path: Path, artifacts: Artifacts) -> None:
    manifest = import_model(artifacts, SERVICE, booster(tmp_path / "m.txt", ["n", "amount"]), NUMBERS)
    assert [item.name for item in manifest.vector] == ["n", "amount"]
    assert manifest.inputs.names == ("amount", "n")
    assert artifacts.manifest(manifest.version) == manifest
    assert manifest.bundle is None
    assert manifest.dataset is None
    model = runtime.load(manifest, artifacts.blobs.path(manifest.model))
    assert manifest.golden is not None
    golden = msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden)
    assert np.isfinite(model.score([request.vector for request in golden.requests])).all()


def test_made_requests_respect_the_schema(tmp_path: Path, artifacts: Artifacts) -> None:
    manifest = import_model(artifacts, SERVICE, booster(tmp_path / "m.txt", ["amount", "n"]), NUMBERS)
    assert manifest.golden is not None
    rows = [r.row for r in msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden).requests]
    amounts = [row[0] for row in rows]
    assert min(a for a in amounts if isinstance(a, float)) == 0.0
    assert max(a for a in amounts if isinstance(a, float)) == 50.0
    assert None not in amounts
    assert any(row[1] is None for row in rows)


def test_columns_that_do_not_fit_are_named(tmp_path: Path, artifacts: Artifacts) -> None:
    with pytest.raises(ModelError, match="it lacks 'n', and takes 'colour', which nobody sends"):
        import_model(artifacts, SERVICE, booster(tmp_path / "m.txt", ["amount", "colour"]), NUMBERS)


def test_text_needs_categories(tmp_path: Path, artifacts: Artifacts) -> None:
    schema = Schema((Column(name="shop", type="string"), Column(name="n", type="int64")))
    with pytest.raises(ModelError, match=r"1 text columns, m\.txt knows the categories of 0"):
        import_model(artifacts, SERVICE, booster(tmp_path / "m.txt", ["shop", "n"]), schema)


@pytest.mark.parametrize("encoded", [True, False])
def test_a_pipeline_takes_a_text_column_that_it_encodes(tmp_path: Path, artifacts: Artifacts, encoded: bool) -> None:
    # Not at the top: importing scikit-learn takes longer than all the other tests here.
    import pandas as pd
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    texts = [("shop", OneHotEncoder(handle_unknown="ignore"), ["shop"])] if encoded else []
    rows = pd.DataFrame({"shop": ["a", "b"] * 20, "n": range(40)})
    model = make_pipeline(ColumnTransformer([*texts, ("n", "passthrough", ["n"])]), LogisticRegression())
    path = tmp_path / "model.skops"
    skops.io.dump(model.fit(rows, [0, 1] * 20), path)
    schema = Schema((Column(name="shop", type="string"), Column(name="n", type="int64")))
    if encoded:
        assert [one.name for one in import_model(artifacts, SERVICE, path, schema).vector] == ["shop", "n"]
        return
    with pytest.raises(ModelError, match=r"'shop' is text.*OneHotEncoder in a ColumnTransformer"):
        import_model(artifacts, SERVICE, path, schema)


def test_categories_of_pandas_columns_are_pinned(tmp_path: Path, artifacts: Artifacts) -> None:
    path = booster(tmp_path / "m.txt", ["shop", "n"])
    text = path.read_text()
    kept = text[: text.index("pandas_categorical:")]
    path.write_text(f'{kept}pandas_categorical:[["a", "b"]]\n')
    schema = Schema((Column(name="n", type="int64"), Column(name="shop", type="string")))
    manifest = import_model(artifacts, SERVICE, path, schema)
    assert manifest.vector[0].categories == ("a", "b")


def test_a_python_file_is_kept_and_not_run(tmp_path: Path, artifacts: Artifacts) -> None:
    planted = tmp_path / "planted"
    path = tmp_path / "model.py"
    path.write_text(f"open({str(planted)!r}, 'w')\ndef predict(rows):\n    return [0.5 for row in rows]\n")
    manifest = import_model(artifacts, SERVICE, path, Schema((Column(name="shop", type="string"),)))
    assert manifest.format == "callable"
    assert not planted.exists()
