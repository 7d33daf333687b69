"""`evertrain hooks`: who is told of what happens, how far that has come, and what could not be told."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.cli.opening import opened
from evertrain.cli.option import Dir, Json, Toml
from evertrain.config.hook import Hook, secret_of
from evertrain.config.settings import FILE, Stated, load
from evertrain.core.time import SECOND, Instant
from evertrain.core.wording import say_many
from evertrain.errors import NotFoundError, SettingsError, UsageError, UserError
from evertrain.store.hook import HookProgress, HookRoll, HookShelf, read_hook_progress
from evertrain.store.process import alive, heartbeats
from evertrain.store.state import State
from evertrain.web.wording import say_moment

__all__ = ["app"]

app = typer.Typer(name="hooks", help="Who is told of what happens, and what could not be told.", no_args_is_help=True)


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What `evertrain hooks apply` puts into force. changed: by hook, its fields that are others now."""

    new: tuple[str, ...] = ()
    changed: dict[str, tuple[str, ...]] = {}
    gone: tuple[str, ...] = ()


@app.command("list")
def list_command(*, folder: Dir = None, as_json: Json = False) -> None:
    """Show each hook: what it was told, what is being tried again, and its dead letters."""
    with opened(folder) as found:
        hooks = read_hook_progress(found.state)
    if as_json:
        typer.echo(msgspec.json.encode(hooks).decode())
        return
    for one in hooks:
        typer.echo("\n".join(_say(one)))
    if not hooks:
        typer.echo("Nobody is told. [[hooks]] in evertrain.toml say who is to be.")
    if _say_otherwise(found.state):
        typer.echo("NOT IN FORCE: [[hooks]] say otherwise here. `evertrain hooks apply` puts them into force.")


def _say_otherwise(state: State) -> bool:
    """Whether the settings here are of this installation, and say other hooks than those in force."""
    try:
        stated = load({}, environment=os.environ)
    except SettingsError:
        return False  # it was told already that they cannot be read
    is_ours = Path(stated.settings.dir).resolve() == state.path.resolve()
    return is_ours and _says_hooks(stated, None) and _changes(HookRoll(state).hooks, stated.settings.hooks) != Changes()


@app.command("apply")
def apply(*, settings: Toml = None, folder: Dir = None, as_json: Json = False) -> None:
    """Put the [[hooks]] of evertrain.toml into force while everything runs, and show what changes."""
    stated = load({"dir": None if folder is None else str(folder)}, environment=os.environ, file=settings)
    if not _says_hooks(stated, settings):
        raise UserError(
            f"There is no {FILE} in this folder, so nothing says which hooks there are. Nothing was changed.",
            "Type it in the folder where evertrain up was typed, or name the file: --settings FILE.",
        )
    state, wanted = State.open(Path(stated.settings.dir)), stated.settings.hooks
    for hook in wanted:
        if hook.secret_file:  # a variable is the controller's, and cannot be seen from here
            secret_of(hook)
    roll = HookRoll(state)
    changes = _changes(roll.hooks, wanted)
    roll.put(wanted)
    if as_json:
        typer.echo(msgspec.json.encode(changes).decode())
        return
    for line in _say_changes(changes):
        typer.echo(line)
    if any(one.role == "controller" and alive(one) for one in heartbeats(state)):
        typer.echo("In force within a second. No process starts anew.")
    else:
        typer.echo("Nobody runs now. The next start takes them from its own settings.")


@app.command("retry")
def retry(
    letter: Annotated[
        list[str] | None, typer.Argument(help="Dead letters, as `evertrain hooks list` names them: audit:812.")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters of all hooks.")] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Have dead letters sent once more. The receiver may have got one of them: it knows it by its id."""
    with opened(folder) as found:
        state = found.state
        hooks = read_hook_progress(state)
    dead = {f"{hook.hook}:{one.sequence}": (hook, one.sequence) for hook in hooks for one in hook.dead}
    if not everything and not letter:
        raise UsageError("Which dead letters?", "Name them as `evertrain hooks list` does, or all of them: --all.")
    wanted = [name for name in dead if dead[name][0].active] if everything else letter or []
    for name in wanted:
        if name not in dead:
            raise NotFoundError(f"There is no dead letter {name!r}.", "`evertrain hooks list` names them.")
        if not dead[name][0].active:
            what = f"Hook {dead[name][0].hook} is configured no more, so nobody is sent {name}."
            raise UserError(what, "Put it back under [[hooks]], then `evertrain hooks apply`.")
    for name in wanted:
        hook, sequence = dead[name]
        HookShelf(state, hook.hook).ask_again(sequence)
    if as_json:
        typer.echo(msgspec.json.encode({"again": wanted}).decode())
    else:
        typer.echo(f"{say_many(len(wanted), 'dead letter')} will be sent once more, by the controller that runs.")


def _says_hooks(stated: Stated, file: Path | None) -> bool:
    """Whether anything that was read here could say which hooks there are: a file without any says that."""
    return stated.origins["hooks"] != "default" or (file or Path(FILE)).is_file()


def _changes(before: tuple[Hook, ...], after: tuple[Hook, ...]) -> Changes:
    old, new = {hook.name: hook for hook in before}, {hook.name: hook for hook in after}
    return Changes(
        new=tuple(name for name in new if name not in old),
        changed={name: found for name in new if name in old and (found := _differences(old[name], new[name]))},
        gone=tuple(name for name in old if name not in new),
    )


def _differences(before: Hook, after: Hook) -> tuple[str, ...]:
    return tuple(name for name in Hook.__struct_fields__ if getattr(before, name) != getattr(after, name))


def _say_changes(changes: Changes) -> Iterator[str]:
    for name in changes.new:
        yield f"{name}: new, told of what happens from now on; one that was there before goes on where it was"
    for name, fields in changes.changed.items():
        yield f"{name}: {', '.join(fields)} changed; it goes on where it was"
    for name in changes.gone:
        yield f"{name}: told and asked no more"
    if changes == Changes():
        yield "Nothing changes."


def _say(one: HookProgress) -> list[str]:
    last = f", the last at {_moment(one.told_s)}" if one.told else ""
    off = "" if one.active else " (configured no more)"
    lines = [f"{one.hook}{off}: {one.host}, {say_many(one.told, 'event')} told{last}, {one.waiting} waiting"]
    lines += [
        f"  trying     event {each.sequence}{f' of {lane}' if lane else ''}, "
        f"{say_many(each.attempts, 'time')} since {_moment(each.since_s)}: {each.error}"
        for lane, each in sorted(one.failing.items())
    ]
    lines += [
        f"  dead       {one.hook}:{each.sequence}  {each.kind} of {each.subject}, given up at {_moment(each.at_s)} "
        f"after {say_many(each.attempts, 'time')}: {each.error}"
        for each in one.dead
    ]
    return [*lines, f"  lost       {one.lost} older dead letters: there is no room for more"] if one.lost else lines


def _moment(seconds: float) -> str:
    return say_moment(Instant(int(seconds * SECOND)))
