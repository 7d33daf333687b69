"""The text of a declaration that `evertrain init` writes: at most fifteen lines, and it runs."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from evertrain.config.script import CSV, MODEL, ROWS
from evertrain.config.table import DEFAULT_GATE, default_recipe
from evertrain.core.model import OutputKind
from evertrain.core.policy import GateSpec
from evertrain.core.schema import Column
from evertrain.core.time import say_span
from evertrain.data.profile import Finding, Found
from evertrain.errors import UserError
from evertrain.process.draft.invocation import Invocation, read_invocation, reads_table
from evertrain.process.draft.survey import Roles, Survey

__all__ = ["Training", "arrival_of", "cautions_of_script", "draft", "read_training"]

_WHY: Final = {
    "leak": "all but gives the label away",
    "later": "known only later",
    "identifier": "an id, or the same in every row",
    "constant": "an id, or the same in every row",
}
_BINARY: Final = "1.0 and 0.0"
_SHOWN: Final = 5
_WIDE: Final = 20


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """How to train, as Python: lines of imports, and the expression for `train=`; both "" for the default.

    words: what a person should know of it.
    """

    imports: str = ""
    expression: str = ""
    words: tuple[str, ...] = ()


def read_training(
    asked: str, folder: Path, label: str = "", arrives: str = _BINARY, columns: Iterable[Column] = ()
) -> Training:
    """What `--train` says: "sklearn" or "lightgbm" for boosted trees, or a Python file in the declaration's folder.

    The file is a script that reads its arguments, or holds a function `train(data, run)` or an estimator under one of
    the usual names. It is looked at, not run. label: the column that it learns; arrives:
    how a script gets it, "" for the names of classes as they are. columns: those that it gets beside it.
    """
    if asked in ("", "sklearn", "lightgbm"):
        recipe = default_recipe()
        wanted = {"sklearn": "histograms", "lightgbm": "trees"}.get(asked, recipe.name)
        if recipe.name == wanted:
            return Training()
        return Training(imports=f"from evertrain.model.boosting import {wanted}", expression=wanted)
    file = folder / asked
    if file.suffix != ".py" or not file.is_file():
        raise UserError(f"--train: there is no Python file {file}.", "Say sklearn, lightgbm, or a file like train.py.")
    if file.parent.resolve() != folder.resolve():
        raise UserError(f"--train: {file} is not beside the declaration.", f"Move it into {folder}.")
    tree = _read(file)
    found = read_invocation(tree, label)
    texts = (*_label_lines(found, label, arrives), *_text_lines(found, columns))
    if _is_script(tree) or read_invocation(_imported(tree)).fixed:
        return _scripted(file.name, found, arrives, texts)
    names = _names_of(tree)
    for name in ("train", "pipeline", "model", "estimator", "classifier", "regressor"):
        if name in names:
            return Training(imports=f"from {file.stem} import {name}", expression=name)
    if found.fixed:
        return _scripted(file.name, found, arrives, texts)
    raise UserError(
        f"--train: {file.name} reads no arguments, and defines neither train nor an estimator named pipeline or model.",
        "Define train(data, run) that returns the model, assign an estimator to pipeline, or make it a script.",
    )


def _read(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"--train: {file.name} is not Python: {error}.", "Mend the file.") from error


def _label_lines(found: Invocation, label: str, arrives: str) -> tuple[str, ...]:
    """What has to change where the label is taken for the text of the table, which no script gets."""
    if not arrives:
        return ()
    return tuple(
        f"line {line.number} takes the label {label!r} for text ({line.what!r}); it arrives as {arrives}: change that "
        "line, or no training succeeds"
        for line in found.labels[:_SHOWN]
    )


def _text_lines(found: Invocation, columns: Iterable[Column]) -> tuple[str, ...]:
    """What has to change where a column is taken for text that no training gets as one."""
    types = {one.name: one.type for one in columns if one.type != "string"}
    lines = [line for line in found.texts if line.what in types]
    return tuple(
        f"line {line.number} takes {line.what!r} for text (.str); it arrives as {types[line.what]}: change that line, "
        "or no training succeeds"
        for line in lines[:_SHOWN]
    )


def _scripted(name: str, found: Invocation, arrives: str, texts: tuple[str, ...]) -> Training:
    """A call of the script; UserError when it reads a table that no training will find."""
    if found.fixed:
        line = found.fixed[0]
        raise UserError(
            f"--train: {name} reads {line.what!r} itself, in line {line.number}, and trains on nothing else.",
            "Let it take its table and the place of its model from its arguments: pd.read_csv(sys.argv[1]), "
            "joblib.dump(model, sys.argv[2])." + "".join(f" And {words}." for words in texts),
        )
    arguments = found.arguments or (found.table, MODEL)
    said = "" if arguments == (ROWS, MODEL) else ", " + ", ".join(map(_literal, arguments))
    form = "CSV" if any(CSV in one for one in arguments) else "Parquet"
    gets = arrives or "its class"
    words = [f"`python {name} {' '.join(arguments)}`, with the training rows as {form}, the label as {gets}"]
    if found.arguments is None:
        words.append("it could not be told how the script takes its arguments: look at them")
    words += [*texts, *_taken_for_granted(found)]
    return Training(expression=f"et.script({_literal(name)}{said})", words=tuple(words))


def _taken_for_granted(found: Invocation) -> Iterator[str]:
    """What a script counts on that is not so here, but for its label."""
    for line in found.saved:
        if found.arguments is None or "/" in line.what:
            yield (
                f"line {line.number} leaves the model at {line.what!r}, where nobody looks for it: let it take "
                "the path from its arguments, joblib.dump(model, sys.argv[2])"
            )
    if found.changes:
        lines = ", ".join(f"{one.what} in line {one.number}" for one in found.changes[:_SHOWN])
        yield f"{lines}: what happens to rows before the fit does NOT happen in service, unless the model does it"


def arrival_of(kind: OutputKind) -> str:
    """How a script gets the label of a service that answers so; "" for the names of classes, as they are."""
    return {"probability": _BINARY, "value": "a number", "classes": ""}[kind]


def cautions_of_script(file: Path, label: str, arrives: str, columns: Iterable[Column] = ()) -> tuple[str, ...]:
    """What a declared script counts on that is not so; nothing of one that cannot be read."""
    try:
        found = read_invocation(_read(file), label)
    except (UserError, OSError):
        return ()  # whoever runs it says what is wrong with it
    return (*_label_lines(found, label, arrives), *_text_lines(found, columns), *_taken_for_granted(found))


def _is_script(tree: ast.Module) -> bool:
    """Whether it reads its arguments: by sys.argv, or by a parser."""
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return bool(read & {"argv", "ArgumentParser", "parse_args"}) or any(
        isinstance(node, ast.ImportFrom) and node.module in ("argparse", "click", "typer") for node in ast.walk(tree)
    )


def _imported(tree: ast.Module) -> ast.Module:
    """What of a file runs when it is imported."""
    kept = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))
    ]
    return ast.Module(body=kept, type_ignores=[])


def _names_of(tree: ast.Module) -> set[str]:
    """What a file defines at its top level; a function that reads its table itself is not one to train by."""
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not reads_table(node)}
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return functions | assigned


def draft(name: str, data: str, roles: Roles, found: Survey, training: Training) -> str:
    """The whole file."""
    return "\n".join(_lines(name, data, roles, found, training)) + "\n"


def _lines(name: str, data: str, roles: Roles, found: Survey, training: Training) -> Iterator[str]:
    yield f"# {roles.label}, {say_span(roles.horizon)} after {roles.at}: written by `evertrain init`, yours to change."
    yield "import evertrain as et"
    if training.imports:
        yield training.imports
    yield ""
    yield "service = et.Service.from_table("
    yield f"    {_literal(name)}, {_literal(data)},"
    key = roles.key[0] if len(roles.key) == 1 else list(roles.key)
    yield "    " + _arguments(key=key, at=roles.at, label=roles.label, horizon=say_span(roles.horizon))
    yield from _exclusions(roles, found.findings)
    yield from _types(found)
    rest = {} if roles.zone == "UTC" else {"zone": roles.zone}
    rest |= {} if found.labels.binary or found.labels.classes else {"output": "value"}
    said = [f"{key}={_literal(value)}," for key, value in rest.items()]
    said += [f"train={training.expression},"] if training.expression else []
    if said:
        yield "    " + " ".join(said)
    if found.labels.classes:
        yield f"    output=et.classes({', '.join(map(_literal, found.labels.classes))}),"
    if found.proposal.gate != DEFAULT_GATE:
        yield f"    gate={_gate(found.proposal.gate)},"
    yield ")"


def _arguments(**values: object) -> str:
    return ", ".join(f"{name}={_literal(value)}" for name, value in values.items()) + ","


def _literal(value: object) -> str:
    """A value as Python, in double quotes where that is possible."""
    text = repr(value)
    return text if '"' in text else text.replace("'", '"')


def _exclusions(roles: Roles, findings: Sequence[Finding]) -> Iterator[str]:
    """The excluded columns, one line for each reason, so that each says why."""
    groups: dict[str, list[str]] = {"as you said": [*roles.exclude]}
    for one in findings:
        if one.kind in _WHY:
            groups.setdefault(_WHY[one.kind], []).append(one.column)
    stated = [(why, names) for why, names in groups.items() if names]
    if not stated:
        return
    yield "    exclude=["
    yield from (f"        {', '.join(map(_literal, names))},  # {why}" for why, names in stated)
    yield "    ],"


def _types(found: Survey) -> Iterator[str]:
    """The types of columns that are numbers but for a few cells, each with what that costs."""
    if not found.mended:
        return
    names = {one.name for one in found.mended}
    told = [
        (f'{_literal(one.column.name)}: "{one.column.type}?"', _cost(one))
        for one in found.columns
        if one.column.name in names
    ]
    if len(told) == 1:
        yield f"    columns={{{told[0][0]}}},  # {told[0][1]}"
        return
    yield "    columns={"
    yield from (f"        {column},  # {cost}" for column, cost in told)
    yield "    },"


def _cost(found: Found) -> str:
    samples = ", ".join(_literal(sample[:_WIDE]) for sample in found.samples)
    return f"{found.misfits:,} rows are set aside: {samples}"


def _gate(gate: GateSpec) -> str:
    return (
        f'et.Gate(primary="{gate.primary}", margin={gate.margin:g}, anchor_margin={gate.anchor_margin:g}, '
        f'holdout="{say_span(gate.holdout)}", block="{say_span(gate.block)}")'
    )
