"""Indexes for the page in Airflow: it stays quick with many tenants and a long ledger."""

from __future__ import annotations

from alembic import op

from crm_ops.schema.script import apply

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the indexes."""
    apply("0010_page_indexes.sql")


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP INDEX crm_ops.refresh_by_tenant")
    op.execute("DROP INDEX crm_ops.run_success")
