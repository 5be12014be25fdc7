"""Rows of sharing epochs for each session that moves them."""

from __future__ import annotations

from alembic import op

from crm_ops.schema.script import apply

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Let sessions number their rows."""
    apply("0012_epochs_of_sessions.sql")


def downgrade() -> None:
    """Let the table number them."""
    op.execute("ALTER TABLE crm_ops.sharing_epoch ALTER COLUMN slot SET GENERATED ALWAYS")
