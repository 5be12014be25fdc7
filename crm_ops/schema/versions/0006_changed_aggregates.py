"""At which version of a tenant's figures each aggregate last changed."""

from __future__ import annotations

from alembic import op

from crm_ops.schema.script import apply

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the note."""
    apply("0006_changed_aggregates.sql")


def downgrade() -> None:
    """Remove it: all figures of a tenant are published together again."""
    op.execute("ALTER TABLE crm_ops.refresh DROP COLUMN changed")
