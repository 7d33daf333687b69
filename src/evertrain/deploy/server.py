"""The predict door: a raw ASGI application. It reads a request within its bounds, has it answered, and responds.

    POST /v2/models/{service}/infer     Open Inference Protocol V2; GET /v2, /v2/health/live, /v2/health/ready,
                                        /v2/models/{service}, /v2/models/{service}/ready
    POST /predict/{service}             plain records
    POST /labels/{service}              labels, with the data token
    POST /observe/{service}             what somebody else's server has answered, with the data token

Every error says what is wrong, in which field, and what to do; none leaves a trace in the prediction log.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec

from evertrain.config.wording import suggestion
from evertrain.core.identity import ServiceName
from evertrain.core.prediction import Predicted
from evertrain.deploy.answer import Answering
from evertrain.deploy.body import EncodingError, Intake, StalledError, deflate
from evertrain.deploy.label import read_labels
from evertrain.deploy.observe import read_observations, refuse_labels
from evertrain.deploy.protocol import (
    Limits,
    metadata,
    read_infer,
    read_records,
    render_infer,
    render_records,
)
from evertrain.deploy.swap import Live, Swap
from evertrain.deploy.tensor import HEADER
from evertrain.deploy.version import Loaded
from evertrain.errors import (
    CapacityError,
    EvertrainError,
    ModelError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnavailableError,
    told,
)
from evertrain.store.clock import BusinessClock
from evertrain.store.log import LogWriter
from evertrain.store.statistics import Statistics

__all__ = ["Reply", "Server"]

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]
_LONGEST_ID = 200
_IDS_IN_HEADER = 16


class Reply(msgspec.Struct, frozen=True):
    """A response that is ready to send."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"


class _Door(msgspec.Struct, frozen=True):
    """A path that was recognised: its method and what answers it."""

    method: str
    answer: Callable[[str, Headers, Receive], Awaitable[Reply]]


