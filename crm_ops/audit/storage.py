"""Where archives lie: a local folder, or an object store; a file is there whole or not at all.

Locally a file is written beside its place, flushed to the disk and renamed. In an object store it
is one PUT. Credentials come from the environment, as fsspec reads them (`FSSPEC_S3_KEY`, `AWS_*`).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from crm_ops.base import errors

_CHUNK = 1 << 20
_PARTIAL = ".part-"


class Storage:
    """A folder of archives; names within it are relative and use `/`."""

    def __init__(self, url: str, base: Path) -> None:
        """A URL with a scheme, or a path, which is relative to `base` (the catalog's folder)."""
        given = url if "://" in url else str(base / Path(url).expanduser())
        with _told(url):
            files, root = fsspec.core.url_to_fs(given)
        # As it is told in messages: without a password.
        self.url = _shown(url) if "://" in url else os.path.normpath(given)
        self._files = files
        self._local = isinstance(files, LocalFileSystem)
        self._root = os.path.normpath(root) if self._local else str(root).rstrip("/")

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        """A local path to write to; what it holds at the end becomes the file `name`."""
        with _told(self.url):
            if self._local:
                with _beside(Path(self._root, name)) as path:
                    yield path
                return
            with tempfile.TemporaryDirectory(prefix="crm-ops-archive-") as folder:
                path = Path(folder, "file")
                yield path
                self._files.put_file(str(path), self._at(name))

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self.new(name) as path:
            path.write_bytes(content)

    def get(self, name: str) -> bytes | None:
        """A small file's content; None where there is no such file."""
        with _told(self.url):
            try:
                return cast("bytes", self._files.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file to read; raises AuditError where it is not there."""
        with _told(self.url), self._files.open(self._at(name), "rb") as stream:
            yield cast("IO[bytes]", stream)

    def sha256(self, name: str) -> str | None:
        """The SHA-256 of a file, read whole in small pieces; None where there is no such file."""
        digest = hashlib.sha256()
        with _told(self.url):
            try:
                with self._files.open(self._at(name), "rb") as stream:
                    while chunk := stream.read(_CHUNK):
                        digest.update(chunk)
            except FileNotFoundError:
                return None
        return digest.hexdigest()

    def names(self, folder: str) -> set[str]:
        """The files below a folder; what a killed run left half written is not one."""
        with _told(self.url):
            try:
                found = self._files.find(self._at(folder))
            except FileNotFoundError:
                return set()
        names = {str(each)[len(self._root) :].lstrip("/") for each in found}
        return {name for name in names if not name.rpartition("/")[2].startswith(_PARTIAL)}

    def location(self, name: str) -> tuple[Any, str]:
        """The fsspec file system and the path of a file in it, for other readers."""
        return self._files, self._at(name)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"


@contextmanager
def _beside(final: Path) -> Iterator[Path]:
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f"{_PARTIAL}{final.name}-*"):
        left.unlink(missing_ok=True)
    path = final.parent / f"{_PARTIAL}{final.name}-{secrets.token_hex(4)}"
    try:
        yield path
        _flush(path)
        os.replace(path, final)  # noqa: PTH105 - a rename within one folder, and nothing else
        for folder in (final.parent, final.parent.parent):
            _flush(folder)
    finally:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What a file system refuses, in words; not in its own, which may hold a credential."""
    try:
        yield
    except (ImportError, ValueError) as error:
        raise errors.SettingsError(
            f"the archive {_shown(url)} cannot be opened: {error}; name a folder, or a URL whose"
            " file system is installed (s3:// needs the package s3fs)"
        ) from error
    except FileNotFoundError as error:
        raise errors.AuditError(
            f"a file of the archive {_shown(url)} is not there: {error.filename or error}; see"
            " `crm-ops audit verify-archive`"
        ) from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise errors.AuditError(
            f"the archive {_shown(url)} cannot be used: {why}; nothing was dropped, and the next"
            " run goes on from here"
        ) from error


def _shown(url: str) -> str:
    """A URL without user and password."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url


__all__ = ["Storage"]
