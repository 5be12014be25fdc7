"""Bitmaps of large tenants' rows by bucket, for counts under filters."""

from __future__ import annotations

from crm_ops.schema.script import apply, drop_tables

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create their tables."""
    apply("0008_bitmaps.sql")


def downgrade() -> None:
    """Remove them; the fold makes them anew."""
    drop_tables("bitmap", "bitmap_position", "bitmap_set")