class Server:
    """The ASGI application of one worker.

    admits: whether the Authorization header of a label request carries the data token. steady: whether the tag of a
    story's steady load is honoured. draining: set it to close each connection after the response in hand.
    """

    def __init__(
        self,
        *,
        swap: Swap,
        answering: Answering,
        log: LogWriter,
        clock: BusinessClock,
        statistics: Statistics,
        intake: Intake,
        limits: Limits,
        admits: Callable[[str], bool],
        steady: bool,
        max_concurrency: int,
        release: str,
    ) -> None:
        self.draining = False
        self._swap = swap
        self._answering = answering
        self._log = log
        self._clock = clock
        self._statistics = statistics
        self._intake = intake
        self._limits = limits
        self._admits = admits
        self._steady = steady
        self._max_concurrency = max_concurrency
        self._in_hand = 0
        self._posts = {"predict": self._records, "labels": self._labels, "observe": self._observations}
        self._about = _encoder.encode({"name": "evertrain", "version": release, "extensions": ["binary_tensor_data"]})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers: Headers = dict(scope["headers"])
        service = ""
        try:
            service, door = self._door(scope["path"])
            if scope["method"] != door.method:
                reply = _refusal(405, RequestError(f"{scope['method']} is not for this path.", f"Use {door.method}."))
                reply = msgspec.structs.replace(reply, headers=((b"allow", door.method.encode()),))
            else:
                reply = await door.answer(service, headers, receive)
        except EvertrainError as error:
            reply = _refusal(_status_of(error), error)
        self._statistics.responded(service, reply.status)
        await self._send(reply, headers, send)

    async def _send(self, reply: Reply, headers: Headers, send: Send) -> None:
        body = reply.body
        sent = [(b"content-type", reply.content_type), *reply.headers]
        packed = await deflate(body, headers.get(b"accept-encoding"))
        if packed is not None:
            body = packed
            sent += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
        sent.append((b"content-length", str(len(body)).encode()))
        name = headers.get(b"x-request-id")
        if name is not None and len(name) <= _LONGEST_ID:
            sent.append((b"x-request-id", name))
        # A body that was not read to its end cannot be followed by another request.
        if self.draining or reply.status in {408, 413, 415}:
            sent.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    def _door(self, path: str) -> tuple[str, _Door]:
        """The service and the door of a path; NotFoundError when there is none."""
        parts = path.split("/")[1:]
        if len(parts) == 2 and parts[0] in self._posts:
            return self._known(parts[1]), _Door("POST", self._posts[parts[0]])
        if len(parts) == 4 and parts[:2] == ["v2", "models"] and parts[3] == "infer":
            return self._known(parts[2]), _Door("POST", self._infer)
        if parts[0] == "v2":
            return self._look(parts[1:])
        raise NotFoundError(f"There is nothing at {path[:200]!r}.", "See the API reference for the paths.")

    def _look(self, parts: list[str]) -> tuple[str, _Door]:
        match parts:
            case [] | [""]:
                return "", _Door("GET", self._server)
            case ["health", "live"]:
                return "", _Door("GET", self._alive)
            case ["health", "ready"]:
                return "", _Door("GET", self._ready)
            case ["models", name]:
                return self._known(name), _Door("GET", self._metadata)
            case ["models", name, "ready"]:
                return self._known(name), _Door("GET", self._service_ready)
        raise NotFoundError("There is nothing at this path.", "See the API reference for the paths.")

    def _known(self, service: str) -> str:
        if self._swap.live(service) is None:
            names = [live.route.service for live in self._swap.services]
            raise NotFoundError(f"There is no service {service[:80]!r}.", suggestion(service[:80], names))
        return service

    # Predictions -----------------------------------------------------------------------------------------------------

    async def _infer(self, service: str, headers: Headers, receive: Receive) -> Reply:
        body, begun = await self._read(headers, receive)
        live, champion = self._answerable(service)
        asked = read_infer(body, champion.columns, champion.output, self._limits, headers.get(HEADER))
        answers = await self._answer(live, champion, asked.rows, headers, begun)
        rendered = render_infer(asked, champion.manifest, answers)
        reply = _answered(rendered.body, answers)
        return reply if rendered.json is None else _with_bytes(reply, rendered.json)

    async def _records(self, service: str, headers: Headers, receive: Receive) -> Reply:
        body, begun = await self._read(headers, receive)
        live, champion = self._answerable(service)
        asked = read_records(body, champion.columns, self._limits)
        answers = await self._answer(live, champion, asked.rows, headers, begun)
        return _answered(render_records(answers, champion.output), answers)

    async def _read(self, headers: Headers, receive: Receive) -> tuple[bytes, int]:
        body = await self._intake.read(headers, receive)
        return body, time.perf_counter_ns()

    def _answerable(self, service: str) -> tuple[Live, Loaded]:
        live = self._swap.live(service)
        if live is not None and live.route.observed:
            raise NotFoundError(
                f"Service {service!r} is only watched: somebody else answers for it.",
                f"Post what was answered to /observe/{service}.",
            )
        if live is None or not live.route.enabled or live.champion is None:
            reason = "it was taken away" if live is None else (live.route.notice or live.reason)
            raise UnavailableError(
                f"Service {service!r} does not answer: {reason}", "Send it again later; `evertrain status` says why."
            )
        return live, live.champion

    async def _answer(
        self, live: Live, champion: Loaded, rows: list[tuple[Any, ...]], headers: Headers, begun_ns: int
    ) -> list[Predicted]:
        name = headers.get(b"x-request-id", b"").decode("latin-1")
        if len(name) > _LONGEST_ID:
            raise RequestError(
                f"The request id is longer than {_LONGEST_ID} characters.", "Send a shorter one.", field="x-request-id"
            )
        if self._in_hand >= self._max_concurrency:
            raise CapacityError(f"{self._in_hand} requests are in hand already.", "Send it again in a moment.")
        load = self._steady and headers.get(b"x-evertrain-load") == b"steady"
        self._in_hand += 1
        try:
            return await self._answering.answer(live, champion, rows, name=name, load=load, begun_ns=begun_ns)
        finally:
            self._in_hand -= 1

    # Labels ----------------------------------------------------------------------------------------------------------

    async def _labels(self, service: str, headers: Headers, receive: Receive) -> Reply:
        refused = self._unadmitted(headers, "Labels")
        if refused is not None:
            return refused
        body = await self._intake.read(headers, receive)
        live = self._swap.live(service)
        output = None if live is None or live.champion is None else live.champion.output
        labels = read_labels(body, ServiceName(service), self._clock.now(), self._limits, output)
        if live is not None and live.route.observed:
            refuse_labels(labels, live.route.output)
        self._log.append(*labels)
        return Reply(200, _encoder.encode({"taken": len(labels)}))

    async def _observations(self, service: str, headers: Headers, receive: Receive) -> Reply:
        live = self._swap.live(service)
        if live is None or not live.route.observed:
            raise NotFoundError(
                f"Service {service!r} is not watched: a model of its own answers.",
                f"Ask it at /predict/{service}, or watch another name: `evertrain watch --listen --service NAME`.",
            )
        refused = self._unadmitted(headers, "Observations")
        if refused is not None:
            return refused
        body = await self._intake.read(headers, receive)
        output = live.route.output
        observations = read_observations(body, ServiceName(service), self._clock.now(), self._limits, output)
        self._log.append(*observations)
        return Reply(200, _encoder.encode({"taken": len(observations)}))

    def _unadmitted(self, headers: Headers, what: str) -> Reply | None:
        """The refusal of a request that does not carry the data token."""
        if self._admits(headers.get(b"authorization", b"").decode("latin-1")):
            return None
        error = RequestError(
            f"{what} need the data token.",
            "Send it as 'Authorization: Bearer TOKEN'; it lies in control/keys/token-data of the state directory.",
            field="authorization",
        )
        return msgspec.structs.replace(_refusal(401, error), headers=((b"www-authenticate", b"Bearer"),))

    # Looking ---------------------------------------------------------------------------------------------------------

    async def _server(self, _: str, __: Headers, ___: Receive) -> Reply:
        return Reply(200, self._about)

    async def _alive(self, _: str, __: Headers, ___: Receive) -> Reply:
        return Reply(200, b'{"live":true}')

    async def _ready(self, _: str, __: Headers, ___: Receive) -> Reply:
        return _readiness(self._swap.services)

    async def _service_ready(self, service: str, _: Headers, __: Receive) -> Reply:
        live = self._swap.live(service)
        return _readiness([live] if live is not None else [])

    async def _metadata(self, service: str, _: Headers, __: Receive) -> Reply:
        _live, champion = self._answerable(service)
        return Reply(200, metadata(champion.manifest))


