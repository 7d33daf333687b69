"""What `et.sql` and `et.frame` take and refuse."""

from typing import Any

import pytest

import evertrain as et
from evertrain.config.origin import filled, waiting
from evertrain.core.time import DAY, HOUR
from evertrain.errors import DeclarationError

URL = "postgresql://shop:${SHOP_PASSWORD}@db/shop"


def declared(**changes: Any) -> Any:
    return et.Source("orders", et.sql(URL, "SELECT 1;\n", **changes), key="id", event_time="t", known_at="seen").sql


def test_a_query_is_read_by_the_column_of_the_known_at_time() -> None:
    found = declared()
    assert (found.cursor, found.query, found.url) == ("seen", "SELECT 1", URL)
    assert (found.overlap, found.sweep) == (HOUR, DAY)
    assert declared(cursor="updated").cursor == "updated"
    assert declared(overlap="5m").overlap == HOUR // 12
    assert declared(overlap=7).overlap_values == 7


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"page_rows": 0}, "out of bounds: .*page_rows"),
        ({"timeout_s": 10_000}, "out of bounds: .*timeout_s"),
        ({"sweep": "1s"}, "out of bounds: .*sweep"),
        ({"overlap": "long"}, "long"),
        ({"curser": "id"}, 'Did you mean "cursor"'),
    ],
)
def test_what_is_out_of_bounds_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        declared(**changes)


def test_the_cursor_must_be_a_declared_column_that_can_grow() -> None:
    def service(**columns: str) -> None:
        known = {"id": "int64", "t": "timestamp", "bad": "bool"} | columns
        source = et.Source("orders", et.sql(URL, "SELECT 1", cursor="at"), key="id", event_time="t", columns=known)
        asked = et.Examples(source, key="id", at="t", request=["id", "t"])
        label = et.Label(source=source, of=asked, value="bad", horizon="1d")
        et.Service("late", examples=asked, label=label, train=test_the_cursor_must_be_a_declared_column_that_can_grow)

    service(at="int64")
    with pytest.raises(DeclarationError, match="The cursor reads column 'at', which source 'orders' does not have"):
        service()
    with pytest.raises(DeclarationError, match="The cursor reads column 'at' of source 'orders', which is string"):
        service(at="string")


def test_a_secret_is_filled_in_so_that_no_character_breaks_the_url() -> None:
    given = {"SHOP_PASSWORD": "a@b/c:d", "PLACE": "db:5432/shop", "ALL": "sqlite:///x.db"}
    assert filled(URL, given)[0] == "postgresql://shop:a%40b%2Fc%3Ad@db/shop"
    assert filled("postgresql://shop@${PLACE}", given)[0] == "postgresql://shop@db:5432/shop"
    assert filled("${ALL}", given) == ("sqlite:///x.db", ("sqlite:///x.db",))
    with pytest.raises(DeclarationError, match=r"names \$\{SHOP_PASSWORD\}, which the environment does not have"):
        filled(URL, {})


def test_a_table_waits_until_it_is_written() -> None:
    waiting()
    with pytest.raises(DeclarationError, match="got list, which is no DataFrame"):
        et.frame([1, 2])
    import polars as pl

    table = pl.DataFrame({"id": [1]})
    source = et.Source("orders", et.frame(table), key="id", event_time="t")
    assert source.files == ".frames/orders.parquet"
    assert [(str(path), kept is table) for path, kept in waiting().items()] == [(".frames/orders.parquet", True)]
    assert waiting() == {}
