"""Whom PostgreSQL runs as: it refuses root, so root lends it the user that owns nothing."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from crm_ops.base import errors

_NAME = "nobody"


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The account for a server that refuses root; None where we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_NAME)
    except KeyError as error:
        raise errors.LocalError(
            f"PostgreSQL does not run as root and there is no user {_NAME!r} to run it;"
            " start the stack as an ordinary user"
        ) from error
    return Account(entry.pw_uid, entry.pw_gid)


__all__ = ["Account", "unprivileged"]
