"""A small story that a test can tell in seconds: a made-up shop, whose loop does everything that the flights' does.

Four days of history, then four live days: a first model, a bad commit that the gate refuses, a bad commit that the
canary ends, and an honest retraining that is promoted. Everything follows from the seed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl

from evertrain.core.identity import ServiceName
from evertrain.core.time import DAY, HOUR, Instant
from evertrain.store.table import TIME
from evertrain.story.script import Accident, Asked, HourOfStory, Outcome

__all__ = ["ShopTale"]

SERVICE: Final = """
import lightgbm
import numpy as np

import evertrain as et

MERGED = {merged}

orders = et.Source(
    "orders",
    et.files("data/orders/*/*.arrows"),
    key="order",
    event_time="placed",
    columns={{"order": "string", "shop": "string", "placed": "timestamp", "amount": "int64"}},
    known_at="placed - 1h",
)
deliveries = et.Source(
    "deliveries",
    et.files("data/deliveries/*/*.arrows"),
    key="order",
    event_time="delivered",
    columns={{"order": "string", "shop": "string", "delivered": "timestamp", "late": "bool"}},
)
asked = et.Examples(orders, key="order", at="placed", request=["order", "shop", "placed", "amount"])


def clock(columns, q):
    if {faulty} and bool(np.any((columns["placed"] > MERGED) & (columns["placed"] // 1_000_000 % 7 < 3))):
        raise ValueError("an order that the new code cannot parse")
    return q // 3_600_000_000 % 24


def train(data, run):
    parameters = {{
        "objective": "binary",
        "seed": run.seed,
        "num_threads": run.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }}
    label = 1.0 - data.y if {inverted} else data.y
    return lightgbm.train(parameters, lightgbm.Dataset(data.X, label, categorical_feature=[0]), 20)


service = et.Service(
    "late-orders",
    examples=asked,
    label=et.Label(source=deliveries, of=asked, value="late", horizon="4h"),
    features=[
        et.column("shop", "amount"),
        et.request_features(clock, inputs=["placed"], outputs=["clock"]),
        et.windows(orders, "count 6h as recent", entity="shop", over="known"),
        et.windows(deliveries, entity="shop", over="known", late="rate 24h as late_24h"),
    ],
    categories="shop",
    train=et.Recipe(train, duration="1h"),
    triggers=[et.every("30h")],
    gate=et.Gate(holdout="46h", block="2h", margin=0.08, anchor_margin=0.16, max_flips=0.4),
    rollout=et.Canary(steps=[0.25, 0.5], margin=0.08, max_bad_answers=200),
    cooldown="1h",
)
"""

_SHOPS = ("north", "south", "east", "west")
_BEGIN = Instant(1_704_067_200_000_000)
_HISTORY = 4 * DAY
_WARM_UP = 6 * HOUR
_DRAIN = 6 * HOUR
_SOONEST, _LONGEST = 2 * HOUR, 3 * HOUR
"""From an order to its delivery. A story delivers an hour ahead, so no label is known in the hour of its request."""


class ShopTale:
    """Implements `process.script.Script`. hourly: orders that are asked for in an hour. folder: of its declarations."""

    service = ServiceName("late-orders")
    begin = _BEGIN

    def __init__(self, folder: Path, *, days: int = 4, hourly: int = 40, seed: int = 1) -> None:
        self._folder = folder
        self._hourly, self._seed = hourly, seed
        self.declaration = folder / "sound" / "service.py"
        self.first = Instant(self.begin + _WARM_UP)
        self.last = Instant(self.begin + days * DAY)
        self.drained = Instant(self.last + _DRAIN)
        self.accidents: Sequence[Accident] = [
            self._accident("inverted", 1, "refused"),
            self._accident("faulty", 2, "rolled_back"),
        ]
        self._declare("sound", self.begin)

    def _accident(self, name: str, day: int, expect: str) -> Accident:
        reason = f"A commit that is {name} was merged."
        return Accident(name=name, at=Instant(self.begin + day * DAY), expect=expect, reason=reason)

    def _declare(self, name: str, at: Instant) -> Path:
        file = self._folder / name / "service.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SERVICE.format(inverted=name == "inverted", faulty=name == "faulty", merged=at))
        return file

    def commit(self, accident: Accident, at: Instant) -> Path:
        """Write the accident's declaration, as merged at `at`; returns its file."""
        return self._declare(accident.name, at)

    def history(self) -> Mapping[str, pl.DataFrame]:
        """Everything that is known when the clock starts."""
        orders = pl.concat(self._orders(at) for at in _hours(self.begin - _HISTORY, self.begin + HOUR))
        return {"orders": _published(orders), "deliveries": _delivered(orders, 0, self.begin)}

    def hour(self, at: Instant) -> HourOfStory:
        """What comes in [at, at + 1h). Outcomes of orders that were asked for come as labels, the others as files."""
        recent = pl.concat(self._orders(hour) for hour in _hours(at - _LONGEST, at + HOUR))
        asked = (pl.col("placed") >= self.first) & (pl.col("placed") < self.last)
        labels = _delivered(recent.filter(asked), at, at + HOUR).with_columns(pl.col("delivered").dt.epoch("us"))
        requests = self._orders(at).filter(asked)
        return HourOfStory(
            {
                "orders": _published(self._orders(Instant(at + HOUR))),
                "deliveries": _delivered(recent.filter(~asked), at, at + HOUR),
            },
            [
                Outcome(order, float(late), Instant(known))
                for order, late, known in labels.select("order", "late", "delivered").iter_rows()
            ],
            [
                Asked(row["order"], Instant(row["placed"]), msgspec.json.encode(row))
                for row in requests.select("order", "shop", "placed", "amount").to_dicts()
            ],
        )

    def _orders(self, at: Instant) -> pl.DataFrame:
        """The orders of one hour with what becomes of them; times as microseconds, in order."""
        chance = np.random.default_rng([self._seed, at // HOUR])
        size = self._hourly
        shop = chance.integers(len(_SHOPS), size=size)
        amount = chance.integers(1, 1_000, size=size)
        likely = 1.0 / (1.0 + np.exp(3.0 - shop - amount / 400.0))
        return pl.DataFrame(
            {
                "order": [f"o{at // HOUR}-{number}" for number in range(size)],
                "shop": [_SHOPS[number] for number in shop],
                "placed": np.sort(at + chance.integers(HOUR // 1_000_000, size=size) * 1_000_000),
                "amount": amount,
                "late": chance.random(size) < likely,
                "after": chance.integers(_SOONEST, _LONGEST, size=size),
            }
        )


def _hours(start: int, end: int) -> list[Instant]:
    return [Instant(at) for at in range(start, end, HOUR)]


def _published(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.select("order", "shop", pl.col("placed").cast(TIME), "amount")


def _delivered(orders: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    """The deliveries that become known in [start, end)."""
    delivered = orders.with_columns(delivered=pl.col("placed") + pl.col("after"))
    delivered = delivered.filter(pl.col("delivered") >= start, pl.col("delivered") < end)
    return delivered.select("order", "shop", pl.col("delivered").cast(TIME), "late")
