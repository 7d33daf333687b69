"""Cutting mature examples into what a challenger learns from and what it is judged on.

A frame of examples has the columns `key` (String), `at` and `mature_at` (Int64, microseconds UTC), `label` (Float64,
null where it is missing), then `request.<name>` for the caller's columns and `feature.<name>` for the model's inputs.
Instants are plain integers in it, so that no time zone or unit is left to chance.
"""

import io
from typing import Final

import msgspec
import polars as pl

from evertrain.core.time import Instant, Span

__all__ = ["FEATURE", "REQUEST", "Split", "parquet", "read_parquet", "split"]

REQUEST: Final = "request."
FEATURE: Final = "feature."

_SLACK: Final = 8
"""The part of a holdout that may lie after the newest label: nights and weekends without a row are no end."""


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Training and holdout rows, both labelled and in canonical order.

    training: mature at `boundary` or before, so that no label of it was still open when the holdout began.
    holdout: prediction times in (boundary, end]. Every example asked for until `end` is mature at the cut: the
    cohorts are whole, and slow labels are not under-represented. missing: share of mature examples without a label.
    """

    training: pl.DataFrame
    holdout: pl.DataFrame
    boundary: Instant
    end: Instant
    missing: float


def split(examples: pl.DataFrame, *, cut: Instant, holdout: Span) -> Split:
    """Split mature examples out of time; either side may be empty while history is short.

    The newest whole cohort ends at the cut less the longest time that an example took to mature, but not long after
    the newest label: a history that ended a while ago has a holdout too. Neither end ever moves back while rows come,
    so no version was trained on rows that a later one is judged on.
    """
    mature = examples.filter(pl.col("mature_at") <= cut).sort("at", "key")
    longest = int(mature.select((pl.col("mature_at") - pl.col("at")).max()).item() or 0)
    labelled = mature.filter(pl.col("label").is_not_null())
    end = Instant(cut - max(longest, 0))
    if labelled.height:
        end = Instant(min(end, int(labelled["at"][-1]) + holdout // _SLACK))
    boundary = Instant(end - holdout)
    return Split(
        training=labelled.filter(pl.col("mature_at") <= boundary),
        holdout=labelled.filter((pl.col("at") > boundary) & (pl.col("at") <= end)),
        boundary=boundary,
        end=end,
        missing=1.0 - labelled.height / mature.height if mature.height else 0.0,
    )


def parquet(frame: pl.DataFrame) -> bytes:
    """The frame as a Parquet file; equal frames give equal bytes under one version of Polars."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer, compression="zstd", compression_level=1, row_group_size=frame.height or 1)
    return buffer.getvalue()


def read_parquet(content: bytes) -> pl.DataFrame:
    """The frame back, in the order in which it was written."""
    return pl.read_parquet(io.BytesIO(content))
