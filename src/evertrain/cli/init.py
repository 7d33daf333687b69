"""`evertrain init`: from a table to a declaration that runs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from evertrain.cli.option import Json
from evertrain.cli.up import BEYOND_ONE_TABLE
from evertrain.core.schema import Column
from evertrain.core.time import Instant, parse_span, say_instant, say_span
from evertrain.data.profile import Finding, Found
from evertrain.errors import DeclarationError, UserError
from evertrain.process.draft.drafting import arrival_of, draft, read_training
from evertrain.process.draft.survey import Roles, Survey, candidates, open_table, survey

__all__ = ["app"]

app = typer.Typer()

_SHOWN: Final = 5
_ENDINGS: Final = ("csv", "parquet", "jsonl")


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. train: what is to be known of how it trains."""

    file: str
    lines: int
    found: Survey
    train: tuple[str, ...]
    next: str


@app.command("init")
def init(
    name: Annotated[str, typer.Argument(help="What the service is called.")],
    data: Annotated[str, typer.Option(help="A CSV or Parquet file, a folder of them, or a glob.")],
    *,
    key: Annotated[str | None, typer.Option(help="The column that names the entity; several with commas.")] = None,
    at: Annotated[str | None, typer.Option(help="The column of the time at which a row holds.")] = None,
    label: Annotated[str | None, typer.Option(help="The column of the outcome, empty where it is not known.")] = None,
    horizon: Annotated[str | None, typer.Option(help="How long after that time the label is certain: 30d.")] = None,
    train: Annotated[str, typer.Option(help="sklearn, lightgbm, or a Python file with train or an estimator.")] = "",
    exclude: Annotated[str, typer.Option(help="Columns that are no inputs: a,b.")] = "",
    zone: Annotated[str, typer.Option(help="The time zone of times without an offset.")] = "UTC",
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist.")] = Path("service.py"),
    as_json: Json = False,
) -> None:
    """Look at a table, say what is in it, and write a declaration of a service on it."""
    if out.exists():
        raise UserError(f"{out} exists, and is not overwritten.", "Name another file: --out churn.py.")
    pattern = _pattern(data)
    opened = open_table(Path(pattern).absolute())
    if key is None or at is None or label is None or horizon is None:
        given = {"key": key, "at": at, "label": label, "horizon": horizon}
        missing = [option for option, value in given.items() if value is None]
        raise _unsaid(missing, candidates(opened.cells[0], zone))
    roles = Roles(key=_names(key), at=at, label=label, horizon=_horizon(horizon), zone=zone, exclude=_names(exclude))
    found = survey(opened, roles, Instant(time.time_ns() // 1_000))
    columns = [one.column for one in found.inputs]
    training = read_training(train, out.absolute().parent, label, _arrives(found), columns)
    text = draft(name, _beside(pattern, out), roles, found, training)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("x") as file:
        file.write(text)
    if as_json:
        told = Written(
            file=str(out), lines=text.count("\n"), found=found, train=training.words, next=f"evertrain up {out}"
        )
        typer.echo(msgspec.json.encode(told).decode())
        return
    typer.echo("\n".join((*_told(found, roles, pattern), *_listed("train", training.words))))
    typer.echo(f"\n{out} is written, {text.count(chr(10))} lines:\n\n{text}")
    typer.echo(f"Next: `evertrain plan {out}` says what it will do, `evertrain up {out}` does it.")
    typer.echo(BEYOND_ONE_TABLE)


def _pattern(data: str) -> str:
    """The glob of what was named: a folder stands for the files of the form that it holds."""
    if not Path(data).is_dir():
        return data
    ending = next((ending for ending in _ENDINGS if any(Path(data).glob(f"*.{ending}"))), _ENDINGS[0])
    return str(Path(data) / f"*.{ending}")


def _beside(pattern: str, out: Path) -> str:
    """The glob relative to the declaration where it is below its folder, else in full."""
    whole, folder = Path(pattern).absolute(), out.absolute().parent
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _horizon(text: str) -> int:
    try:
        return parse_span(text)
    except DeclarationError as error:
        raise UserError(f"--horizon: {error.what}", error.remedy) from error


def _unsaid(missing: list[str], found: Mapping[str, tuple[str, ...]]) -> UserError:
    """An error that names what could be said for each option."""
    asks = {"key": "columns that name something", "at": "columns of times", "label": "columns with two values"}
    says = [
        f"--{option}: {asks[option]}: {', '.join(found[option][:_SHOWN]) or 'none'}."
        for option in missing
        if option in asks
    ]
    others = {"value": "a number to predict", "classes": "one of a few classes"}
    for name, words in others.items() if "label" in missing else ():
        if found[name]:
            says.append(f"Or {words}: {', '.join(found[name][:_SHOWN])}.")
    if "horizon" in missing:
        says.append("--horizon: how long after that time the label is certain, for example 30d.")
    return UserError(f"Not said: {', '.join(f'--{option}' for option in missing)}.", " ".join(says))


# What was found, in words ---------------------------------------------------------------------------------------------


def _told(found: Survey, roles: Roles, pattern: str) -> Iterator[str]:
    held, labels = found.held, found.labels
    files = "" if found.files == 1 else f" in {found.files} files"
    yield f"{pattern}: {found.rows:,} rows{files}"
    yield from (f"  unreadable  {fault}" for fault in found.faults[:_SHOWN])
    aside = sum(found.aside.values())
    for place, (reason, count) in enumerate([*found.aside.items()][:_SHOWN]):
        yield f"  {'set aside' if place == 0 else '':<10}  {count:,} of {found.rows + aside:,} rows: {reason}"
    key = ", ".join(roles.key)
    yield f"  key         {key}: {held.keys:,} entities, one row for each {key} and {roles.at}{_repeats(found)}"
    zone = f"; {found.naive:,} without an offset are read in {roles.zone}" if found.naive else ""
    yield f"  time        {roles.at}: {held.times:,} times from {_day(held.first)} to {_day(held.last)}{zone}"
    yield f"  label       {roles.label}: {_label(found)}"
    if labels.missing:
        yield f"              {labels.missing:,} rows are older than {say_span(roles.horizon)} and have none"
    yield from _listed("inputs", [_input(one) for one in _inputs(found, roles)])
    yield from _listed(
        "left out", [f"{one.column}: {_finding(one)}" for one in found.findings if one.kind != "suspect"]
    )
    yield from _listed("look at", [*_suspects(found, roles), *_mendable(found)])
    if found.proposal.words:
        yield f"  gate        {found.proposal.words}"


def _listed(head: str, lines: Sequence[str]) -> Iterator[str]:
    """Lines under one head."""
    yield from (f"  {head if place == 0 else '':<10}  {line}" for place, line in enumerate(lines))


def _repeats(found: Survey) -> str:
    held = found.held
    if not held.repeated:
        return ""
    return f"; {held.repeated:,} rows repeat one, {held.disputed:,} of them with other values; one of each counts"


def _day(at: Instant | None) -> str:
    return "?" if at is None else say_instant(at)[:10]


def _label(found: Survey) -> str:
    labels = found.labels
    there = f"{labels.labelled:,} of {found.rows:,} rows have one"
    if labels.binary:
        return f"{labels.mean:.1%} are 1; {there}"
    if labels.classes:
        shares = sorted(labels.classes.items(), key=lambda one: -one[1])
        told = ", ".join(f"{name} {share:.1%}" for name, share in shares[:_SHOWN])
        more = ", ..." if len(shares) > _SHOWN else ""
        return f"one of {len(shares)} classes ({told}{more}); {there}"
    return f"a value, mean {labels.mean:.4g}, standard deviation {labels.spread:.4g}; {there}"


def _inputs(found: Survey, roles: Roles) -> list[Found]:
    used = {*roles.key, roles.at, roles.label, *roles.exclude}
    return [one for one in found.inputs if one.column.name not in used]


def _arrives(found: Survey) -> str:
    """How a script gets the label, "" for the names of classes, as they are."""
    return arrival_of("probability" if found.labels.binary else "classes" if found.labels.classes else "value")


def _input(one: Found) -> str:
    dirt = f"; {one.misfits:,} values do not fit, such as {', '.join(map(repr, one.samples))}" if one.misfits else ""
    empty = f", {one.empty:,} cells empty" if one.empty else ""
    return f"{one.column.name}: {_kind(one.column, one.distinct)}{empty}{dirt}"


def _suspects(found: Survey, roles: Roles) -> list[str]:
    suspects = [one for one in found.findings if one.kind == "suspect"]
    return [f"{one.column}: {one.words}: is it known at {roles.at}?" for one in suspects]


def _mendable(found: Survey) -> list[str]:
    """Columns of numbers with cells that are none, and what to do about them."""
    names = ", ".join(one.column.name for one in found.inputs if one.misfits)
    if not names:
        return []
    return [
        f"{names}: rows with cells that do not fit are set aside; a function in `repair=` keeps them",
        "`repair=` mends rows of the table, no requests: one with such a value gets a 400 that names the field",
    ]


def _kind(column: Column, distinct: int) -> str:
    if column.type == "string":
        return f"a category of {distinct:,} values"
    return "a time, as the days since it" if column.type == "timestamp" else column.type


def _finding(finding: Finding) -> str:
    named = {"leak": "a leak: ", "later": "a leak: ", "constant": "constant: ", "identifier": "an id: "}
    return named.get(finding.kind, "") + finding.words
