"""Customers who leave or stay, as a table for tests: a snapshot of each now and then, and what became of it."""

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

__all__ = ["PLANS", "customer_rows", "dirty"]

PLANS: Final = ("basic", "plus", "pro")
_HORIZON: Final = timedelta(days=30)


def customer_rows(count: int, *, newest: datetime, days: int, seed: int) -> pl.DataFrame:
    """Snapshots of the `days` until `newest`, every value as text, as a CSV file has it.

    Those of fewer calls, of longer standing and on a better plan stay. The label of a snapshot that is younger than 30
    days, as of `newest`, is missing. Two columns give it away: a refund is paid to those who left, and only they have
    a reason and a day of closing.
    """
    draws = np.random.default_rng(seed)
    ago = np.sort(draws.integers(0, days, count))[::-1]
    customer = draws.integers(0, count // 2, count)
    tenure = draws.integers(1, 60, count)
    calls = draws.poisson(2.0, count)
    charges = np.round(draws.gamma(4.0, 12.0, count), 2)
    plan = draws.integers(0, len(PLANS), count)
    odds = -1.6 + 0.6 * calls - 0.03 * tenure - 0.8 * plan
    left = draws.random(count) < 1.0 / (1.0 + np.exp(-odds))
    at = [newest - timedelta(days=int(one)) for one in ago]
    known = [one + _HORIZON <= newest for one in at]
    closed = [one + timedelta(days=int(after)) for one, after in zip(at, draws.integers(1, 30, count), strict=True)]
    return pl.DataFrame(
        {
            "customer_id": [f"c{number:05d}" for number in customer],
            "snapshot_day": [f"{one:%Y-%m-%d}" for one in at],
            "joined": [f"{one - timedelta(days=30 * int(m)):%Y-%m-%d}" for one, m in zip(at, tenure, strict=True)],
            "plan": [PLANS[number] for number in plan],
            "calls": [str(number) for number in calls],
            "charges": [str(number) for number in charges],
            "refund": [str(charge / 2) if gone else "0.0" for charge, gone in zip(charges, left, strict=True)],
            "cancel_reason": ["price" if gone else None for gone in left],
            "closed_at": [f"{day:%Y-%m-%d}" if gone else None for day, gone in zip(closed, left, strict=True)],
            "email": [f"c{number:05d}@example.org" for number in customer],
            "country": ["DE"] * count,
            "churned": [str(gone).lower() if sure else None for gone, sure in zip(left, known, strict=True)],
        }
    )


def dirty(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as people deliver them: bad dates, words for numbers, rows twice, labels that never came."""
    values = {name: rows[name].to_list() for name in rows.columns}
    values["snapshot_day"][3] = "31.12.2025"
    values["charges"][5] = "n/a"
    values["charges"][8] = "unknown"
    values["churned"][20] = values["churned"][21] = None
    spoilt = pl.DataFrame(values)
    twice = spoilt[100:104].with_columns(plan=pl.Series([*PLANS, "plus"]))
    return pl.concat([spoilt, spoilt[50:60], twice])
