"""Bitmaps are stored as they are."""

from __future__ import annotations

from alembic import op

from crm_ops.schema.script import apply

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Store bitmaps uncompressed; those that are there stay as they are until written again."""
    apply("0014_bitmaps_as_they_are.sql")


def downgrade() -> None:
    """Let PostgreSQL try to compress them again."""
    op.execute("ALTER TABLE crm_ops.bitmap ALTER COLUMN bits SET STORAGE EXTENDED")
