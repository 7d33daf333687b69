"""Inference compatibility: golden requests put to a version in its check server, before any judgement of quality."""

import math
import time
from typing import Final

import msgspec

from evertrain.core.golden import Golden
from evertrain.core.model import Manifest
from evertrain.core.score import RowScore, fault_of
from evertrain.core.trial import Answer, say_fault
from evertrain.model.checkserver import CheckServer
from evertrain.model.golden import UNSEEN, without_categories

__all__ = ["Inspection", "inspect"]

_TIMED: Final = 200
_MOST: Final = 3
_LONGEST_MS: Final = 5_000.0
"""Nobody waits longer for an answer, and to ask such a version everything would take an hour."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. faults: in words, empty when all is well; the first few of each kind. failed: in so many golden
    requests one was seen.

    p50_ms, p99_ms: of `requests` single requests, features included, from sending to receiving. own_p99_ms: the same
    without what they waited for a processor, None where that is not counted. null_score,
    unseen_score: None where the version has no categories.
    """

    faults: tuple[str, ...]
    failed: int
    p50_ms: float
    p99_ms: float
    requests: int
    own_p99_ms: float | None = None
    null_score: RowScore | None = None
    unseen_score: RowScore | None = None


def inspect(server: CheckServer, manifest: Manifest, golden: Golden, *, longest_ms: float = _LONGEST_MS) -> Inspection:
    """Ask vectors at once, vectors one by one, and whole requests. Raises ModelError when the server goes down.

    longest_ms: a version whose first answer takes longer than that by itself is asked nothing else.
    """
    if golden.requests:
        _, took, own_ms = _timed(server, golden, 0)
        if (took if own_ms is None else own_ms) > longest_ms:
            fault = f"Request 0 took {took / 1e3:.2g} s; no version may take more than {longest_ms / 1e3:g} s."
            return Inspection(faults=(fault,), failed=1, p50_ms=took, p99_ms=took, requests=1, own_p99_ms=own_ms)
    vector_faults = _vector_faults(server, manifest, golden)
    faults = list(vector_faults.values())[:_MOST]
    request_faults, times, own = _time_requests(server, golden)
    null, unseen = _category_scores(server, manifest, golden)
    if null != unseen and not _both_nan(null, unseen):
        faults.append(f"A category never seen in training scores {unseen}, a missing one {null}; they must be equal.")
    return Inspection(
        faults=(*faults, *request_faults.values()),
        failed=len({*vector_faults, *request_faults}),
        p50_ms=_quantile(times, 0.5),
        p99_ms=_quantile(times, 0.99),
        requests=len(times),
        own_p99_ms=None if len(own) < len(times) else _quantile(own, 0.99),
        null_score=null,
        unseen_score=unseen,
    )


def _both_nan(null: RowScore | None, unseen: RowScore | None) -> bool:
    """Whether neither is a number, which is told of the golden requests already."""
    return all(isinstance(one, float) and math.isnan(one) for one in (null, unseen))


def _vector_faults(server: CheckServer, manifest: Manifest, golden: Golden) -> dict[int, str]:
    """By the number of the golden request."""
    vectors = [request.vector for request in golden.requests]
    together = server.score(vectors)
    faults = {}
    for number, (request, score) in enumerate(zip(golden.requests, together, strict=True)):
        (alone,) = server.score([request.vector])
        fault = fault_of(score, manifest.output)
        if fault is not None:
            faults[number] = f"Golden request {number}: {fault[1]}."
        elif alone != score:
            faults[number] = f"Golden request {number} scores {alone} alone and {score} in a batch."
        elif request.score is not None and request.score != score:
            faults[number] = f"Golden request {number} scores {score}, it was packaged with {request.score}."
    return faults


def _time_requests(server: CheckServer, golden: Golden) -> tuple[dict[int, str], list[float], list[float]]:
    """Faults by the number of the golden request; milliseconds of each, as measured and without waiting."""
    faults: dict[int, str] = {}
    times: list[float] = []
    own: list[float] = []
    broken = 0
    for number in range(_TIMED if golden.requests else 0):
        answer, took, own_ms = _timed(server, golden, number)
        times.append(took)
        if own_ms is not None:
            own.append(own_ms)
        if not answer.ok:
            place = number % len(golden.requests)
            faults[place] = f"Request {place}: {say_fault(answer)}."
            broken += 1
            if broken == _MOST:
                break
    return faults, times, own


def _timed(server: CheckServer, golden: Golden, number: int) -> tuple[Answer, float, float | None]:
    """An answer, the milliseconds until it was there, and those without what it waited for a processor."""
    request = golden.requests[number % len(golden.requests)]
    before, begun = server.waited_ms(), time.perf_counter()
    answer = server.predict(f"golden-{number}", request.row, request.at)
    took = (time.perf_counter() - begun) * 1e3
    after = server.waited_ms()
    own = None if before is None or after is None else took - min(max(after - before, 0.0), took)
    return answer, took, own


def _category_scores(
    server: CheckServer, manifest: Manifest, golden: Golden
) -> tuple[RowScore, RowScore] | tuple[None, None]:
    if not golden.requests:
        return None, None
    first = golden.requests[0].vector
    null, unseen = (without_categories(manifest.vector, first, text) for text in (None, UNSEEN))
    if null is None or unseen is None:
        return None, None
    null_score, unseen_score = server.score([null, unseen])
    return null_score, unseen_score


def _quantile(times: list[float], share: float) -> float:
    """The nearest-rank quantile of measured times, 0 when there are none.

    >>> _quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    return sorted(times)[math.ceil(share * len(times)) - 1] if times else 0.0
