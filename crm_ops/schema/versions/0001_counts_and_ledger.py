"""The ledger, facet counts, aggregates, and the state of audit partitions."""

from __future__ import annotations

from crm_ops.schema.script import apply, drop_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    apply("0001_counts_and_ledger.sql")


def downgrade() -> None:
    """Remove them with everything in them."""
    drop_tables("audit_partition", "refresh", "aggregate", "facet_count", "batch", "run")
