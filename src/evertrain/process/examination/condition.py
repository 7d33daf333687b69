"""What lies in a state directory: who may read it, its clock, and what dead processes left. Nothing is changed."""

import importlib.util
import os
import re
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from evertrain.core.event import Event
from evertrain.core.model import Format
from evertrain.core.time import MINUTE, SECOND, Instant, say_instant, say_span
from evertrain.errors import EvertrainError
from evertrain.process.examination.finding import Finding, fault, fine, watch
from evertrain.store.artifact import Artifacts
from evertrain.store.process import Heartbeat, alive
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = [
    "look_at_clock",
    "look_at_leftovers",
    "look_at_libraries",
    "look_at_permissions",
    "look_at_processes",
    "look_at_sockets",
]

_AHEAD: Final = 5 * SECOND
_BACK: Final = MINUTE
_SOCKET_BYTES: Final = 107
_OLD_S: Final = 60.0
_HALF: Final = re.compile(r"\..+\.\d+\.[0-9a-f]{8}")
_NEEDS: Final[Mapping[Format, tuple[str, ...]]] = {
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost",),
    "onnx": ("onnxruntime",),
    "sklearn": ("sklearn", "skops"),
}


def look_at_permissions(state: State) -> Iterator[Finding]:
    """Who may read keys and enter folders, and whether the one who asks may write."""
    wrong = False
    private = (state.path / "control", state.keys, *sorted(state.keys.glob("*")))
    for path in private:
        try:
            found = path.lstat()
        except OSError:
            continue
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            wrong = True
            yield fault(
                "permissions",
                f"{path} can be read or changed by others (mode {stat.S_IMODE(found.st_mode):o}).",
                why="Whoever has the signing key or a token can put any model into service.",
                remedy=f"chmod go= {path}",
            )
    for path in (state.path, state.path / "control", state.path / "serving", state.log, state.cache):
        if not os.access(path, os.W_OK | os.X_OK):
            wrong = True
            owner = path.stat().st_uid if path.exists() else "nobody"
            yield fault(
                "permissions",
                f"{path} cannot be written by this user ({os.getuid()}); it belongs to user {owner}.",
                why="Nothing can be logged, learned or recorded.",
                remedy=f"Run as that user, or: chown -R {os.getuid()} {state.path}",
            )
    if not wrong:
        yield fine("permissions", "Keys and records are this user's alone.")


