"""PostgreSQL's data folder: it appears under its name only when it is whole."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from crm_ops.base import errors
from crm_ops.local import place
from crm_ops.local.place import Place

# The one login of a new data folder.
USER = "postgres"


def make(where: Place, password: str) -> Path:
    """The data folder at `where`, made with this password unless it is there.

    One that was cut short is made anew. Raises LocalError where it is of another major version.
    """
    data = where.folder / "data"
    version = data / "PG_VERSION"
    if version.exists() and (data / "global" / "pg_control").exists():
        found = version.read_text(encoding="ascii").strip()
        if found != str(place.MAJOR):
            raise errors.LocalError(
                f"{data} holds data of PostgreSQL {found} and PostgreSQL {place.MAJOR} is to run;"
                f" save what you need with pg_dump {found}, then remove it with `make clean`"
            )
        return data
    draft = data.with_suffix(".new")
    for folder in (data, draft):
        shutil.rmtree(folder, ignore_errors=True)
    _initdb(where, draft, password)
    draft.rename(data)
    return data


def environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: no PG* variable of the caller steers them."""
    return {"PATH": os.defpath, "LC_ALL": "C"}


def _initdb(where: Place, data: Path, password: str) -> None:
    account = where.account
    secret = where.folder / "password"
    secret.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password)
        if account:
            os.chown(secret, account.uid, account.gid)
        done = subprocess.run(  # noqa: S603 - a program of the installed wheel
            [
                *(where.programs / "initdb", "-D", data, "--username", USER),
                *("--pwfile", secret, "--auth", "scram-sha-256", "--encoding", "UTF8"),
                # The same order and case rules on every machine.
                *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                # Cut short, it is made anew.
                "--no-sync",
            ],
            cwd=where.folder,
            env=environment(),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode:
        raise errors.LocalError(f"initdb failed in {where.folder}: {done.stderr.strip()}")


__all__ = ["USER", "environment", "make"]
