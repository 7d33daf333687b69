"""What a source's file holds, before anything is made of it: cells, and the rows that are no rows.

A cell of a CSV or JSON lines file is text or missing; a column of a Parquet file, or of an Arrow stream (.arrows), has
the type that the file gives it.
In CSV an empty cell is missing, quoted or not; no word ("NA", "null") ever is. In JSON lines null and a key that is
left out are missing. A file that cannot be read as a whole raises SourceError; a single row that cannot (another
number of fields, not UTF-8) is set aside with its reason, and the others stand.
"""

import csv
import io
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import polars as pl

from evertrain.errors import SourceError

__all__ = ["ROW", "Broken", "Cells", "Form", "form_of", "looks_whole", "read_cells"]

ROW = "_row"
"""The column that numbers the rows of a file from 1; in text files, by line."""

Form = Literal["arrow", "csv", "jsonl", "parquet"]

_FORMS: dict[str, Form] = {
    "arrows": "arrow",
    "csv": "csv",
    "parquet": "parquet",
    "pq": "parquet",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
}
_PARQUET = b"PAR1"
_ARROW_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_FIELD_LIMIT = 16 * 1024 * 1024


class Broken(msgspec.Struct, frozen=True):
    """A row that could not be read: its number, what stood there, why."""

    row: int
    raw: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Cells:
    """The readable rows of a file: its columns and ROW. `text`: the cells are text that is still to be parsed."""

    frame: pl.DataFrame
    broken: tuple[Broken, ...]
    text: bool

    @property
    def names(self) -> list[str]:
        return [name for name in self.frame.columns if name != ROW]

    @property
    def rows(self) -> int:
        return self.frame.height + len(self.broken)


def form_of(name: str) -> Form:
    """Tell a file's form by its name.

    >>> form_of("flights-2013.PARQUET")
    'parquet'
    """
    form = _FORMS.get(name.rpartition(".")[2].lower())
    if form is None:
        raise SourceError(f"{name!r} has no known form.", f"Use a name that ends in {', '.join(sorted(_FORMS))}.")
    return form


def looks_whole(name: str, head: bytes, tail: bytes) -> bool:
    """Whether a file with these first and last bytes can be complete: a Parquet footer, an Arrow stream's end, or a
    finished last line.

    >>> looks_whole("a.csv", b"id,t", b"2,12"), looks_whole("a.csv", b"id,t", b"1250\\n")
    (False, True)
    """
    if form_of(name) == "parquet":
        return head.startswith(_PARQUET) and tail.endswith(_PARQUET)
    if form_of(name) == "arrow":
        return tail.endswith(_ARROW_END)
    return tail.endswith(b"\n")


def read_cells(name: str, content: bytes) -> Cells:
    """Read a whole file. Raises SourceError when it is no file of its form."""
    form = form_of(name)
    if form in ("arrow", "parquet"):
        cells = _read_columns(name, content, form)
    elif form == "csv":
        cells = _read_csv(name, content)
    else:
        cells = _read_lines(content)
    reserved = [column for column in cells.names if column.startswith("_")]
    if reserved:
        raise SourceError(
            f"Column {reserved[0]!r} of {name!r} begins with an underscore.",
            "Rename it: such names are kept for where a row came from.",
        )
    return cells


def _read_columns(name: str, content: bytes, form: Form) -> Cells:
    """A Parquet file, or an Arrow IPC stream, which is read forty times as fast when it is small."""
    try:
        if form == "arrow":
            if not content.endswith(_ARROW_END):
                raise SourceError(f"{name!r} is cut off: an Arrow stream's end is missing.")
            frame = pl.read_ipc_stream(io.BytesIO(content))
        else:
            frame = pl.read_parquet(io.BytesIO(content), hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        said = "Arrow stream" if form == "arrow" else "Parquet file"
        raise SourceError(f"{name!r} is no readable {said}: {_line(error)}.") from error
    if ROW in frame.columns:
        raise SourceError(f"{name!r} has a column {ROW!r}.", "Rename it: the name is taken.")
    number = pl.Series(ROW, np.arange(1, frame.height + 1, dtype=np.int64))
    return Cells(frame.insert_column(frame.width, number), (), text=False)


def _read_csv(name: str, content: bytes) -> Cells:
    # Bytes that are not UTF-8 become lone surrogates, so that they are found in their row and spoil no other.
    text = content.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    broken: list[Broken] = []
    try:
        header = next(reader)
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                _sort_row(line, fields, len(header), rows, broken)
            line = reader.line_num + 1
    except StopIteration:
        raise SourceError(f"{name!r} is empty: not even a header stands in it.") from None
    except csv.Error as error:
        raise SourceError(f"{name!r} is no readable CSV file: line {reader.line_num}: {_line(error)}.") from error
    _refuse_header(name, header)
    columns = list(zip(*(fields for _, fields in rows), strict=True)) or [()] * len(header)
    series = [
        pl.Series(column, [cell or None for cell in cells], dtype=pl.String)
        for column, cells in zip(header, columns, strict=True)
    ]
    number = pl.Series(ROW, [line for line, _ in rows], dtype=pl.Int64)
    return Cells(pl.DataFrame([*series, number]), tuple(broken), text=True)


def _sort_row(
    line: int, fields: list[str], wanted: int, rows: list[tuple[int, list[str]]], broken: list[Broken]
) -> None:
    if not _is_utf8(fields):
        raw = [field.encode(errors="surrogateescape").decode(errors="backslashreplace") for field in fields]
        broken.append(Broken(line, raw, "not UTF-8"))
    elif len(fields) != wanted:
        broken.append(Broken(line, fields, f"{len(fields)} fields where the header has {wanted}"))
    else:
        rows.append((line, fields))


def _is_utf8(fields: list[str]) -> bool:
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_header(name: str, header: list[str]) -> None:
    if len(set(header)) < len(header) or not all(header) or not _is_utf8(header):
        raise SourceError(
            f"The header of {name!r} is {header!r}: a name is missing, stands twice or is not UTF-8.",
            "Give each column a name of its own.",
        )


def _read_lines(content: bytes) -> Cells:
    found: list[tuple[int, dict[str, Any]]] = []
    broken: list[Broken] = []
    names: dict[str, None] = {}
    decoder = msgspec.json.Decoder(dict[str, Any])
    for line, text in enumerate(content.split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            row = decoder.decode(text)
        except UnicodeDecodeError:
            broken.append(Broken(line, text.decode(errors="backslashreplace"), "not UTF-8"))
            continue
        except (msgspec.DecodeError, RecursionError) as error:
            broken.append(Broken(line, text.decode(errors="backslashreplace"), f"no JSON object: {_line(error)}"))
            continue
        nested = [name for name, value in row.items() if isinstance(value, (dict, list))]
        if nested:
            broken.append(Broken(line, row, f"{nested[0]}: a nested value"))
            continue
        names |= dict.fromkeys(row)
        found.append((line, row))
    series = [pl.Series(name, [_text(row.get(name)) for _, row in found], dtype=pl.String) for name in names]
    number = pl.Series(ROW, [line for line, _ in found], dtype=pl.Int64)
    return Cells(pl.DataFrame([*series, number]), tuple(broken), text=True)


def _text(value: Any) -> str | None:
    """A JSON value as the text that it would have in a CSV cell; an empty text stays missing there too."""
    if value is None or isinstance(value, str):
        return value or None
    return msgspec.json.encode(value).decode()


def _line(error: BaseException) -> str:
    """The first line of a library's message, without its closing full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
