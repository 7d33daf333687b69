"""Where the environment of a version lies: a folder in the cache, named by all that decides what is in it.

An environment is asked for by the digest of a lock (`Manifest.runs_in`); "" is the one that the installation runs in.
The same lock gives another folder under another interpreter, and beside another evertrain, which is in it as well: so
what stands in a folder is always what this code would build, and an upgrade finds none that is out of date.
"""

import os
import sys
from functools import lru_cache
from pathlib import Path

from evertrain.core.identity import Digest, digest_of, digest_of_bytes

__all__ = ["environment_folder", "interpreter_of", "is_home", "own_code", "own_digest"]


def own_code() -> Path:
    """The folder of the evertrain that runs."""
    return Path(__file__).parents[1]


@lru_cache(maxsize=1)
def own_digest() -> Digest:
    """The digest of the code of evertrain as it is; the same in an environment that holds a copy of it."""
    folder = own_code()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return digest_of({path.relative_to(folder).as_posix(): digest_of_bytes(path.read_bytes()) for path in files})


def environment_folder(environments: Path, environment: str) -> Path:
    """The folder of an environment other than the installation's, built or not."""
    machine = (sys.version, sys.platform, os.uname().machine, sys.base_prefix)
    wanted = (environment, *machine, own_digest())
    return environments / digest_of(wanted)


def interpreter_of(environments: Path, environment: str) -> Path:
    """The interpreter of an environment; it is not there before the environment is built."""
    return Path(sys.executable) if not environment else environment_folder(environments, environment) / "bin" / "python"


def is_home(environments: Path, environment: str) -> bool:
    """Whether this very process runs in the environment."""
    here = os.path.realpath(sys.prefix)
    if environment:
        return here == os.path.realpath(environment_folder(environments, environment))
    return not here.startswith(os.path.realpath(environments) + os.sep)
