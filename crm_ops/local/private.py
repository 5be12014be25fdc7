"""JSON files that only their owner may read, and that are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from crm_ops.base import errors


def read(path: Path) -> Any:
    """What `write` put there, or None where there is no file. Raises LocalError if unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise errors.LocalError(f"{path} cannot be read; remove it and start again") from error


def write(path: Path, value: Any) -> None:
    """Write `value` as JSON with mode 0600; a reader sees the old file or the new one."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    draft.replace(path)


__all__ = ["read", "write"]
