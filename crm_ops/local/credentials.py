"""The stack's passwords and keys: generated at its first start, kept in one 0600 file."""

from __future__ import annotations

import base64
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from crm_ops.base import errors
from crm_ops.local import private


@dataclass(frozen=True, repr=False)
class Credentials:
    """Secrets: never shown, except Airflow's two logins to the person who started the stack."""

    postgres: str
    redis: str
    signing_key: str
    airflow_admin: str
    airflow_viewer: str
    airflow_secret_key: str
    airflow_jwt_secret: str
    airflow_fernet_key: str


def load(path: Path) -> Credentials:
    """The credentials kept at `path`, generated where there are none yet."""
    kept = private.read(path)
    if kept is None:
        made = _generate()
        private.write(path, asdict(made))
        return made
    try:
        return Credentials(**kept)
    except TypeError as error:
        raise errors.LocalError(
            f"{path} is of another version of CRM Ops; remove the local stack with `make clean`"
        ) from error


def _generate() -> Credentials:
    return Credentials(
        postgres=secrets.token_urlsafe(24),
        redis=secrets.token_urlsafe(24),
        signing_key=secrets.token_hex(32),
        # Typed by a person: short, and its user sits on this machine.
        airflow_admin=secrets.token_urlsafe(9),
        airflow_viewer=secrets.token_urlsafe(9),
        airflow_secret_key=secrets.token_urlsafe(32),
        # HS512 wants 64 bytes or more.
        airflow_jwt_secret=secrets.token_urlsafe(64),
        airflow_fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    )


__all__ = ["Credentials", "load"]
