"""Which time is the newest, and from where on labels have come in part only."""

import numpy as np

from evertrain.core.time import DAY, HOUR, Span
from evertrain.monitor.stretch import cut_blocks, newest_from, shared_block, unsettled_tail

DAYS = np.repeat(np.arange(100), 50) * DAY
EVERY = np.ones(len(DAYS), dtype=np.bool_)


def test_blocks_are_as_long_as_the_rows_let_them() -> None:
    assert cut_blocks(DAYS, EVERY).size == DAY
    assert cut_blocks(DAYS // 24, EVERY).size == HOUR * 1
    assert cut_blocks(np.zeros(50, dtype=np.int64), EVERY[:50]).size is None
    assert shared_block(DAYS[:500], DAYS[500:1000]) == DAY


def test_the_newest_stretch_is_a_quarter_or_what_was_asked_for() -> None:
    assert newest_from(DAYS, DAY, None) == 75 * DAY
    assert newest_from(DAYS, DAY, Span(7 * DAY)) == 93 * DAY
    assert newest_from(DAYS, DAY, Span(200 * DAY)) is None
    burst = np.concatenate([DAYS[:4800], np.full(10, 400 * DAY)])
    assert newest_from(burst, DAY, None) == 92 * DAY  # five blocks at least, though a quarter of the time holds one


def test_labels_that_have_come_in_part_are_found_and_a_share_that_was_never_labelled_is_not() -> None:
    source = np.random.default_rng(3)
    label = np.where(source.random(len(DAYS)) < 0.3, 1.0, 0.0)
    assert unsettled_tail(DAYS, EVERY, label, DAY) is None
    sampled = np.where(source.random(len(DAYS)) < 0.2, label, np.nan)
    assert unsettled_tail(DAYS, EVERY, sampled, DAY) is None
    early = np.where((DAYS >= 90 * DAY) & (label == 0.0), np.nan, label)
    tail = unsettled_tail(DAYS, EVERY, early, DAY)
    assert tail is not None
    assert (tail.start, tail.due, tail.usual) == (90 * DAY, 500, 1.0)
    assert tail.mean[0] == 1.0
    assert unsettled_tail(DAYS, DAYS < 90 * DAY, early, DAY) is None  # a horizon leaves them out
