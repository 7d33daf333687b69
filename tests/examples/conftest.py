"""The flights: their declaration, and their rows as frames."""

import importlib
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from evertrain.config.authoring import load
from evertrain.config.declaration import FunctionRef, ServiceSpec
from evertrain.core.identity import SourceName
from evertrain.core.time import DAY, parse_instant

FOLDER = Path(__file__).parents[2] / "examples" / "flights"


class Flights:
    """A declared service with the rows of its sources."""

    def __init__(self, spec: ServiceSpec, tables: dict[SourceName, pl.DataFrame]) -> None:
        self.spec = spec
        self.tables = tables

    @staticmethod
    def functions(reference: FunctionRef) -> Any:
        return getattr(sys.modules[reference.module], reference.name)

    def known(self, name: SourceName) -> pl.Expr:
        """When a source's rows became known, int64 microseconds."""
        moment = self.spec.source(name).known_at
        return pl.col(moment.column).to_physical() + moment.offset

    @staticmethod
    def of_days(rows: pl.DataFrame, time: pl.Expr, days: tuple[str, ...], back: int = 0) -> pl.DataFrame:
        """Rows whose time lies in one of the days of 2013 (New York's winter time), or up to `back` days before."""
        starts = [parse_instant(f"2013-{day}T00:00:00-05:00") for day in days]
        spans = [time.is_between(start - back * DAY, start + DAY, closed="left") for start in starts]
        return rows.filter(pl.any_horizontal(spans))


@pytest.fixture(scope="session")
def flights() -> Flights:
    (spec,) = load(FOLDER / "service.py")
    frames = importlib.import_module("prepare").read_sources()
    return Flights(spec, {source.name: frames[source.name] for source in spec.sources})
