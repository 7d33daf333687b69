"""A client that keeps a server busy: so many connections, each with one request under way at a time.

    python -m evertrain.testing.traffic PORT PATH CONNECTIONS SECONDS < BODY

Prints requests, failures, and latencies in microseconds (p50, p99) as JSON. It runs in a process of its own.
"""

import asyncio
import subprocess
import sys
import time
from typing import cast

import msgspec
import uvloop

__all__ = ["Seen", "keep_busy", "main"]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a client saw of a server. Latencies in microseconds."""

    per_s: float
    requests: int
    failures: int
    p50_us: int
    p99_us: int


class _Client(asyncio.Protocol):
    """One connection. It knows just enough HTTP to see where a response ends."""

    def __init__(self, request: bytes, until: float, latencies: list[int], failures: list[bytes]) -> None:
        self.request = request
        self.until = until
        self.latencies = latencies
        self.failures = failures
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = b""
        self.sent = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter_ns()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        if not _is_whole(head.lower(), body):
            return
        now = time.perf_counter_ns()
        self.latencies.append((now - self.sent) // 1000)
        if b" 200 " not in head[:16]:
            self.failures.append(self.buffer)
        self.buffer = b""
        if time.monotonic() < self.until:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if time.monotonic() < self.until:
            self.failures.append(b"the server closed the connection")
        if not self.done.done():
            self.done.set_result(None)


def _is_whole(head: bytes, body: bytes) -> bool:
    """Whether a response has come to its end; head: in lower case."""
    _, found, size = head.partition(b"content-length: ")
    if found:
        return len(body) >= int(size.partition(b"\r")[0])
    return body.endswith(b"0\r\n\r\n")  # in chunks, of which an empty one is the last; JSON holds no such line


async def _run(port: int, request: bytes, connections: int, seconds: float) -> Seen:
    until, latencies, failures = time.monotonic() + seconds, list[int](), list[bytes]()
    loop, begun = asyncio.get_running_loop(), time.monotonic()
    clients = []
    for _ in range(connections):
        made = await loop.create_connection(lambda: _Client(request, until, latencies, failures), "127.0.0.1", port)
        clients.append(made[1])
    await asyncio.gather(*(client.done for client in clients))
    took, ordered = time.monotonic() - begun, sorted(latencies)
    return Seen(
        per_s=len(latencies) / took,
        requests=len(latencies),
        failures=len(failures),
        p50_us=ordered[len(ordered) // 2],
        p99_us=ordered[len(ordered) * 99 // 100],
    )


def keep_busy(port: int, path: str, body: bytes, *, connections: int = 8, seconds: float) -> Seen:
    """Have each of so many connections ask again at once, for so long, from a process of its own."""
    command = [sys.executable, "-m", "evertrain.testing.traffic", str(port), path, str(connections), str(seconds)]
    done = subprocess.run(command, input=body, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=Seen)


def main() -> None:
    """The command line."""
    port, path, connections, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    body = sys.stdin.buffer.read()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(_run(port, head.encode() + body, connections, seconds))
    sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")


if __name__ == "__main__":
    main()
