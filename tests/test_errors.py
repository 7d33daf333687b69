"""Each family of faults has a code of its own for ever, and a page that says what to do."""

import re
from pathlib import Path

import pytest

from evertrain import errors
from evertrain.deploy.body import EncodingError
from evertrain.deploy.incoming import ExpectationError, HeadError, StalledError
from evertrain.errors import EvertrainError, RequestError, TooLargeError, UserError, codes, error_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "errors.md"

FAMILIES = {
    "ET-C01": "SettingsError",
    "ET-D01": "DeclarationError",
    "ET-E01": "EvertrainError",
    "ET-M01": "ModelError",
    "ET-M02": "PackageError",
    "ET-P01": "TransitionError",
    "ET-P02": "OccupiedError",
    "ET-P03": "CapacityError",
    "ET-P04": "UnavailableError",
    "ET-R01": "RequestError",
    "ET-R02": "TooLargeError",
    "ET-S01": "SourceError",
    "ET-T01": "TrustError",
    "ET-T02": "IntegrityError",
    "ET-U01": "UserError",
    "ET-U02": "UsageError",
    "ET-U03": "NotFoundError",
    "ET-U04": "StateError",
}
"""What was told under these codes is told under them for ever: add to this table, never change it."""


def test_no_code_ever_changes_hands() -> None:
    assert {code: kind.__name__ for code, kind in codes().items()} == FAMILIES


def test_every_class_of_the_tree_has_a_code_of_its_own() -> None:
    kinds: list[type[EvertrainError]] = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    assert len(kinds) == len(FAMILIES)
    assert {kind.code for kind in kinds} == set(FAMILIES)


def test_a_class_without_a_code_has_that_of_its_base() -> None:
    assert {kind.code for kind in (StalledError, EncodingError, ExpectationError)} == {RequestError.code}
    assert HeadError.code == TooLargeError.code


@pytest.mark.parametrize("code", FAMILIES)
def test_every_code_has_a_page_that_says_why_and_what_to_do(code: str) -> None:
    found = re.search(rf"^## {code}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    what, why, remedy = found[1].strip().split("\n\n")[:3]
    assert what.startswith(f"`{FAMILIES[code]}`. ")
    assert len(why) > 40
    assert remedy.startswith("To do: ")


def test_what_another_process_told_comes_back_as_what_it_was() -> None:
    for code, kind in codes().items():
        error = error_of(code, "What.", "Remedy.")
        assert type(error) is kind
        assert (error.what, error.remedy, str(error)) == ("What.", "Remedy.", "What. Remedy.")
    assert type(error_of("ET-Z99", "What.")) is UserError
    assert isinstance(error_of("ET-E01", "What."), EvertrainError)
