"""Following a page of the documentation: its blocks are done one after the other, and print what it says they print.

- sh: is typed into a shell. A block of bash is for machines that are not here, and is left out.
- python: is saved under the name of the file that the comment before it names, if it is the whole of that file.
- text: after a shell's block is what that printed, or a part of it: lines in order, each anywhere in a line. Numbers
  and digests may differ, "..." stands for anything.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["SURROUNDINGS", "Block", "Walk", "blocks_of", "pages_of"]

SURROUNDINGS: Final = {
    "classes": "a table",
    "declare": "a table",
    "limits": "a table",
    "margins": "a table",
    "environments": "a table",
    "features": "a table",
    "late-data": "a table",
    "ci": "a table",
    "settings": "a table",
    "call": "a served file",
    "labels": "a served file",
    "why-refused": "a served file",
    "metrics": "a served file",
    "slow": "a served file",
    "alerts": "a served file",
    "audit": "a served file",
    "operate": "a served file",
    "doctor": "a served file",
    "off": "a served file",
    "openfeature": "a served file",
    "webhooks": "a served file",
    "approve": "a served file",
    "by-hand": "a served file",
    "mlflow": "a served file",
    "overload": "a served file",
    "upgrade": "a served file",
    "back-up": "what has stopped",
    "apply": "its own: tests/journey/test_apply does what it says",
    "serve": "its own: tests/journey/test_serve and test_serve_formats do what it says",
    "sql": "its own: tests/journey/test_sql does what it says, in PostgreSQL",
    "train": "its own: tests/journey/test_recipes does what it says",
    "develop": "a checkout: it is how all tests are run",
}
"""What the blocks of each how-to page are typed in."""

_BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
_FREE = re.compile(r"\.\.\.|\b[0-9a-f]{8,}\b|\d[\d,.:]*|\s+")
_PATIENCE_S = 60


def pages_of(surroundings: str) -> list[str]:
    """The how-to pages that are followed there, in order."""
    return [page for page, place in SURROUNDINGS.items() if place == surroundings]


class Block(msgspec.Struct, frozen=True):
    """One block of a page. file: what it is a part of, "" where it stands for itself."""

    language: str
    text: str
    file: str = ""


def blocks_of(page: str) -> list[Block]:
    """All blocks, in order.

    >>> blocks_of("Type\\n```sh\\nls\\n```")
    [Block(language='sh', text='ls\\n', file='')]
    """
    return [Block(found["language"], found["text"], found["file"] or "") for found in _BLOCK.finditer(page)]


class Walk:
    """A folder in which pages are followed. instead: addresses that pages name, and those that stand for them."""

    def __init__(self, folder: Path, instead: Mapping[str, str]) -> None:
        self._folder = folder
        self._instead = instead

    def follow(self, page: Path) -> int:
        """Do every block of a page; returns how many were run. AssertionError says which one did not do as it says."""
        ran, printed = 0, None
        for block in blocks_of(page.read_text()):
            match block.language:
                case "sh":
                    printed, ran = self._type(page, block.text), ran + 1
                case "text" if printed is not None:
                    _compare(page, block.text, printed)
                    printed = None
                case "python" if block.file:
                    self._save(page.resolve().parents[2] / block.file, block.text)
                case _:
                    printed = None
        return ran

    def _save(self, whole: Path, text: str) -> None:
        if whole.read_text().strip() == text.strip():
            (self._folder / whole.name).write_text(text)

    def _type(self, page: Path, text: str) -> str:
        for named, standing in self._instead.items():
            text = text.replace(named, standing)
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self._folder,
            env=os.environ | {"PATH": paths},
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
        if done.returncode != 0:
            raise AssertionError(f"{page.name}: exit {done.returncode} of\n{text}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def _compare(page: Path, expected: str, printed: str) -> None:
    lines = iter(printed.splitlines())
    for line in expected.splitlines():
        pattern = re.compile(_pattern(line.strip()))
        if not any(pattern.search(one) for one in lines):
            raise AssertionError(f"{page.name}: this is not printed, or not in this order:\n{line}\n\nbut\n{printed}")


def _pattern(line: str) -> str:
    """A line as a pattern: what may differ, may.

    >>> _pattern("3 of v d07b3da89f ... (ok)")
    '\\\\d[\\\\d,.:]*\\\\s+of\\\\s+v\\\\s+[0-9a-f]{8,}\\\\s+.*\\\\s+\\\\(ok\\\\)'
    """
    parts, end = [], 0
    for found in _FREE.finditer(line):
        parts += [re.escape(line[end : found.start()]), _free(found[0])]
        end = found.end()
    return "".join([*parts, re.escape(line[end:])])


def _free(text: str) -> str:
    if text == "...":
        return ".*"
    if text.isspace():
        return r"\s+"
    return r"[0-9a-f]{8,}" if len(text) >= 8 and text.isalnum() else r"\d[\d,.:]*"
