"""Numbers in JSON are of the datatype that their tensor names, or are refused by their place."""

from typing import Any

import numpy as np
import pytest

from evertrain.core.schema import Column, Kind, Schema
from evertrain.deploy.column import Columns
from evertrain.deploy.tensor import Tensor, values
from evertrain.errors import RequestError


def taken(kind: Kind, datatype: str, data: list[Any]) -> list[Any]:
    """What a column of this kind takes from a tensor of this datatype, up to the check of the column itself."""
    columns = Columns(Schema((Column(name="x", type=kind, nullable=True),)))
    tensor = Tensor(name="x", shape=(len(data),), datatype=datatype, data=data)
    return list(columns.values("x", values(tensor, None, len(data), columns)))


@pytest.mark.parametrize(
    ("kind", "datatype", "outside", "says"),
    [
        ("int64", "INT8", 300, "element 1 is 300, and INT8 holds -128 to 127."),
        ("int64", "INT16", -32_769, "element 1 is -32769, and INT16 holds -32,768 to 32,767."),
        ("int64", "INT32", 1 << 31, "element 1 is 2147483648, and INT32 holds -2,147,483,648 to 2,147,483,647."),
        ("int64", "UINT8", -1, "element 1 is -1, and UINT8 holds 0 to 255."),
        ("int64", "UINT64", -1, "element 1 is -1, and UINT64 holds 0 to "),
        ("int64", "UINT16", 65_536.0, "element 1 is 65536.0, and UINT16 holds 0 to 65,535."),
        ("float64", "FP16", 1e5, "element 1 is 100000.0, and FP16 holds -6.55e+04 to 6.55e+04."),
        ("float64", "FP32", -1e39, "element 1 is -1e+39, and FP32 holds -3.4e+38 to 3.4e+38."),
        ("int64", "INT64", 1.5, "1.5 is not an int64"),
        ("int64", "INT64", 1 << 63, "9223372036854775808 is not an int64"),
        ("int64", "INT8", 1.5, "1.5 is not an int64"),
        ("int64", "INT8", "300", "'300' is not an int64"),
        ("bool", "BOOL", 2, "2 is not a bool"),
    ],
)
@pytest.mark.parametrize("beside", [1, None])
def test_a_number_outside_of_its_datatype_is_refused_with_its_place(
    kind: Kind, datatype: str, outside: Any, says: str, beside: int | None
) -> None:
    first = bool(beside) if kind == "bool" and beside else beside
    with pytest.raises(RequestError) as told:
        taken(kind, datatype, [first, outside])
    assert says in told.value.what
    assert "Column 'x'" in told.value.what
    assert told.value.field == "x"


@pytest.mark.parametrize(
    ("datatype", "low", "high"), [("INT8", -128, 127), ("UINT8", 0, 255), ("UINT32", 0, 2**32 - 1)]
)
def test_the_least_and_the_greatest_number_of_a_datatype_are_taken(datatype: str, low: int, high: int) -> None:
    assert taken("int64", datatype, [low, None, high]) == [low, None, high]
    assert taken("int64", datatype, []) == []


@pytest.mark.parametrize("datatype", ["FP16", "FP32"])
def test_a_float_as_its_own_type_prints_it_is_taken(datatype: str) -> None:
    most = np.finfo(np.float16 if datatype == "FP16" else np.float32).max
    assert taken("float64", datatype, [float(str(most)), -float(str(most))]) == [float(str(most)), -float(str(most))]
    with pytest.raises(RequestError, match=f"and {datatype} holds"):
        taken("float64", datatype, [float(most) * 1.01])
