import os
from pathlib import Path

import pytest

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.routing import Arm, Route, RoutingTable
from evertrain.errors import IntegrityError, TransitionError
from evertrain.store.routing import RoutingFile

SHOP = ServiceName("shop")


def table(generation: int, champion: str = "a" * 64) -> RoutingTable:
    canary = Arm(version=VersionId("b" * 64), share=0.05, deadline_s=1.0)
    route = Route(service=SHOP, champion=VersionId(champion), canary=canary, salt="s")
    return RoutingTable(generation=generation, routes={SHOP: route})


def test_before_the_first_table_there_are_no_routes(tmp_path: Path) -> None:
    file = RoutingFile(tmp_path / "routing.json")
    assert file.read() == RoutingTable(generation=0, routes={})
    assert file.changed(0) is None


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    RoutingFile(path).publish(table(1))
    assert RoutingFile(path).read() == table(1)


@pytest.mark.parametrize("generation", [2, 1, 0])
def test_only_a_higher_generation_replaces_a_table(tmp_path: Path, generation: int) -> None:
    path = tmp_path / "routing.json"
    RoutingFile(path).publish(table(2))
    with pytest.raises(TransitionError, match="table 2 stands"):
        RoutingFile(path).publish(table(generation, champion="c" * 64))
    assert RoutingFile(path).read() == table(2)


def test_a_reader_sees_each_new_table_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    reader, writer = RoutingFile(path), RoutingFile(path)
    writer.publish(table(1))
    assert reader.changed(0) == table(1)
    assert reader.changed(1) is None
    writer.publish(table(2))
    assert reader.changed(1) == table(2)


def test_a_reader_that_fell_behind_gets_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    reader, writer = RoutingFile(path), RoutingFile(path)
    writer.publish(table(1))
    assert reader.changed(1) is None
    assert reader.changed(0) == table(1)


def test_tables_of_one_tick_are_told_apart(tmp_path: Path) -> None:
    """Fast file systems reuse an inode at once and their clock ticks every few milliseconds."""
    path = tmp_path / "routing.json"
    reader, writer = RoutingFile(path), RoutingFile(path)
    writer.publish(table(1))
    for generation in range(2, 40):
        reader.read()
        writer.publish(table(generation, champion="c" * 64))
        writer.publish(table(generation + 1000 * generation, champion="d" * 64))
        found = reader.changed(generation - 1)
        assert found is not None
        assert found.generation == 1001 * generation
        path.unlink()
        writer = RoutingFile(path)


def test_nothing_new_costs_a_stat_and_no_read(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    reader = RoutingFile(path)
    RoutingFile(path).publish(table(1))
    assert reader.changed(0) is not None
    stamp = path.stat().st_mtime_ns
    inode_content = b"x" * path.stat().st_size
    with path.open("r+b") as file:
        file.write(inode_content)
    os.utime(path, ns=(stamp, stamp))
    assert reader.changed(1) is None  # it would have stumbled over the content


def test_a_spoilt_table_is_named_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    path.write_text('{"generation": 1')
    with pytest.raises(IntegrityError, match=r"routing\.json is not a routing table") as caught:
        RoutingFile(path).read()
    assert "controller" in caught.value.remedy
