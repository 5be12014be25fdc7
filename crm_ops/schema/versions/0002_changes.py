"""The change logs' registry, rebuild markers, and what each tenant's figures were made with."""

from __future__ import annotations

from alembic import op

from crm_ops.schema.script import apply, drop_tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create them."""
    apply("0002_changes.sql")


def downgrade() -> None:
    """Remove them; the logs, triggers and their functions go with `crm-ops catalog remove`."""
    drop_tables("published", "moment", "rebuild_marker", "capture")
    op.execute("ALTER TABLE crm_ops.refresh DROP COLUMN captured, DROP COLUMN definition")
    op.execute("ALTER TABLE crm_ops.refresh DROP COLUMN proved_at")
    drop_tables("definition")
