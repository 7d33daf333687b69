"""A version in a worker: user code that raises whatever it likes is charged to its version, and nothing else."""

import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from evertrain.core.identity import ServiceName, digest_of
from evertrain.core.model import Manifest, Output
from evertrain.core.schema import Column, Input, Schema, Value
from evertrain.core.time import Instant
from evertrain.deploy.version import Loaded, Recent, ScoreError
from evertrain.errors import ModelError

NOW = Instant(0)


class Odd:
    """A model of one number that does what it is told with a negative one."""

    def __init__(self, deed: Callable[[float], float]) -> None:
        self._deed = deed

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        return np.array([self._deed(n) if n < 0 else 0.5 for (n,) in vectors if isinstance(n, float)])

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.score(rows.tolist())


def loaded(deed: Callable[[float], float]) -> Loaded:
    manifest = Manifest(
        service=ServiceName("shop"),
        format="callable",
        model=digest_of("model"),
        bundle=None,
        features=digest_of("features"),
        inputs=Schema((Column(name="n", type="float64"),)),
        vector=(Input(name="n"),),
        output=Output(),
    )
    return Loaded(manifest, None, Odd(deed), lambda row, _: tuple(row.values()))


def leave(_: float) -> float:
    sys.exit("bye")


def tell(n: float) -> float:
    raise KeyError(f"account {n:g}")


def recent(*numbers: float) -> list[Recent]:
    return [((n,), NOW) for n in numbers]


def test_user_code_that_exits_costs_its_request_alone() -> None:
    with pytest.raises(ScoreError, match="SystemExit: bye"):
        loaded(leave).answer([(-1.0,)], [NOW])


def test_a_recent_request_that_fails_keeps_no_version_out() -> None:
    loaded(tell).warm(recent(1.0, -7.0), hidden=False)
    loaded(tell).warm([], hidden=False)
    loaded(tell).warm([((1.0, "of other columns"), NOW)], hidden=False)


def test_a_version_that_answers_no_recent_request_does_not_come_up() -> None:
    with pytest.raises(ModelError, match="answers none of the newest 2 requests: KeyError: 'account -7'"):
        loaded(tell).warm(recent(-1.0, -7.0), hidden=False)
    with pytest.raises(ModelError, match=r"KeyError \(what it says may be personal\)") as told:
        loaded(tell).warm(recent(-7.0), hidden=True)
    assert "account" not in str(told.value)


class Unsayable(Exception):  # noqa: N818 - a user's
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no shop \udcff"), "ValueError: no shop \\udcff"),
        (Unsayable(), "Unsayable"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_user_code_raises_can_be_written_down(error: Exception, said: str) -> None:
    def fail(_: float) -> float:
        raise error

    with pytest.raises(ScoreError) as told:
        loaded(fail).answer([(-1.0,)], [NOW])
    assert (told.value.cause, told.value.what) == ("error", said)
    assert told.value.told(hidden=False).encode() == said.encode()
