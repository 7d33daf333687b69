"""Bring a ledger database to this version's schema, or refuse one of a newer version.

A database that is up to date costs one query; Alembic is imported only when there is something to do.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from evertrain.errors import StateError

__all__ = ["HEAD", "revision_of", "upgrade"]

HEAD: Final = "0001"
"""The newest revision in store/migrations/versions; a test holds the two together."""

_SCRIPTS = Path(__file__).parent / "migrations"


def revision_of(connection: Connection) -> str | None:
    """The revision of the database, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def upgrade(connection: Connection, name: str) -> None:
    """Run what is missing, in the caller's write transaction. `name` is said in errors."""
    current = revision_of(connection)
    if current == HEAD:
        return
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(_SCRIPTS))
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StateError(
            f"{name} was written by a newer evertrain (revision {current}; this one knows {HEAD}).",
            "Upgrade evertrain.",
        )

    def steps(revision: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        return list(scripts._upgrade_revs(HEAD, revision[0] if revision else None))  # type: ignore[arg-type]  # noqa: SLF001

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()
