"""A column that gives the label away is found, however it does; one that is merely rich in values is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evertrain.core.leak import LEAK, MISSING, SUSPECT, bins_of, tell
from evertrain.core.policy import GateSpec
from evertrain.core.power import unpassable
from evertrain.core.proposal import propose_gate
from evertrain.core.time import DAY, HOUR

DRAWS = np.random.default_rng(7)
LABEL = (DRAWS.random(3_000) < 0.2).astype(float)
SIDE = DRAWS.random(3_000) < 0.5
DEFAULT = GateSpec(holdout=28 * DAY, block=DAY)
Floats = NDArray[np.float64]


def value_of(column: Floats) -> float:
    return tell(bins_of(column), LABEL, SIDE).figure


def test_a_copy_a_threshold_and_a_ring_give_the_label_away() -> None:
    noise = DRAWS.normal(size=3_000)
    for column in (LABEL, 1e6 - LABEL * 3, LABEL * 10 + noise, np.where(LABEL > 0, noise, np.sign(noise) * 40 + noise)):
        assert value_of(column) >= LEAK


def test_strong_is_not_given_away() -> None:
    strong = LABEL * 2.6 + DRAWS.normal(size=3_000)
    assert SUSPECT <= value_of(strong) < LEAK
    assert value_of(LABEL * 0.8 + DRAWS.normal(size=3_000)) < SUSPECT


def test_ids_and_luck_tell_nothing() -> None:
    ids = np.arange(3_000)
    assert tell(ids, LABEL, SIDE).figure == pytest.approx(0.5, abs=0.05)
    many = DRAWS.integers(0, 2_000, 3_000)
    assert tell(many, LABEL, SIDE).figure == pytest.approx(0.5, abs=0.08)


def test_a_column_that_is_missing_exactly_when_is_told_as_that() -> None:
    reason = np.where(LABEL > 0, DRAWS.integers(0, 5, 3_000), MISSING)
    said = tell(reason, LABEL, SIDE)
    assert (said.by, said.missing) == ("missing", (1.0, 0.0))
    assert said.figure >= LEAK
    random = np.where(DRAWS.random(3_000) < 0.5, 1, MISSING)
    assert tell(random, LABEL, SIDE).figure < 0.6


def test_a_value_is_told_by_correlation() -> None:
    price = DRAWS.normal(100.0, 20.0, 3_000)
    said = tell(bins_of(price * 1.19 + DRAWS.normal(0, 0.1, 3_000)), price, SIDE)
    assert said.metric == "correlation"
    assert said.figure >= LEAK
    assert abs(tell(bins_of(DRAWS.normal(size=3_000)), price, SIDE).figure) < 0.1


def test_bins_keep_what_is_missing_apart() -> None:
    bins = bins_of(np.append(DRAWS.normal(size=1_000), np.nan))
    assert bins[-1] == MISSING
    assert 50 < len(np.unique(bins)) <= 66


@pytest.mark.parametrize(
    ("days", "primary", "longest"),
    [
        (np.arange(400) * DAY, "log_loss", 28 * DAY),
        (np.arange(104) * 7 * DAY, "log_loss", 400 * DAY),
        (np.arange(24) * 30 * DAY, "auc", 400 * DAY),
        (np.arange(60 * 24) * HOUR, "log_loss", 28 * DAY),
    ],
)
def test_a_gate_is_proposed_that_something_can_pass(days: NDArray[np.int64], primary: str, longest: int) -> None:
    proposal = propose_gate(days, 30 * DAY if len(days) < 1_000 else DAY, DEFAULT)
    gate = proposal.gate
    assert gate.primary == primary
    assert gate.holdout <= longest
    assert unpassable(gate) is None
    inside = days[days > days.max() - gate.holdout]
    assert primary == "auc" or len(np.unique((inside - inside.min()) // gate.block)) >= 20
    assert bool(proposal.words) == (primary == "auc")


def test_of_classes_no_auc_is_proposed() -> None:
    proposal = propose_gate(np.arange(24) * 30 * DAY, 30 * DAY, DEFAULT, classes=True)
    assert proposal.gate.primary == "log_loss"
    assert "stays undecided" in proposal.words


def test_a_value_gets_a_margin_in_its_own_units() -> None:
    proposal = propose_gate(np.arange(400) * DAY, 30 * DAY, DEFAULT, spread=53.21)
    assert (proposal.gate.primary, proposal.gate.margin, proposal.gate.anchor_margin) == ("mae", 1.1, 2.2)
    assert "waits for more" in propose_gate(np.arange(10) * DAY, 30 * DAY, DEFAULT).words
