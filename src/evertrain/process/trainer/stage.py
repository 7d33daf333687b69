"""What every process that does a stage shares: arguments from a file, the answer into a file, faults on stderr."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from evertrain.core.identity import canonical
from evertrain.core.stage import StageTask
from evertrain.errors import EvertrainError
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["Stage", "run_stage"]

Stage = Callable[[StageTask, State, Path], msgspec.Struct]
"""Does a task, with a private folder for files; the answer is written as JSON."""


def run_stage(stage: Stage, arguments: Sequence[str]) -> int:
    """The whole life of a stage's process; returns its exit code.

    FOLDER/task.json is read, FOLDER/result.json is written in one step at the end. A fault of the user's code or data
    is told on stderr, its sentence last, and gives code 1.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--dir", type=Path, required=True)
    given = parser.parse_args(arguments)
    folder: Path = given.task.absolute()
    try:
        task: StageTask = msgspec.json.decode((folder / "task.json").read_bytes(), type=StageTask)
        answer = stage(task, State.open(given.dir), folder)
    except EvertrainError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        sys.stderr.write(f"{error}\n")
        return 1
    write_atomically(folder / "result.json", canonical(answer))
    return 0
