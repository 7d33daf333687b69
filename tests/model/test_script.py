"""Training scripts as recipes: real ones, as people have them, and what is said when they fail."""

from pathlib import Path
from textwrap import dedent

import polars as pl
import pytest

import evertrain as et
from evertrain import runtime
from evertrain.core.model import Manifest
from evertrain.errors import DeclarationError, ModelError
from evertrain.model.script import Script
from evertrain.testing.orders import order_examples, train_orders

PIPELINE = """
    import sys
    import joblib
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    rows = pd.read_csv(sys.argv[1])
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(
        make_column_transformer((codes, ["shop"]), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=10, random_state=0),
    )
    model.fit(rows[["amount", "shop"]], rows["late"])
    print("fitted on", len(rows), "rows")
    joblib.dump(model, sys.argv[2])
"""

BOOSTER = """
    import argparse
    import lightgbm
    import polars as pl

    read = argparse.ArgumentParser()
    read.add_argument("--data")
    read.add_argument("--out")
    read.add_argument("--seed", type=int)
    given = read.parse_args()
    rows = pl.read_parquet(given.data)
    columns = ["hour", "amount"]
    data = lightgbm.Dataset(rows.select(columns).to_numpy(), rows["late"].to_numpy(), feature_name=columns)
    parameters = {"objective": "binary", "seed": given.seed, "num_threads": 1, "verbose": -1}
    lightgbm.train(parameters, data, 10).save_model(given.out)
"""


def scripted(folder: Path, text: str, *arguments: str) -> Script:
    (folder / "learn.py").write_text(dedent(text))
    return Script(et.script("learn.py", *arguments), folder=folder, label="late", memory_mb=2048)


def trained(folder: Path, script: Script) -> tuple[Manifest, Path]:
    artifacts, done = train_orders(folder, script)
    manifest = artifacts.manifest(done.version)
    return manifest, artifacts.blobs.path(manifest.model)


def test_a_script_that_leaves_a_pickle_becomes_a_version_without_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest, path = trained(tmp_path, scripted(tmp_path, PIPELINE, "{csv}", "{model}"))
    assert manifest.format == "sklearn"
    assert "caution" not in manifest.parameters
    assert [(item.name, bool(item.categories)) for item in manifest.vector] == [("amount", False), ("shop", True)]
    scores = runtime.load(manifest, path).score([(20.0, "south"), (20.0, "west"), (20.0, None)])
    assert scores[0] > scores[1]
    assert "fitted on" in capfd.readouterr().err


def test_a_script_says_by_its_options_where_things_are(tmp_path: Path) -> None:
    script = scripted(tmp_path, BOOSTER, "--data", "{rows}", "--out={model}.txt", "--seed", "{seed}")
    manifest, _ = trained(tmp_path, script)
    assert manifest.format == "lightgbm"
    assert [item.name for item in manifest.vector] == ["hour", "amount"]


def test_a_script_gets_training_rows_and_nothing_else(tmp_path: Path) -> None:
    script = scripted(
        tmp_path,
        """
        import os, sys
        import polars as pl
        rows = pl.read_parquet(sys.argv[1])
        assert rows.columns == ["shop", "amount", "hour", "late"], rows.columns
        assert rows["shop"].dtype == pl.String
        assert os.listdir() == []
        assert len(sys.argv) == 3
        open(sys.argv[2] + ".py", "w").write("def predict(rows): return [row['amount'] / 1e4 for row in rows]")
        """,
    )
    assert trained(tmp_path, script)[0].format == "callable"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise KeyError('colour')", r"Script 'learn.py' failed. It exited with code 1: KeyError: 'colour'"),
        ("import os\nos.kill(os.getpid(), 9)", r"Script 'learn.py' failed. It was killed by SIGKILL"),
        ("print('done')", r"left no model files; in its folder is nothing"),
        (
            "import sys\n[open(sys.argv[2] + end, 'w').write('x') for end in '12']",
            r"left 2 model files.*model1, model2",
        ),
        ("import sys\nopen(sys.argv[2], 'w').write('no model')", r"is no model file that evertrain knows"),
        (
            "import sys\nopen(sys.argv[2], 'wb').write(b'\\x80\\x04cos\\nno_such\\n.')",
            r"pickle model .* cannot be loaded",
        ),
    ],
)
def test_a_script_that_makes_no_model_is_told_in_its_own_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Exception, match=words):
        train_orders(tmp_path, scripted(tmp_path, text))


CAUTIOUS = """
    import sys, joblib
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pd.read_csv(sys.argv[1]).head(400)
    rows["shop"] = rows["shop"].replace("west", "unknown")
    codes = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["shop"]))
    joblib.dump(make_pipeline(codes, LogisticRegression()).fit(rows[["shop"]], rows["late"]), sys.argv[2])
"""
GAPS = """
    import sys, joblib
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    rows = pd.read_csv(sys.argv[1])
    joblib.dump(LogisticRegression().fit(rows[["amount", "hour"]].fillna(0.0), rows["late"]), sys.argv[2])
"""
ONE_CLASS = """
    import sys, joblib
    import pandas as pd
    from sklearn.dummy import DummyClassifier

    rows = pd.read_csv(sys.argv[1])
    joblib.dump(DummyClassifier().fit(rows[["amount"]], (rows["late"] == "yes").astype(int)), sys.argv[2])
"""


def test_what_a_script_put_into_its_rows_is_on_record_as_a_caution(tmp_path: Path) -> None:
    manifest, _ = trained(tmp_path, scripted(tmp_path, CAUTIOUS, "{csv}", "{model}"))
    assert "knows the category 'unknown', which no training row holds" in str(manifest.parameters["caution"])


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (
            "import sys\nopen(sys.argv[1]).read()",
            (),
            r'Parquet file. For CSV, declare et.script\("learn.py", "{csv}", "{mod',
        ),
        (ONE_CLASS, ("{csv}", "{model}"), r"knows one class only, .*0.*; the label 'late' .* arrives as 1\.0 and 0\.0"),
        (GAPS, ("{csv}", "{model}"), r"does not take the training rows as they are: .*NaN.*does not happen in service"),
    ],
)
def test_what_most_likely_is_behind_a_failure_is_told(
    tmp_path: Path, text: str, arguments: tuple[str, ...], words: str
) -> None:
    gaps = order_examples(1_000).with_columns(pl.col("feature.amount").replace(pl.col("feature.amount").max(), None))
    with pytest.raises(ModelError, match=words):
        train_orders(tmp_path, scripted(tmp_path, text, *arguments), frame=gaps)


def test_a_model_of_the_label_is_no_model(tmp_path: Path) -> None:
    text = BOOSTER.replace('columns = ["hour", "amount"]', 'columns = ["hour", "late"]')
    script = scripted(tmp_path, text, "--data", "{rows}", "--out={model}", "--seed={seed}")
    with pytest.raises(ModelError, match=r"takes 'late', which is none of the features.*without the label 'late'"):
        train_orders(tmp_path, script)


@pytest.mark.parametrize(
    ("path", "arguments", "words"),
    [
        ("/tmp/learn.py", (), "no Python file below"),
        ("../learn.py", (), "no Python file below"),
        ("learn.sh", (), "no Python file below"),
        ("learn.py", ("--out", "{model}"), "never told where its rows are"),
        ("learn.py", ("{rows}", "{modle}"), r"unknown place \{modle\}.*\{model\}"),
    ],
)
def test_a_script_that_cannot_be_called_is_refused(path: str, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        et.script(path, *arguments)
