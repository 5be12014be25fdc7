"""The epochs of sharing configurations."""

from __future__ import annotations

from crm_ops.schema.script import apply, drop_tables

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table of epochs."""
    apply("0003_sharing_epoch.sql")


def downgrade() -> None:
    """Remove it."""
    drop_tables("sharing_epoch")
