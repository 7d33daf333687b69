"""The predict door: from a request that came whole to its response.

    POST /v2/models/{service}/infer     Open Inference Protocol V2; GET /v2, /v2/health/live, /v2/health/ready,
                                        /v2/models/{service}, /v2/models/{service}/ready
    POST /predict/{service}             plain records
    POST /labels/{service}              labels, with the data token
    POST /observe/{service}             what somebody else's server has answered, with the data token

Every error says what is wrong, in which field, and what to do; none leaves a trace in the prediction log.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from evertrain.config.wording import suggestion
from evertrain.core.identity import ServiceName
from evertrain.core.prediction import Labelled, Predicted
from evertrain.deploy.admission import deadline_of
from evertrain.deploy.answer import Answering, Span
from evertrain.deploy.body import Intake, Limits, deflate, wants_gzip
from evertrain.deploy.label import KeyForm, hide_keys, read_labels, said_certain
from evertrain.deploy.observe import read_observations, refuse_labels
from evertrain.deploy.protocol import (
    Rendered,
    metadata,
    read_infer,
    render_infer,
    render_records,
)
from evertrain.deploy.refusal import not_for, refusal, status_of
from evertrain.deploy.request import Reply, Request
from evertrain.deploy.swap import Live, Swap
from evertrain.deploy.tensor import HEADER
from evertrain.deploy.version import Loaded
from evertrain.errors import (
    EvertrainError,
    NotFoundError,
    RequestError,
    UnavailableError,
)
from evertrain.store.clock import BusinessClock
from evertrain.store.log import LogWriter
from evertrain.store.pseudonym import Pseudonyms
from evertrain.store.statistics import OFF, Statistics

__all__ = ["Server"]

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()

Headers = dict[bytes, bytes]
Answer = Reply | Awaitable[Reply]
Render = Callable[[list[Predicted]], Rendered]
_LONGEST_ID = 200
_IDS_IN_HEADER = 16
_ID = b"x-request-id"
_COHORT = b"x-evertrain-cohort"


class _Door(msgspec.Struct, frozen=True):
    """A path that was recognised: its service, if it is about one, its method, and what answers it."""

    service: str
    method: str
    answer: Callable[[str, Request], Answer]


class Server:
    """The application of one worker: requests in, replies out.

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
        pseudonyms: Pseudonyms,
        statistics: Statistics,
        intake: Intake,
        limits: Limits,
        admits: Callable[[str], bool],
        steady: bool,
        answer_timeout_s: float,
        release: str,
    ) -> None:
        self.draining = False
        self._swap = swap
        self._answering = answering
        self._log = log
        self._clock = clock
        self._pseudonyms = pseudonyms
        self._statistics = statistics
        self._intake = intake
        self._limits = limits
        self._admits = admits
        self._steady = steady
        self._answer_timeout_s = answer_timeout_s
        self._posts = {"predict": self._records, "labels": self._labels, "observe": self._observations}
        self._about = _encoder.encode({"name": "evertrain", "version": release, "extensions": ["binary_tensor_data"]})

    def respond(self, request: Request) -> Answer:
        """The reply to a request, at once wherever nothing has to be waited for. Raises nothing."""
        service = ""
        try:
            door = self._door(request.path)
            service = door.service
            if request.method != door.method and (request.method, door.method) != ("HEAD", "GET"):
                return self._done(service, request, not_for(request.method, door.method))
            answer = door.answer(service, request)
        except Exception as error:  # noqa: BLE001  a defect costs the request that found it, not its connection
            answer = self._refused(error)
        if isinstance(answer, Reply):
            return self._done(service, request, answer)
        return self._later(service, request, answer)

    def refuse(self, error: EvertrainError) -> Reply:
        """The reply to a request that did not come whole."""
        reply = refusal(status_of(error), error)
        self._statistics.responded("", reply.status)
        return reply

    async def _later(self, service: str, request: Request, answer: Awaitable[Reply]) -> Reply:
        try:
            reply = await answer
        except Exception as error:  # noqa: BLE001  as above
            reply = self._refused(error)
        done = self._done(service, request, reply)
        return done if isinstance(done, Reply) else await done

    def _refused(self, error: Exception) -> Reply:
        if isinstance(error, EvertrainError):
            return refusal(status_of(error), error)
        _log.error("A request could not be answered.", exc_info=error)
        return refusal(500, EvertrainError("This request could not be answered.", "The log of the worker says why."))

    def _done(self, service: str, request: Request, reply: Reply) -> Answer:
        live = self._swap.live(service) if reply.status == 503 else None
        is_order = live is not None and not live.route.enabled
        self._statistics.responded(service, OFF if is_order else reply.status)
        name = request.headers.get(_ID)
        if name is not None and len(name) <= _LONGEST_ID:
            reply = msgspec.structs.replace(reply, headers=(*reply.headers, (_ID, name)))
        return _packed(reply) if wants_gzip(reply.body, request.headers) else reply

    def _door(self, path: str) -> _Door:
        """The door of a path; NotFoundError when there is none."""
        parts = path.split("/")[1:]
        if len(parts) == 2 and parts[0] in self._posts:
            return _Door(self._known(parts[1]), "POST", self._posts[parts[0]])
        if len(parts) == 4 and parts[:2] == ["v2", "models"] and parts[3] == "infer":
            return _Door(self._known(parts[2]), "POST", self._infer)
        if parts[:1] == ["v2"]:
            return self._look(parts[1:])
        raise NotFoundError(f"There is nothing at {path[:200]!r}.", "See the API reference for the paths.")

    def _look(self, parts: list[str]) -> _Door:
        match parts:
            case [] | [""]:
                return _Door("", "GET", self._server)
            case ["health", "live"]:
                return _Door("", "GET", self._alive)
            case ["health", "ready"]:
                return _Door("", "GET", self._ready)
            case ["models", name]:
                return _Door(self._known(name), "GET", self._metadata)
            case ["models", name, "ready"]:
                return _Door(self._known(name), "GET", self._service_ready)
            case ["models", name, "versions", _, *_]:
                raise NotFoundError(
                    f"Who asks {self._known(name)!r} does not choose the version that answers.",
                    "Leave /versions/ out of the path (a client's model_version); each answer names its version.",
                )
        raise NotFoundError("There is nothing at this path.", "See the API reference for the paths.")

    def _known(self, service: str) -> str:
        if self._swap.live(service) is None:
            names = [live.route.service for live in self._swap.services]
            raise NotFoundError(f"There is no service {service[:80]!r}.", suggestion(service[:80], names))
        return service

    # Predictions -----------------------------------------------------------------------------------------------------

    def _infer(self, service: str, request: Request) -> Answer:
        body = self._intake.whole(request.body, request.headers)
        live, champion = self._answerable(service)
        asked = read_infer(body, champion.columns, champion.output, self._limits, request.headers.get(HEADER))
        return self._answer(
            live, champion, asked.rows, request, lambda answers: render_infer(asked, champion.manifest, answers)
        )

    def _records(self, service: str, request: Request) -> Answer:
        body = self._intake.whole(request.body, request.headers)
        live, champion = self._answerable(service)
        rows = champion.records.read(body, self._limits)
        return self._answer(
            live, champion, rows, request, lambda answers: Rendered(render_records(answers, champion.output))
        )

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

    def _answer(
        self, live: Live, champion: Loaded, rows: list[tuple[Any, ...]], request: Request, render: Render
    ) -> Answer:
        headers = request.headers
        until = deadline_of(headers, request.begun_ns, self._answer_timeout_s)
        load = self._steady and headers.get(b"x-evertrain-load") == b"steady"
        answers = self._answering.answer(
            live,
            champion,
            rows,
            name=_named(headers, _ID).decode("latin-1"),
            cohort=_named(headers, _COHORT).decode("utf-8", "replace"),
            load=load,
            span=Span(request.begun_ns, until),
        )
        if isinstance(answers, list):
            return _answered(render(answers), answers)
        return self._answered_later(answers, render)

    async def _answered_later(self, coming: Awaitable[list[Predicted]], render: Render) -> Reply:
        answers = await coming
        return _answered(render(answers), answers)

    # Labels ----------------------------------------------------------------------------------------------------------

    def _labels(self, service: str, request: Request) -> Reply:
        refused = self._unadmitted(request.headers, "Labels")
        if refused is not None:
            return refused
        body = self._intake.whole(request.body, request.headers)
        live = self._swap.live(service)
        champion = None if live is None else live.champion
        output = None if champion is None else champion.output
        form = None if champion is None else KeyForm(champion.key_names, champion.columns)
        now = self._clock.now()
        labels = read_labels(body, ServiceName(service), now, self._limits, output, form=form)
        if live is not None and live.route.observed:
            refuse_labels(labels, live.route.output)
        if live is not None and live.route.personal:
            labels = self._hidden(live, labels)
        self._log.append(*labels)
        certain = None if live is None else live.route.certain
        return Reply(200, _encoder.encode({"taken": len(labels), **said_certain(certain, now)}))

    def _hidden(self, live: Live, labels: list[Labelled]) -> list[Labelled]:
        """Labels with pseudonyms in their keys, where those are personal."""
        if live.champion is None:
            raise UnavailableError("Nobody knows the key of this service yet.", "Send it again when a version answers.")
        key = live.champion.key_names
        places = [place for place, name in enumerate(key) if name in live.route.personal]
        return hide_keys(labels, len(key), places, self._pseudonyms) if places else labels

    def _observations(self, service: str, request: Request) -> Reply:
        live = self._swap.live(service)
        if live is None or not live.route.observed:
            raise NotFoundError(
                f"Service {service!r} is not watched: a model of its own answers.",
                f"Ask it at /predict/{service}, or watch another name: `evertrain watch --listen --service NAME`.",
            )
        refused = self._unadmitted(request.headers, "Observations")
        if refused is not None:
            return refused
        body = self._intake.whole(request.body, request.headers)
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
        return msgspec.structs.replace(refusal(401, error), headers=((b"www-authenticate", b"Bearer"),))

    # Looking ---------------------------------------------------------------------------------------------------------

    def _server(self, _: str, __: Request) -> Reply:
        return Reply(200, self._about)

    def _alive(self, _: str, __: Request) -> Reply:
        return Reply(200, b'{"live":true}')

    def _ready(self, _: str, __: Request) -> Reply:
        # What a person turned off is no reason to take the others of this worker from behind a load balancer.
        services = list(self._swap.services)
        if not services:
            return Reply(503, b'{"ready":false,"waiting":[]}')  # no table came yet: nobody's requests can be answered
        return _readiness(live for live in services if live.route.enabled)

    def _service_ready(self, service: str, _: Request) -> Reply:
        live = self._swap.live(service)
        return _readiness([live] if live is not None else [])

    def _metadata(self, service: str, _: Request) -> Reply:
        _live, champion = self._answerable(service)
        return Reply(200, metadata(champion.manifest))


