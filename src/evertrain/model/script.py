"""A training script as a recipe: it gets a Parquet file and nothing else of ours, and leaves a model file.

It runs as a process of its own below the trainer, within the trainer's limits, in an empty folder. What it prints goes
to the task's log as it comes. A pickle that it leaves is loaded right here and kept in its library's own format: the
script could have done here whatever its pickle could do, and no pickle goes any further.
"""

import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from evertrain import runtime
from evertrain.config.declaration import ScriptSpec
from evertrain.config.script import CSV, MODEL, ROWS
from evertrain.config.training import Run, TrainingSet
from evertrain.core.model import CAUTION, Format
from evertrain.core.schema import Input
from evertrain.errors import ModelError, say_raised
from evertrain.model.hint import LABEL, hint_for_script
from evertrain.model.obituary import say_exit
from evertrain.model.skew import invented
from evertrain.runtime.artifact import describe

__all__ = ["Script"]

_LINES: Final = 60


class Script:
    """Calls itself like a recipe's function. folder: of the unpacked bundle. label: its column in the Parquet file."""

    def __init__(self, spec: ScriptSpec, *, folder: Path, label: str, memory_mb: int) -> None:
        self._spec = spec
        self._folder = folder
        self._label = label
        self._memory_mb = memory_mb

    def __call__(self, data: TrainingSet, run: Run) -> object:
        place = run.path("script")
        shutil.rmtree(place, ignore_errors=True)  # what an interrupted run left
        place.mkdir()
        self._run(place, self._filled(data, place, run), data)
        model = self._left(place)
        self._refuse_one_class(model, data)
        caution = invented(model, data)
        if caution:
            run.record(**{CAUTION: caution})
        return model

    def blamed(self, error: ModelError) -> ModelError:
        """What is wrong when its model cannot be asked with the rows that it was given itself."""
        why = error.what.splitlines()[0]
        return ModelError(
            f"Script {self._spec.path!r} made a model that does not take the training rows as they are: {why}",
            "What the script does to its rows before it fits (fillna, map, get_dummies) does not happen in service: "
            "put it into a Pipeline, and save that.",
        )

    def vector(self, path: Path, kind: Format, vector: Sequence[Input]) -> tuple[Input, ...]:
        """The inputs in the order of the model file, with its own categories, where it names them.

        A script may drop columns or order them anew; the file says which it takes. Raises ModelError for a name that
        is none of the features.
        """
        told = describe(path, kind)
        if told.vector is None or told.generic:
            return tuple(vector)
        known = {item.name: item for item in vector}
        unknown = [item.name for item in told.vector if item.name not in known]
        if unknown:
            raise ModelError(
                f"Script {self._spec.path!r} made a model that takes {unknown[0]!r}, which is none of the features.",
                f"Train it on columns of the table that it is given, without the label {self._label!r}; what it makes "
                "of them before it fits (get_dummies) is not made in service, and belongs into a Pipeline.",
            )
        own = _categories_of(path, kind, told.vector, known)
        return tuple(
            msgspec.structs.replace(known[item.name], categories=own.get(item.name, known[item.name].categories))
            for item in told.vector
        )

    def _filled(self, data: TrainingSet, place: Path, run: Run) -> list[str]:
        """The arguments with their places filled in; the rows are written where they ask for them."""
        if self._label in data.names:
            raise ModelError(
                f"A feature has the name of the label, {self._label!r}, and a script could not tell them apart.",
                "Give the feature another name.",
            )
        rows, arguments = data.to_polars().rename({"label": self._label}), list(self._spec.arguments)
        if any(ROWS in one for one in arguments):
            rows.write_parquet(run.path("rows.parquet"))
        if any(CSV in one for one in arguments):
            rows.write_csv(run.path("rows.csv"))
        places = {
            ROWS: str(run.path("rows.parquet")),
            CSV: str(run.path("rows.csv")),
            MODEL: str(place / "model"),
            "{seed}": str(run.seed),
            "{threads}": str(run.threads),
        }
        for name, value in places.items():
            arguments = [one.replace(name, value) for one in arguments]
        return arguments

    def _run(self, place: Path, arguments: Sequence[str], data: TrainingSet) -> None:
        process = subprocess.Popen(
            [sys.executable, "-u", str(self._folder / self._spec.path), *arguments],
            cwd=place,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        said: deque[str] = deque(maxlen=_LINES)
        with process:
            for line in process.stdout or ():
                said.append(line)
                sys.stderr.write(line)
                sys.stderr.flush()
        if process.returncode:
            printed = "".join(said)
            sentence = say_exit(process.returncode, printed, self._memory_mb)
            hint = hint_for_script(
                self._spec.path, self._spec.arguments, printed, data.categories, numbered=not data.classes
            )
            raise ModelError(f"Script {self._spec.path!r} failed. {sentence}", hint or "Mend the script.")

    def _refuse_one_class(self, model: object, data: TrainingSet) -> None:
        known = getattr(model, "classes_", None)
        if known is None or len(known) != 1 or data.classes or len({*data.y.tolist()}) == 1:
            return
        raise ModelError(
            f"Script {self._spec.path!r} made a classifier that knows one class only, {known[0]!r}; "
            f"the label {self._label!r} of its rows has two.",
            LABEL,
        )

    def _left(self, place: Path) -> object:
        """The model that it left: the file, or the object in a pickle."""
        names = any(MODEL in one for one in self._spec.arguments)
        found = sorted(one for one in place.iterdir() if one.is_file() and (not names or one.name.startswith("model")))
        if len(found) != 1:
            there = ", ".join(sorted(one.name for one in place.iterdir())) or "nothing"
            raise ModelError(
                f"Script {self._spec.path!r} left {len(found) or 'no'} model files; in its folder is {there}.",
                f"Let it write one file to the path that {MODEL} gives it.",
            )
        (path,) = found
        return _unpickled(path) if runtime.recognise(path) == "pickle" else path


def _unpickled(path: Path) -> object:
    try:
        import joblib

        return joblib.load(path)
    except Exception as error:  # noqa: BLE001 - loading runs code, which may raise anything
        raise ModelError(
            f"The pickle {path.name} that the script left cannot be loaded: {say_raised(error)}.",
            "Save a scikit-learn estimator with skops.io.dump, or a booster with its save_model.",
        ) from None


def _categories_of(
    path: Path, kind: Format, vector: Sequence[Input], known: dict[str, Any]
) -> dict[str, tuple[str, ...]]:
    """The texts that the file itself gives numbers to, by input."""
    if kind != "lightgbm":
        return {item.name: item.categories for item in vector if item.categories is not None}
    from evertrain.runtime.lightgbm_file import pandas_categories

    text = [item.name for item in vector if known[item.name].categories is not None]
    pinned = pandas_categories(path.read_bytes())
    return dict(zip(text, pinned, strict=True)) if len(pinned) == len(text) else {}
