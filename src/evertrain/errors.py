"""Every error that evertrain raises, in one tree.

EvertrainError
├── UserError              the caller can mend it; `remedy` says how
│   ├── RequestError       a request that cannot be answered (4xx at the HTTP door)
│   │   └── TooLargeError  over a stated limit (413)
│   ├── DeclarationError   a service declaration that is refused at start
│   ├── SettingsError      a setting that is unknown, out of bounds or unreadable
│   ├── SourceError        a file or row that cannot be taken in as it is
│   └── NotFoundError      a name or id that does not exist
├── TrustError             an artifact that is unsigned, altered, unjudged or refused
├── IntegrityError         stored bytes differ from what the ledger says of them
├── TransitionError        an illegal move of a state machine; nothing was changed
├── OccupiedError          a port, lease or state directory belongs to somebody else
├── CapacityError          a bound is reached: queue, disk, memory; retry later
├── ModelError             user code failed: training, feature or prediction
└── UnavailableError       another process does not answer; retry later
"""

from typing import ClassVar

__all__ = [
    "CapacityError",
    "DeclarationError",
    "EvertrainError",
    "IntegrityError",
    "ModelError",
    "NotFoundError",
    "OccupiedError",
    "RequestError",
    "SettingsError",
    "SourceError",
    "TooLargeError",
    "TransitionError",
    "TrustError",
    "UnavailableError",
    "UserError",
]


class EvertrainError(Exception):
    """What went wrong, where, and what to do about it.

    what: one sentence, with the id or field it is about.
    remedy: one sentence that says what to do, or "" when there is nothing to do.
    """

    retry: ClassVar[bool] = False

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what if not remedy else f"{what} {remedy}")
        self.what = what
        self.remedy = remedy


class UserError(EvertrainError):
    """The caller can mend it."""


class RequestError(UserError):
    """A request that cannot be answered. `field` names the offending column or header, if one does."""

    def __init__(self, what: str, remedy: str = "", *, field: str = "") -> None:
        super().__init__(what, remedy)
        self.field = field


class TooLargeError(RequestError):
    """Over a stated limit of size, rows or nesting."""


class DeclarationError(UserError):
    """A declaration that is refused at start, with file, name and remedy."""


class SettingsError(UserError):
    """A setting that is unknown, out of bounds or unreadable."""


class SourceError(UserError):
    """A file or row that cannot be taken in as it is; it is quarantined, never dropped."""


class NotFoundError(UserError):
    """A name or id that does not exist."""


class TrustError(EvertrainError):
    """An artifact that is unsigned, altered, unjudged or refused; it is never loaded."""


class IntegrityError(EvertrainError):
    """Stored bytes differ from what the ledger says of them."""


class TransitionError(EvertrainError):
    """An illegal move of a state machine. Nothing was changed."""


class OccupiedError(EvertrainError):
    """A port, lease or state directory belongs to somebody else."""


class CapacityError(EvertrainError):
    """A bound is reached; the same call may succeed later."""

    retry: ClassVar[bool] = True


class ModelError(EvertrainError):
    """User code failed: training, a feature or a prediction."""


class UnavailableError(EvertrainError):
    """Another process does not answer; the same call may succeed later."""

    retry: ClassVar[bool] = True
