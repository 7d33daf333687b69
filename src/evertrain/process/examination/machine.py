"""What the machine gives an installation: ports, disk, processors, memory, file handles. Nothing is written."""

import math
import os
import resource
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import psutil

from evertrain.config.settings import Settings
from evertrain.errors import EvertrainError
from evertrain.process.examination.finding import Finding, fault, fine, watch
from evertrain.process.port import require_free

__all__ = ["Limits", "limits_of", "look_at_disk", "look_at_handles", "look_at_limits", "look_at_ports"]

_MIB: Final = 1 << 20
_OWN_HANDLES = 256
_UNLIMITED = 1 << 60


def look_at_ports(settings: Settings, own: Collection[int], *, up: bool) -> Iterator[Finding]:
    """Whether both ports can be had. own: the installation's own processes; up: it runs, and has its ports."""
    if up:
        yield fine("ports", "This installation is up and has its ports.")
        return
    doors = (
        ("The predict port", settings.host, settings.port),
        ("The control port", settings.control_host, settings.control_port),
    )
    for what, host, port in doors:
        try:
            require_free(host, port, what=what, own=own)
        except EvertrainError as error:
            yield fault("ports", error.what, why="`evertrain up` would be refused.", remedy=error.remedy)
        else:
            yield fine("ports", f"{what} {port} on {host} is free.")


def look_at_disk(path: Path, settings: Settings) -> Finding:
    """Free space where the state lies, or will lie. path: the state directory, there or not."""
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(place).free // _MIB
    names = os.statvfs(place).f_favail
    what = f"{free:,} MiB are free at {place}."
    if free < settings.min_free_mb:
        return fault(
            "disk",
            what,
            why=f"Below {settings.min_free_mb} MiB (min_free_mb) nothing more is taken in.",
            remedy=f"Free space; `du -xh --max-depth 2 {place} | sort -h` shows what takes it.",
        )
    if free < settings.warn_free_mb:
        return watch(
            "disk",
            what,
            why=f"Below {settings.warn_free_mb} MiB (warn_free_mb) people are told; below {settings.min_free_mb} MiB "
            "nothing more is taken in.",
            remedy=f"Free space; `du -xh --max-depth 2 {place} | sort -h` shows what takes it.",
        )
    if os.statvfs(place).f_files and names < 1_000:
        return fault(
            "disk",
            f"{names:,} more files can be made at {place}.",
            why="Each log segment, blob and table file is a file of its own.",
            remedy="Remove files of others from this file system, or move the state to another.",
        )
    return fine("disk", what)


class Limits:
    """What a control group leaves to its processes. processors, memory (bytes): None where nothing limits them."""

    def __init__(self, processors: float | None, memory: int | None) -> None:
        self.processors = processors
        self.memory = memory


def limits_of(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Limits:
    """The narrowest limits of this process's control group and of those above it, by either version of cgroups.

    root: where the groups are mounted; own: the file that names the process's group.
    """
    inner = ""
    if own.is_file():
        inner = next((line[3:].strip().strip("/") for line in own.read_text().splitlines() if line[:3] == "0::"), "")
    path = root / inner
    groups = [folder for folder in (path, *path.parents) if folder == root or root in folder.parents]
    quotas = [_quota(folder) for folder in groups] + [_old_quota(root / "cpu")]
    sizes = [_number(folder / "memory.max") for folder in groups]
    sizes.append(_number(root / "memory" / "memory.limit_in_bytes"))
    return Limits(
        processors=min((one for one in quotas if one is not None), default=None),
        memory=min((one for one in sizes if one is not None and one < _UNLIMITED), default=None),
    )


def _quota(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0] != "max" else None


def _old_quota(folder: Path) -> float | None:
    quota, period = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return quota / period if quota is not None and period and quota > 0 else None


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def look_at_limits(settings: Settings, limits: Limits, own: Collection[int]) -> Iterator[Finding]:
    """Processors and memory against what is to run. own: the processes that run now."""
    cores = os.cpu_count() or 1
    usable = cores if limits.processors is None else min(float(cores), limits.processors)
    said = f"{usable:g} of {cores} processors may be used" if usable < cores else f"{cores} processors"
    if settings.workers > max(1, math.floor(usable)):
        yield watch(
            "processors",
            f"{said}; {settings.workers} workers are set.",
            why="Workers beyond the processors take time from each other, which shows in the slowest answers.",
            remedy=f"Set workers to {max(1, math.floor(usable))}, or raise the limit (docker --cpus, CPUQuota=).",
        )
    elif settings.trainer_threads > usable:
        yield watch(
            "processors",
            f"{said}; a training has {settings.trainer_threads} threads.",
            why="Threads beyond the processors make a training slower, not faster.",
            remedy=f"Set trainer_threads to {max(1, math.floor(usable))}.",
        )
    else:
        yield fine("processors", f"{said}, {settings.workers} workers.")
    yield _memory(limits, own)


def _memory(limits: Limits, own: Collection[int]) -> Finding:
    there = psutil.virtual_memory()
    total = there.total if limits.memory is None else min(there.total, limits.memory)
    used = sum(_resident(pid) for pid in own)
    available = min(there.available, total - used)
    said = f"{available // _MIB:,} MiB of {total // _MIB:,} MiB are available"
    if available < total // 10:
        return watch(
            "memory",
            f"{said}{f'; this installation holds {used // _MIB:,} MiB' if used else ''}.",
            why="A process that is killed for want of memory drops what it has in hand; a training is the largest.",
            remedy="Raise the limit (docker --memory, MemoryMax=), set fewer workers, or stop something else.",
        )
    return fine("memory", f"{said}.")


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def look_at_handles(settings: Settings, limit: int | None = None) -> Finding:
    """Open files that a process may have at most (a worker asks for them), against the connections that it may hold."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if limit is None else limit
    wanted = settings.max_connections + _OWN_HANDLES
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        return fault(
            "file handles",
            f"A process may open {allowed:,} files; a worker may need {wanted:,}.",
            why="Each connection is one; a worker holds no more than it has room for, and the others wait.",
            remedy=f"ulimit -Hn {max(4096, wanted)} (LimitNOFILE= in a unit) before `evertrain up`.",
        )
    said = "any number of" if allowed == resource.RLIM_INFINITY else f"{allowed:,}"
    return fine("file handles", f"A process may open {said} files, a worker needs at most {wanted:,}.")
