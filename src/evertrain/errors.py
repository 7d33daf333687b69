"""Every error that evertrain raises, in one tree, each with the code under which it is explained.

EvertrainError             ET-E01
├── UserError              ET-U01  the caller can mend it; `remedy` says how
│   ├── UsageError         ET-U02  a command line that cannot be read
│   ├── NotFoundError      ET-U03  a name or id that does not exist
│   ├── StateError         ET-U04  a state directory that is none, damaged, or another version's
│   ├── RequestError       ET-R01  a request that cannot be answered (4xx at the HTTP door)
│   │   └── TooLargeError  ET-R02  over a stated limit (413)
│   ├── DeclarationError   ET-D01  a service declaration that is refused at start
│   ├── SettingsError      ET-C01  a setting that is unknown, out of bounds or unreadable
│   └── SourceError        ET-S01  a file or row that cannot be taken in as it is
├── TrustError             ET-T01  an artifact that is unsigned, altered, unjudged or refused
├── IntegrityError         ET-T02  stored bytes differ from what the ledger says of them
├── TransitionError        ET-P01  an illegal move of a state machine; nothing was changed
├── OccupiedError          ET-P02  a port, lease or state directory belongs to somebody else
├── CapacityError          ET-P03  a bound is reached: queue, disk, memory; retry later
├── UnavailableError       ET-P04  another process does not answer; retry later
└── ModelError             ET-M01  user code failed: training, feature or prediction
    └── PackageError       ET-M02  a package that a model needs is not installed here, or in another version

A code names a family of faults, not a sentence. It is never given to another family, and what was once told under a
code stays under it: scripts and run books rely on that. A class without a code of its own has that of its base.
`evertrain explain CODE` and docs/reference/errors.md tell what stands in the docstrings below.
"""

from collections.abc import Iterator
from typing import ClassVar

__all__ = [
    "CapacityError",
    "DeclarationError",
    "EvertrainError",
    "IntegrityError",
    "ModelError",
    "NotFoundError",
    "OccupiedError",
    "PackageError",
    "RequestError",
    "SettingsError",
    "SourceError",
    "StateError",
    "TooLargeError",
    "TransitionError",
    "TrustError",
    "UnavailableError",
    "UsageError",
    "UserError",
    "codes",
    "error_of",
    "say_line",
    "say_raised",
    "told",
]


class EvertrainError(Exception):
    """A process of evertrain failed without saying more.

    It is a defect of evertrain's, not a fault of what you gave it. Everything on record is as it was before: a step
    that did not end is not on record. What the process said last stands in the message.

    To do: try it again once; when it fails again, report the message with the version that `pip show evertrain` says.
    """

    code: ClassVar[str] = "ET-E01"
    retry: ClassVar[bool] = False

    def __init__(self, what: str, remedy: str = "") -> None:
        """Keep what went wrong and what to do about it.

        what: one sentence, with the file, id or field it is about. remedy: one sentence that says what to do, or ""
        when there is nothing to do.
        """
        super().__init__(what if not remedy else f"{what} {remedy}")
        self.what = what
        self.remedy = remedy


class UserError(EvertrainError):
    """Something that was given cannot be used: a file, a model, an order, or a value in it.

    It was refused before anything was changed. The message names it and says what would be taken.

    To do: what the second line of the message says.
    """

    code = "ET-U01"


class UsageError(UserError):
    """A command line that cannot be read: an unknown command or option, a missing or impossible value.

    Nothing was run. The exit code is 2, where every other fault has 1.

    To do: take the spelling that is suggested, or look at `--help` of the command.
    """

    code = "ET-U02"


class NotFoundError(UserError):
    """A name or id that does not exist: a service, a version, a recipe, an event, a path of the HTTP doors.

    Versions can be named by number or by the beginning of their id. Over HTTP it is a 404.

    To do: take one of the names that the message lists; `evertrain status` and `evertrain models` show all.
    """

    code = "ET-U03"


