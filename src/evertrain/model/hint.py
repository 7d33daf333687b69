"""What most likely is behind an error of training code that its own words do not tell: told as what to do about it."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from evertrain.config.script import CSV, ROWS

__all__ = ["LABEL", "hint_for", "hint_for_script"]

_TEXT: Final = re.compile(r"could not convert string to float: (?:np\.str_\()?(['\"])(?P<value>.*?)\1")
_NO_CSV: Final = re.compile(r"UnicodeDecodeError|codec can't decode|ParserError|NUL")
_NO_PARQUET: Final = re.compile(
    r"ArrowInvalid|Parquet magic bytes|[Pp]arquet[^\n]*(?:magic|footer|not a)|out of specification"
)
_ONE_CLASS: Final = re.compile(
    r"only one class|1 class\b|y contains NaN|number of classes has to be greater|Unknown label type|y contains null"
)
LABEL: Final = 'The label arrives as 1.0 and 0.0, whatever the table says ("yes", True): take it as it is.'


def hint_for(words: str, categories: Mapping[str, Sequence[str]]) -> str:
    """What to do about an error with these words; "" where nothing better is known than to mend the code.

    categories: of the training rows, by column. A text among the numbers is looked for there.

    >>> hint_for("ValueError: could not convert string to float: 'n/a'", {"fee": ("12", "n/a")})[:33]
    "'n/a' stands in the text column f"
    """
    found = _TEXT.search(words)
    if found is None:
        return ""
    names = [name for name, values in categories.items() if found["value"] in values]
    if not names:
        return ""
    return (
        f"{found['value']!r} stands in the text column {' and '.join(names)}: encode it. If it is meant to hold "
        f'numbers, declare columns={{"{names[0]}": "float64?"}}, which sets such rows aside, and mend its cells with '
        "repair=."
    )


def hint_for_script(
    path: str, arguments: Sequence[str], printed: str, categories: Mapping[str, Sequence[str]], *, numbered: bool
) -> str:
    """The same for a script. arguments: as they are declared; numbered: whether its label is 1.0 and 0.0."""
    asked = "".join(arguments)
    if _NO_CSV.search(printed) and ROWS in asked and CSV not in asked:
        said = ", ".join(f'"{one.replace(ROWS, CSV)}"' for one in arguments)
        return f'It was given a Parquet file. For CSV, declare et.script("{path}", {said}).'
    if _NO_PARQUET.search(printed) and CSV in asked and ROWS not in asked:
        said = ", ".join(f'"{one.replace(CSV, ROWS)}"' for one in arguments)
        return f'It was given a CSV file. For Parquet, declare et.script("{path}", {said}).'
    if numbered and _ONE_CLASS.search(printed):
        return LABEL
    return hint_for(printed, categories)
