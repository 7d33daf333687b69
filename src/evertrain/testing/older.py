"""An environment with an older LightGBM than the installation's, built once and lent to many state directories."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from evertrain.core.identity import Digest
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["HERE", "LOCK", "SAYS_VERSION", "THERE", "Older", "furnishing"]

LOCK: Final = """\
lightgbm==4.6.0 \\
    --hash=sha256:2dafd98d4e02b844ceb0b61450a660681076b1ea6c7adb8c566dfd66832aafad \\
    --hash=sha256:37089ee95664b6550a7189d887dbf098e3eadab03537e411f52c63c121e3ba4b \\
    --hash=sha256:4d68712bbd2b57a0b14390cbf9376c1d5ed773fa2e71e099cac588703b590336 \\
    --hash=sha256:b7a393de8a334d5c8e490df91270f0763f83f959574d504c7ccb9eee4aef70ed \\
    --hash=sha256:cb19b5afea55b5b61cbb2131095f50538bd608a00655f23ad5d25ae3e3bf1c8d \\
    --hash=sha256:cb1c59720eb569389c0ba74d14f52351b573af489f230032a1c9f314f8bab7fe
"""
HERE: Final = 0.47
THERE: Final = 0.46
SAYS_VERSION: Final = """
import lightgbm


def predict(rows):
    return [float("0." + "".join(lightgbm.__version__.split(".")[:2])) for _ in rows]
"""
"""A model file that answers HERE with the installation's LightGBM, and THERE with the one of the lock."""


def furnishing(state: State, environment: str, *words: str, **variables: str) -> "subprocess.Popen[str]":
    """The process that builds an environment and becomes a module in it, in a group of its own."""
    enter = ["--dir", str(state.path), "--environment", environment]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "evertrain.process.furnishing", *enter, *words],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


class Older:
    """The environment of LOCK. Two processes ask for it at the same time when it is made.

    said: what the second one printed. rebuilt: whether it was built again for that one.
    """

    def __init__(self, folder: Path) -> None:
        self.state = State.create(folder)
        self.lock = self.keep(self.state)
        asking = [furnishing(self.state, self.lock) for _ in range(2)]
        places = []
        for process in asking:
            said, _ = process.communicate(timeout=280)
            if process.returncode:
                raise AssertionError(said)
            places.append(self.state.environments.folder(self.lock).stat().st_ino)
        self.rebuilt = places[0] != places[1]

    def keep(self, state: State) -> Digest:
        """Keep the lock where a version of this state directory finds it."""
        return Artifacts.at(state.artifacts).blobs.put(LOCK.encode())

    def lend(self, state: State) -> Digest:
        """Let a state directory have what was built here, as if it had built it itself; returns the lock."""
        state.environments.path.rmdir()
        state.environments.path.symlink_to(self.state.environments.path)
        return self.keep(state)
