"""Inputs against a reference: what moved is called, what did not is not, and identifiers are left alone."""

import numpy as np
import polars as pl

from evertrain.monitor.shift import Shift, Side, compare_inputs


def frame(source: np.random.Generator, days: int, *, first: int = 0, a_day: int = 40) -> tuple[pl.DataFrame, Side]:
    """Rows of several days; `weather` differs from day to day, as it does."""
    day = np.repeat(np.arange(first, first + days), a_day)
    rows = len(day)
    made = pl.DataFrame(
        {
            "amount": source.lognormal(3, 1, rows),
            "weather": np.repeat(source.normal(0, 1, days), a_day) + source.normal(0, 0.3, rows),
            "region": source.choice(["north", "south", "east"], rows, p=[0.5, 0.3, 0.2]),
            "vip": source.random(rows) < 0.1,
            "visits": source.poisson(2, rows),
        }
    )
    return made, Side(made, day)


def look(reference: Side, present: Side, columns: list[str] | None = None, seed: int = 0) -> dict[str, Shift]:
    names = columns or reference.rows.columns
    return {one.column: one for one in compare_inputs(reference, present, names, alpha=0.05, seed=seed)}


def test_what_did_not_move_is_called_moved_as_rarely_as_it_says() -> None:
    """60 tables whose days differ: a test that takes rows one by one calls `weather` moved nearly each time."""
    source = np.random.default_rng(5)
    called, called_by_rows = 0, 0
    for seed in range(60):
        (_, then), (_, now) = frame(source, 25), frame(source, 25, first=25)
        called += any(one.outcome == "moved" for one in look(then, now, seed=seed).values())
        if seed < 10:
            alone = look(Side(then.rows, None), Side(now.rows, None), ["weather"])
            called_by_rows += alone["weather"].outcome == "moved"
    assert called <= 7  # 5 % of 60 is 3; more than 7 has a chance below 1 %
    assert called_by_rows >= 8


def test_what_moved_is_called_moved() -> None:
    source = np.random.default_rng(6)
    (_, then), (rows, now) = frame(source, 25), frame(source, 25, first=25)
    rows = rows.with_columns(
        pl.col("amount") * 1.5,
        region=pl.when(pl.int_range(pl.len()) % 10 == 0).then(pl.lit("west")).otherwise("region"),
        visits=pl.when(pl.int_range(pl.len()) % 4 == 0).then(None).otherwise("visits"),
    )
    found = look(then, Side(rows, now.block))
    assert {name for name, one in found.items() if one.outcome == "moved"} == {"amount", "region", "visits"}
    assert found["region"].fresh == 0.1
    assert found["region"].fresh_names == ("west",)
    assert found["visits"].missing == (0.0, 0.25)
    assert found["amount"].center is not None
    assert found["amount"].center[1] > 1.3 * found["amount"].center[0]
    assert list(found)[-2:] == sorted(["vip", "weather"], key=lambda name: -(found[name].psi or 0.0))


def test_identifiers_are_named_and_raise_no_alarm() -> None:
    """Codes of a million: two samples share next to none of them, and nothing has changed."""
    source = np.random.default_rng(8)
    (then, first), (now, second) = frame(source, 25), frame(source, 25, first=25)
    sides = [
        Side(
            rows.with_columns(
                user=pl.Series([f"u{n}" for n in source.integers(0, 1_000_000, rows.height)]),
                order=pl.Series(np.arange(rows.height) + start),
            ),
            side.block,
        )
        for rows, side, start in ((then, first, 0), (now, second, 10_000))
    ]
    found = look(sides[0], sides[1])
    for name in ("user", "order"):
        assert found[name].outcome == "not compared"
        assert found[name].words.startswith("an identifier: ")
        assert found[name].missing == (0.0, 0.0)
    assert not [one for one in found.values() if one.outcome == "moved"]


def test_five_thousand_categories_are_compared() -> None:
    source = np.random.default_rng(9)
    names = np.array([f"shop {number}" for number in range(5000)])
    weight = 1.0 / np.arange(1, 5001)
    day = np.repeat(np.arange(60), 400)

    def shops(order: np.ndarray) -> pl.DataFrame:
        return pl.DataFrame({"shop": source.choice(names[order], len(day), p=weight / weight.sum())})

    then, now = Side(shops(np.arange(5000)), day), Side(shops(np.arange(5000)), day + 60)
    assert look(then, now)["shop"].outcome == "not shown"
    assert look(then, Side(shops(np.roll(np.arange(5000), 3)), day + 60))["shop"].outcome == "moved"


def test_too_few_blocks_to_tell_are_said_and_are_no_pass() -> None:
    source = np.random.default_rng(10)
    (_, then), (rows, now) = frame(source, 2), frame(source, 2, first=2)
    found = look(then, Side(rows.with_columns(pl.col("amount") * 100), now.block))
    assert found["amount"].outcome == "insufficient"
    assert found["amount"].words == "too few blocks of time to tell: no pass"


def test_a_column_that_changed_its_type_or_lost_its_values_is_not_compared() -> None:
    source = np.random.default_rng(12)
    (then, first), (now, second) = frame(source, 25), frame(source, 25, first=25)
    now = now.with_columns(pl.col("amount").cast(pl.String), region=pl.lit(None, pl.String))
    found = look(Side(then, first.block), Side(now, second.block))
    assert found["amount"].words == "is a number in the reference and text now"
    assert (found["region"].outcome, found["region"].missing) == ("not compared", (0.0, 1.0))
