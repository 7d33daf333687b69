"""Figures are about the same rows for everybody; a segment that cannot be named is refused."""

import numpy as np
import polars as pl
import pytest

from evertrain.errors import UserError
from evertrain.model.contest import Contender, figures_of, segment_figures, segments_of

LABEL = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
GOOD = Contender(who="challenger", version=None, scores=np.array([0.1, 0.9, 0.8, 0.2, 0.7, 0.6]))
FLAT = Contender(who="constant", version=None, scores=np.full(6, 0.5))


def test_each_contender_gets_each_metric() -> None:
    good, flat = figures_of([GOOD, FLAT], LABEL, ("auc", "log_loss"))
    assert (good.metrics["auc"], flat.metrics["auc"]) == (1.0, 0.5)
    assert good.metrics["log_loss"] < flat.metrics["log_loss"]


def test_a_metric_that_is_not_defined_is_left_out_and_not_a_number_that_json_cannot_say() -> None:
    (one,) = figures_of([FLAT], np.ones(6), ("auc", "brier"))
    assert set(one.metrics) == {"brier"}


def test_segments_come_by_size_and_hold_their_own_rows() -> None:
    found = segment_figures([GOOD], LABEL, {"shop": ["a", "a", "b", "b", "b", ""]}, ("accuracy",))
    assert [(one.value, one.rows) for one in found] == [("b", 3), ("a", 2), ("", 1)]
    assert found[0].figures[0].rows == 3


def test_a_segment_without_weight_has_no_figures() -> None:
    weight = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    found = segment_figures([GOOD], LABEL, {"shop": ["a", "a", "b", "b", "b", "b"]}, ("brier",), weight)
    assert [one.value for one in found] == ["a"]


def test_a_segment_is_a_request_column_before_it_is_a_feature() -> None:
    rows = pl.DataFrame({"request.shop": ["a"], "feature.shop": ["b"], "feature.hour": [3]})
    assert segments_of(rows, ["shop", "hour", "shop"]) == {"shop": ["a"], "hour": ["3"]}
    with pytest.raises(UserError, match="Segment 'colour' is no request column and no feature"):
        segments_of(rows, ["colour"])
