"""The tables of what workers logged, also those that were begun before there were classes."""

from pathlib import Path

import pytest

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Predicted
from evertrain.core.time import Instant
from evertrain.data.commit import predictions_table
from evertrain.data.prediction import ServiceTables
from evertrain.store.segment import Position
from evertrain.store.table import Table

SERVICE = ServiceName("trips")


def answered(number: int) -> Predicted:
    return Predicted(
        id=f"p{number}",
        service=SERVICE,
        version=VersionId("v"),
        key="",
        at=Instant(0),
        received=Instant(0),
        row=(1,),
        vector=(),
        score=0.5,
        arm="champion",
        assigned="champion",
        latency_us=1,
        scores=(0.25, 0.5, 0.25),
    )


def committed(folder: Path, number: int) -> None:
    tables = ServiceTables(folder, SERVICE)
    tables.add(Position(writer="w0", sequence=number, offset=64), answered(number))
    tables.commit(Instant(0))


@pytest.mark.parametrize("begun_before", [False, True])
def test_probabilities_of_classes_are_kept_where_the_table_has_room_for_them(
    tmp_path: Path, begun_before: bool
) -> None:
    committed(tmp_path / "new", 1)
    rows = Table(tmp_path / "new", predictions_table(SERVICE)).read(0)
    assert rows["scores"].to_list() == ["[0.25,0.5,0.25]"]
    assert rows["vector"].to_list() == rows["row"].to_list() == ["[1]"]
    folder = tmp_path / "new"
    if begun_before:
        folder = tmp_path / "old"
        Table(folder, predictions_table(SERVICE)).append(rows.drop("scores"), writer="w0", sequence=1)
    committed(folder, 2)
    after = Table(folder, predictions_table(SERVICE)).read(1)
    assert after.height == 2
    assert after.columns == (rows.drop("scores") if begun_before else rows).columns