class StateError(UserError):
    """A state directory that is none, is damaged, cannot be read, or was written by another version.

    Everything that evertrain knows lies in the state directory (`.evertrain` unless --dir or EVERTRAIN_DIR says
    another), so it is never guessed, and a folder of somebody else's is never touched.

    To do: name the right folder with --dir; `evertrain doctor --dir FOLDER` looks at one and says what is wrong.
    """

    code = "ET-U04"


class RequestError(UserError):
    """A request that cannot be answered: a missing or unknown column, a value of another type, a body that is cut off.

    Nothing was predicted and nothing was logged. `field` names the offending column or header, if one does. A wrong
    row refuses its whole request, so that no half of an answer is taken for a whole one. Over HTTP it is a 4xx.

    To do: compare with `GET /v2/models/SERVICE`, which says the columns and types that the service takes.
    """

    code = "ET-R01"

    def __init__(self, what: str, remedy: str = "", *, field: str = "") -> None:
        super().__init__(what, remedy)
        self.field = field


class TooLargeError(RequestError):
    """A request over a stated limit of size, rows or nesting. Over HTTP it is a 413.

    Limits keep one client from taking the memory of all.

    To do: send several requests, or raise max_body_bytes, max_rows or max_nesting (`evertrain settings`).
    """

    code = "ET-R02"


class DeclarationError(UserError):
    """A declaration that is refused: a name that is not declared, a value out of bounds, code that cannot be imported.

    It is refused whole, at start, so that no service runs on half of a declaration. A declaration that is on record
    already goes on as it is. The message names the file and, where one is to blame, the line.

    To do: mend that line; `evertrain plan FILE` checks the file, and shows what it would do, without doing it.
    """

    code = "ET-D01"


class SettingsError(UserError):
    """A setting that is unknown, out of bounds or unreadable; its value is never shown.

    A key that nothing reads would look as if it were obeyed, so it is refused in every place where it can stand.

    To do: `evertrain settings` lists all of them, with their values and where each comes from.
    """

    code = "ET-C01"


class SourceError(UserError):
    """A file or row that cannot be taken in as it is.

    What came in at a source is set aside in `control/quarantine/SOURCE/` of the state directory with its reason beside
    it, never dropped; everything else of the source is taken in. A table that a command was given, such as that of
    `evertrain watch`, stays where it is, and nothing is made of it.

    To do: what the second line of the message says, where there is one; otherwise mend the file. At a source, put it in
    again under a new name; `evertrain status` shows what was set aside last.
    """

    code = "ET-S01"


class TrustError(EvertrainError):
    """An artifact that is unsigned, altered, unjudged or refused. It is never loaded.

    A process loads only what carries a signature of this installation and a verdict that lets it serve: whoever can
    write files into the state directory cannot put code into service by that.

    To do: let the version come through the gate again (`evertrain retrain`, `evertrain push`); ask who wrote the file.
    """

    code = "ET-T01"


class IntegrityError(EvertrainError):
    """Stored bytes differ from what the ledger, or their own digest, says of them.

    A disk lost them, or somebody altered them. What differs is not used, and what served before goes on serving.

    To do: restore the file that is named from a backup; `evertrain ledger verify` looks at everything.
    """

    code = "ET-T02"


class TransitionError(EvertrainError):
    """An illegal move of a state machine, such as promoting a version that was taken back. Nothing was changed.

    Usually two orders crossed, and the first one was obeyed.

    To do: look at `evertrain status`, then give the order that fits what stands there.
    """

    code = "ET-P01"


class OccupiedError(EvertrainError):
    """A port, lease or state directory belongs to somebody else.

    Two supervisors on one state directory would undo each other's work, so the second one is refused. A lease ends
    with the process that holds it: there is no stale lock to be removed.

    To do: stop the process that is named, or choose another port or folder; `evertrain doctor` shows who has what.
    """

    code = "ET-P02"


class CapacityError(EvertrainError):
    """A bound is reached: a queue, the disk, memory. The same call may succeed later; over HTTP it is a 503.

    Refusing some requests at once keeps the others fast, and refusing to write keeps what is written whole.

    To do: retry after a moment; when it lasts, free the disk or raise the bound (`evertrain doctor` looks for both).
    """

    code = "ET-P03"
    retry: ClassVar[bool] = True


