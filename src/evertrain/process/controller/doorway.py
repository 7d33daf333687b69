"""The control door beside the loop: API, page and metrics, on a thread that can fail without the loop noticing."""

import logging
import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn

from evertrain.errors import EvertrainError, OccupiedError
from evertrain.process.port import require_free
from evertrain.web.application import create_app, create_server
from evertrain.web.reading import Actions, Readings
from evertrain.web.session import Access

__all__ = ["Doorway", "listen"]

_AGAIN_S = 5.0
_END_S = 3.0
_ANY = {"0.0.0.0", "::", ""}  # noqa: S104

_log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. OccupiedError names the port and who has it."""
    require_free(host, port, what="The control port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OccupiedError(f"The control port {port} on {host} cannot be had: {error.strerror}.") from error


class Doorway:
    """Serves until it is left. A port that is in use, or a server that fails, is logged and tried again."""

    def __init__(self, host: str, port: int, readings: Readings, actions: Actions, token: str) -> None:
        self._host = host
        self._port = port
        self._readings = readings
        self._actions = actions
        self._access = Access(token=token, hosts=_names_of(host))
        self._leaving = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._serve, name="control-door", daemon=True)
        self.address: str | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(_END_S)

    def _serve(self) -> None:
        said = ""
        while not self._leaving.is_set():
            try:
                self._serve_once()
            except EvertrainError as error:
                if str(error) != said:
                    _log.error("The page is not served: %s", error)
                said = str(error)
            except Exception:  # noqa: BLE001 - the loop goes on, whatever the web does
                _log.exception("The page's server failed; it starts again")
            self._leaving.wait(_AGAIN_S)

    def _serve_once(self) -> None:
        with listen(self._host, self._port) as listening:
            host, port = listening.getsockname()[:2]
            self.address = f"http://{host}:{port}"
            self._server = create_server(
                create_app(self._readings, self._actions, self._access), self._host, self._port
            )
            if not self._leaving.is_set():
                self._server.run(sockets=[listening])
            self.address = None


def _names_of(host: str) -> tuple[str, ...]:
    """The host names by which the page may be asked for."""
    own = (socket.gethostname(), socket.getfqdn()) if host in _ANY else (host,)
    return tuple(dict.fromkeys(("127.0.0.1", "localhost", *own)))
