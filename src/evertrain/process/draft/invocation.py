"""How a training script wants to be called: found by reading it, never by running it.

A script says by what it does with its arguments which of them is the table and which the model: what goes into
`read_csv` is a CSV file, what comes into `joblib.dump` is the model's path. Followed are names, parameters of the
script's own functions, argparse's options, and paths that are put together.
"""

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from evertrain.config.script import CSV, MODEL, ROWS

__all__ = ["Invocation", "Line", "read_invocation", "reads_table"]

_READS: Final = {
    "read_csv": CSV,
    "scan_csv": CSV,
    "DictReader": CSV,
    "genfromtxt": CSV,
    "loadtxt": CSV,
    "read_parquet": ROWS,
    "scan_parquet": ROWS,
    "ParquetFile": ROWS,
}
_WRITES: Final = ("dump", "save_model", "save", "write_bytes", "write_model")
_NO_MODELS: Final = ("json", "yaml", "np", "numpy")
_CHANGES: Final = ("fillna", "fill_null", "map", "replace", "apply", "get_dummies", "factorize", "cut", "qcut")
_BY_NAME: Final = {
    "seed": "{seed}",
    "random_state": "{seed}",
    "threads": "{threads}",
    "n_jobs": "{threads}",
    "num_threads": "{threads}",
}
_DEEPEST: Final = 8

Key = int | str
"""An argument: its place in sys.argv, or the name that argparse keeps it under."""


class Line(msgspec.Struct, frozen=True):
    """Something that a script does: what, and in which line."""

    what: str
    number: int


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """arguments: as `et.script` takes them; None where what the script does with its arguments could not be told.

    table: the form in which it reads its rows, by all its calls that read any, {rows} where there are none.
    fixed: tables that it reads under a name of their own, which no training will find. changes: what it seems to do to
    its rows before it fits. saved: places of the model that it names itself. labels: where it takes the label for text;
    texts: where it takes another column for text, by the column.
    """

    arguments: tuple[str, ...] | None
    table: str = ROWS
    fixed: tuple[Line, ...] = ()
    changes: tuple[Line, ...] = ()
    saved: tuple[Line, ...] = ()
    labels: tuple[Line, ...] = ()
    texts: tuple[Line, ...] = ()


class _Option(NamedTuple):
    """An argument of argparse's. flag: "" where it goes by its place."""

    kept: str
    flag: str
    required: bool


def read_invocation(tree: ast.Module, label: str = "") -> Invocation:
    """How it is called. label: the column that a script may well change, since no request brings it."""
    names = _Names(tree)
    places: dict[Key, str] = {}
    fixed: list[Line] = []
    saved: list[Line] = []
    read: set[str] = set()
    for call, argument, place in _uses(tree):
        read |= {place} - {MODEL}
        key = names.argument(argument)
        if key is not None:
            places[key] = place if places.get(key, place) == place else ROWS
        elif isinstance(constant := names.constant(argument), str):
            (saved if place == MODEL else fixed).append(Line(constant, call.lineno))
    told = [*places.values()]
    clear = not fixed and {CSV, ROWS} & {*told} and told.count(MODEL) <= 1
    found = _arguments(places, names) if clear else None
    return Invocation(
        arguments=found,
        table=CSV if read == {CSV} else ROWS,
        fixed=tuple(fixed),
        changes=tuple(_changes(tree, label)),
        saved=tuple(saved),
        labels=tuple(_texts_of_label(tree, label)),
        texts=tuple(_texts(tree)),
    )


def reads_table(function: ast.FunctionDef) -> bool:
    """Whether a function reads a table itself, from wherever."""
    return any(place != MODEL for _, _, place in _uses(function))


