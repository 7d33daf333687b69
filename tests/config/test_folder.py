"""Modules of a user's folder are imported as they stand."""

import os
import subprocess
import sys
from pathlib import Path

WORDS = """
import sys
from pathlib import Path
from evertrain.config.folder import import_from
import_from(Path.cwd())
import beside, package.inner, library
print(beside.WORD, package.inner.WORD, library.WORD)
"""


def said(folder: Path) -> str:
    """What the modules of a folder say in a process whose libraries lie within it, as in a .venv."""
    libraries = folder / ".venv" / "lib"
    command = [sys.executable, "-c", f"import sys; sys.path.append({str(libraries)!r}){WORDS}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_second_save_within_a_second_is_seen(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("beside.py", "package/inner.py", ".venv/lib/library.py")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("WORD = 'one'\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", "."], cwd=tmp_path, check=True)
    assert said(tmp_path) == "one one one"
    saved = [file.stat().st_mtime_ns for file in files]
    for file, stamp in zip(files, saved, strict=True):
        file.write_text("WORD = 'two'\n")
        os.utime(file, ns=(stamp, stamp))
    assert said(tmp_path) == "two two one", "the libraries of a .venv in the folder keep their bytecode"


def test_nothing_is_written_beside_a_module(tmp_path: Path) -> None:
    for name in ("beside.py", "package/inner.py", ".venv/lib/library.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("WORD = 'one'\n")
    assert said(tmp_path) == "one one one"
    assert [path.parent.name for path in tmp_path.rglob("__pycache__")] == ["lib"]
