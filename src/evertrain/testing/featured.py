"""An installation whose model takes 36 features, all of them read online for each request: windows and look-ups."""

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from evertrain.config.authoring import load
from evertrain.config.bundle import freeze
from evertrain.config.declaration import ServiceSpec
from evertrain.config.script import files_of_scripts
from evertrain.core.identity import canonical, digest_of
from evertrain.core.model import Manifest, Output
from evertrain.core.schema import Input
from evertrain.core.time import DAY, Instant
from evertrain.data.online import OnlineWriter, online_features
from evertrain.runtime.protocol import Codec
from evertrain.testing.boosted import BATCH, PARAMETERS, TREES, Asked, serve
from evertrain.testing.installation import BEGIN, SHOP, Installation

__all__ = ["FEATURES", "featured_service"]

_DECLARATION: Final = """
import evertrain as et

purchases = et.Source(
    "purchases",
    et.files("purchases/*.csv"),
    key="purchase",
    event_time="placed",
    columns={
        "purchase": "string", "customer": "string", "shop": "string", "placed": "timestamp", "amount": "float64",
        "gift": "bool",
    },
)
visits = et.Source(
    "visits",
    et.files("visits/*.csv"),
    key="visit",
    event_time="began",
    columns={"visit": "string", "customer": "string", "shop": "string", "began": "timestamp", "pages": "int64"},
)
accounts = et.Source(
    "accounts",
    et.files("accounts/*.csv"),
    key="customer",
    event_time="since",
    columns={
        "customer": "string", "since": "timestamp", "plan": "string", "country": "string", "age": "int64",
        "credit": "float64", "balance": "float64", "level": "int64",
    },
)
refunds = et.Source(
    "refunds",
    et.files("refunds/*.csv"),
    key="purchase",
    event_time="paid",
    columns={"purchase": "string", "paid": "timestamp", "refunded": "bool"},
)
asked = et.Examples(purchases, key="purchase", at="placed", request=["purchase", "customer", "shop", "placed"])


def train(data, run):
    raise NotImplementedError


service = et.Service(
    "shop",
    examples=asked,
    label=et.Label(source=refunds, of=asked, value="refunded", horizon="30d"),
    features=[
        et.windows(
            purchases, "count 1h", "count 1d", "count 7d", "count 30d", entity="customer",
            amount=["sum 1d", "sum 7d", "sum 30d", "mean 7d", "mean 30d", "max 7d"], gift="rate 30d",
        ),
        et.windows(
            purchases, "count 1h as shop_1h", "count 1d as shop_1d", "count 7d as shop_7d", entity="shop",
            amount=["sum 1d as shop_sum_1d", "mean 1d as shop_mean_1d", "mean 7d as shop_mean_7d",
                    "max 1d as shop_max_1d"],
            gift="rate 7d as shop_gifts_7d",
        ),
        et.windows(
            visits, "count 1h", "count 1d", "count 7d", entity="customer", pages=["sum 1d", "sum 7d", "mean 7d"]
        ),
        et.windows(
            visits, "count 1h as shop_visits_1h", "count 1d as shop_visits_1d", entity="shop",
            pages="mean 1d as shop_pages_1d",
        ),
        et.latest(accounts, entity="customer", columns=["plan", "country", "age", "credit", "balance", "level"]),
        et.latest(purchases, entity="customer", columns={"amount": "last_amount"}, age="minutes_since_purchase"),
    ],
    categories=["plan", "country"],
    train=train,
)
"""
FEATURES: Final = 36
_ROWS, _CUSTOMERS, _SHOPS, _DAYS = 20_000, 500, 20, 40
_END = Instant(BEGIN + _DAYS * DAY)
_PLANS, _COUNTRIES = ("basic", "free", "gold", "team"), tuple(f"c{number:02d}" for number in range(30))


