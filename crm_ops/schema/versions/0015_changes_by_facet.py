"""What a fold does to the bitmaps of a facet is one row."""

from __future__ import annotations

from crm_ops.schema.script import apply

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Keep the bitmaps that there are, and their changes."""
    apply("0015_changes_by_facet.sql")


def downgrade() -> None:
    """Forget them; the fold makes them anew."""
    apply("0015_changes_by_facet_down.sql")
