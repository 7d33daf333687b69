"""`evertrain hooks`: who is told of what happens, how far that has come, and what could not be told."""

from typing import Annotated

import msgspec
import typer

from evertrain.cli.opening import opened
from evertrain.cli.option import Dir, Json
from evertrain.core.time import SECOND, Instant
from evertrain.core.wording import say_many
from evertrain.errors import NotFoundError
from evertrain.store.hook import HookProgress, HookShelf, read_hook_progress
from evertrain.web.wording import say_moment

__all__ = ["app"]

app = typer.Typer(name="hooks", help="Who is told of what happens, and what could not be told.", no_args_is_help=True)


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
        dead = {
            f"{hook.hook}:{one.sequence}": (hook.hook, one.sequence)
            for hook in read_hook_progress(state)
            for one in hook.dead
        }
    wanted = list(dead) if everything else letter or []
    for name in wanted:
        if name not in dead:
            raise NotFoundError(f"There is no dead letter {name!r}.", "`evertrain hooks list` names them.")
    for name in wanted:
        hook, sequence = dead[name]
        HookShelf(state, hook).ask_again(sequence)
    if as_json:
        typer.echo(msgspec.json.encode({"again": wanted}).decode())
    else:
        typer.echo(f"{say_many(len(wanted), 'dead letter')} will be sent once more, by the controller that runs.")


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