def _readiness(services: Iterable[Live]) -> Reply:
    waiting = [
        live.route.service
        for live in services
        if (live.champion is None and not live.route.observed) or not live.route.enabled
    ]
    if not waiting:
        return Reply(200, b'{"ready":true}')
    return Reply(503, _encoder.encode({"ready": False, "waiting": waiting}))


def _answered(body: bytes, answers: list[Predicted]) -> Reply:
    ids = ",".join([answer.id for answer in answers[:_IDS_IN_HEADER]])
    return Reply(
        200,
        body,
        ((b"x-evertrain-version", answers[0].version.encode()), (b"x-evertrain-prediction", ids.encode())),
    )


def _with_bytes(reply: Reply, json_length: int) -> Reply:
    """The same reply, of whose body so many bytes are JSON and the others tensors."""
    headers = (*reply.headers, (HEADER, str(json_length).encode()))
    return msgspec.structs.replace(reply, headers=headers, content_type=b"application/octet-stream")


_STATUSES: tuple[tuple[type[EvertrainError], int], ...] = (
    (StalledError, HTTPStatus.REQUEST_TIMEOUT),
    (EncodingError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (RequestError, HTTPStatus.BAD_REQUEST),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (CapacityError, HTTPStatus.SERVICE_UNAVAILABLE),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ModelError, HTTPStatus.INTERNAL_SERVER_ERROR),
)


def _status_of(error: EvertrainError) -> int:
    return next((int(status) for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _refusal(status: int, error: EvertrainError) -> Reply:
    if status >= 500:
        _log.warning("%d: %s", status, error.what)
    retry: tuple[tuple[bytes, bytes], ...] = ((b"retry-after", b"1"),) if error.retry else ()
    return Reply(status, _encoder.encode(told(error)), retry)
