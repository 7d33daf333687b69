"""Two bundles with different code under one name live in one process, each with its own."""

import inspect
import sys
import traceback
from pathlib import Path

import pytest

from evertrain.config.bundle import freeze, unpack
from evertrain.config.declaration import FunctionRef
from evertrain.config.namespace import import_entry, module_of, name_of, resolve
from evertrain.core.identity import Digest
from evertrain.errors import IntegrityError, NotFoundError

SERVICE = """
from __future__ import annotations
import json, shared.words as words
import shared.text
from shared import text as renamed
from recipes.trees import *

class Model:
    def predict(self, rows: list[int]) -> list[int]:
        return [row * words.FACTOR for row in rows]

def lazily():
    import late.deep
    return late.deep.VALUE

def fails():
    raise RuntimeError("told so")

assert shared.text is renamed
assert json.loads("1") == 1
"""


def make(tmp_path: Path, factor: int) -> tuple[Path, Digest]:
    folder = tmp_path / f"project {factor}"
    files = {
        "service.py": SERVICE,
        "shared/__init__.py": "",
        "shared/words.py": f"FACTOR = {factor}\n",
        "shared/text.py": "from . import words\nfrom .words import FACTOR\nassert words.FACTOR == FACTOR\n",
        "recipes/trees.py": "from shared.words import FACTOR as STAR\n",
        "late/__init__.py": "",
        "late/deep.py": f"from pathlib import Path\nVALUE = {factor}\nHERE = Path(__file__).parent\n",
        "data/note.txt": f"note {factor}",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    frozen = freeze(folder, "service", include=["data/*"])
    return unpack(frozen.content, frozen.digest, tmp_path / "cache"), frozen.digest


def test_two_versions_of_one_module_coexist(tmp_path: Path) -> None:
    before = set(sys.modules)
    (old, old_digest), (new, new_digest) = make(tmp_path, 2), make(tmp_path, 3)
    first, second = import_entry(old, old_digest, "service"), import_entry(new, new_digest, "service")
    assert first.Model().predict([1, 2]) == [2, 4]
    assert second.Model().predict([1, 2]) == [3, 6]
    assert (first.STAR, second.STAR) == (2, 3)
    assert (first.lazily(), second.lazily()) == (2, 3)
    assert import_entry(old, old_digest, "service") is first
    came = set(sys.modules) - before
    assert not came & {"service", "shared", "shared.words", "late", "recipes"}
    assert not list(tmp_path.rglob("__pycache__"))


def test_functions_are_found_by_reference(tmp_path: Path) -> None:
    folder, digest = make(tmp_path, 5)
    assert resolve(FunctionRef(module="service", name="lazily"), folder, digest)() == 5
    method = resolve(FunctionRef(module="service", name="Model.predict"), folder, digest)
    assert module_of(method.__module__) == "service"
    assert method.__module__ == f"{name_of(digest)}.service"
    assert resolve(FunctionRef(module=method.__module__, name="Model.predict"), folder, digest) is method
    for name in ("absent", "Model.absent", "words.FACTOR"):
        with pytest.raises(NotFoundError, match=name):
            resolve(FunctionRef(module="service", name=name), folder, digest)
    with pytest.raises(NotFoundError, match="no module 'json'"):
        import_entry(folder, digest, "json")


def test_tracebacks_and_inspection_show_the_users_lines(tmp_path: Path) -> None:
    folder, digest = make(tmp_path, 7)
    fails = resolve(FunctionRef(module="service", name="fails"), folder, digest)
    try:
        fails()
    except RuntimeError:
        told = traceback.format_exc()
    assert 'raise RuntimeError("told so")' in told
    assert f"{folder}/service.py" in told
    assert "told so" in inspect.getsource(fails)


def test_files_of_the_bundle_are_found_beside_the_module(tmp_path: Path) -> None:
    folder, digest = make(tmp_path, 11)
    here = import_entry(folder, digest, "late.deep").HERE
    assert (here.parent / "data" / "note.txt").read_text() == "note 11"


def test_code_that_was_altered_in_the_cache_is_never_run(tmp_path: Path) -> None:
    folder, digest = make(tmp_path, 13)
    planted = tmp_path / "planted"
    (folder / "shared" / "words.py").write_text(
        f"import pathlib\npathlib.Path({str(planted)!r}).mkdir()\nFACTOR = 13\n"
    )
    with pytest.raises(IntegrityError, match="altered"):
        import_entry(folder, digest, "service")
    assert not planted.exists()


def test_a_file_planted_beside_the_bundle_is_not_part_of_it(tmp_path: Path) -> None:
    folder, digest = make(tmp_path, 17)
    (folder / "json.py").write_text("raise SystemExit")
    assert import_entry(folder, digest, "service").lazily() == 17
