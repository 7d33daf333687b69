"""The versions that are held against each other, and their figures on the same holdout rows."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.card import Figures, SegmentFigures
from evertrain.core.identity import VersionId
from evertrain.core.metric import metric
from evertrain.core.model import Manifest
from evertrain.core.policy import MetricName
from evertrain.errors import UserError
from evertrain.model.assemble import FEATURE, REQUEST
from evertrain.model.checkserver import CheckServer
from evertrain.model.matrix import values_of

__all__ = ["Contender", "column_of", "figures_of", "launched", "score_rows", "segment_figures", "segments_of"]

Floats = NDArray[np.float64]

_MOST_VALUES: Final = 20


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """One version, or a constant, with its scores of the n holdout rows; those of classes are (n, k)."""

    who: str
    version: VersionId | None
    scores: Floats


@contextlib.contextmanager
def launched(servers: Mapping[str, CheckServer]) -> Iterator[None]:
    """Start all servers at once, so that they load side by side, and see that none outlives the block."""
    try:
        for server in servers.values():
            server.launch()
        yield
    finally:
        for server in servers.values():
            server.stop()


def score_rows(server: CheckServer, manifest: Manifest, rows: pl.DataFrame, within_s: float | None = None) -> Floats:
    """The scores of rows by a version, in their order; raises ModelError when it cannot, or not within so long."""
    vectors = values_of(rows, [FEATURE + item.name for item in manifest.vector])
    return np.array(server.score(vectors, within_s), dtype=np.float64)


def column_of(rows: pl.DataFrame, name: str, purpose: str) -> pl.Series:
    """A request column or a feature, by its declared name."""
    for prefix in (REQUEST, FEATURE):
        if prefix + name in rows.columns:
            return rows[prefix + name]
    raise UserError(f"{purpose} {name!r} is no request column and no feature.", "Name one of them.")


def segments_of(rows: pl.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """The value of each row in each segment column, as text; "" for a missing one.

    >>> segments_of(pl.DataFrame({"request.shop": ["a", None], "feature.n": [1, 2]}), ["shop", "n"])
    {'shop': ['a', ''], 'n': ['1', '2']}
    """
    return {
        name: column_of(rows, name, "Segment").cast(pl.String).fill_null("").to_list() for name in dict.fromkeys(names)
    }


def figures_of(
    contenders: Sequence[Contender], label: Floats, names: Sequence[MetricName], weight: Floats | None = None
) -> tuple[Figures, ...]:
    """The metrics of each contender; one that is not defined on these rows is left out."""
    return tuple(
        Figures(
            who=one.who,
            version=one.version,
            rows=len(label),
            metrics={name: figure for name in names if np.isfinite(figure := metric(name, label, one.scores, weight))},
        )
        for one in contenders
    )


def segment_figures(
    contenders: Sequence[Contender],
    label: Floats,
    segments: Mapping[str, Sequence[str]],
    names: Sequence[MetricName],
    weight: Floats | None = None,
) -> tuple[SegmentFigures, ...]:
    """The same for the most frequent values of each segment column, most frequent first."""
    found = []
    for column, values in segments.items():
        texts = np.asarray(values, dtype=np.str_)
        ranked = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
        for value, count in ranked[:_MOST_VALUES]:
            here = texts == value
            if weight is not None and not weight[here].any():
                continue
            parts = [msgspec.structs.replace(one, scores=one.scores[here]) for one in contenders]
            figures = figures_of(parts, label[here], names, None if weight is None else weight[here])
            found.append(SegmentFigures(column=column, value=value, rows=count, figures=figures))
    return tuple(found)
