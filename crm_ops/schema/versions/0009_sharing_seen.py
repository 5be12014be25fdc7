"""What the last warming saw of each tenant's sharing configuration."""

from __future__ import annotations

from crm_ops.schema.script import apply, drop_tables

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table of what was seen."""
    apply("0009_sharing_seen.sql")


def downgrade() -> None:
    """Remove it."""
    drop_tables("sharing_seen")
