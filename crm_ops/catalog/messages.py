"""Says in the catalog's words what pydantic found wrong: where in the file, what, what to do."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from crm_ops.catalog import suggestion
from crm_ops.catalog.document import Keys
from crm_ops.catalog.parts import Part

# What pydantic calls it -> what we say; `shown` is the value found, the others pydantic's context.
_TEXTS = {
    "missing": "is missing. {description}",
    "extra_forbidden": "is no key here{suggestion}",
    "value_error": "{error}",
    "literal_error": "cannot be {shown}; write {expected}",
    "union_tag_invalid": "is of no known {discriminator}; write one of {expected_tags}, not {tag}",
    "union_tag_not_found": "{discriminator} is missing",
    "string_type": "must be text, not {shown}; write it in quotes",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "cannot be {shown}; it must match {pattern}",
    "int_type": "must be a whole number, not {shown}",
    "decimal_type": "must be a number, not {shown}",
    "finite_number": "must be a finite number, not {shown}",
    "dict_type": "must be a mapping (key: value), not {shown}",
    "model_type": "must be a mapping (key: value), not {shown}",
    "model_attributes_type": "must be a mapping (key: value), not {shown}",
    "list_type": "must be a list, not {shown}",
    "too_short": "must not be empty",
    "too_long": "has {actual_length} entries; the most is {max_length}",
    "greater_than_equal": "must be at least {ge}, not {shown}",
    "less_than_equal": "must be at most {le}, not {shown}",
}


def located(error: ValidationError, model: type[Part]) -> Iterator[tuple[Keys, str]]:
    """Each problem of `error`, which validating `model` raised: its path, what to say of it."""
    for detail in error.errors(include_url=False):
        keys, owner = _walk(model, detail["loc"])
        yield keys, _text(detail, owner)


def _walk(model: type[Part], loc: Keys) -> tuple[Keys, type[Part] | None]:
    """The path in the file that pydantic's `loc` means, and the part that its last key is of.

    A `loc` also names the chosen member of a union, and says `[key]` of a mapping's key itself.
    """
    keys: list[str | int] = []
    at: Any = model
    owner: type[Part] | None = None
    for step in loc:
        kind = get_origin(at)
        if kind in (Union, types.UnionType):
            at = _member(at, step)
        elif kind is dict or step != "[key]":
            keys.append(step)
            owner = at if _is_part(at) else None
            at = _bare(_inside(at, step))
    return tuple(keys), owner


def _inside(at: Any, step: str | int) -> Any:
    """The type of what `step` leads to in a value of type `at`; None where that is unknown."""
    if get_origin(at) in (dict, list):
        return get_args(at)[-1]
    if _is_part(at):
        field = _fields(at).get(str(step))
        return field.annotation if field else None
    return None


def _member(union: Any, tag: str | int) -> Any:
    """The part of a union whose `kind` or `mode` is `tag`."""
    for member in map(_bare, get_args(union)):
        literals = [get_args(field.annotation) for field in _fields(member).values()]
        if any(tag in literal for literal in literals):
            return member
    return None


def _bare(at: Any) -> Any:
    """`at` without what is only written around it: `Annotated[...]` and `... | None`."""
    if get_origin(at) is Annotated:
        return _bare(get_args(at)[0])
    members = [member for member in get_args(at) if member is not type(None)]
    if get_origin(at) in (Union, types.UnionType) and len(members) == 1:
        return _bare(members[0])
    return at


def _is_part(at: Any) -> bool:
    return isinstance(at, type) and issubclass(at, Part)


def _fields(at: Any) -> dict[str, FieldInfo]:
    """The fields of a part by the name they have in the file; none of what is no part."""
    if not _is_part(at):
        return {}
    return {field.alias or name: field for name, field in at.model_fields.items()}


def _text(detail: ErrorDetails, owner: type[Part] | None) -> str:
    context = dict(detail.get("ctx", {}))
    if "discriminator" in context:
        # pydantic names a key in quotes, a function as code.
        context["discriminator"] = context["discriminator"].strip("_()'")
    if detail["type"] not in _TEXTS:
        return detail["msg"].replace("Input should", "must")
    last = str(detail["loc"][-1]) if detail["loc"] else ""
    fields = _fields(owner)
    description = fields[last].description if last in fields else None
    return _TEXTS[detail["type"]].format(
        **context,
        shown=_shown(detail["input"]),
        description=description or "Add it.",
        suggestion=suggestion.of(last, fields),
    )


def _shown(value: Any) -> str:
    """A value as the file has it; of a long one only what it is."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


__all__ = ["located"]
