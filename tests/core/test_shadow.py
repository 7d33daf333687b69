"""What a shadow's scores look like beside the answers, whatever it says."""

import math

from evertrain.core.shadow import Alike


def test_scores_beyond_what_can_be_squared_have_no_correlation() -> None:
    huge = Alike().after([(1e200, 0.1, False), (-1e300, 0.2, False), (1e308, 0.3, True)])
    assert huge.correlation is None
    assert "no correlation is defined" in huge.words
    large = Alike().after([(1e150, 0.1, False), (2e150, 0.2, False), (3e150, 0.3, False)])
    assert large.correlation is not None
    assert math.isclose(large.correlation, 1.0)
