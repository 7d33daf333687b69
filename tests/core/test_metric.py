"""Metrics: against plain definitions, with weights, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from evertrain.core.metric import auc, metric, placements
from evertrain.core.policy import MetricName
from evertrain.errors import UserError

Floats = NDArray[np.float64]

NAMES: tuple[MetricName, ...] = ("log_loss", "auc", "brier", "accuracy", "mae", "rmse")


@st.composite
def some_rows(draw: st.DrawFn) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Labels, scores with ties, whole-numbered weights; both classes with weight."""
    rows = draw(st.integers(2, 30))
    label = draw(arrays(np.float64, rows, elements=st.sampled_from([0.0, 1.0])))
    score = draw(arrays(np.float64, rows, elements=st.sampled_from([0.05, 0.2, 0.5, 0.7, 0.95])))
    weight = draw(arrays(np.int64, rows, elements=st.integers(0, 4)))
    label[:2], weight[:2] = (0.0, 1.0), (1, 1)
    return label, score, weight


@given(rows=some_rows())
def test_auc_is_the_share_of_pairs_in_order_with_ties_counted_half(
    rows: tuple[Floats, Floats, NDArray[np.int64]],
) -> None:
    label, score, _ = rows
    pairs = [1.0 if up > down else 0.5 if up == down else 0.0 for up in score[label == 1] for down in score[label == 0]]
    assert auc(label, score) == pytest.approx(sum(pairs) / len(pairs))


@given(rows=some_rows(), name=st.sampled_from(NAMES))
def test_a_weight_counts_a_row_that_often(rows: tuple[Floats, Floats, NDArray[np.int64]], name: MetricName) -> None:
    label, score, weight = rows
    weighted = metric(name, label, score, weight.astype(np.float64))
    repeated = metric(name, np.repeat(label, weight), np.repeat(score, weight))
    assert weighted == pytest.approx(repeated, nan_ok=True)


@given(rows=some_rows())
def test_placements_average_to_the_auc_over_either_class(rows: tuple[Floats, Floats, NDArray[np.int64]]) -> None:
    label, score, weight = rows
    weights = weight.astype(np.float64)
    placed, whole = placements(label, score, weights), auc(label, score, weights)
    for side in (label == 1, label == 0):
        assert np.average(placed[side], weights=weights[side]) == pytest.approx(whole)


def test_weights_turn_the_ranking_of_two_models() -> None:
    # The second model is better on the many light rows and bad on the few heavy ones.
    label = np.array([0.0, 1.0] * 20 + [0.0, 1.0] * 2)
    first = np.where(label == 1, 0.7, 0.3)
    second = np.concatenate([np.where(label[:40] == 1, 0.95, 0.05), [0.9, 0.1, 0.9, 0.1]])
    weight = np.array([1.0] * 40 + [50.0] * 4)
    assert metric("log_loss", label, second) < metric("log_loss", label, first)
    assert metric("log_loss", label, second, weight) > metric("log_loss", label, first, weight)
    assert auc(label, second, weight) < 0.5 < auc(label, second)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ([1.0, float("nan"), 1.0], "1 of 3 rows have no evaluation weight"),
        ([1.0, -1.0, 1.0], "1 of 3 evaluation weights are negative"),
        ([0.0, 0.0, 0.0], "All 3 evaluation weights are zero"),
        ([1.0, 1.0], "2 evaluation weights for 3 rows"),
    ],
)
def test_weights_that_cannot_be_are_an_error(name: MetricName, weight: list[float], words: str) -> None:
    label, score = np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.3])
    with pytest.raises(UserError, match=words) as caught:
        metric(name, label, score, np.array(weight))
    assert caught.value.remedy


def test_scores_and_labels_must_be_finite_and_of_one_length() -> None:
    label = np.array([0.0, 1.0])
    with pytest.raises(UserError, match="1 of 2 scores are not finite"):
        metric("brier", label, np.array([0.1, np.inf]))
    with pytest.raises(UserError, match="1 scores for 2 labels"):
        metric("brier", label, np.array([0.1]))
    with pytest.raises(UserError, match="1 of 2 labels are missing"):
        metric("brier", np.array([0.0, np.nan]), np.array([0.1, 0.2]))


def test_a_certain_and_wrong_probability_costs_much_but_not_everything() -> None:
    label = np.array([1.0, 0.0])
    assert metric("log_loss", label, np.array([0.0, 1.0])) == pytest.approx(34.54, abs=0.01)
    assert metric("log_loss", label, np.array([1.0, 0.0])) == pytest.approx(0.0, abs=1e-12)


def test_what_is_not_defined_is_nan() -> None:
    assert np.isnan(auc(np.array([1.0, 1.0]), np.array([0.1, 0.2])))
    nothing = np.array([], dtype=np.float64)
    assert all(np.isnan(metric(name, nothing, nothing)) for name in NAMES)


@given(rows=some_rows(), name=st.sampled_from(("log_loss", "brier", "accuracy")))
def test_two_classes_in_a_matrix_are_judged_as_one_probability(
    rows: tuple[Floats, Floats, NDArray[np.int64]], name: MetricName
) -> None:
    label, score, weight = rows
    score = np.where(score == 0.5, 0.45, score)  # of equals the first class is taken, and a threshold takes the second
    of_classes = metric(name, label, np.column_stack([1.0 - score, score]), weight.astype(np.float64))
    twice = 2.0 if name == "brier" else 1.0  # which sums over the classes
    assert of_classes == pytest.approx(twice * metric(name, label, score, weight.astype(np.float64)))


@pytest.mark.parametrize("name", ["auc", "mae", "rmse"])
def test_what_says_nothing_of_classes_is_refused(name: MetricName) -> None:
    with pytest.raises(UserError, match="says nothing of classes"):
        metric(name, np.array([0.0, 2.0]), np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("label", [3.0, -1.0, 0.5])
def test_a_label_that_is_no_place_of_a_class_is_refused(label: float) -> None:
    with pytest.raises(UserError, match="1 of 2 labels are none of 3 classes"):
        metric("log_loss", np.array([0.0, label]), np.full((2, 3), 1 / 3))
