"""A small world to train in: shops with late orders, the service that predicts them, and its examples."""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.config.training import Run, TrainingSet
from evertrain.core.identity import CycleId, Digest, ServiceName, canonical, digest_of
from evertrain.core.model import DatasetRef
from evertrain.core.policy import GateSpec
from evertrain.core.schema import Column, Schema
from evertrain.core.stage import Assembled, Train, Trained
from evertrain.core.time import DAY, HOUR, Instant, Span
from evertrain.model.assemble import parquet, split
from evertrain.model.trainer import Recipe, train
from evertrain.store.artifact import Artifacts
from evertrain.store.blob import Blobs

__all__ = [
    "CUT",
    "SERVICE",
    "SHOPS",
    "assembled_orders",
    "boosted",
    "order_examples",
    "order_service",
    "order_training",
    "train_orders",
]

SERVICE: Final = ServiceName("late-orders")
SHOPS: Final = ("east", "north", "south", "west")
CUT: Final = Instant(41 * DAY)


def order_service(**changes: Any) -> ServiceSpec:
    """A service that sends the shop, the amount and the hour, and takes them as its features."""
    spec = ServiceSpec(
        name=SERVICE,
        inputs=Schema(
            (
                Column(name="shop", type="string"),
                Column(name="amount", type="float64", low=0.0, high=1000.0),
                Column(name="hour", type="int64", low=0, high=23),
            )
        ),
        categories=("shop",),
        segments=("shop",),
        gate=GateSpec(holdout=10 * DAY, block=6 * HOUR, margin=0.02),
    )
    return msgspec.structs.replace(spec, **changes)


def order_examples(count: int = 6_000, seed: int = 5) -> pl.DataFrame:
    """Examples of 40 days: the later the hour and the larger the amount, the likelier it is late; shops differ."""
    draws = np.random.default_rng(seed)
    at = np.sort(draws.integers(0, 40 * DAY // HOUR, count)) * HOUR
    shop = draws.integers(0, len(SHOPS), count)
    amount = np.round(draws.gamma(2.0, 20.0, count), 2)
    hour = at // HOUR % 24
    odds = -3.0 + 0.04 * amount + 0.05 * hour + 1.5 * (shop == 2)
    values = {"shop": [SHOPS[number] for number in shop], "amount": amount, "hour": hour}
    return pl.DataFrame(
        {
            "key": [f"o{number:06d}" for number in range(count)],
            "at": at,
            "mature_at": at + 3 * HOUR,
            "label": (draws.random(count) < 1 / (1 + np.exp(-odds))).astype(float),
            **{f"{side}.{name}": column for side in ("request", "feature") for name, column in values.items()},
        }
    )


def assembled_orders(frame: pl.DataFrame, spec: ServiceSpec, blobs: Blobs, bundle: Digest | None = None) -> Assembled:
    """The frame as the stage "assemble" would leave it among the blobs."""
    parts = split(frame, cut=CUT, holdout=Span(spec.gate.holdout))
    training, holdout = blobs.put(parquet(parts.training)), blobs.put(parquet(parts.holdout))
    return Assembled(
        dataset=DatasetRef(
            digest=digest_of([training, holdout]), tables={"source.orders": 3}, cut=CUT, rows=frame.height
        ),
        declaration=blobs.put(canonical(spec)),
        bundle=bundle,
        features=digest_of(spec.features),
        training=training,
        holdout=holdout,
        training_rows=parts.training.height,
        holdout_rows=parts.holdout.height,
        boundary=parts.boundary,
        end=parts.end,
        missing_labels=parts.missing,
        base_rate=float(parts.training["label"].to_numpy().mean()),
    )


def order_training(work: Assembled, **changes: Any) -> Train:
    """The task of training on assembled orders."""
    return msgspec.structs.replace(Train(service=SERVICE, cycle=CycleId("late-orders/c1"), assembled=work), **changes)


def train_orders(
    folder: Path,
    recipe: Recipe,
    *,
    spec: ServiceSpec | None = None,
    frame: pl.DataFrame | None = None,
    shuffled: int | None = None,
    **changes: Any,
) -> tuple[Artifacts, Trained]:
    """Train on all orders in this process, or on those of `frame`. shuffled: the seed of another order of arrival.

    changes: of the task.
    """
    artifacts = Artifacts.at(folder / "artifacts")
    spec, frame = spec or order_service(), order_examples() if frame is None else frame
    if shuffled is not None:
        frame = frame.sample(fraction=1.0, shuffle=True, seed=shuffled)
    task = order_training(assembled_orders(frame, spec, artifacts.blobs), **changes)
    files = folder / "task"
    files.mkdir(exist_ok=True)
    return artifacts, train(task, spec, recipe, artifacts=artifacts, bundle_folder=None, folder=files)


def boosted(data: TrainingSet, run: Run) -> object:
    """A recipe with everything that could make two trainings differ: bagging, categories, threads."""
    import lightgbm

    parameters = {
        "objective": "binary",
        "learning_rate": run.parameter("learning_rate", 0.1),
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "seed": run.seed,
        "num_threads": run.threads,
        "deterministic": True,
        "verbose": -1,
    }
    categorical = [data.names.index(name) for name in data.categories]
    rows = lightgbm.Dataset(data.X, data.y, categorical_feature=categorical, free_raw_data=False)
    return lightgbm.train(parameters, rows, 20)
