"""Import a bundle under a package of its own, so that two versions of one module live in one process.

The modules of the bundle with digest 1a2b... are imported as `_evertrain_bundle_1a2b....<module>`. Their sources are
read once, checked against the digest, and compiled from memory. An absolute import of a sibling (`import shared`,
`from shared.text import clean`) is rewritten, before compiling, to the sibling of the same bundle; line numbers stay.
What is not in the bundle is imported as ever. A name that is computed at run time is not rewritten.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import msgspec

from evertrain.config.bundle import CONTENTS, Contents, is_own, read_folder
from evertrain.config.declaration import FunctionRef
from evertrain.core.identity import Digest
from evertrain.errors import NotFoundError

__all__ = ["PREFIX", "entry_of", "import_entry", "module_of", "name_of", "resolve"]

PREFIX = "_evertrain_bundle_"
"""What the name of every bundle's package begins with."""


def name_of(digest: Digest) -> str:
    """The package under which a bundle's modules are imported.

    >>> name_of(Digest("44136fa355b3678a"))
    '_evertrain_bundle_44136fa355b3678a'
    """
    return f"{PREFIX}{digest}"


def module_of(name: str) -> str:
    """The name that a module has in its bundle, whichever bundle it was imported from.

    >>> module_of("_evertrain_bundle_44136fa355.shared.text"), module_of("shared.text")
    ('shared.text', 'shared.text')
    """
    return name.partition(".")[2] if name.startswith(PREFIX) else name


def import_entry(folder: Path, digest: Digest, module: str) -> ModuleType:
    """Import a module of the unpacked bundle. The same call gives the same module again.

    Raises IntegrityError for an altered folder, NotFoundError for a module that is not in the bundle; what the
    module's own code raises passes through.
    """
    root = name_of(digest)
    if root not in _finder.bundles:
        _finder.bundles[root] = _Sources(folder, root, read_folder(folder, digest))
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    if _finder.bundles[root].file_of(module) is None:
        raise NotFoundError(
            f"There is no module {module!r} in the bundle {digest}.",
            "Import it in the declaration, or name it in include=.",
        )
    return importlib.import_module(f"{root}.{module}")


def entry_of(folder: Path) -> str:
    """The module of an unpacked bundle that is the declaration."""
    return msgspec.json.decode((folder / CONTENTS).read_bytes(), type=Contents).entry


def resolve(reference: FunctionRef, folder: Path, digest: Digest) -> Callable[..., Any]:
    """The function that a reference names in the bundle, or in evertrain itself."""
    own = is_own(reference.module)
    found: Any = (
        importlib.import_module(reference.module) if own else import_entry(folder, digest, module_of(reference.module))
    )
    for part in reference.name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise NotFoundError(
            f"There is no function {reference.name!r} in module {reference.module!r} of the bundle {digest}.",
            "Define it at the top level of the module.",
        )
    return found  # type: ignore[no-any-return]


class _Sources:
    """The files of one bundle in memory, by their path in it."""

    def __init__(self, folder: Path, root: str, files: dict[str, bytes]) -> None:
        self.folder = folder
        self.root = root
        self.files = files
        self.tops = frozenset(name.split("/")[0].removesuffix(".py") for name in files if name.endswith(".py"))

    def file_of(self, module: str) -> str | None:
        """The file of a module; "" for a folder that holds modules but no __init__; None when there is neither."""
        base = module.replace(".", "/")
        for name in (f"{base}/__init__.py", f"{base}.py"):
            if name in self.files:
                return name
        inside = any(name.startswith(f"{base}/") and name.endswith(".py") for name in self.files)
        return "" if inside else None


class _Finder(MetaPathFinder):
    """Finds the modules of all bundles that this process has opened."""

    def __init__(self) -> None:
        self.bundles: dict[str, _Sources] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the import system hands them over
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        root, _, module = fullname.partition(".")
        sources = self.bundles.get(root)
        if sources is None:
            return None
        file = sources.file_of(module) if module else ""
        if file is None:
            return None
        spec = ModuleSpec(fullname, _Loader(sources, file), origin=str(sources.folder / file) if file else None)
        spec.has_location = bool(file)
        if not file or file.endswith("/__init__.py"):
            spec.submodule_search_locations = [str(sources.folder.joinpath(*module.split(".")))]
        return spec


class _Loader(InspectLoader):
    """Compiles one module from memory, its imports of siblings rewritten."""

    def __init__(self, sources: _Sources, file: str) -> None:
        self._sources = sources
        self._file = file

    def is_package(self, fullname: str) -> bool:  # noqa: ARG002
        return not self._file or self._file.endswith("/__init__.py")

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - tracebacks and inspect read the lines here
        return importlib.util.decode_source(self._sources.files[self._file]) if self._file else ""

    def get_code(self, fullname: str) -> CodeType:
        path = str(self._sources.folder / self._file)
        tree = ast.parse(self.get_source(fullname), filename=path)
        rewritten = ast.fix_missing_locations(_Rewriting(self._sources).visit(tree))
        return compile(rewritten, path, "exec", dont_inherit=True)


class _Rewriting(ast.NodeTransformer):
    """Absolute imports of the bundle's modules become imports below its package; all others stay."""

    def __init__(self, sources: _Sources) -> None:
        self._tops = sources.tops
        self._root = sources.root

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            top = alias.name.partition(".")[0]
            if top not in self._tops:
                statements.append(ast.Import(names=[alias]))
            elif alias.asname is not None:
                statements.append(ast.Import(names=[ast.alias(f"{self._root}.{alias.name}", alias.asname)]))
            else:
                # `import a.b` imports a.b and binds a.
                call = ast.Call(ast.Name("__import__", ast.Load()), [ast.Constant(f"{self._root}.{alias.name}")], [])
                statements.append(ast.Expr(call))
                statements.append(ast.Import(names=[ast.alias(f"{self._root}.{top}", top)]))
        return [ast.copy_location(statement, node) for statement in statements]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level or node.module is None or node.module.partition(".")[0] not in self._tops:
            return node
        return ast.copy_location(ast.ImportFrom(f"{self._root}.{node.module}", node.names, 0), node)


_finder = _Finder()
