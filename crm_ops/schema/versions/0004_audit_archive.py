"""The archive of the audit log: how far each table has come, the manifest chain, legal holds."""

from __future__ import annotations

from crm_ops.schema.script import apply

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Widen the record of detached tables; add the chain and the holds."""
    apply("0004_audit_archive.sql")


def downgrade() -> None:
    """Give the record its first form again; the chain and the holds go."""
    apply("0004_audit_archive_down.sql")
