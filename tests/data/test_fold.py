"""What a window says of values that are no ordinary numbers, in whatever order they came."""

from itertools import permutations
from math import inf, nan
from typing import Literal

import pytest

from evertrain.config.declaration import WindowSpec
from evertrain.core.identity import SourceName
from evertrain.core.schema import Value
from evertrain.data.fold import fold_values

Fold = Literal["count", "sum", "mean", "rate", "min", "max"]


@pytest.mark.parametrize(
    ("fold", "values", "expected"),
    [
        ("max", (1.0, nan, 3.0), None),
        ("mean", (1.0, nan, 3.0), None),
        ("sum", (inf, nan, -inf), None),
        ("count", (1.0, nan, 3.0), 3),
        ("sum", (inf, 1.0, -inf), None),
        ("max", (inf, 1.0, -inf), inf),
        ("min", (inf, 1.0, -inf), -inf),
        ("sum", (1e308, 1e308, -1e308), 1e308),
        ("sum", (1e308, 1e308, 1e308, -1e308), None),
        ("sum", (inf, 1e308, 1e308, -1e308), inf),
        ("mean", (1e308, 1e308, -1e308, -1e308), 0.0),
        ("sum", (True, 2, 0.5), 3.5),
        ("max", (), None),
    ],
)
def test_a_window_is_the_same_in_any_order(fold: Fold, values: tuple[Value, ...], expected: Value) -> None:
    feature = WindowSpec(output="w", source=SourceName("s"), entity=(), fold=fold, column="c")
    assert {fold_values(feature, order, fractional=True) for order in permutations(values)} == {expected}
