"""What is counted: the declarations of the catalog file, validated."""

from __future__ import annotations

__all__: list[str] = []
