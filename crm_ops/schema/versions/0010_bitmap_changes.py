"""Changes of bitmaps are appended and put into them later, many at once."""

from __future__ import annotations

from crm_ops.schema.script import apply

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Keep the bitmaps that there are."""
    apply("0010_bitmap_changes.sql")


def downgrade() -> None:
    """Forget them; the fold makes them anew."""
    apply("0010_bitmap_changes_down.sql")
