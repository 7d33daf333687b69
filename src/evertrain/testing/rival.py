"""What the benchmarks compare with: servers that others make, each in an environment of its own.

    python -m evertrain.testing.rival FOLDER

builds under FOLDER those that are not there, or not complete. One that is not there is a row of a report that says so.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution
from pathlib import Path

import msgspec

__all__ = ["RIVALS", "Rival", "build", "running"]

_BOOSTED = ("lightgbm", "scikit-learn", "pandas", "joblib")


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """A server that others make. requires: what is installed for it, first the package whose version is told."""

    name: str
    requires: tuple[str, ...]

    def home(self, folder: Path) -> Path:
        """Its environment among those of all rivals."""
        return folder / self.name.split()[0].lower()

    def version(self, folder: Path) -> str | None:
        """The version that is installed; None when a package that is required is not there."""
        found = [_version(self.home(folder), requirement.partition("[")[0]) for requirement in self.requires]
        return None if None in found else found[0]


RIVALS = {
    rival.name: rival
    for rival in (
        Rival(name="FastAPI", requires=("fastapi", "uvicorn[standard]", *_BOOSTED)),
        Rival(name="MLServer", requires=("mlserver", "mlserver-lightgbm", *_BOOSTED)),
        Rival(name="KServe", requires=("kserve", *_BOOSTED)),
        Rival(name="BentoML", requires=("bentoml", *_BOOSTED)),
        Rival(name="Ray Serve", requires=("ray[serve]", *_BOOSTED)),
        Rival(name="LitServe", requires=("litserve", *_BOOSTED)),
        Rival(name="MLflow", requires=("mlflow", *_BOOSTED)),
    )
}


def build(requires: tuple[str, ...], folder: Path) -> float:
    """An environment with these requirements, new or completed; returns the seconds that it took."""
    begun = time.perf_counter()
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    quiet = ("--disable-pip-version-check", "--no-input", "-q")
    subprocess.run([str(python), "-m", "pip", *quiet, "install", *requires], check=True)
    return time.perf_counter() - begun


@contextlib.contextmanager
def running(
    command: tuple[str, ...], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that stays, in a session of its own, which is ended with all that it started.

    What it says is in log.txt of its folder.
    """
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _version(home: Path, package: str) -> str | None:
    places = [str(place) for place in home.glob("lib/python*/site-packages")]
    return next((found.version for found in Distribution.discover(name=package, path=places)), None)


def main(folder: Path) -> None:
    """Build what is not there yet."""
    for rival in RIVALS.values():
        if rival.version(folder) is None:
            seconds = build(rival.requires, rival.home(folder))
            sys.stdout.write(f"{rival.name} {rival.version(folder)}: {seconds:.0f} s\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