def _uses(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.expr, str]]:
    """Calls that read a table or write a model, with the argument that may be its path."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _name_of(node.func)
        given = [*node.args, *(one.value for one in node.keywords)]
        if name in _READS:
            yield from ((node, one, _READS[name]) for one in given[:1])
        elif name == "read_table" and isinstance(node.func, ast.Attribute):
            arrow = _name_of(node.func.value) in ("pq", "parquet")
            yield from ((node, one, ROWS if arrow else CSV) for one in given[:1])
        elif name == "open" and any(isinstance(one, ast.Constant) and one.value == "wb" for one in given):
            path = node.func.value if isinstance(node.func, ast.Attribute) else given[0]
            yield node, path, MODEL
        elif name in _WRITES:
            base = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            if not any(_name_of(one) in _NO_MODELS for one in base):
                yield from ((node, one, MODEL) for one in (*given, *base))


def _arguments(places: dict[Key, str], names: "_Names") -> tuple[str, ...] | None:
    """The whole command line; None where an argument that has to be there is for something else."""
    told: list[str | None] = []
    if names.options:
        for option in names.options:
            place = places.get(option.kept, _BY_NAME.get(option.kept))
            if place is None and not option.required:
                continue
            told += [option.flag, place] if option.flag else [place]
    else:
        told += [places.get(number) for number in range(1, names.last + 1)]
    return None if None in told else tuple(one for one in told if one is not None)


def _changes(tree: ast.Module, label: str) -> Iterator[Line]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES):
            continue
        if not _is_about(node.func, label):
            yield Line(node.func.attr, node.lineno)


def _texts_of_label(tree: ast.Module, label: str) -> Iterator[Line]:
    """Where the label is compared with a text, or looked up by one: what, and in which line."""
    for node in ast.walk(tree):
        told: list[ast.expr] = []
        if isinstance(node, ast.Compare) and _is_about(node.left, label):
            told = node.comparators
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_about(node.func, label):
            tables = [one for one in node.args if isinstance(one, ast.Dict)] if node.func.attr == "map" else []
            told = [key for table in tables for key in table.keys if key is not None]
        texts = [one.value for one in told if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if texts and isinstance(node, ast.Compare | ast.Call):
            yield Line(texts[0], node.lineno)


def _texts(tree: ast.Module) -> Iterator[Line]:
    """Columns of which the script takes `.str` as they come; one that it casts somewhere may be a text by then."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    casts = [node.func for node in calls if _name_of(node.func) in ("astype", "cast")]
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and node.attr == "str"):
            continue
        column = _column_of(node.value)
        if column is not None and not any(_is_about(cast, column) for cast in casts):
            yield Line(column, node.lineno)


def _column_of(node: ast.expr) -> str | None:
    """The column that an expression is: rows["a"], rows.a, or pl.col("a")."""
    named: ast.expr | None = None
    match node:
        case ast.Attribute(attr=attr):
            return attr
        case ast.Subscript(slice=place):
            named = place
        case ast.Call(func=func, args=[first, *_]) if _name_of(func) == "col":
            named = first
    return named.value if isinstance(named, ast.Constant) and isinstance(named.value, str) else None


def _is_about(node: ast.expr, label: str) -> bool:
    """Whether an expression names this column."""
    inside = list(ast.walk(node))
    about = {one.value for one in inside if isinstance(one, ast.Constant)}
    return label in about | {one.attr for one in inside if isinstance(one, ast.Attribute)}


