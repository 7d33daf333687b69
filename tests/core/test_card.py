"""The card survives its way through JSON, and calibration bins say what they are."""

from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.card import Card, Figures, calibration
from evertrain.core.gate import Criterion
from evertrain.core.identity import CycleId, ServiceName, VersionId, canonical


def test_a_card_reads_back_as_it_was_written() -> None:
    card = Card(
        service=ServiceName("s"),
        version=VersionId("v" * 64),
        cycle=CycleId("s/c1"),
        claim="digest",
        verdict="fail",
        reasons=("constant: no better",),
        criteria=(Criterion(name="constant", status="fail", words="no better", figure=0.7, interval=(0.6, 0.8)),),
        figures=(Figures(who="constant", version=None, rows=2, metrics={"log_loss": 0.7}),),
        calibration=calibration(np.array([0.0, 1.0]), np.array([0.2, 0.9])),
    )
    assert msgspec.json.decode(canonical(card), type=Card) == card


@given(st.integers(1, 400), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_bins_hold_every_row_once_in_order_of_score(rows: int, bins: int, seed: int) -> None:
    draws = np.random.default_rng(seed)
    score = np.round(draws.random(rows), 2)
    label = (draws.random(rows) < score).astype(float)
    found = calibration(label, score, bins)
    assert sum(one.rows for one in found) == rows
    assert max(one.rows for one in found) - min(one.rows for one in found) <= 1
    assert all(first.score <= second.score + 1e-12 for first, second in pairwise(found))
    assert all(0 <= one.low <= one.label + 1e-12 <= one.high + 2e-12 <= 1 + 2e-12 for one in found)


def test_the_interval_of_a_calibrated_score_holds_it_nineteen_times_in_twenty() -> None:
    draws = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        score = np.full(150, 0.2)
        (one,) = calibration((draws.random(150) < score).astype(float), score, bins=1)
        covered += one.low <= 0.2 <= one.high
    assert 0.92 <= covered / 400 <= 0.98