def featured_service(folder: Path) -> Asked:
    """Declare it, fill its online states, and train on what they give."""
    spec, installation = _declared(folder / "project"), Installation(folder / "state")
    writer = OnlineWriter(spec, installation.state)
    for name, frame in _history().items():
        writer.write(name, frame)
    for lacking in writer.lacking:
        writer.complete(lacking)
    writer.close()
    requests: list[dict[str, Any]] = [
        {"purchase": f"q{number}", "customer": f"u{number}", "shop": f"s{number % _SHOPS}", "placed": int(_END)}
        for number in range(_CUSTOMERS)
    ]
    pinned = {"plan": _PLANS, "country": _COUNTRIES}
    vector = tuple(Input(name=name, categories=pinned.get(name)) for name in spec.vector)
    if len(vector) != FEATURES:
        raise ValueError(f"{len(vector)} features were declared, not {FEATURES}")
    features = online_features(spec, installation.state, None)
    rows = Codec(vector).rows([features(request, _END) for request in requests])
    features.close()
    model = _trained(rows, [number for number, item in enumerate(vector) if item.categories])
    source = folder / "project"
    frozen = freeze(source, "service", files_of_scripts(source, [spec]))
    blobs = installation.artifacts.blobs
    manifest = Manifest(
        service=SHOP,
        format="lightgbm",
        model=blobs.put(model.model_to_string().encode()),
        bundle=blobs.put(frozen.content),
        declaration=blobs.put(canonical(spec)),
        features=digest_of(spec.features),
        inputs=spec.inputs,
        vector=vector,
        output=Output(),
    )
    serve(installation, manifest)
    return Asked(installation.state.path, requests[:BATCH], float(model.predict(rows[:1], num_threads=1)[0]))


def _declared(folder: Path) -> ServiceSpec:
    folder.mkdir(parents=True)
    (folder / "service.py").write_text(_DECLARATION)
    sys.modules.pop("service", None)
    spec: ServiceSpec = load(folder / "service.py")[0]
    return spec


def _trained(rows: Any, categories: list[int]) -> Any:
    """A booster of all its trees; what it learned is of no interest, how long it takes is."""
    import lightgbm

    many = np.tile(rows, (20, 1))
    labels = np.random.default_rng(2).random(len(many)) < 0.5
    data = lightgbm.Dataset(many, labels.astype(int), categorical_feature=categories)
    return lightgbm.train(PARAMETERS, data, TREES)


def _history() -> dict[str, pl.DataFrame]:
    """The rows of all sources until the end; the refunds are read by nobody."""
    random = np.random.default_rng(3)
    names = {
        "customer": [f"u{number}" for number in random.integers(0, _CUSTOMERS, _ROWS)],
        "shop": [f"s{number}" for number in random.integers(0, _SHOPS, _ROWS)],
    }
    times = np.sort(_END - random.integers(0, _DAYS * DAY, _ROWS))
    ids = [f"e{number}" for number in range(_ROWS)]
    amounts, gifts = random.gamma(2.0, 20.0, _ROWS).round(2), random.random(_ROWS) < 0.1
    people = [f"u{number}" for number in range(_CUSTOMERS)]
    accounts = {
        "customer": people,
        "plan": random.choice(_PLANS, _CUSTOMERS).tolist(),
        "country": random.choice(_COUNTRIES, _CUSTOMERS).tolist(),
        "age": random.integers(18, 90, _CUSTOMERS),
        "credit": random.gamma(2.0, 500.0, _CUSTOMERS).round(2),
        "balance": random.normal(0.0, 500.0, _CUSTOMERS).round(2),
        "level": random.integers(0, 5, _CUSTOMERS),
    }
    return {
        "purchases": pl.DataFrame(
            {"purchase": ids, **names, "placed": times, "amount": amounts, "gift": gifts, "_known_at": times}
        ),
        "visits": pl.DataFrame(
            {"visit": ids, **names, "began": times, "pages": random.integers(1, 30, _ROWS), "_known_at": times}
        ),
        "accounts": pl.DataFrame({**accounts, "since": [int(BEGIN)] * _CUSTOMERS, "_known_at": int(BEGIN)}),
    }
