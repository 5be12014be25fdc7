"""Where the audit archive lies and who may write there, as the environment or Airflow says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# How fsspec's packages call the two parts of a credential; all others say username and password.
_CREDENTIAL = {
    "s3": ("key", "secret"),
    "s3a": ("key", "secret"),
    "abfs": ("account_name", "account_key"),
    "abfss": ("account_name", "account_key"),
    "az": ("account_name", "account_key"),
}


@dataclass(frozen=True)
class Archive:
    """A folder or URL (None: what the catalog says), and a credential for it (never shown).

    `extras` are handed to the file system as they are: `endpoint_url`, `token` and so on.
    """

    url: str | None = None
    login: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    extras: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def options(self, url: str) -> dict[str, Any]:
        """What the file system of `url` is opened with; nothing for a folder."""
        scheme, remote, _ = url.partition("://")
        if not remote:
            return {}
        names = _CREDENTIAL.get(scheme, ("username", "password"))
        given = zip(names, (self.login, self.password), strict=True)
        return {**{name: value for name, value in given if value}, **self.extras}


__all__ = ["Archive"]
