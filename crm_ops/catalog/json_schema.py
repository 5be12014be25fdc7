"""The catalog's JSON Schema, by which editors complete and check the file while it is written."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from crm_ops.catalog.catalog import Catalog


def text() -> str:
    """The schema; with a line end it is `include/crm_ops.schema.json`."""
    schema = {
        "$schema": GenerateJsonSchema.schema_dialect,
        **Catalog.model_json_schema(schema_generator=_Editors),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False)


class _Editors(GenerateJsonSchema):
    """Strict about names, which pydantic leaves open, and without titles, which repeat the keys."""

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        if "patternProperties" in made:
            made["additionalProperties"] = False
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


__all__ = ["text"]
