"""Webhooks: who is told of what happens, and who is asked before a version gets (more) traffic.

They are configuration, so addresses come from whoever runs the machine and from nowhere else. A secret is never written
there: the configuration says in which file or variable it is.
"""

import base64
import binascii
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from evertrain.config.bound import SPAN, say_bounds
from evertrain.config.wording import suggestion
from evertrain.core.approval import OnTimeout, RolloutGate
from evertrain.core.event import Fact
from evertrain.core.time import DAY, HOUR, MINUTE, parse_span, say_span
from evertrain.errors import DeclarationError, SettingsError

__all__ = ["TOLD", "Hook", "read_hooks", "reference_of_hooks", "secret_of", "written_hooks"]

TOLD = ("cycle.*", "rollout.*", "champion.*", "version.*", "alert.*", "order.*", "service.*", "approval.*", "pool.*")
"""Kinds of events that a hook is told where it does not say which."""

_KINDS = tuple(sorted(str(fact.__struct_config__.tag) for fact in get_args(Fact)))
_SPANS = ("give_up_after", "veto_within")
_FILES = ("secret_file", "ca_file")
_MOST = 16
_SECRET = "whsec_"  # noqa: S105 - how every secret begins
_FEWEST_BYTES, _MOST_BYTES = 24, 64


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver. Durations in microseconds, written as "6h".

    secret_file, secret_env: where the signing secret is, one of the two. events: kinds, or beginnings of kinds with a
    star, "*" for all; services: of these alone, () for all. timeout_s: of one attempt. give_up_after: so long an event
    is tried again before it goes to the dead letters. ca_file: certificates to trust instead of the system's. A file
    is looked for beside the one that names it.

    veto: it is asked before a version's canary starts, before its promotion, or both. veto_within: so long it may take,
    in business time; on_timeout: what holds then.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    url: Annotated[str, Meta(pattern=r"^https?://\S+$", max_length=2000)]
    secret_file: str = ""
    secret_env: str = ""
    events: tuple[Annotated[str, Meta(pattern=r"^[a-z_.]*\*?$", min_length=1)], ...] = TOLD
    services: tuple[str, ...] = ()
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    give_up_after: Annotated[int, Meta(ge=0, le=30 * DAY)] = 6 * HOUR
    ca_file: str = ""
    veto: tuple[RolloutGate, ...] = ()
    veto_within: Annotated[int, Meta(ge=MINUTE, le=365 * DAY)] = DAY
    on_timeout: OnTimeout = "hold"

    @property
    def host(self) -> str:
        """Where it is, for people: a path may hold a secret."""
        found = urlsplit(self.url)
        return f"{found.scheme}://{found.hostname}{f':{found.port}' if found.port else ''}"

    def tells(self, kind: str, service: str) -> bool:
        """Whether it is to be told of an event. service: "" of one that is about the machine."""
        return any(covers(one, kind) for one in self.events) and self.concerns(service)

    def concerns(self, service: str) -> bool:
        """Whether it has to do with a service; what is about the machine ("") concerns every hook."""
        return not self.services or not service or service in self.services

    @property
    def approver(self) -> str:
        """What it is called where it is asked."""
        return f"hook {self.name}"


def read_hooks(given: Any, said: str, beside: Path = Path()) -> tuple[Hook, ...]:
    """Hooks as they stand in the file, or as JSON in the environment. said: the setting's name where it was given;
    beside: the folder in which the files that they name are looked for.

    SettingsError names the hook and its field; no value is shown.
    """
    try:
        listed = msgspec.json.decode(given or "[]") if isinstance(given, str) else given
        found = enumerate(msgspec.convert(listed, list))
        hooks = tuple(_read_hook(one, f"{said}[{place}]", beside) for place, one in found)
    except (msgspec.DecodeError, UnicodeError):
        raise SettingsError(f"{said} is no list of hooks.", "Write each as [[hooks]] in evertrain.toml.") from None
    names = [one.name for one in hooks]
    if len(set(names)) < len(names) or len(hooks) > _MOST:
        raise SettingsError(f"{said} holds more than {_MOST} hooks, or two of one name.", "Name each once.")
    return hooks


