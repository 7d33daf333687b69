"""Records are read at once where nothing about them is unusual, and that must never show."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.schema import Column, Kind, Schema
from evertrain.deploy.body import Limits
from evertrain.deploy.column import Columns
from evertrain.deploy.record import Records
from evertrain.errors import EvertrainError, RequestError, TooLargeError

KINDS: tuple[Kind, ...] = ("string", "int64", "float64", "bool", "timestamp")
SCHEMA = Schema(
    (
        *(Column(name=kind, type=kind) for kind in KINDS),
        *(Column(name=f"maybe {kind}", type=kind, nullable=True) for kind in KINDS),
        Column(name="bounded", type="float64", low=0.0, high=1.0),
    )
)
COLUMNS = Columns(SCHEMA, "UTC")
RECORDS = Records(SCHEMA, COLUMNS)

FIT: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=4) | st.sampled_from(["05:00", 'a": b', " :"]),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-100, 100),
    "bool": st.booleans(),
    "timestamp": st.integers(0, 10**15) | st.sampled_from(["2013-02-06T05:00:00Z", "2013-02-06"]),
}
ODD = (
    st.none()
    | st.booleans()
    | st.sampled_from([2**53 + 1, 2**63, 10**400, 5.0, -0.0, 1e300, "", "NaN", "5"])
    | st.lists(st.integers(), max_size=1)
    | st.dictionaries(st.just("a"), st.integers(), max_size=1)
)


def _fitting() -> st.SearchStrategy[dict[str, Any]]:
    columns = {column.name: FIT[column.type] for column in SCHEMA.columns if column.name != "bounded"}
    nullable = {name: st.none() | values if name.startswith("maybe") else values for name, values in columns.items()}
    return st.fixed_dictionaries({**nullable, "bounded": st.floats(0.0, 1.0)})


@st.composite
def _records(draw: st.DrawFn) -> dict[str, Any]:
    """A record that fits, but for at most one value, a column that it lacks, or one that nobody knows."""
    record = draw(_fitting())
    name = draw(st.sampled_from(SCHEMA.names))
    match draw(st.sampled_from(["fits", "odd", "lacks", "more"])):
        case "odd":
            record[name] = draw(ODD)
        case "lacks":
            del record[name]
        case "more":
            record["other"] = draw(ODD)
    return record


def _outcome(read: Any) -> object:
    try:
        return [[(type(value), value) for value in row] for row in read()]
    except EvertrainError as error:
        return type(error), error.what, error.remedy


@given(_records(), st.sampled_from([None, 1]))
def test_a_record_becomes_the_row_that_its_values_make_one_by_one(record: dict[str, Any], indent: int | None) -> None:
    body = json.dumps(record, indent=indent).encode()
    assert _outcome(lambda: RECORDS.read(body, Limits())) == _outcome(lambda: [COLUMNS.row(record)])


@given(st.lists(_fitting(), min_size=1, max_size=3))
def test_several_records_become_their_rows_in_order(records: list[dict[str, Any]]) -> None:
    body = json.dumps({"rows": records}).encode()
    assert RECORDS.read(body, Limits()) == [COLUMNS.row(record) for record in records]


FITS: dict[str, Any] = {
    "string": "a",
    "int64": 1,
    "float64": 0.5,
    "bool": True,
    "timestamp": 0,
    "bounded": 0.5,
    **{f"maybe {kind}": None for kind in KINDS},
}


def _body(record: dict[str, Any], **changed: str) -> str:
    """The record as JSON; what is changed is written as it is given."""
    return "{" + ", ".join(f"{json.dumps(k)}: {changed.get(k, json.dumps(v))}" for k, v in record.items()) + "}"


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (_body(FITS).replace("{", '{"int64": 2, '), RequestError, "'int64' comes twice"),
        ('{"rows": [' + _body(FITS).replace("{", '{"int64": 2, ') + "]}", RequestError, "'int64' comes twice"),
        (_body(FITS).replace('"maybe bool": null', '"bool": false'), RequestError, "'bool' comes twice"),
        ('{"rows": [' + _body(FITS) + ", " + _body(FITS, bool="1") + "]}", RequestError, "Row 1: Column 'bool'"),
        ('{"rows": []}', RequestError, "no rows"),
        ("[" + _body(FITS) + "]", RequestError, r'The body is a list. Send rows as {"rows": \[...\]}'),
        ("[" + _body(FITS), RequestError, "not JSON"),
        ('{"rows": [' + ", ".join([_body(FITS)] * 3) + "]}", TooLargeError, "3 rows are over the limit of 2"),
        ('{"rows": [' + _body(FITS) + '], "id": 1}', RequestError, "'id' beside rows"),
        (_body(FITS, float64="1e999"), RequestError, "1e999 at byte [0-9]+ is beyond a float64"),
        (" ", RequestError, "The body is empty. Send JSON, and with it its Content-Length"),
        (_body(FITS, float64="[" * 40 + "]" * 40), RequestError, "nested deeper than 32"),
        (_body(FITS)[:-1], RequestError, "not JSON"),
    ],
)
def test_what_is_odd_is_refused_in_words(body: str, kind: type[EvertrainError], says: str) -> None:
    with pytest.raises(kind, match=says):
        RECORDS.read(body.encode(), Limits(max_rows=2))


def test_a_column_may_be_called_rows() -> None:
    schema = Schema((Column(name="rows", type="int64"),))
    records = Records(schema, Columns(schema))
    assert records.read(b'{"rows": 3}', Limits()) == [(3,)]
    assert records.read(b'{"rows": [{"rows": 3}]}', Limits()) == [(3,)]


def test_a_column_that_may_be_left_out_is_null() -> None:
    body = json.dumps({name: value for name, value in FITS.items() if not name.startswith("maybe")}).encode()
    [row] = RECORDS.read(body, Limits())
    assert row[len(KINDS) : 2 * len(KINDS)] == (None,) * len(KINDS)