class _Names:
    """What the names of a script stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self.options: list[_Option] = []
        self.last = 0
        self._bound: dict[str, list[ast.expr]] = {}
        self._places: dict[str, int] = {}
        self._functions = {one.name: one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
        for node in ast.walk(tree):
            self._take(node)

    def argument(self, node: ast.expr, depth: int = 0) -> Key | None:
        """Which argument of the script an expression is, or is made from."""
        if depth > _DEEPEST:
            return None
        if isinstance(node, ast.Subscript):
            return _place(node)
        if isinstance(node, ast.Attribute) and any(one.kept == node.attr for one in self.options):
            return node.attr
        if isinstance(node, ast.Name) and node.id in self._places:
            return self._places[node.id]
        inside = self._bound.get(node.id, []) if isinstance(node, ast.Name) else _pieces(node)
        found = (self.argument(one, depth + 1) for one in inside)
        return next((key for key in found if key is not None), None)

    def constant(self, node: ast.expr) -> object:
        """The value of a constant, or of a name that stands for one; None for anything else."""
        if isinstance(node, ast.Name) and len(self._bound.get(node.id, [])) == 1:
            [node] = self._bound[node.id]
        if isinstance(node, ast.Call) and _name_of(node.func) in ("Path", "open") and node.args:
            node = node.args[0]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):  # a path below a folder
            node = node.right
        elif isinstance(node, ast.Call) and _name_of(node.func) in ("join", "joinpath") and node.args:
            node = node.args[-1]
        return node.value if isinstance(node, ast.Constant) else None

    def _take(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            self._assign(node.targets[0], node.value)
        elif isinstance(node, ast.With):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name):
                    self._bind(item.optional_vars.id, item.context_expr)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Subscript):
            self.last = max(self.last, _place(node) or 0)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, value)
        elif isinstance(target, ast.Tuple):
            start = _start(value)
            for place, one in enumerate(target.elts):
                if not isinstance(one, ast.Name):
                    continue
                if start is not None:
                    self._places[one.id] = start + place
                    self.last = max(self.last, start + place)
                elif isinstance(value, ast.Tuple) and place < len(value.elts):
                    self._bind(one.id, value.elts[place])

    def _call(self, node: ast.Call) -> None:
        name = _name_of(node.func)
        if name == "add_argument":
            self._option(node)
        elif name in self._functions:
            parameters = [one.arg for one in self._functions[name].args.args]
            for place, (parameter, value) in enumerate(zip(parameters, node.args, strict=False)):
                start = _start(value.value) if isinstance(value, ast.Starred) else None
                if start is not None:  # main(*sys.argv[1:])
                    self._spread(parameters[place:], start)
                self._bind(parameter, value)
            for keyword in node.keywords:
                if keyword.arg in parameters:
                    self._bind(keyword.arg, keyword.value)

    def _spread(self, parameters: list[str], start: int) -> None:
        """The arguments from `start` on go to these parameters, one after the other."""
        for place, name in enumerate(parameters, start):
            self._places[name] = place
            self.last = max(self.last, place)

    def _option(self, node: ast.Call) -> None:
        flags = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if not flags:
            return
        said = {one.arg: one.value.value for one in node.keywords if isinstance(one.value, ast.Constant)}
        flag = next((one for one in flags if one.startswith("--")), flags[0])
        by_place = not flag.startswith("-")
        kept = said.get("dest") or flag.lstrip("-").replace("-", "_")
        required = said.get("required") is True or (by_place and said.get("nargs") not in ("?", "*"))
        self.options.append(_Option(str(kept), "" if by_place else flag, required))

    def _bind(self, name: str, value: ast.expr) -> None:
        self._bound.setdefault(name, []).append(value)


def _pieces(node: ast.expr) -> list[ast.expr]:
    """What a path is put together from: Path(x), open(x), x / "model", f"{x}.bin", x or "its.csv", x if y else z."""
    if isinstance(node, ast.Call):
        base = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        return [*node.args, *base]
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.JoinedStr):
        return [one.value for one in node.values if isinstance(one, ast.FormattedValue)]
    return []


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_argv(node: ast.expr) -> bool:
    return _name_of(node) == "argv"


def _place(node: ast.Subscript) -> int | None:
    """Which argument is looked up: sys.argv[1], sys.argv[1:][0], (sys.argv[1:] or ["its.csv"])[0]."""
    if _is_argv(node.value):
        return _start(node) if isinstance(node.slice, ast.Slice) else _index(node.slice)
    base = [node.value, *_pieces(node.value)]
    start = next((found for one in base if isinstance(one, ast.Subscript) and (found := _start(one)) is not None), None)
    after = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return start + after if start is not None and isinstance(after, int) and after >= 0 else None


def _index(node: ast.expr) -> int | None:
    """A place in sys.argv that holds an argument."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value > 0 else None


def _start(value: ast.expr) -> int | None:
    """Where in sys.argv a tuple of names begins: 0 for all of it, 1 for sys.argv[1:]; None for anything else."""
    if _is_argv(value):
        return 0
    if isinstance(value, ast.Subscript) and _is_argv(value.value) and isinstance(value.slice, ast.Slice):
        return 0 if value.slice.lower is None else _index(value.slice.lower)
    return None
