"""What `evertrain serve` and `evertrain up` say when a model answers, or why it does not."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec

from evertrain.cli.progress import ProgressLine
from evertrain.process.supervision.errand import follow_module
from evertrain.process.supervision.startup import Startup
from evertrain.web.overview import Work
from evertrain.web.wording import say_work

__all__ = ["Outcome", "greet", "lines_of"]

_FIRST_S = 86_400
"""How long the first model of a declaration is waited for; `evertrain status` tells of what takes longer."""

_READING_S = 10.0
"""A reading is told only when it takes a while."""


class Outcome(msgspec.Struct):
    """What became of a version, as `evertrain.process.supervision.greeting` prints it."""

    state: str
    ordinal: int = 0
    champion: int = 0
    why: str = ""
    example: dict[str, msgspec.Raw] = {}
    cycle: str = ""
    optional: int = 0


class _Told(msgspec.Struct):
    """A line of that process: what is being done or, with a state, what became of it in the end."""

    state: str = ""
    work: tuple[Work, ...] = ()
    reading: dict[str, str] = {}
    asks: str = ""


def greet(startup: Startup, service: str, version: str | None, afterwards: str, line: ProgressLine) -> None:
    """Wait for this version, or for the first of a service, and say how to ask it; to be run beside the supervisor.

    afterwards: what a person may want to do next. line: where what is being done meanwhile is shown.
    """
    words = ["--telling", "--dir", str(startup.state.path), "--service", service]
    words += ["--seconds", str(_FIRST_S)] if version is None else ["--version", version]
    doing = (
        "its model is looked for, or trained" if version is None else "its file is checked, and loaded by the workers"
    )
    asked = words
    line.clear(service, [f"{service}: {doing}; this says when it answers."])
    while True:
        try:
            found = _awaited(words, service, line)
        except (msgspec.DecodeError, OSError):
            found = None
        if found is None:
            line.clear(service)
            return  # the installation is being stopped
        line.clear(service, lines_of(found, service, startup.address, startup.state.keys / "token-data", afterwards))
        if version is not None or found.state == "answers":
            break
        again = "Mend the declaration and `evertrain apply` it, or deliver what is missing; then this says more."
        line.clear(service, [again])
        words = [*asked, "--beyond", found.cycle]


def _awaited(words: Sequence[str], service: str, line: ProgressLine) -> Outcome | None:
    """What became of it, with the progress shown meanwhile; None when nobody looks any more."""
    for said in follow_module("supervision.greeting", words):
        told = msgspec.json.decode(said, type=_Told)
        if told.state:
            return msgspec.json.decode(said, type=Outcome)
        _show_doing(told, service, line)
    return None


def _show_doing(told: _Told, service: str, line: ProgressLine) -> None:
    """Show what a person has to do, else what takes a while, else what is read first; nothing where none is."""
    if told.asks:
        line.show(service, told.asks, told.asks, _READING_S)
    elif told.work:
        one = told.work[0]
        line.show(service, one.says, say_work(one), one.for_s)
    elif told.reading:
        source, far = next(iter(told.reading.items()))
        line.show(service, source, f"{source} is read: {far}", _READING_S)
    else:
        line.clear(service)


def lines_of(found: Outcome, service: str, address: str, token: Path, afterwards: str) -> list[str]:
    """What is said of an outcome, line by line."""
    if found.state in ("another", "ended"):
        refused = "it was refused: " if found.state == "another" else ""
        because = f": {refused}{found.why}" if found.why else "."
        return [
            f"Version {found.champion} of {service} answers at {address}/predict/{service}.",
            f"The file given is version {found.ordinal}, which does not{because}",
        ]
    if found.state == "refused":
        return [
            f"Version {found.ordinal} of {service} does not answer: {found.why}",
            "A better one may follow: `evertrain push FILE`, or a retraining. Ctrl-C ends this.",
        ]
    if found.state == "waits":
        return [f"The model of {service} does not answer yet. {found.why}".strip(), "`evertrain status` tells more."]
    body = msgspec.json.encode(found.example).decode()
    return [
        f"Version {found.ordinal} of {service} answers. Try it:",
        f"  curl -H 'Content-Type: application/json' -d {shlex.quote(body)} {address}/predict/{service}",
        f"What came of it, posted to {address}/labels/{service} (token: {token}),",
        "lets a successor be judged on it: `evertrain push FILE`.",
        *([_say_optional(found.optional)] if found.optional else []),
        *([afterwards] if afterwards else []),
    ]


def _say_optional(columns: int) -> str:
    """That a column which a client forgets is answered all the same."""
    which = "Its column is" if columns == 1 else f"All {columns} columns are"
    return f"{which} optional, and what is left out counts as missing; a new service says otherwise by --sample FILE."
