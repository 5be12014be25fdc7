"""Loads the named statements of a package's `.sql` files.

A file holds statements that each begin with `-- name: NAME`; the comment lines that follow say what
the statement answers and why it is safe to run twice.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_HEADING = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def load(package: str, file: str = "statements.sql") -> dict[str, str]:
    """The statements of `package`'s `file` by name, their SQL text without the heading."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    pieces = _HEADING.split(text)[1:]
    return {
        name: body.strip().removesuffix(";")
        for name, body in zip(pieces[::2], pieces[1::2], strict=True)
    }


__all__ = ["load"]