def look_at_clock(newest: Sequence[Event], beats: Iterable[Path], now: Instant) -> Iterator[Finding]:
    """The system's clock against what was written before. newest: events, newest first; beats: heartbeat files."""
    stamps = [event.at for event in newest] + [Instant(path.stat().st_mtime_ns // 1000) for path in beats]
    latest = max(stamps, default=now)
    if latest - now > _AHEAD:
        yield fault(
            "clock",
            f"The newest thing on record is of {say_instant(latest)}, {say_span(_whole(latest - now))} from now.",
            why="The system's clock was set back, or was ahead. Triggers and labels wait until it has caught up.",
            remedy="Set the clock (timedatectl set-ntp true), then wait, or restore the state from a backup.",
        )
        return
    step = max((later.at - earlier.at for earlier, later in _by_actor(newest)), default=0)
    if step > _BACK:
        yield watch(
            "clock",
            f"Among the newest {len(newest):,} events time went back by {say_span(_whole(step))}.",
            why="Events are dated by the system's clock: what happened between two steps cannot be told apart by time.",
            remedy="Let a time service slew the clock instead of setting it (chrony with makestep only at boot).",
        )
        return
    yield fine("clock", f"It is {say_instant(_whole(now))}, later than all that is on record.")


def _by_actor(newest: Sequence[Event]) -> Iterator[tuple[Event, Event]]:
    """Each event with the one before it of the same actor, as (this, before): actors may write down late."""
    after: dict[str, Event] = {}
    for event in newest:
        if event.actor in after:
            yield after[event.actor], event
        after[event.actor] = event


def _whole(span: int) -> Instant:
    return Instant(span // SECOND * SECOND)


def look_at_processes(beats: Sequence[Heartbeat]) -> Iterator[Finding]:
    """Who lives, and who left a sign of life and is gone."""
    living = [one for one in beats if alive(one)]
    supervised = any(one.role == "supervisor" for one in living)
    gone = [one for one in beats if not alive(one)]
    if living and not supervised:
        yield fault(
            "processes",
            f"{_names(living)} run without a supervisor.",
            why="They go on answering, but nobody starts again what fails.",
            remedy="evertrain up (it takes them over without a failed request)",
        )
    elif gone and supervised:
        yield watch(
            "processes",
            f"{_names(gone)} left a sign of life and do not run.",
            why="The supervisor starts them again within seconds; when this stays, one of them cannot come up.",
            remedy="evertrain status",
        )
    elif gone:
        yield watch(
            "processes",
            f"{_names(gone)} left a sign of life and do not run.",
            why="They were killed. Nothing of that blocks a start.",
            remedy="evertrain up (it removes what they left)",
        )
    else:
        yield fine("processes", f"{_names(living)} run." if living else "None runs, none left anything.")


def _names(beats: Sequence[Heartbeat]) -> str:
    return ", ".join(one.name for one in beats)


def look_at_leftovers(state: State) -> Finding:
    """Files that a process was writing when it was killed: they are never read, and never in the way."""
    old = time.time() - _OLD_S
    half = [path for path in state.path.rglob(".*") if _HALF.fullmatch(path.name) and path.lstat().st_mtime < old]
    if half:
        size = sum(path.lstat().st_size for path in half)
        return watch(
            "half-written files",
            f"{len(half)} files, {size:,} bytes, such as {half[0].relative_to(state.path)}.",
            why="A process was killed while it wrote them. They are never read, and only take space.",
            remedy="rm " + " ".join(str(path) for path in half[:20]),
        )
    return fine("half-written files", "There are none.")


def look_at_sockets(state: State) -> Iterator[Finding]:
    """Whether canaries can be reached: a private folder, a path that is short enough, nobody's old sockets."""
    try:
        longest = state.socket("x" * 48)
    except (EvertrainError, OSError) as error:
        yield fault(
            "sockets",
            getattr(error, "what", str(error)),
            why="Workers ask a canary over a socket in this folder; without it no version can be tried.",
            remedy=getattr(error, "remedy", "") or "Set XDG_RUNTIME_DIR to a folder of this user's.",
        )
        return
    if len(os.fsencode(longest)) > _SOCKET_BYTES:
        yield fault(
            "sockets",
            f"The path of a socket can be {len(os.fsencode(longest))} bytes long; the system takes {_SOCKET_BYTES}.",
            why="Workers ask a canary over such a socket.",
            remedy="Set XDG_RUNTIME_DIR to a shorter path.",
        )
        return
    deaf = [path for path in sorted(longest.parent.iterdir()) if path.is_socket() and not _listens(path)]
    if deaf:
        yield watch(
            "sockets",
            f"Nobody listens at {', '.join(path.name for path in deaf)} in {longest.parent}.",
            why="Processes that were killed left them. They are replaced when they are in the way.",
            remedy="rm " + " ".join(map(str, deaf)),
        )
        return
    yield fine("sockets", f"{longest.parent} is private, and its paths are short enough.")


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def look_at_libraries(state: State) -> Iterator[Finding]:
    """The libraries that the versions in service need."""
    artifacts = Artifacts.at(state.artifacts)
    needed: dict[Format, str] = {}
    try:
        for name, route in sorted(RoutingFile(state.routing).read().routes.items()):
            arms = [arm.version for arm in (route.canary, route.control) if arm is not None]
            for version in (route.champion, route.previous, *arms):
                if version is not None and not artifacts.runs_in(version):
                    needed.setdefault(artifacts.manifest(version).format, name)
    except EvertrainError as error:
        yield fault(
            "routing",
            error.what,
            why="It says which version answers.",
            remedy=error.remedy or "evertrain ledger verify",
        )
        return
    missing = [one for one in needed if any(importlib.util.find_spec(name) is None for name in _NEEDS.get(one, ()))]
    for one in missing:
        yield fault(
            "libraries",
            f"Service {needed[one]!r} has a {one} model, and the library for it is not installed here.",
            why="No worker can load that version.",
            remedy=f"pip install 'evertrain[{one}]'",
        )
    if not missing:
        yield fine("libraries", f"All for {', '.join(sorted(needed)) or 'no model yet'} are installed.")
