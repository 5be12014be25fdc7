"""What a migration may do: run its SQL file, or drop tables of ours."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from crm_ops.base.names import SCHEMA
from crm_ops.base.sql import Relation

VERSIONS = Path(__file__).parent / "versions"


def apply(file: str) -> None:
    """Run a SQL file that lies beside the migrations, as it is (psycopg: no values, no %%)."""
    op.execute((VERSIONS / file).read_text(encoding="utf-8").replace(":", "\\:"))


def drop_tables(*names: str) -> None:
    """Drop tables of our schema."""
    for name in names:
        op.execute(f"DROP TABLE {Relation(SCHEMA, name).quoted}")


__all__ = ["VERSIONS", "apply", "drop_tables"]