def _read_hook(given: Any, said: str, beside: Path) -> Hook:
    try:
        fields = msgspec.convert(given, dict[str, Any])
        spans = {name: _read_span(name, fields[name], said) for name in _SPANS if name in fields}
        hook = msgspec.convert({**fields, **spans}, Hook)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{said}: {error}.", "The reference of settings lists what a hook has.") from None
    if bool(hook.secret_file) == bool(hook.secret_env):
        what = f"{said} ({hook.name}) says in {'two places' if hook.secret_file else 'no place'} where its secret is."
        raise SettingsError(what, "Give secret_file or secret_env.")
    parts = urlsplit(hook.url)
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise SettingsError(f"{said} ({hook.name}) has a url with a user, a fragment, or no host.", "Mend its url.")
    _refuse_unknown_events(hook, said)
    files = {name: str((beside / getattr(hook, name)).absolute()) for name in _FILES if getattr(hook, name)}
    return msgspec.structs.replace(hook, **files)


def _read_span(name: str, given: Any, said: str) -> int:
    """In microseconds; what is no duration, or out of bounds, is refused in words that somebody writes them in."""
    kind = next(field.type for field in msgspec.structs.fields(Hook) if field.name == name)
    try:
        return cast("int", msgspec.convert(parse_span(str(given)), kind))
    except (DeclarationError, msgspec.ValidationError):
        what = f'{said}: {name} must be a duration such as "6h", {say_bounds(kind, SPAN)}.'
        raise SettingsError(what, "Mend the value.") from None


def _refuse_unknown_events(hook: Hook, said: str) -> None:
    """A misspelt kind would be waited for until somebody misses it."""
    for wanted in hook.events:
        if not any(covers(wanted, kind) for kind in _KINDS):
            remedy = suggestion(wanted, _KINDS, otherwise="The reference of ledger events lists them.")
            raise SettingsError(f"{said} ({hook.name}): no event is called {wanted!r}.", remedy)


def covers(wanted: str, kind: str) -> bool:
    """Whether a kind of event is the one that is wanted, or begins like it where that ends in a star.

    >>> covers("rollout.*", "rollout.moved"), covers("rollout.moved", "rollout.begun"), covers("*", "pool.held")
    (True, False, True)
    """
    return wanted == kind or (wanted.endswith("*") and kind.startswith(wanted[:-1]))


def written_hooks(hooks: tuple[Hook, ...]) -> str:
    """As JSON that `read_hooks` takes."""
    listed = [msgspec.to_builtins(one) | {name: say_span(getattr(one, name)) for name in _SPANS} for one in hooks]
    return msgspec.json.encode(listed).decode() if listed else ""


def secret_of(hook: Hook, environment: Mapping[str, str] = os.environ) -> bytes:
    """The bytes that its messages are signed with, read anew each time, so that a secret may be changed in place.

    SettingsError names the hook and the place, never what stands there.
    """
    place = hook.secret_file or f"${hook.secret_env}"
    try:
        text = Path(hook.secret_file).read_text().strip() if hook.secret_file else environment[hook.secret_env].strip()
        secret = base64.b64decode(text.removeprefix(_SECRET), validate=True)
        fits = text.startswith(_SECRET) and _FEWEST_BYTES <= len(secret) <= _MOST_BYTES
    except (OSError, KeyError):
        raise SettingsError(f"The secret of hook {hook.name} is not at {place}.", "Put it there.") from None
    except (UnicodeDecodeError, binascii.Error, ValueError):
        fits = False
    if not fits:
        remedy = f"{_SECRET} and the base64 of {_FEWEST_BYTES} to {_MOST_BYTES} random bytes are one."
        raise SettingsError(f"What stands at {place} is no secret for hook {hook.name}.", remedy)
    return secret


def reference_of_hooks() -> list[str]:
    """The lines of the reference about a hook, as Markdown."""
    rows = ["## `[[hooks]]`", "", inspect.cleandoc(Hook.__doc__ or ""), "", "| field | default |", "|---|---|"]
    for field in msgspec.structs.fields(Hook):
        default = "" if field.required else msgspec.json.encode(field.default).decode()
        if field.name in _SPANS:
            default = f'"{say_span(field.default)}"'
        rows.append(f"| `{field.name}` | {default and f'`{default}`'} |")
    return rows
