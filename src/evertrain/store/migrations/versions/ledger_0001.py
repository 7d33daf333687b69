"""The ledger: events that cannot be changed, the tree's frontier, signed heads, words of people."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FROZEN = ("events", "heads")


def upgrade() -> None:
    """Make the tables, and the triggers that refuse every change of what was appended."""
    op.create_table(
        "events",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_index("events_by_kind", "events", ["kind", "sequence"])
    op.create_index("events_by_subject", "events", ["subject", "sequence"])
    op.create_table(
        "frontier",
        sa.Column("only", sa.Integer, sa.CheckConstraint("only = 0"), primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("peaks", sa.LargeBinary, nullable=False),
    )
    op.execute(sa.text("INSERT INTO frontier (only, size, peaks) VALUES (0, 0, x'')"))
    op.create_table(
        "heads",
        sa.Column("size", sa.Integer, primary_key=True),
        sa.Column("head", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "words",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    for table in _FROZEN:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                sa.text(
                    f"CREATE TRIGGER {table}_refuse_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
                )
            )
