"""A question of one process that another answers later: the controller asks for a commit, the data process makes it.

control/requests/<id>.json is the question, control/requests/<id>.answer.json the answer; both appear whole.
"""

from pathlib import Path

import msgspec

from evertrain.core.identity import ServiceName
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["CommitRequest", "CommitRequests"]


class CommitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Commit everything that this service's tables are to hold of what is known now."""

    id: str
    service: ServiceName


class CommitRequests:
    """All commit requests of an installation. Asking twice is asking once; an answer stands."""

    def __init__(self, state: State) -> None:
        self._folder = state.path / "control" / "requests"

    def ask(self, request: CommitRequest) -> None:
        """Put the question, unless it was put or answered already."""
        question = self._question(request.id)
        if not question.exists() and not self._answer(request.id).exists():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_atomically(question, msgspec.json.encode(request))

    def pending(self) -> list[CommitRequest]:
        """Questions without an answer, by id. One listing of a folder that is nearly always empty."""
        if not self._folder.is_dir():
            return []
        questions = (path for path in sorted(self._folder.glob("*.json")) if not path.name.endswith(".answer.json"))
        return [msgspec.json.decode(path.read_bytes(), type=CommitRequest) for path in questions]

    def answer(self, request: CommitRequest, tables: dict[str, int]) -> None:
        """The table versions that hold what was asked for: table name to version."""
        write_atomically(self._answer(request.id), msgspec.json.encode(tables))
        self._question(request.id).unlink(missing_ok=True)

    def answered(self, request_id: str) -> dict[str, int] | None:
        """The answer, None while there is none."""
        try:
            return msgspec.json.decode(self._answer(request_id).read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return None

    def _question(self, request_id: str) -> Path:
        return self._folder / f"{request_id}.json"

    def _answer(self, request_id: str) -> Path:
        return self._folder / f"{request_id}.answer.json"
