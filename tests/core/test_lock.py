import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.lock import read_lock
from evertrain.errors import UserError

HASH = "a" * 64

HASHED = f"""\
# by a tool
scikit-learn==1.7.2 \\
    --hash=sha256:{HASH} \\
    --hash=sha256:{HASH}
    # via -r requirements.in
uvloop[dev]==0.22.1 ; sys_platform != "win32" \\
    --hash=sha256:{HASH}
NumPy == 2.1.0   # a comment

tzdata==2026.6
tzdata==2026.5 ; python_version < "3.12"
"""


def test_lines_as_tools_write_them() -> None:
    lock = read_lock(HASHED.encode(), "requirements.lock")
    assert [pin.name for pin in lock.pins] == ["scikit-learn", "uvloop", "numpy", "tzdata", "tzdata"]
    assert lock.version("Scikit_learn") == "1.7.2"
    assert lock.pins[1].marker == 'sys_platform != "win32"'
    assert lock.unhashed == ("numpy", "tzdata")


def test_a_package_whose_version_markers_choose_has_none_before_they_do() -> None:
    lock = read_lock(HASHED.encode(), "requirements.lock")
    assert lock.names("tzdata")
    assert lock.version("tzdata") is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("numpy", "is not one exact version"),
        ("numpy>=2", "is not one exact version"),
        ("numpy==2.*", "is not one exact version"),
        ("numpy~=2.1", "is not one exact version"),
        ("numpy==2.1,<3", "is not one exact version"),
        ("-e .", "-e is no package"),
        ("-r other.txt", "-r is no package"),
        ("--index-url=https://example.org/simple", "--index-url is no package"),
        ("numpy @ https://example.org/numpy.whl", "names a place"),
        ("https://example.org/numpy.whl", "names a place"),
        ("./numpy.whl", "is not one exact version"),
        ("numpy==2.1.0 --hash=md5:abc", "no SHA-256"),
        ("[project]\nname = 'x'", "is a TOML file"),
        ("# nothing", "names no package"),
    ],
)
def test_what_is_no_lock_is_refused_with_its_line(line: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as told:
        read_lock(f"polars==1.0.0\n{line}".encode() if "nothing" not in line else line.encode(), "my.lock")
    assert told.value.what.startswith("my.lock")
    assert told.value.remedy


def test_an_address_is_not_repeated() -> None:
    with pytest.raises(UserError) as told:
        read_lock(b"--extra-index-url https://user:secret@example.org/simple", "my.lock")
    assert "secret" not in str(told.value)


@given(st.binary(max_size=200))
def test_whatever_the_file_holds_it_is_a_lock_or_refused(content: bytes) -> None:
    with contextlib.suppress(UserError):
        assert read_lock(content, "x").pins
