"""`evertrain watch`: somebody else's predictions, looked at: a table of them, or what their server posts."""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import typer

from evertrain.cli.flags import given_flags
from evertrain.cli.option import ControlPort, Dir, Host, Json, Toml, Workers
from evertrain.cli.up import begin, run_in_foreground
from evertrain.config.naming import check_name
from evertrain.config.settings import load
from evertrain.core.policy import MetricName
from evertrain.core.time import Instant, from_datetime, parse_instant, parse_span
from evertrain.errors import EvertrainError, OccupiedError, UsageError, UserError
from evertrain.process.supervision.errand import run_module
from evertrain.process.supervision.startup import Startup
from evertrain.store.process import at_work, heartbeats
from evertrain.store.state import State
from evertrain.web.wording import NEXT_DOOR

__all__ = ["app"]

app = typer.Typer()

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_EITHER = "See `evertrain watch --help`: it takes a table, or --listen with a name."


@app.command("watch")
def watch(
    table: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="Predictions: CSV, Parquet, JSON lines.")
    ] = None,
    *,
    score: Annotated[str | None, typer.Option(help="The column of the prediction: a probability or a number.")] = None,
    label: Annotated[
        str | None, typer.Option(help="The column of the outcome, empty while nobody knows it; may be left out.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="The column of the time of the prediction.")] = None,
    key: Annotated[str | None, typer.Option(help="The column that names an example; its first row counts.")] = None,
    segments: Annotated[
        str | None, typer.Option(help="Columns whose values are looked at one by one: region,plan.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="What inputs are held against; default: the time before."),
    ] = None,
    horizon: Annotated[str | None, typer.Option(help="How long after its time a label is due, such as 30d.")] = None,
    recent: Annotated[
        str | None, typer.Option(help="How long the newest stretch is, such as 7d; default: a quarter of the time.")
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(help="The time of the look, of rows alone; labels: see --horizon. Default: the newest."),
    ] = None,
    metric: Annotated[MetricName | None, typer.Option(help="What segments are compared by.")] = None,
    kind: Annotated[
        Literal["probability", "value", "classes"] | None,
        typer.Option(help="What the score is; default: told by the labels."),
    ] = None,
    positive: Annotated[str | None, typer.Option(help="The value of a label in words that counts as 1.")] = None,
    zone: Annotated[str | None, typer.Option(help="The zone of times that name none; default: UTC.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report as an HTML file that needs no network.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Show the page on 127.0.0.1 until Ctrl-C.")] = False,
    listen: Annotated[bool, typer.Option("--listen", help="Take what another server posts, until Ctrl-C.")] = False,
    service: Annotated[str | None, typer.Option(help="With --listen: the name to watch under.")] = None,
    port: Annotated[int | None, typer.Option(help="The port of the page, or with --listen of what is posted.")] = None,
    folder: Dir = None,
    host: Host = None,
    control_port: ControlPort = None,
    workers: Workers = None,
    settings: Toml = None,
    as_json: Json = False,
) -> None:
    """Look at somebody else's predictions: quality by segment and over time, and whether inputs moved.

    Of a table, or with --listen of what their server posts to /observe/NAME.
    """
    names = None if segments is None else tuple(name.strip() for name in segments.split(",") if name.strip())
    due = None if horizon is None else parse_span(horizon)
    newest = None if recent is None else parse_span(recent)
    if listen or service is not None:
        if table is not None or service is None or not listen:
            raise UsageError("A stream is watched by --listen and --service NAME, without a table.", _EITHER)
        of_tables = {"score": score, "label": label, "key": key, "positive": positive, "now": now, "out": out}
        if kind == "classes":
            raise UsageError(
                "Classes are watched in a table, not in a stream.",
                "Post the probability of the predicted class as score, and as label 1 where it came and 0 elsewhere.",
            )
        _refuse_of_tables(service, of_tables | {"serve": serve or None})
        given = {"dir": folder, "host": host, "port": port, "control_port": control_port, "workers": workers}
        kept: dict[str, object] = {
            "segments": None if names is None else ",".join(names),
            "horizon": horizon,
            "recent": recent,
        }
        kept |= {"kind": kind, "metric": metric, "reference": reference, "time": time, "zone": zone}
        _listen(settings, given, kept, service, as_json)
        return
    if table is None:
        raise UsageError("There is no table and no --listen.", _EITHER)
    if score is None or time is None:
        raise UsageError(
            "A table is watched with --score and --time, and --label once there are any.", _say_columns(table)
        )
    # Who listens lives long, and does not carry the libraries that look at tables.
    from evertrain.cli.observed import tell
    from evertrain.monitor.report import Question
    from evertrain.process.observation.observations import Named
    from evertrain.process.observation.watching import WatchedTable

    names = names or ()
    named = Named(
        score=score, label=label, time=time, key=key, segments=names, zone=zone, positive=positive, kind=kind
    )  # fmt: skip
    question = Question(
        segments=names, metric=metric, horizon=due, recent=newest, now=None if now is None else _instant(now, zone)
    )
    asked = WatchedTable(file=table, named=named, question=question, reference=reference)
    tell(asked, out, serving_port=(port or 0) if serve else None, as_json=as_json)


def _say_columns(table: Path) -> str:
    from evertrain.process.observation.rows import columns_of

    return f"Say which of its columns they are: {', '.join(columns_of(table))}."


def _refuse_of_tables(service: str, given: Mapping[str, object]) -> None:
    """Refuse what only a table has, rather than let it go unheard."""
    name = next((name for name, value in given.items() if value is not None), None)
    if name is not None:
        remedy = f"Leave it out. The report is the page, and as JSON /api/services/{service}/observed beside it."
        raise UsageError(f"--{name} is for a table, not for a stream.", remedy)


def _listen(
    settings: Path | None, given: Mapping[str, object], kept: Mapping[str, object], service: str, as_json: bool
) -> None:
    """Declare the service as a watched one, and run the installation. kept: stays on record where it is None."""
    check_name(service)
    words = [f"--{name}={value}" for name, value in kept.items() if value is not None]
    try:
        startup = begin(settings, given)
    except OccupiedError:
        running = _running(settings, given)
        if running is None:
            raise
        _join(running, service, words, as_json)
        return
    with startup:
        _declare(startup.state, service, words, as_json)
        run_in_foreground(
            startup, as_json=as_json, then=(lambda: None) if as_json else lambda: _greet(startup, service)
        )


def _declare(state: State, service: str, words: Sequence[str], as_json: bool) -> None:
    said = run_module("observation.observing", ["--dir", str(state.path), "--service", service, *words]).splitlines()
    for number, line in enumerate([] if as_json else said):
        typer.echo(f"Changed      {line}" if number else f"Watches      {service}: {line}")


def _running(settings: Path | None, given: Mapping[str, object]) -> State | None:
    """The installation in the folder that is meant, if it runs."""
    folder = Path(load(given_flags(given), environment=os.environ, file=settings).settings.dir)
    if not (folder / "state.json").exists():
        return None
    state = State.open(folder)
    return state if any(one.role == "supervisor" and at_work(one) for one in heartbeats(state)) else None


def _join(state: State, service: str, words: Sequence[str], as_json: bool) -> None:
    """Watch the service in an installation that runs, as `evertrain apply` brings a service to one."""
    _declare(state, service, words, as_json)
    run_module("observation.observing", ["--dir", str(state.path), "--service", service, "--wait"])
    where = f"/observe/{service} and /labels/{service}"
    if as_json:
        typer.echo(msgspec.json.encode({"dir": str(state.path), "service": service, "joined": True}).decode())
        return
    typer.echo(
        f"{state.path} runs already, and takes what is posted to {where} from now on, at the address that it has. Its "
        f"other services go on; --host, --port and --workers are those that it was started with."
    )


def _greet(startup: Startup, service: str) -> None:
    """Say how to post, as soon as the workers take it."""
    try:
        run_module("observation.observing", ["--dir", str(startup.state.path), "--service", service, "--wait"])
    except EvertrainError as error:
        typer.echo(str(error))
        return
    bearer = f"Authorization: Bearer $(cat {shlex.quote(str(startup.state.keys / 'token-data'))})"
    typer.echo(f"Post what {service} answers, and later what came of it:")
    for path, body in (
        ("observe", '{"observations": [{"id": "r1", "score": 0.2, "row": {"region": "west"}}]}'),
        ("labels", '{"labels": [{"key": "r1", "value": 1}]}'),
    ):
        typer.echo(f"  curl -H \"{bearer}\" -d '{body}' {startup.address}/{path}/{service}")
    typer.echo(" ".join(NEXT_DOOR))
    sys.stdout.flush()


def _instant(text: str, zone: str | None) -> Instant:
    """A time with an offset; a day alone is its end in the zone, so that all its rows are looked at."""
    try:
        if _DAY.fullmatch(text):
            midnight = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone or "UTC")) + timedelta(days=1)
            return Instant(from_datetime(midnight) - 1)
        return parse_instant(text)
    except (ValueError, ZoneInfoNotFoundError) as error:
        remedy = "Write a day, 2024-05-01, or ISO 8601 with an offset, such as 2024-05-01T00:00:00Z."
        raise UserError(f"--now: {error}.", remedy) from error
