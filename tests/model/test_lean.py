"""LightGBM is imported without what it does not need, and only where nobody can tell."""

import subprocess
import sys

import pytest

from evertrain.model.lean import uses_lightgbm_alone

CHECK = """
import sys
from evertrain.model.lean import import_lightgbm_alone
import_lightgbm_alone()
import lightgbm, numpy
assert not {"sklearn", "pandas"} & set(sys.modules), "drawn in"
rows = numpy.random.default_rng(0).normal(size=(200, 2))
model = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(rows, rows[:, 0] > 0), 2)
assert len(model.predict(rows)) == 200
import sklearn.linear_model
"""


def test_it_trains_without_its_companions_and_they_can_be_imported_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "alone"),
    [
        (b"import lightgbm as lgb", True),
        (b"import numpy", False),
        (b"import lightgbm\nimport pandas as pd", False),
        (b"import lightgbm\nfrom sklearn.linear_model import Ridge", False),
        (b"import lightgbm\nlightgbm.LGBMClassifier()", False),
        (b"import lightgbm\ndata.to_pandas()", False),
    ],
)
def test_code_that_names_a_companion_gets_it(source: bytes, alone: bool) -> None:
    assert uses_lightgbm_alone([source]) is alone
