"""A training that is run again: the same bytes, the same scores, or a named cause."""

import itertools
from pathlib import Path

import pytest

from evertrain.config.training import Run, TrainingSet
from evertrain.errors import IntegrityError, ModelError
from evertrain.model.importing import import_model
from evertrain.model.reproduce import UNEXPLAINED, recorded, reproduce
from evertrain.testing.orders import SERVICE, boosted, order_service, train_orders

_calls = itertools.count()


def forgetful(data: TrainingSet, run: Run) -> object:
    """Draws from a seed that nobody recorded."""
    run.seed = next(_calls)
    return boosted(data, run)


def stamped(data: TrainingSet, run: Run) -> object:
    """The same scores from another file each time."""
    path = run.path("model.py")
    path.write_text(f"# {next(_calls)}\ndef predict(rows):\n    return [row['amount'] / 1e3 for row in rows]\n")
    return path


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    artifacts, made = train_orders(tmp_path, boosted, seed=3)
    again = reproduce(made.version, boosted, artifacts=artifacts, folder=tmp_path)
    assert (again.sameness, again.causes, again.largest_difference) == ("bitwise", (), 0.0)


def test_other_threads_are_named_when_the_file_differs(tmp_path: Path) -> None:
    artifacts, made = train_orders(tmp_path, boosted)
    again = reproduce(made.version, boosted, artifacts=artifacts, folder=tmp_path, threads=2)
    assert again.causes == ("threads: 1 on record, 2 now",)
    assert again.sameness in {"prediction", "different"}


def test_other_bytes_with_the_same_scores_are_prediction_equal(tmp_path: Path) -> None:
    artifacts, made = train_orders(tmp_path, stamped)
    again = reproduce(made.version, stamped, artifacts=artifacts, folder=tmp_path)
    assert again.sameness == "prediction"
    assert again.largest_difference == 0.0
    assert again.causes == (UNEXPLAINED,)


def test_what_is_not_on_record_is_said_to_be_so(tmp_path: Path) -> None:
    artifacts, made = train_orders(tmp_path, forgetful)
    again = reproduce(made.version, forgetful, artifacts=artifacts, folder=tmp_path)
    assert again.sameness == "different"
    assert again.causes == (UNEXPLAINED,)
    assert again.largest_difference is not None
    assert again.largest_difference > 0


def test_altered_training_rows_are_found_and_not_trained_on(tmp_path: Path) -> None:
    artifacts, made = train_orders(tmp_path, boosted)
    path = artifacts.blobs.path(recorded(artifacts, made.version).training)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="was altered"):
        reproduce(made.version, boosted, artifacts=artifacts, folder=tmp_path)


def test_an_imported_version_has_no_record(tmp_path: Path) -> None:
    artifacts, _ = train_orders(tmp_path, boosted)
    path = tmp_path / "model.py"
    path.write_text("def predict(rows):\n    return [0.5 for row in rows]\n")
    version = import_model(artifacts, SERVICE, path, order_service().inputs).version
    with pytest.raises(ModelError, match="no training record"):
        recorded(artifacts, version)
