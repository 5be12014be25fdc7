"""One stack at a time in a folder: a lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_ops.base import errors


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`. Raises LocalError where another process holds it."""
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.LocalError(
                f"the local stack of {path.parent} is already running; use that one, or stop it"
                " with Ctrl-C where it was started"
            ) from error
        yield


__all__ = ["held"]
