"""What most likely is behind an error of training code."""

import pytest

from evertrain.model.hint import LABEL, hint_for, hint_for_script

CATEGORIES = {"plan": ("basic", "pro"), "fee": ("12", "12,50", "n/a")}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("ValueError: could not convert string to float: 'n/a'", "'n/a' stands in the text column fee: encode it."),
        ("could not convert string to float: np.str_('12,50')", 'declare columns={"fee": "float64?"}'),
        ("could not convert string to float: 'elsewhere'", ""),
        ("KeyError: 'fee'", ""),
    ],
)
def test_a_text_among_numbers_is_found_in_its_column(words: str, says: str) -> None:
    hint = hint_for(words, CATEGORIES)
    assert says in hint
    assert bool(says) == bool(hint)


@pytest.mark.parametrize(
    ("arguments", "printed", "says"),
    [
        (
            ("{rows}", "{model}"),
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0x84",
            '"train.py", "{csv}", "{model}"',
        ),
        (("--data={rows}",), "pandas.errors.ParserError: Error tokenizing data", '"train.py", "--data={csv}"'),
        (("{csv}", "{model}"), "pyarrow.lib.ArrowInvalid: Parquet magic bytes not found", '"train.py", "{rows}"'),
        (("{csv}", "{model}"), "UnicodeDecodeError: in a file of theirs", ""),
        (
            ("{csv}",),
            "ValueError: This solver needs samples of at least 2 classes, but the data contains only one class",
            LABEL,
        ),
        (("{csv}",), "ValueError: could not convert string to float: 'n/a'", "text column fee"),
    ],
)
def test_a_script_that_expects_other_rows_is_told_what_it_got(
    arguments: tuple[str, ...], printed: str, says: str
) -> None:
    hint = hint_for_script("train.py", arguments, printed, CATEGORIES, numbered=True)
    assert says in hint
    assert bool(says) == bool(hint)


def test_of_classes_the_label_arrives_by_name() -> None:
    assert hint_for_script("train.py", ("{csv}",), "y contains NaN", {}, numbered=False) == ""
