"""Where archives lie: a local folder, or an object store; a file is there whole or not at all.

Locally a file is written beside its place, flushed to the disk and renamed. In an object store it
is one upload, which shows when it is complete. A credential is given, or found in the environment
by the file system itself (`FSSPEC_S3_KEY`, `AWS_*`); never in the URL, which stands in logs.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from crm_ops.base import errors

T = TypeVar("T")

_CHUNK = 1 << 20
_PARTIAL = ".part-"


class Storage:
    """A folder of archives; names within it are relative and use `/`."""

    def __init__(self, url: str, base: Path, options: Mapping[str, Any] | None = None) -> None:
        """A URL with a scheme, or a path, which is relative to `base` (the catalog's folder).

        `options` are what the URL's file system is opened with, a credential among them.
        """
        remote = "://" in url
        given = url if remote else str(base / Path(url).expanduser())
        if remote:
            _refuse_password(url)
        self.url = url if remote else os.path.normpath(given)
        with _told(self.url):
            files, root = self._ask(lambda: fsspec.core.url_to_fs(given, **(options or {})))
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
                self._ask(lambda: self._files.put_file(str(path), self._at(name)))

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self.new(name) as path:
            path.write_bytes(content)

    def remove(self, name: str) -> None:
        """Take a file away; nothing where there is no such file."""
        with _told(self.url), suppress(FileNotFoundError):
            self._ask(lambda: self._files.rm_file(self._at(name)))

    def get(self, name: str) -> bytes | None:
        """A small file's content; None where there is no such file."""
        with _told(self.url):
            try:
                return cast("bytes", self._ask(lambda: self._files.cat_file(self._at(name))))
            except FileNotFoundError:
                return None

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file to read; raises AuditError where it is not there."""
        with _told(self.url), self._opened(name) as stream:
            yield stream

    def sha256(self, name: str) -> str | None:
        """The SHA-256 of a file, read whole in small pieces; None where there is no such file."""
        digest = hashlib.sha256()
        with _told(self.url):
            try:
                with self._opened(name) as stream:
                    while chunk := self._ask(lambda: stream.read(_CHUNK)):
                        digest.update(chunk)
            except FileNotFoundError:
                return None
        return digest.hexdigest()

    def names(self, folder: str) -> set[str]:
        """The files below a folder; what a killed run left half written is not one."""
        with _told(self.url):
            try:
                found = self._ask(lambda: self._files.find(self._at(folder)))
            except FileNotFoundError:
                return set()
        names = {str(each)[len(self._root) :].lstrip("/") for each in found}
        return {name for name in names if not name.rpartition("/")[2].startswith(_PARTIAL)}

    def location(self, name: str) -> tuple[Any, str]:
        """The fsspec file system and the path of a file in it, for other readers."""
        return self._files, self._at(name)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _opened(self, name: str) -> IO[bytes]:
        return cast("IO[bytes]", self._ask(lambda: self._files.open(self._at(name), "rb")))

    def _ask(self, do: Callable[[], T]) -> T:
        """Ask the file system; each has errors of its own, whose text may hold a credential."""
        try:
            return do()
        except (OSError, ImportError, ValueError):
            raise
        except Exception as error:
            raise errors.AuditError(
                f"the archive {self.url} cannot be used: {type(error).__module__}."
                f"{type(error).__name__}; see its credential (the connection crm_archive, or the"
                " environment). Nothing was dropped, and the next run goes on from here"
            ) from error


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
            f"the archive {url} cannot be opened: {error}; name a folder, or a URL whose"
            " file system is installed (s3:// needs the package s3fs)"
        ) from error
    except FileNotFoundError as error:
        raise errors.AuditError(
            f"a file of the archive {url} is not there: {error.filename or error}; see"
            " `crm-ops audit verify-archive`"
        ) from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise errors.AuditError(
            f"the archive {url} cannot be used: {why}; nothing was dropped, and the next"
            " run goes on from here"
        ) from error


def _refuse_password(url: str) -> None:
    parts = urlsplit(url)
    if parts.password is not None:
        raise errors.SettingsError(
            f"the archive's URL {parts.scheme}://...@{parts.hostname} holds a password, and URLs"
            " stand in logs; put it into the Airflow connection crm_archive"
        )


__all__ = ["Storage"]
