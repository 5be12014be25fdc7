"""Reads `airflow_settings.yaml`, in the keys of Astro's CLI; tells all that is wrong at once.

No message shows a value: it may be a secret in the wrong place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crm_ops.base import errors
from crm_ops.catalog import yaml12
from crm_ops.catalog.document import Document


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _Entry(_Part):
    """An entry of one of the lists; one that says nothing, as in Astro's template, is left out."""

    def blank(self) -> bool:
        """Whether every field is empty, but for an extra: Astro's template has one to show how."""
        return all(value in (None, "") or isinstance(value, dict) for value in vars(self).values())

    def require(self, field: str) -> None:
        """Refuse an entry that says something but not `field`."""
        if not self.blank() and getattr(self, field) in (None, ""):
            raise ValueError(f"{field} is missing; say what the entry is called")


_Kind = TypeVar("_Kind", bound=_Entry)


class Connection(_Entry):
    """An Airflow connection: by its URI, or by its fields."""

    conn_id: str | None = Field(default=None, pattern=r"^[\w#!()\-.:/\\]*$", max_length=250)
    conn_type: str | None = None
    conn_host: str | None = None
    conn_schema: str | None = None
    conn_login: str | None = Field(default=None, repr=False)
    conn_password: str | None = Field(default=None, repr=False)
    conn_port: int | None = Field(default=None, ge=0, le=65535)
    conn_uri: str | None = Field(default=None, repr=False)
    conn_extra: dict[str, Any] | None = Field(default=None, repr=False)

    @field_validator("conn_extra", mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "{}")
        except json.JSONDecodeError:
            raise ValueError("is no JSON; write a mapping") from None

    @model_validator(mode="after")
    def _complete(self) -> Connection:
        self.require("conn_id")
        fields = self.model_dump(exclude={"conn_id", "conn_uri"}).values()
        if self.conn_uri and any(fields):
            raise ValueError("give conn_uri or the other fields; Astro's CLI would ignore it")
        if not self.blank() and not self.conn_uri and not self.conn_type:
            raise ValueError("conn_type is missing; write for example postgres or redis")
        return self


class Pool(_Entry):
    """An Airflow pool; -1 slots are any number."""

    pool_name: str | None = None
    pool_slot: int | None = Field(default=None, ge=-1)
    pool_description: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Pool:
        self.require("pool_name")
        if self.pool_name and not self.pool_slot:
            raise ValueError("pool_slot is missing or 0; say how many tasks may run at once")
        return self


class Variable(_Entry):
    """An Airflow variable; anything but text is written as JSON in quotes."""

    variable_name: str | None = None
    variable_value: str | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _complete(self) -> Variable:
        self.require("variable_name")
        return self


class Settings(_Part):
    """The three lists; one that is missing or empty changes nothing."""

    connections: list[Connection] | None = None
    pools: list[Pool] | None = None
    variables: list[Variable] | None = None


class _File(_Part):
    airflow: Settings


_TEXTS = {
    "missing": "is missing",
    "extra_forbidden": "is no key here; see Astro's airflow_settings.yaml for the keys",
    "string_type": "must be text; write it in quotes",
    "string_pattern_mismatch": "must be letters, digits and #!()-.:/\\_",
    "int_type": "must be a whole number, without quotes",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
}


def read(path: Path) -> Settings:
    """The settings in the file at `path`, without its blank entries.

    Raises SettingsError with every problem of the file, each with its line.
    """
    try:
        document = yaml12.read(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(f"{path} cannot be read: {error}") from error
    except errors.CatalogError as error:
        raise _refusal(path, error.problems) from error
    try:
        found = _File.model_validate(document.value).airflow
    except ValidationError as error:
        raise _refusal(path, _problems(document, error)) from None
    if document.problems:
        raise _refusal(path, document.refusal(document.problems).problems)
    return Settings(
        connections=_told(found.connections),
        pools=_told(found.pools),
        variables=_told(found.variables),
    )


def _told(entries: list[_Kind] | None) -> list[_Kind]:
    return [entry for entry in entries or () if not entry.blank()]


def _problems(document: Document, error: ValidationError) -> Sequence[str]:
    found = [
        document.problem(
            detail["loc"],
            _TEXTS.get(detail["type"]) or detail["msg"].removeprefix("Value error, "),
        )
        for detail in error.errors(include_url=False, include_input=False)
    ]
    return document.refusal([*document.problems, *found]).problems


def _refusal(path: Path, problems: Sequence[str]) -> errors.SettingsError:
    lines = "\n".join(f"  {problem}" for problem in problems)
    return errors.SettingsError(f"{path} is wrong, nothing was applied:\n{lines}")


__all__ = ["Connection", "Pool", "Settings", "Variable", "read"]
