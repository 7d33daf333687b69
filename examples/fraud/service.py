"""Which card payments are fraud, learned from two queries on a PostgreSQL database.

A payment is asked about when it is made. What became of it is written into its row later, days later at times.
"""

from typing import TYPE_CHECKING

import evertrain as et

if TYPE_CHECKING:
    import lightgbm

DATABASE = "postgresql://shop:${SHOP_PASSWORD}@${SHOP_DATABASE}"

payments = et.Source(
    "payments",
    et.sql(DATABASE, "SELECT id, at, card, country, amount::float8 AS amount FROM payments"),
    key="id",
    event_time="at",
    columns={"id": "int64", "at": "timestamp", "card": "string", "country": "string", "amount": "float64"},
    fresh_within="1d",
    owner="payments",
)
verdicts = et.Source(
    "verdicts",
    et.sql(DATABASE, "SELECT id, at, fraud, decided FROM payments WHERE fraud IS NOT NULL", cursor="decided"),
    key="id",
    event_time="at",
    known_at="decided",
    columns={"id": "int64", "at": "timestamp", "fraud": "bool", "decided": "timestamp"},
)
asked = et.Examples(payments, key="id", at="at", request=["id", "at", "card", "country", "amount"])


def train(data: et.TrainingSet, run: et.Run) -> "lightgbm.Booster":
    """Thirty small trees on native categories."""
    import lightgbm

    parameters = {"objective": "binary", "num_leaves": 15, "num_threads": run.threads, "seed": run.seed}
    parameters |= {"deterministic": True, "force_row_wise": True, "verbosity": -1}
    rows = lightgbm.Dataset(data.X, data.y, feature_name=data.names, categorical_feature=list(data.categories))
    return lightgbm.train(parameters, rows, num_boost_round=30)


service = et.Service(
    "fraud",
    examples=asked,
    label=et.Label(source=verdicts, of=asked, value="fraud", horizon="2d"),
    features=[et.column("country", "amount"), et.windows(payments, "count 1h as recent", entity="card")],
    categories="country",
    train=train,
    triggers=[et.every("1d")],
    gate=et.Gate(holdout="7d", block="8h", margin=0.05),
)
