"""Indexes for the page in Airflow: it stays quick with many tenants and a long ledger."""

from __future__ import annotations

from alembic import op

from crm_ops.schema.script import apply

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the indexes."""
    apply("0007_page_indexes.sql")


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP INDEX crm_ops.refresh_by_tenant")
    op.execute("DROP INDEX crm_ops.run_success")
