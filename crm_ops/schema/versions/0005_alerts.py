"""Alerts, and to whom each was delivered."""

from __future__ import annotations

from alembic import op

from crm_ops.schema.script import apply, drop_tables

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables, and the indexes by which the ledger is read and pruned."""
    apply("0005_alerts.sql")


def downgrade() -> None:
    """Remove them."""
    drop_tables("alert_delivery", "alert")
    op.execute("DROP INDEX crm_ops.run_by_start, crm_ops.run_by_starter, crm_ops.run_whole")
