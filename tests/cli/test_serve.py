"""`evertrain serve` as a person types it, as far as it is refused; what it says when it is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.cli.serve import _name_of


def evertrain(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", "serve", *words, "--port", "0", "--control-port", "0"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text("def predict(rows):\n    return [0.5 for row in rows]\n")
    (tmp_path / "bad.json").write_text('{"columns": [{"name": "a", "type": "flaot"}]}')
    (tmp_path / "sample.csv").write_text("a,b\n1,2\n")
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04K\x01.")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["model.py", "--schema", "bad.json"], "bad.json cannot be read"),
        (["model.py", "--max-bad-answers", "9", "--blue-green", "1h"], "with --blue-green there is none"),
        (["model.py", "--blue-green", "soon"], "soon"),
        (["model.py", "--sample", "sample.csv", "--environment", "sample.csv"], "not one exact version"),
        (["model.py", "--approval", "promotoin"], 'Did you mean "promotion"'),
        (["model.pkl", "--sample", "sample.csv"], "evertrain trust model.pkl"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(folder: Path, words: list[str], reason: str) -> None:
    done = evertrain(*words, folder=folder)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / ".evertrain").exists()


def test_a_name_that_is_not_there_says_which_is_like_it(folder: Path) -> None:
    done = evertrain("modle.py", folder=folder)
    assert done.returncode == 2
    assert "modle.py does not exist. Did you mean model.py?" in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("file", "name"), [("churn.ubj", "churn"), ("My model (v2).txt", "my-model-v2"), ("模型.onnx", "model")]
)
def test_a_service_is_named_by_its_file(file: str, name: str) -> None:
    assert _name_of(Path(file)) == name
