"""A boosted model of a usual size, as files for others to serve, and an installation of evertrain that answers with it.

24 features, 3 of them categories, 200 trees.
"""

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from evertrain.core.identity import digest_of
from evertrain.core.model import Manifest, Output
from evertrain.core.routing import Arm, Route
from evertrain.core.schema import Column, Input, Schema
from evertrain.testing.installation import SHOP, Installation

__all__ = ["BATCH", "PARAMETERS", "TREES", "Asked", "World", "lean_service", "serve", "world"]

BATCH: Final = 100
"""Rows of the larger request."""
TREES = 200
_CATEGORIES = {
    "country": tuple(f"c{number:02d}" for number in range(30)),
    "device": ("app", "desktop", "phone", "tablet", "tv", "watch"),
    "plan": ("basic", "free", "gold", "team"),
}
_NUMBERS = tuple(f"x{number}" for number in range(21))
_NAMES = (*_CATEGORIES, *_NUMBERS)
PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary",
    "num_leaves": 31,
    "verbose": -1,
    "num_threads": 1,
    "seed": 1,
}


class World(msgspec.Struct, frozen=True):
    """The model as a file, what is asked of it as records and as encoded numbers, and what it has to answer.

    folder: holds model.txt (the booster), model.joblib (its scikit-learn wrapper) and columns.json (name to kind).
    """

    folder: Path
    records: list[dict[str, str | float]]
    rows: list[list[float]]
    scores: list[float]


class Asked(msgspec.Struct, frozen=True):
    """An installation that answers: the records that it takes, and its score of the first of them."""

    state: Path
    records: list[dict[str, Any]]
    score: float


def world(folder: Path, count: int = 10_000) -> World:
    """Train the model, and write it as those who serve it expect it."""
    import joblib
    import lightgbm
    import pandas as pd

    random = np.random.default_rng(1)
    codes = {name: random.integers(0, len(texts), count) for name, texts in _CATEGORIES.items()}
    numbers = random.normal(size=(count, len(_NUMBERS))).round(4)
    frame = pd.DataFrame({name: pd.Categorical.from_codes(codes[name], _CATEGORIES[name]) for name in codes})
    frame[list(_NUMBERS)] = numbers
    lean = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + 0.5 * (codes["country"] % 3 - 1) + codes["plan"] / 4
    labels = (lean + random.normal(size=count) > 0).astype(int)
    wrapper = lightgbm.LGBMClassifier(n_estimators=TREES, **PARAMETERS).fit(frame, labels)
    wrapper.booster_.save_model(folder / "model.txt")
    joblib.dump(wrapper, folder / "model.joblib")
    kinds = {name: "text" if name in _CATEGORIES else "number" for name in _NAMES}
    (folder / "columns.json").write_text(json.dumps(kinds))
    records = frame.head(BATCH).astype(dict.fromkeys(_CATEGORIES, str)).to_dict("records")
    encoded = np.column_stack([*codes.values(), numbers]).astype(float)[:BATCH]
    scores = np.asarray(lightgbm.Booster(model_file=folder / "model.txt").predict(encoded, num_threads=1))
    return World(folder, records, encoded.tolist(), scores.tolist())


def lean_service(given: World, folder: Path) -> Asked:
    """An installation that answers records with the model as it is."""
    installation = Installation(folder)
    inputs = Schema(tuple(Column(name=name, type="string" if name in _CATEGORIES else "float64") for name in _NAMES))
    manifest = Manifest(
        service=SHOP,
        format="lightgbm",
        model=installation.artifacts.blobs.put((given.folder / "model.txt").read_bytes()),
        bundle=None,
        features=digest_of(inputs),
        inputs=inputs,
        vector=tuple(Input(name=name, categories=_CATEGORIES.get(name)) for name in _NAMES),
        output=Output(),
    )
    serve(installation, manifest)
    return Asked(folder, given.records, given.scores[0])


def serve(installation: Installation, manifest: Manifest) -> None:
    """Put this version in service, with another one on trial beside it, so that each request is routed by its hash.

    The share of the trial is as good as none: what is measured is the version that answers.
    """
    version = installation.put(manifest)
    trial = Arm(version=version, share=1e-12, deadline_s=1.0)
    installation.route(Route(service=SHOP, champion=version, canary=trial, control=trial, salt="benchmark"))
