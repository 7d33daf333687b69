"""Everything that a pickle or joblib file would import is found, and none of it happens."""

import codecs
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from evertrain.runtime.pickle_file import is_pickle, look_into

FORMS = [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)]
HIDDEN = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."


class Planted:
    """Leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def dumped(model: object, compress: Any = 0) -> bytes:
    file = io.BytesIO()
    joblib.dump(model, file, compress=compress)
    return file.getvalue()


def pipeline() -> Any:
    """Holds an array of objects, which joblib writes as a pickle within the pickle, and arrays of numbers."""
    rows = np.array([["basic", 1.0], ["pro", 2.0], ["plus", 0.5]] * 30, dtype=object)
    columns = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(rows, np.arange(90) % 2)


@pytest.mark.parametrize("compress", FORMS)
def test_what_stands_behind_an_array_of_objects_is_found(tmp_path: Path, compress: Any) -> None:
    model, mark = pipeline(), tmp_path / "planted"
    model.note = Planted(mark)
    contents = look_into(dumped(model, compress))
    assert contents.whole
    assert [name for name in contents.dangerous if name.startswith("pathlib.")]
    assert not mark.exists()


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(1).normal(size=(50, 3)),
        np.asfortranarray(np.ones((3, 5), dtype=np.float32)),
        np.array(["ab", "c"]),
        np.array(7.0),
        np.zeros((0, 4)),
        np.arange(3).astype("M8[s]"),
        np.array([(1, 2.0)], dtype=[("left", "i4"), ("right", "f8")]),
        np.array(["text", None, 1.5], dtype=object),
    ],
)
def test_what_stands_behind_an_array_of_any_kind_is_found(tmp_path: Path, array: Any) -> None:
    contents = look_into(dumped([array, Planted(tmp_path / "planted"), array]))
    assert contents.whole
    assert contents.dangerous
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("compress", [0, ("zlib", 3)])
def test_models_of_libraries_are_read_whole_and_reach_nothing(compress: Any) -> None:
    rows = np.random.default_rng(3).normal(size=(60, 2))
    trees = [RandomForestClassifier(3), GradientBoostingClassifier(n_estimators=2)]
    models = [pipeline(), *(model.fit(rows, np.arange(60) % 2) for model in trees)]
    for model in models:
        content = dumped(model, compress)
        contents = look_into(content)
        assert is_pickle(content[:256])
        assert (contents.whole, contents.dangerous, contents.strange) == (True, (), ())


def test_what_stands_behind_the_end_is_found() -> None:
    contents = look_into(pickle.dumps({"a": 1}) + HIDDEN)
    assert (contents.whole, contents.dangerous) == (True, ("posix.system",))


class _Wrapped:
    """An array whose wrapper is made by another function, as no file of joblib's is."""

    def __reduce__(self) -> tuple[Any, ...]:
        from copyreg import _reconstructor  # type: ignore[attr-defined]

        from joblib.numpy_pickle import NumpyArrayWrapper

        return _reconstructor, (NumpyArrayWrapper, object, None), {"shape": (1,), "dtype": np.dtype("f8")}


class _Computed:
    """The name of a module that is put together while it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return codecs.decode, (b"posix", "ascii")


def _by_computed_name() -> bytes:
    return pickle.dumps(_Computed(), protocol=4)[:-1] + b"\x8c\x06system\x93\x8c\x04true\x85R."


def _of_unknown_size() -> bytes:
    """An array whose items are as large as nobody says, and behind its first bytes a call."""
    content = dumped([np.arange(3.0)])
    return content.replace(b"\x8c\x02f8", b"\x8c\x02g8") + HIDDEN


def _swallowed() -> bytes:
    """Instructions that claim the call as the bytes of a text, where a loader would find an array's wrapper before."""
    return pickle.dumps(_Wrapped(), protocol=4)[:-1] + b"B" + struct.pack("<I", len(HIDDEN)) + HIDDEN + b"."


@pytest.mark.parametrize("make", [_of_unknown_size, _swallowed])
def test_what_cannot_be_followed_is_never_whole_and_still_names_what_it_seems_to_import(make: Any) -> None:
    contents = look_into(make())
    assert not contents.whole
    assert "posix.system" in contents.dangerous


def test_a_name_that_is_computed_is_never_whole() -> None:
    assert not look_into(_by_computed_name()).whole


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn.datasets._base", "os.system"),
        ("numpy.testing._private.utils", "runstring"),
        ("joblib.numpy_pickle", "load"),
        ("pandas", "eval"),
        ("anything", "subprocess.run"),
    ],
)
def test_the_side_doors_of_libraries_are_dangerous(module: str, name: str) -> None:
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    contents = look_into(b"\x80\x04" + texts + b"\x93.")
    assert contents.whole
    assert contents.dangerous == (f"{module}.{name}",)


@pytest.mark.parametrize(
    "content",
    [
        b"customer_id,plan\nc1,pro\n",
        b"c\n1\n",
        b"(a),b\n1,2\n",
        b"x,y\n1,2\n",
        b"id,sklearn\n1,2\n",
        b"PAR1\x15\x04",
        b"\x80\x09",
    ],
)
def test_a_table_is_no_pickle(content: bytes) -> None:
    assert not is_pickle(content)