def _named(headers: Headers, header: bytes) -> bytes:
    """What a client may name as it likes, empty where it does not."""
    word = headers.get(header, b"")
    if len(word) > _LONGEST_ID:
        name = header.decode()
        raise RequestError(
            f"The header {name} is longer than {_LONGEST_ID} characters.", "Send a shorter one.", field=name
        )
    return word


def _readiness(services: Iterable[Live]) -> Reply:
    waiting = [
        live.route.service
        for live in services
        if (live.champion is None and not live.route.observed) or not live.route.enabled
    ]
    if not waiting:
        return Reply(200, b'{"ready":true}')
    return Reply(503, _encoder.encode({"ready": False, "waiting": waiting}))


def _answered(rendered: Rendered, answers: list[Predicted]) -> Reply:
    ids = ",".join([answer.id for answer in answers[:_IDS_IN_HEADER]])
    headers = ((b"x-evertrain-version", answers[0].version.encode()), (b"x-evertrain-prediction", ids.encode()))
    if rendered.json is None:
        return Reply(200, rendered.body, headers)
    # So many bytes of the body are JSON, and the others tensors.
    length = (HEADER, b"%d" % rendered.json)
    return Reply(200, rendered.body, (*headers, length), b"application/octet-stream")


async def _packed(reply: Reply) -> Reply:
    headers = (*reply.headers, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
    return msgspec.structs.replace(reply, body=await deflate(reply.body), headers=headers)
