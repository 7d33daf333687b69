"""The online path gives what a brute force gives, whatever the order and the portions in which rows arrive."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evertrain.config.declaration import ServiceSpec
from evertrain.core.schema import Value
from evertrain.core.time import Instant
from evertrain.data.online import OnlineFeatures, OnlineWriter, online_features
from evertrain.errors import UnavailableError
from evertrain.store.state import State
from evertrain.testing.oracle import Row, features


def typed(value: Value) -> tuple[type, str]:
    """A value with its type and all of its digits."""
    return type(value), repr(value)


def begin(spec: ServiceSpec, folder: Path) -> tuple[OnlineWriter, OnlineFeatures]:
    state = State.create(folder)
    writer = OnlineWriter(spec, state)
    for name in writer.lacking:
        writer.complete(name)
    return writer, online_features(spec, state, None)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_features_equal_a_brute_force(shop: Any, drawn: st.DataObject) -> None:
    history = drawn.draw(shop.history)
    with tempfile.TemporaryDirectory() as folder:
        writer, function = begin(shop.service, Path(folder))
        for source in shop.service.sources:
            rows = drawn.draw(st.permutations(history[source.name]))
            cut = drawn.draw(st.integers(0, len(rows)))
            for portion in (rows[:cut], rows[cut:], rows[:cut]):
                writer.write(source.name, shop.frame(source, portion))
        for place in ("a", "b", "", None):
            for at in range(1, 36, 2):
                truth = features(shop.service, history, {"shop": place}, at)
                values = function({"id": 0, "shop": place}, Instant(at))
                assert list(map(typed, values)) == list(map(typed, truth.values())), (place, at, truth)
        function.close()
        writer.close()


def test_events_of_one_key_that_become_known_together_are_all_kept(shop: Any) -> None:
    visit: Row = {"id": 2, "shop": "a", "_known_at": 1, "n": None, "vip": None}
    rows: list[Row] = [{**visit, "t": 2, "x": 1e16}, {**visit, "t": 1, "x": None}]
    history = {source.name: rows if source.name == "visits" else [] for source in shop.service.sources}
    with tempfile.TemporaryDirectory() as folder:
        writer, function = begin(shop.service, Path(folder))
        for source in shop.service.sources:
            writer.write(source.name, shop.frame(source, history[source.name]))
        truth = features(shop.service, history, {"shop": "a"}, 1)
        assert truth["smallest"] == 1e16
        values = function({"id": 0, "shop": "a"}, Instant(1))
        assert list(map(typed, values)) == list(map(typed, truth.values()))


def row(at: int, shop: str = "a", key: int = 1, *, known: int | None = None, n: int | None = None) -> dict[str, Value]:
    return {
        "id": key,
        "t": at,
        "shop": shop,
        "n": n,
        "x": None,
        "vip": None,
        "_known_at": at if known is None else known,
    }


def test_a_late_row_does_not_overwrite_a_newer_one_and_null_is_not_stale(shop: Any, tmp_path: Path) -> None:
    """Fresh, stale, null, unknown and expired, by the minutes since the row beside its value."""
    writer, function = begin(shop.service, tmp_path)
    visits = shop.service.source("visits")
    for one in (row(20, n=5), row(19, key=2, n=3, known=21), row(23, key=3, n=None)):
        writer.write("visits", shop.frame(visits, [one]))
    place = {name: number for number, name in enumerate(shop.service.vector)}

    def last(at: int, where: str = "a") -> tuple[Value, bool]:
        values = function({"id": 0, "shop": where}, Instant(at))
        return values[place["last_n"]], values[place["minutes"]] is not None

    assert last(19) == (None, False)  # unknown
    assert last(22) == (5, True)  # the late row with the earlier event time changes nothing
    assert last(23) == (None, True)  # a null is a value
    assert last(28) == (None, True)  # expired: its age is told
    assert last(22, "nobody") == (None, False)
    function.close()
    writer.close()


@pytest.mark.parametrize(("at", "value"), [(23, 7), (24, 7), (25, None)])
def test_a_value_as_old_as_its_time_to_live_still_counts(shop: Any, tmp_path: Path, at: int, value: Value) -> None:
    writer, function = begin(shop.service, tmp_path)
    writer.write("visits", shop.frame(shop.service.source("visits"), [row(20, n=7)]))
    values = function({"id": 0, "shop": "a"}, Instant(at))
    assert values[shop.service.vector.index("last_n")] == value
    function.close()
    writer.close()


def test_a_request_before_the_states_are_complete_is_told_to_retry(shop: Any, tmp_path: Path) -> None:
    state = State.create(tmp_path)
    function = online_features(shop.service, state, None)
    with pytest.raises(UnavailableError, match="no online states"):
        function({"id": 0, "shop": "a"}, Instant(1))
    writer = OnlineWriter(shop.service, state)
    assert set(writer.lacking) == {"visits", "closings", "places"}
    writer.write("visits", shop.frame(shop.service.source("visits"), [row(1)]))
    with pytest.raises(UnavailableError, match="not complete yet"):
        function({"id": 0, "shop": "a"}, Instant(1))
    for name in writer.lacking:
        writer.complete(name)
    assert function({"id": 0, "shop": "a"}, Instant(1))[0] == "a"
    function.close()
    writer.close()


def test_a_new_definition_gets_states_of_its_own_and_the_old_ones_go_on(shop: Any, tmp_path: Path) -> None:
    writer, old = begin(shop.service, tmp_path)
    visits = shop.service.source("visits")
    rows = [row(20, n=7), row(21, key=2, n=8)]
    writer.write("visits", shop.frame(visits, rows[:1]))
    changed = msgspec.structs.replace(shop.service, features=shop.service.features[:3])
    both = OnlineWriter([shop.service, changed], State.open(tmp_path))
    assert both.lacking == ("visits",)
    both.write("visits", shop.frame(visits, rows[:1]))
    both.complete(visits.name)
    both.write("visits", shop.frame(visits, rows[1:]))
    new = online_features(changed, State.open(tmp_path), None)
    asked: dict[str, Value] = {"id": 0, "shop": "a"}
    assert new(asked, Instant(22)) == ("a", 2, 2)
    assert old(asked, Instant(22)) == tuple(
        features(shop.service, {"visits": rows, "closings": [], "places": []}, {"shop": "a"}, 22).values()
    )
    for one in (old, new, both, writer):
        one.close()


WRITING = """
import sys
from pathlib import Path
import msgspec, polars as pl
from evertrain.config.declaration import ServiceSpec
from evertrain.data.online import OnlineWriter
from evertrain.store.state import State
spec = msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=ServiceSpec)
writer = OnlineWriter(spec, State.open(Path(sys.argv[1])))
rows = pl.read_parquet(sys.argv[3])
for name in writer.lacking:
    writer.complete(name)
for portion in rows.iter_slices(5):
    writer.write("visits", portion)
"""


@pytest.mark.parametrize("point", ["online.before_commit", "online.after_commit:2", "online.before_commit:3"])
def test_a_killed_writer_writes_again_and_nothing_counts_twice(shop: Any, tmp_path: Path, point: str) -> None:
    State.create(tmp_path / "state").path.resolve()
    rows = [row(at, key=at, n=1) for at in range(1, 20)]
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(shop.service))
    shop.frame(shop.service.source("visits"), rows).write_parquet(tmp_path / "rows.parquet")
    command = [
        sys.executable,
        "-c",
        WRITING,
        *(str(tmp_path / name) for name in ("state", "spec.json", "rows.parquet")),
    ]
    killed = subprocess.run(command, env=os.environ | {"EVERTRAIN_CRASH_AT": point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    subprocess.run(command, check=True)
    function = online_features(shop.service, State.open(tmp_path / "state"), None)
    asked: dict[str, Value] = {"id": 0, "shop": "a"}
    truth = features(shop.service, {"visits": rows, "closings": [], "places": []}, {"shop": "a"}, 19)
    assert function(asked, Instant(19)) == tuple(truth.values())
    function.close()
