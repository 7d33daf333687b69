"""Training a version again from its record, and saying how alike the two are.

The three answers are kept apart: the same bytes, other bytes with the same scores, other scores. Whatever is not
bitwise comes with the causes that can be named: packages, interpreter, machine or threads that differ from the record.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evertrain.core.identity import Digest, VersionId
from evertrain.core.stage import Reproduced, TrainingRecord

__all__ = ["compare", "differences"]

UNEXPLAINED = "Everything on record is equal: the recipe depends on something that is not (a clock, unseeded draws)."


def differences(record: TrainingRecord, now: TrainingRecord) -> tuple[str, ...]:
    """What the second run was given that the first was not, in words.

    >>> from evertrain.core.model import DatasetRef
    >>> first = TrainingRecord(service="s", cycle="s/c1", declaration="d", bundle=None, recipe="default", seed=0,
    ...     threads=1, parameters={}, dataset=DatasetRef(digest="d", tables={}, cut=0, rows=1), training="t",
    ...     features="f", environment={"lightgbm": "4.7.0"}, interpreter="3.11.2", platform="linux-x86_64")
    >>> import msgspec
    >>> differences(first, msgspec.structs.replace(first, threads=2, environment={"lightgbm": "4.6.0"}))
    ('threads: 1 on record, 2 now', 'package lightgbm: 4.7.0 on record, 4.6.0 now')
    """
    causes = [
        f"{name}: {getattr(record, name)} on record, {getattr(now, name)} now"
        for name in ("recipe", "seed", "threads", "interpreter", "platform", "bundle", "training")
        if getattr(record, name) != getattr(now, name)
    ]
    causes += _of_mapping("parameter", record.parameters, now.parameters)
    causes += _of_mapping("package", record.environment, now.environment)
    return tuple(causes)


def compare(
    version: VersionId,
    *,
    model: tuple[Digest, Digest],
    scores: tuple[Sequence[float], NDArray[np.float64]],
    records: tuple[TrainingRecord, TrainingRecord],
) -> Reproduced:
    """Judge a second training. Each pair holds what is on record first, what came now second.

    scores: of the golden requests.
    """
    causes = differences(*records)
    if model[0] == model[1]:
        return Reproduced(version=version, sameness="bitwise", causes=causes, largest_difference=0.0)
    recorded, now = np.asarray(scores[0], dtype=np.float64), np.asarray(scores[1], dtype=np.float64)
    largest = float(np.abs(recorded - now).max(initial=0.0))
    return Reproduced(
        version=version,
        sameness="prediction" if np.array_equal(recorded, now) else "different",
        causes=causes or (UNEXPLAINED,),
        largest_difference=largest,
    )


def _of_mapping(what: str, record: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [
        f"{what} {name}: {record.get(name, 'absent')} on record, {now.get(name, 'absent')} now"
        for name in sorted({*record, *now})
        if record.get(name) != now.get(name)
    ]
