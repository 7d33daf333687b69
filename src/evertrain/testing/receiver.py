"""A receiver of webhooks as others run one: it takes what comes, and answers as it was told to."""

import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec

__all__ = ["Answer", "Received", "Receiver"]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One request. headers: by lower-case name."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body, type=dict[str, Any])


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered. holds: until the receiver closes, nothing is."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = {}
    holds: bool = False


class Receiver:
    """Serves on a port of its own. answers: the next ones, one after the other; then `usual`."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: deque[Answer] = deque()
        self.usual = Answer()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, one: Received) -> Answer:
        """Note what came; returns what is answered."""
        self.received.append(one)
        answer = self.answers.popleft() if self.answers else self.usual
        if answer.holds:
            self._closing.wait(30)
        return answer

    @property
    def sequences(self) -> list[int]:
        return [one.event["data"]["sequence"] for one in self.received]


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            answer = receiver.take(Received(path=self.path, headers=headers, body=body))
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
            except OSError:
                return  # whoever asked has gone

        def log_message(self, *_: object) -> None:
            return

    return Handler
