"""Where everything of a local stack lies: one folder, ours alone, that git ignores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from crm_ops.base import errors

FOLDER = ".local"


@dataclass(frozen=True)
class Layout:
    """The project's `root` and the stack's `home`, both absolute."""

    root: Path
    home: Path

    @property
    def lock(self) -> Path:
        """Held while the stack is up."""
        return self.home / "lock"

    @property
    def processes(self) -> Path:
        """The record of what runs."""
        return self.home / "processes.json"

    @property
    def credentials(self) -> Path:
        """Generated passwords and keys."""
        return self.home / "credentials.json"

    @property
    def ports(self) -> Path:
        """The ports of the last start."""
        return self.home / "ports.json"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.home / "logs"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data; run by root, a link to where its own user can reach them."""
        return self.home / "postgres"

    @property
    def redis(self) -> Path:
        """Redis' data and configuration."""
        return self.home / "redis"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.home / "airflow"


def make(root: Path, home: Path | None = None) -> Layout:
    """The layout of the project at `root`, its folders made and closed to other users.

    `home` is `root/.local` where none is given. Raises LocalError where it belongs to another user.
    """
    layout = Layout(root.resolve(), (home or root / FOLDER).resolve())
    try:
        layout.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if layout.home.stat().st_uid != os.geteuid():
            raise errors.LocalError(
                f"{layout.home} belongs to another user; start the stack as that user, or remove"
                " the folder as that user with `make clean`"
            )
        layout.home.chmod(0o700)
        for folder in (layout.logs, layout.redis, layout.airflow):
            folder.mkdir(exist_ok=True)
    except OSError as error:
        raise errors.LocalError(
            f"{layout.home} cannot be made ({error.strerror}); make its parent folder writable"
        ) from error
    return layout


__all__ = ["FOLDER", "Layout", "make"]
