"""Schemas as Gemini clients write them (OpenAPI's subset, upper-case types) as plain JSON Schema.

It knows keywords, and no field that holds a schema.
"""

from __future__ import annotations

from typing import Any

from ...errors import Malformed

# https://ai.google.dev/api/caching#Schema
TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
"""Each at its number: clients of Google's REST may write enums as integers."""
SPELLINGS = {
    "any_of": "anyOf",
    "one_of": "oneOf",
    "all_of": "allOf",
    "prefix_items": "prefixItems",
    "additional_properties": "additionalProperties",
    "property_ordering": "propertyOrdering",
    "max_items": "maxItems",
    "min_items": "minItems",
    "max_length": "maxLength",
    "min_length": "minLength",
    "max_properties": "maxProperties",
    "min_properties": "minProperties",
    "ref": "$ref",
    "defs": "$defs",
}
COUNTS = ("maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties")
"""64-bit integers, which Google's JSON writes as strings."""
ONE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
NAMED = ("properties", "patternProperties", "$defs", "definitions")

_DEPTH = 100


def schema_in(schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The same schema in JSON Schema's words; what it does not know stays as it is."""
    if depth > _DEPTH:
        raise Malformed("", "is nested too deeply")
    out: dict[str, Any] = {}
    for key, value in schema.items():
        key = SPELLINGS.get(key, key)
        if key == "type":
            if value not in (TYPES[0], 0):
                out[key] = [_type_in(one) for one in value] if type(value) is list else _type_in(value)
        elif key == "$ref" and type(value) is str:
            out[key] = value.replace("#/defs/", "#/$defs/")
        elif key in COUNTS and type(value) is str and value.isdigit():
            out[key] = int(value)
        elif key in ONE and type(value) is dict:
            out[key] = schema_in(value, depth + 1)
        elif key in MANY and type(value) is list:
            out[key] = [schema_in(one, depth + 1) if type(one) is dict else one for one in value]
        elif key in NAMED and type(value) is dict:
            out[key] = {n: schema_in(one, depth + 1) if type(one) is dict else one for n, one in value.items()}
        else:
            out[key] = value
    if type(out.get("nullable")) is bool:
        _nullable_in(out)
    return out


def _type_in(name: Any) -> Any:
    if type(name) is int and 0 < name < len(TYPES):
        return TYPES[name].lower()
    return name.lower() if type(name) is str and name in TYPES else name


def _nullable_in(schema: dict[str, Any]) -> None:
    """OpenAPI's `nullable` as a type among others."""
    if not schema.pop("nullable"):
        return
    if type(schema.get("type")) is str:
        schema["type"] = [schema["type"], "null"]
        if type(schema.get("enum")) is list and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    elif type(schema.get("anyOf")) is list:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