class UnavailableError(EvertrainError):
    """Another process does not answer yet, or any more. The same call may succeed later; over HTTP it is a 503.

    The supervisor starts what has ended again, with a growing pause between two attempts.

    To do: retry after a moment; when it lasts, `evertrain status` says which process is down and why.
    """

    code = "ET-P04"
    retry: ClassVar[bool] = True


class ModelError(EvertrainError):
    """Your code failed: a training, a feature or a prediction raised, hung, or gave what is no score.

    It runs in a process of its own, so nothing else fails with it: a training that fails leaves the champion in
    service, and a canary's request is answered by the champion. A model file that does not fit its service (it takes
    other columns, or cannot be read) is refused so as well.

    To do: the message says what was raised at which line of your file, or what does not fit; mend that, and
    `evertrain apply FILE`, or `evertrain push` the mended model.
    """

    code = "ET-M01"


class PackageError(ModelError):
    """A package that a model needs is not installed here, or is in another version; or its environment is not built.

    That says nothing about the model, so nothing is held against it: a file that could not be checked for it is no
    refused file, and what answered before goes on.

    To do: install what the message names into the environment that evertrain runs in, or mend the lock that it names,
    and push the file again.
    """

    code = "ET-M02"

    @classmethod
    def of_module(cls, file: str, error: ModuleNotFoundError) -> "PackageError":
        """Of an import that failed. file: what imports it.

        >>> PackageError.of_module("model.py", ModuleNotFoundError("no", name="catboost.core")).what
        "model.py needs the package that brings the module 'catboost', and it is not installed."
        """
        root = (error.name or str(error)).partition(".")[0]
        return cls(
            f"{file} needs the package that brings the module {root!r}, and it is not installed.",
            "Install it where evertrain runs, and push the file again.",
        )


def codes() -> dict[str, type[EvertrainError]]:
    """Each code with the class that it stands for, in the order of the codes.

    >>> codes()["ET-S01"].__name__
    'SourceError'
    """
    own = {kind.code: kind for kind in _tree(EvertrainError) if "code" in vars(kind)}
    return dict(sorted(own.items()))


def _tree(kind: type[EvertrainError]) -> Iterator[type[EvertrainError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _tree(narrower)


def error_of(code: str, what: str, remedy: str = "") -> EvertrainError:
    """The error that another process told by its code; a code of a newer version is taken for a UserError.

    >>> error_of("ET-P02", "The port is taken.").code
    'ET-P02'
    """
    return codes().get(code, UserError)(what, remedy)


def say_raised(error: BaseException) -> str:
    """What user code raised, in half a sentence. Many errors carry no words: a MemoryError is its name alone.

    >>> say_raised(ValueError("no rows.")), say_raised(MemoryError())
    ('ValueError: no rows', 'MemoryError')
    """
    words = _words_of(error).strip().removesuffix(".")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def say_line(error: BaseException, most: int = 300) -> str:
    """The same in one line: of what it says the first one, cut. A fault of ours says what it is.

    >>> say_line(KeyError("shop")), say_line(ModelError("It gives no number.", "Train it again."))
    ("KeyError: 'shop'", 'It gives no number.')
    """
    own = error.what if isinstance(error, EvertrainError) else None
    words = next(iter((_words_of(error) if own is None else own).splitlines()), "")[:most]
    return f"{type(error).__name__}: {words}".removesuffix(": ") if own is None else words


def _words_of(error: BaseException) -> str:
    """What an error of user code says, as text that can be stored and sent; "" where even to say it fails."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 - its __str__ is user code too
        return ""
    return words.encode("utf-8", "backslashreplace").decode()


def told(error: EvertrainError) -> dict[str, str]:
    """What both HTTP ports answer of a fault. `error` is all of it in one text, which the V2 protocol asks for.

    >>> told(RequestError("Column 'n' is missing.", "Send it.", field="n"))["field"], sorted(told(UserError("No.")))
    ('n', ['code', 'error', 'remedy', 'what'])
    """
    field = getattr(error, "field", "")
    said = {"error": str(error), "code": error.code, "what": error.what, "remedy": error.remedy}
    return said | ({"field": field} if field else {})
