"""Where the archive of an audit log was begun."""

from __future__ import annotations

from crm_ops.schema.script import apply, drop_tables

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table of archives."""
    apply("0011_audit_archive_begun.sql")


def downgrade() -> None:
    """Remove it."""
    drop_tables("audit_archive")
