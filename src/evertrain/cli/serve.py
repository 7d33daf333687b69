"""`evertrain serve`: a model file behind a safe door, with nothing declared."""

import enum
import re
from pathlib import Path
from typing import Annotated

import typer

from evertrain.cli.flags import takes_settings
from evertrain.cli.greeting import greet
from evertrain.cli.option import Json, Toml, is_there
from evertrain.cli.progress import ProgressLine
from evertrain.cli.up import begin, run_in_foreground
from evertrain.config.wording import suggestion
from evertrain.core.approval import GATES, RolloutGate
from evertrain.core.time import parse_span, say_span
from evertrain.errors import UserError
from evertrain.process.supervision.startup import model_file

__all__ = ["app"]

app = typer.Typer()

NEXT_DOOR = (
    "Next door: retraining from a table, by `evertrain init NAME --data FILE.csv --key ... --at ... --label ...`."
)


class Kind(enum.StrEnum):
    """What a score is."""

    probability = "probability"
    value = "value"


@app.command("serve")
@takes_settings
def serve(
    model: Annotated[
        Path,
        typer.Argument(
            callback=is_there,
            help="A LightGBM, XGBoost, ONNX, skops or Python model file, a folder of MLflow's, a trusted pickle.",
        ),
    ],
    *,
    sample: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A CSV or Parquet file of example rows: columns and types."),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON: the columns of a request.")
    ] = None,
    output: Annotated[
        Kind | None, typer.Option(help="What a score is; default: what the model says, else probability.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names of its classes, in its own order: a,b,c; default: as the file has them.")
    ] = None,
    max_bad_answers: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Failed requests a day that a step of a canary may cost. Default: 1 in 1,000, and at least 50.",
            metavar="N",
        ),
    ] = None,
    blue_green: Annotated[
        str | None,
        typer.Option(
            help="Successors enter at once, by workers of their own; those before stay warm for so long: 1h, 30m.",
            metavar="SPAN",
        ),
    ] = None,
    step_for: Annotated[
        str | None,
        typer.Option(help="A step of a canary lasts at least so long. Default: as long as its evidence takes."),
    ] = None,
    slower_by: Annotated[
        str | None,
        typer.Option(help="A successor may answer so much later than the version before it. Default: 1ms."),
    ] = None,
    environment: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A requirements.lock: this file runs with its packages."),
    ] = None,
    approval: Annotated[
        str | None,
        typer.Option(help="A person approves each version before its canary, promotion, or both: canary,promotion."),
    ] = None,
    service: Annotated[str | None, typer.Option(help="Its name; default: the file's.")] = None,
    settings: Toml = None,
    as_json: Json = False,
    **flags: str | None,
) -> None:
    """Serve a model file: checked in a process of its own first, with a prediction log, canaries and instant revert.

    The columns of a request are those that the model names; a sample says their types, or a schema all of it.
    """
    if sample is not None and schema is not None:
        raise UserError("Both --sample and --schema say which columns there are.", "Give one of them.")
    if output is not None and classes is not None:
        raise UserError("Both --output and --classes say what the model gives.", "Give one of them.")
    of_canary = {"--max-bad-answers": max_bad_answers, "--step-for": step_for, "--slower-by": slower_by}
    told = next((option for option, value in of_canary.items() if value is not None), None)
    if told is not None and blue_green is not None:
        raise UserError(f"{told} is of a canary, and with --blue-green there is none.", "Give one of them.")
    name = service or _name_of(model)
    words = ["--service", name, str(model), *([] if service else ["--unnamed"])]
    said = {
        "schema": schema,
        "sample": sample,
        "output": output,
        "classes": classes,
        "max-bad-answers": max_bad_answers,
        "step-for": None if step_for is None else say_span(parse_span(step_for)),
        "slower-by": None if slower_by is None else say_span(parse_span(slower_by)),
        "blue-green": None if blue_green is None else parse_span(blue_green),
        "environment": environment,
    }
    for option, value in said.items():
        words += [] if value is None else [f"--{option}", str(value)]
    for gate in _gates(approval or ""):
        words += ["--approval", gate]
    given = flags | {"dir": flags["dir"] or str(Path(".evertrain").absolute())}
    submission = model_file(words, f"evertrain push {model}")
    with ProgressLine() as line, begin(settings, given, [submission]) as startup:
        version = submission.answer.strip()

        def when_it_is_up() -> None:
            if not as_json:  # machines ask for the status instead
                greet(startup, name, version, NEXT_DOOR, line)

        run_in_foreground(startup, as_json=as_json, then=when_it_is_up)


def _gates(text: str) -> tuple[RolloutGate, ...]:
    """Where a person is asked, as it is typed: nowhere, or at gates joined by commas."""
    named = tuple(part.strip() for part in text.split(",")) if text else ()
    for name in named:
        if name not in GATES:
            raise UserError(f"--approval {name!r} is no gate of a rollout.", suggestion(name, GATES))
    return tuple(gate for gate in GATES if gate in named)


def _name_of(model: Path) -> str:
    """A service's name from a file's: what may stand in a path of a URL.

    >>> _name_of(Path("My model (v2).ubj"))
    'my-model-v2'
    """
    return re.sub(r"[^a-z0-9_]+", "-", model.stem.lower()).strip("-") or "model"
