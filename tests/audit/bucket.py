"""An object store that lets nobody in without its credential: a file system of fsspec's kind."""

from __future__ import annotations

from typing import Any, ClassVar

from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem

SECRET = "wJalrXUtnFEMI"


class Forbidden(Exception):
    """What the store's own client raises; its text holds the credential."""


class Bucket(MemoryFileSystem):
    """Files in memory, for who opens it as `crm` with the right secret."""

    protocol = "bucket"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def __init__(self, *, username: str = "", password: str = "", **extras: Any) -> None:
        super().__init__()
        self.given = (username, password)
        self.extras = extras

    def _open(self, *args: Any, **options: Any) -> Any:
        self._require()
        return super()._open(*args, **options)

    def cat_file(self, *args: Any, **options: Any) -> Any:
        self._require()
        return super().cat_file(*args, **options)

    def put_file(self, *args: Any, **options: Any) -> None:
        self._require()
        super().put_file(*args, **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("bucket://", "memory://")))

    def _require(self) -> None:
        if self.given != ("crm", SECRET) or self.extras != {"endpoint_url": "https://here"}:
            raise Forbidden(f"no entry with {self.given}")


register_implementation("bucket", Bucket, clobber=True)
