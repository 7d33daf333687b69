"""A port belongs to one state directory: proving that it is free, naming who has it, taking it over from orphans.

The predict socket has SO_REUSEPORT, so that a new supervisor can open it beside the workers that an old one left. The
same option would let a stranger's server in without an error, half of the requests with it; so it is bound only after
a bind without the option has proved that nobody listens, or that those who listen are our own.
"""

import contextlib
import ctypes
import errno
import os
import socket
import time
from collections.abc import Collection

import psutil

from evertrain.errors import OccupiedError, SettingsError

__all__ = ["can_bind", "claim", "holders_of", "require_free"]

_SYS_PIDFD_GETFD = 438
_SETTLING_S = 1.0
"""For whoever has the port and cannot be named: it may end, or show what it is."""
_LOOK_S = 0.02


def require_free(host: str, port: int, *, what: str, own: Collection[int] = ()) -> None:
    """OccupiedError, naming port and owner, unless nobody listens there, or only processes of `own`. Binds nothing.

    what: the port in words ("the predict port"). Port 0 is always free.
    """
    end = time.monotonic() + _SETTLING_S
    while True:
        if port == 0 or can_bind(host, port):
            return
        holders = holders_of(port, own)
        strangers = sorted(holders - set(own))
        if holders and not strangers:
            return
        commands = {pid: _command_of(pid) for pid in strangers}
        if time.monotonic() > end or (commands and all(commands.values())):
            break
        time.sleep(_LOOK_S)  # who has it is just ending or starting, or may not be seen by this user
    who = " and ".join(
        f"process {pid} ({command})" if command else f"process {pid}" for pid, command in commands.items()
    )
    who = who or "a process of another user"
    flag = "--control-port" if "control" in what else "--port"
    raise OccupiedError(f"{what} {port} on {host} is in use by {who}.", f"Stop it, or choose another with {flag}.")


def claim(host: str, port: int, *, own: Collection[int] = ()) -> socket.socket:
    """The predict socket, bound; it listens when the first worker is ready.

    When processes of `own` (orphans of this state directory) listen there, their socket itself is taken over where
    the system allows it, so that no connection which waits in it is lost; else one is bound beside it.
    """
    require_free(host, port, what="The predict port", own=own)
    if port != 0 and not can_bind(host, port):
        taken = _take_over(port, own)
        if taken is not None:
            return taken
    listener = _open(host, port)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(_address(host, port))
    except OSError as error:
        listener.close()
        raise OccupiedError(f"The predict port {port} on {host} cannot be bound: {error.strerror}.") from error
    return listener


def holders_of(port: int, own: Collection[int] = ()) -> set[int]:
    """Numbers of the processes that listen on a TCP port, as far as this user may see them; those of `own` always."""
    found = {pid for pid in own if _listening_handle(pid, port) is not None}
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                found.add(connection.pid)
    return found


def can_bind(host: str, port: int) -> bool:
    """Whether nobody listens there. SettingsError where nobody could: no such host, or a port that needs leave."""
    with _open(host, port) as probe:
        try:
            probe.bind(_address(host, port))
        except PermissionError as error:
            raise SettingsError(f"Port {port} needs a privilege.", "Choose one above 1023.") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(
                    f"{host}:{port} cannot be bound: {error.strerror}.", "Mend host or port."
                ) from error
            return False
    return True


def _listening_handle(pid: int, port: int) -> int | None:
    """The number that the listening socket has in that process; None when it has none."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.Process(pid).net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return int(connection.fd)
    return None


def _open(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise SettingsError(f"Host {host!r} is not known here.", "Give an address of this machine.") from error
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return opened


def _address(host: str, port: int) -> tuple[str, int]:
    return (host, port)


def _command_of(pid: int) -> str:
    """Its command line, shortened; "" for a process that is over, or whose program has not begun."""
    with contextlib.suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())[:120]
    return ""


def _take_over(port: int, own: Collection[int]) -> socket.socket | None:
    """Another handle of the very socket that a process of ours listens on; None where the system does not allow it."""
    for pid in own:
        handle = _listening_handle(pid, port)
        if handle is not None:
            with contextlib.suppress(OSError, AttributeError):  # not permitted; no such call on this system
                return socket.socket(fileno=_handle_of(pid, handle))
    return None


def _handle_of(pid: int, handle: int) -> int:
    """pidfd_getfd(2): the same open file as `handle` of process `pid`. OSError when that is not allowed."""
    process = os.pidfd_open(pid)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        copy = int(library.syscall(_SYS_PIDFD_GETFD, process, handle, 0))
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
    finally:
        os.close(process)
    os.set_inheritable(copy, False)
    return copy
