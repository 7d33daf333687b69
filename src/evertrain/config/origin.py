"""Where a source's rows come from, other than files: a query on a database, or a table that is in memory."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from evertrain.config.declaration import SqlSpec
from evertrain.config.option import closed
from evertrain.core.identity import SourceName
from evertrain.core.time import parse_span
from evertrain.errors import DeclarationError

__all__ = ["Frame", "Sql", "filled", "frame", "sql", "waiting"]

_PLACE = re.compile(r"\$\{(\w+)\}")
_SECRET_OPTION = re.compile(r"[?&](?P<name>\w*(?:password|passwd|pwd|secret|token)\w*)=(?P<value>[^&]*)", re.IGNORECASE)
_REMEDY = "Write ${NAME} in its place, and give the secret in the environment."


class Sql(msgspec.Struct, frozen=True):
    """A query on a database; `cursor` None means the column of the known-at time."""

    spec: SqlSpec
    cursor: str | None


@closed
def sql(
    url: str,
    query: str,
    *,
    cursor: str | None = None,
    overlap: str | int | None = None,
    sweep: str = "1d",
    page_rows: int = 20_000,
    timeout_s: int = 60,
) -> Sql:
    """Rows of a query on a database, by SQLAlchemy URL; secrets in it are written ${NAME} and stand in the environment.

    cursor: a column that grows when a row comes or changes (default: the known-at column); rows without one are not
    read, and told. overlap: how far below the newest cursor each reading begins anew, for rows that are committed
    late: a duration ("1h") for times, a number for integers (10000). sweep: how often everything is read again, to
    find what came later still. page_rows: the most rows in memory at once. timeout_s: for one page.
    """
    _refuse_secret(url)
    spec = SqlSpec(url=url, query=query.strip().rstrip(";").rstrip(), cursor="", page_rows=page_rows)
    spec = msgspec.structs.replace(spec, timeout_s=timeout_s, sweep=parse_span(sweep))
    if isinstance(overlap, str):
        spec = msgspec.structs.replace(spec, overlap=parse_span(overlap))
    elif overlap is not None:
        spec = msgspec.structs.replace(spec, overlap_values=overlap)
    try:
        msgspec.convert(msgspec.to_builtins(spec), SqlSpec)
    except msgspec.ValidationError as error:
        raise DeclarationError(f"et.sql({url!r}, ...) is out of bounds: {error}.", "Mend the value.") from None
    return Sql(spec, cursor)


def filled(url: str, environment: Mapping[str, str] | None = None) -> tuple[str, tuple[str, ...]]:
    """A URL with its ${NAME} filled in, and the secrets that were. environment None: that of the process.

    >>> filled("postgresql://u:${P}@h/x", {"P": "a@b"})
    ('postgresql://u:a%40b@h/x', ('a@b', 'a%40b'))
    """
    given = os.environ if environment is None else environment
    secrets: list[str] = []

    def fill(found: re.Match[str]) -> str:
        value = given.get(found[1])
        if value is None:
            raise DeclarationError(
                f"The URL {url!r} names ${{{found[1]}}}, which the environment does not have.", f"Set {found[1]}."
            )
        in_user = (
            "://" in url[: found.start()]
            and "@" in url[found.end() :]
            and "/" not in url[found.end() :].partition("@")[0]
        )
        told = quote(value, safe="") if in_user else value
        secrets.extend(dict.fromkeys((value, told)))
        return told

    return _PLACE.sub(fill, url), tuple(secrets)


def _refuse_secret(url: str) -> None:
    """A password in the text of a declaration would go into the bundle, the ledger and every error about it."""
    user, at, _ = url.partition("://")[2].rpartition("@")
    _, colon, password = user.partition(":")
    if at and colon and password and not _PLACE.fullmatch(password):
        raise DeclarationError(f"The URL of a {url.partition(':')[0]} database holds a password.", _REMEDY)
    for option in _SECRET_OPTION.finditer(url):
        if not _PLACE.fullmatch(option["value"]):
            raise DeclarationError(f"The URL of a database holds a secret, its option {option['name']!r}.", _REMEDY)


# Tables in memory -----------------------------------------------------------------------------------------------------

_waiting: dict[SourceName, Any] = {}


class Frame(msgspec.Struct, frozen=True):
    """A table in memory."""

    table: Any

    def keep(self, name: str) -> str:
        """Let the table wait to be written as the file of a source; returns the file's name."""
        _waiting[SourceName(name)] = self.table
        return f".frames/{name}.parquet"


@closed
def frame(table: Any) -> Frame:
    """A pandas or polars DataFrame. It is written as a Parquet file beside the declaration when that is taken in.

    The declaration is imported again wherever its functions run, so what makes the table should be cheap, or a file.
    """
    if not hasattr(table, "columns") or not hasattr(table, "dtypes"):
        raise DeclarationError(
            f"et.frame got {type(table).__name__}, which is no DataFrame.", "Give it one of pandas or polars."
        )
    return Frame(table)


def waiting() -> dict[Path, Any]:
    """The tables that wait to be written, by file, relative to the declaration's folder; they wait no more."""
    found = {Path(f".frames/{name}.parquet"): table for name, table in _waiting.items()}
    _waiting.clear()
    return found
