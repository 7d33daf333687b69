"""A package is imported without what it draws in only because it is there."""

import subprocess
import sys
from pathlib import Path

import pytest

HOST = """
try:
    import guest.inner
    FOUND = True
except ImportError:
    FOUND = False
"""
ASK = """
import sys, threading
sys.path.insert(0, {folder!r})
from evertrain.runtime.library import import_without
{before}
host = import_without("host", ("guest",))
import guest.inner
print(host.FOUND, import_without("host", ()) is host, len(sys.meta_path) == {finders})
"""


@pytest.mark.parametrize(("before", "found"), [("", False), ("import guest.inner", True)])
def test_a_companion_is_hidden_unless_it_is_imported_already(tmp_path: Path, before: str, found: bool) -> None:
    (tmp_path / "guest").mkdir()
    (tmp_path / "guest" / "inner.py").write_text("")
    (tmp_path / "host.py").write_text(HOST)
    text = ASK.format(folder=str(tmp_path), before=before, finders="len(finders)").replace(
        "from evertrain", "finders = list(sys.meta_path)\nfrom evertrain", 1
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(found), "True", "True"]


def test_an_estimator_is_loaded_without_pandas() -> None:
    text = (
        "import sys\nfrom evertrain.runtime.library import import_without\n"
        "skops = import_without('skops.io', ('pandas',))\n"
        "print('pandas' in sys.modules, 'sklearn' in sys.modules)\nimport pandas"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
