"""Where the archive of an audit log was begun."""

from __future__ import annotations

from crm_ops.schema.script import apply, drop_tables

revision = "0013"
down_revision = "0009"


def upgrade() -> None:
    """Create the table of archives."""
    apply("0013_audit_archive_begun.sql")


def downgrade() -> None:
    """Remove it."""
    drop_tables("audit_archive")
