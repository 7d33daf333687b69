"""A question of one process that another answers later: the controller asks for a commit, the data process makes it.

control/requests/<id>.json is the question, control/requests/<id>.answer.json the answer; both appear whole. Whoever
asked comes back for the answer until the work that it was for is done; the newest thousand answers stay.
"""

from pathlib import Path
from typing import Final

import msgspec

from evertrain.core.identity import ServiceName
from evertrain.store.file import remove_oldest, write_atomically
from evertrain.store.state import State

__all__ = ["MOST_ANSWERS", "CommitRequest", "CommitRequests"]

MOST_ANSWERS: Final = 1000
"""Far more than are asked for at once. They do not go by their age: a controller may be away for any time, and only
what it asks for itself makes new ones."""

_SUFFIX: Final = ".answer.json"


class CommitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Commit everything that this service's tables are to hold of what is known now."""

    id: str
    service: ServiceName


class CommitRequests:
    """All commit requests of an installation. Asking twice is asking once; an answer stands.

    most: of the answers, so many are kept.
    """

    def __init__(self, state: State, most: int = MOST_ANSWERS) -> None:
        self._most = most
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
        questions = (path for path in sorted(self._folder.glob("*.json")) if not path.name.endswith(_SUFFIX))
        return [msgspec.json.decode(path.read_bytes(), type=CommitRequest) for path in questions]

    def answer(self, request: CommitRequest, tables: dict[str, int]) -> None:
        """The table versions that hold what was asked for: table name to version. The oldest answers give way."""
        write_atomically(self._answer(request.id), msgspec.json.encode(tables))
        self._question(request.id).unlink(missing_ok=True)
        remove_oldest(self._folder.glob(f"*{_SUFFIX}"), self._most)

    def answered(self, request_id: str) -> dict[str, int] | None:
        """The answer, None while there is none."""
        try:
            return msgspec.json.decode(self._answer(request_id).read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return None

    def _question(self, request_id: str) -> Path:
        return self._folder / f"{request_id}.json"

    def _answer(self, request_id: str) -> Path:
        return self._folder / f"{request_id}{_SUFFIX}"
