"""Which runs go on, and which only seem to."""

from __future__ import annotations

from alembic import op

from crm_ops.schema.script import apply

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the note and the view."""
    apply("0013_runs_as_they_are.sql")


def downgrade() -> None:
    """Remove them: a run that was killed goes on until the next one closes it."""
    op.execute("DROP VIEW crm_ops.run_as_it_is")
    op.execute("DROP FUNCTION crm_ops.nobody_at")
    op.execute("ALTER TABLE crm_ops.run DROP COLUMN held")
