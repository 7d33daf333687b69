"""A source keeps the types of its columns for as long as it lives: a declaration that says otherwise is refused.

Rows in the tables, the states that features are folded into, and the versions that learnt from them all rest on these
types. Another type is another source.
"""

from collections.abc import Iterable, Mapping, Sequence

from evertrain.config.declaration import ServiceSpec
from evertrain.config.table import OpenService
from evertrain.config.wording import suggestion
from evertrain.core.identity import SourceName
from evertrain.core.schema import Column
from evertrain.errors import DeclarationError

__all__ = ["refuse_retyping"]


def refuse_retyping(services: Iterable[ServiceSpec], fixed: Mapping[SourceName, Sequence[Column]]) -> None:
    """DeclarationError for the first column whose type is declared otherwise than it is on record.

    fixed: the types of the sources that are on record.
    """
    for spec in services:
        for source in spec.sources:
            if source.name in fixed:
                table = isinstance(spec, OpenService)
                declared = spec.table.columns if isinstance(spec, OpenService) else source.columns
                _compare(source.name, declared, fixed[source.name], renamed=_renamed(source.name, table=table))


def _compare(source: SourceName, declared: Sequence[Column], fixed: Sequence[Column], *, renamed: str) -> None:
    types = {column.name: column for column in fixed}
    for column in declared:
        known = types.get(column.name)
        if known is None:
            raise DeclarationError(
                f"There is no column {column.name!r} in source {source!r}.",
                suggestion(
                    column.name,
                    types,
                    otherwise=f"A column that came later is taken in by a new source: {renamed}.",
                ),
            )
        if known.type != column.type:
            raise DeclarationError(
                f"Column {column.name!r} of source {source!r} is declared {column.type}, and is {known.type} there "
                "since the first rows were read: the types of a source stay.",
                f"Declare what is on record; or begin a new source, which reads its files anew: {renamed}.",
            )


def _renamed(source: SourceName, *, table: bool) -> str:
    return f'et.Service.from_table("{source}2", ...)' if table else f'et.Source("{source}2", ...)'
