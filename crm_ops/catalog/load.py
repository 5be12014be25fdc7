"""Loads the catalog file; whatever is wrong with it is told at once, each with its line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from crm_ops.base import errors, settings
from crm_ops.catalog import messages, yaml12
from crm_ops.catalog.alerts import Alerts
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.document import Document, Keys
from crm_ops.catalog.parts import Part
from crm_ops.catalog.schedule import Jobs

_Model = TypeVar("_Model", bound=Part)


@dataclass(frozen=True)
class Loaded:
    """A valid catalog, and the file it was read from, which gives later problems their line."""

    catalog: Catalog
    document: Document


def load(path: Path) -> Loaded:
    """The catalog in the file at `path`; raises `CatalogError` with every problem of it."""
    document = _read(path)
    return Loaded(_valid(Catalog, document.value, document, ()), document)


def jobs(path: Path) -> Jobs:
    """Only the timing of the jobs, whatever the rest of the file says: for Airflow's DAG files."""
    return _section(Jobs, path, "jobs", None)


def alerts(path: Path) -> Alerts:
    """Only who is told, whatever the rest of the file says: a wrong catalog must be told, too."""
    return _section(Alerts, path, "alerts", {})


def _section(model: type[_Model], path: Path, key: str, absent: Any) -> _Model:
    document = _read(path)
    value = document.value if isinstance(document.value, dict) else {}
    return _valid(model, value.get(key, absent), document, (key,))


def _read(path: Path) -> Document:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise errors.CatalogError(
            [f"{path}: there is no such file; name the catalog by {settings.CATALOG}"]
        ) from error
    except OSError as error:
        raise errors.CatalogError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise errors.CatalogError([f"{path}:{line}: is not UTF-8; save it as UTF-8"]) from error
    return yaml12.read(text.removeprefix("\ufeff"), str(path))


def _valid(model: type[_Model], value: Any, document: Document, keys: Keys) -> _Model:
    """`value`, which stands at `keys`, as a `model`."""
    found = [problem for problem in document.problems if problem.keys[: len(keys)] == keys]
    try:
        valid = model.model_validate(value)
    except ValidationError as error:
        found += [
            document.problem((*keys, *inner), message)
            for inner, message in messages.located(error, model)
        ]
    else:
        if not found:
            return valid
    raise document.refusal(found)


__all__ = ["Loaded", "alerts", "jobs", "load"]
