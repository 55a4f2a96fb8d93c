"""Converts schemas of Gemini clients (a subset of OpenAPI, with upper-case types) to JSON Schema."""

from __future__ import annotations

from typing import Any

from ...errors import Malformed

# https://ai.google.dev/api/caching#Schema
TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
"""Each at the index of its enum number: clients of Google's REST API may write enums as integers."""
SNAKE_CASE_KEYWORDS = {
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
ORDER = "propertyOrdering"
INT64_KEYWORDS = ("maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties")
"""64-bit integers, which Google's JSON writes as strings."""
SCHEMA_KEYWORDS = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
"""Keywords with a schema as value."""
SCHEMA_LIST_KEYWORDS = ("anyOf", "oneOf", "allOf", "prefixItems")
"""Keywords with a list of schemas as value."""
SCHEMA_MAP_KEYWORDS = ("properties", "patternProperties", "$defs", "definitions")
"""Keywords with a map of names to schemas as value."""

_MAX_DEPTH = 100


def schema_in(schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Returns the schema as JSON Schema; unknown keywords are kept."""
    if depth > _MAX_DEPTH:
        raise Malformed("", "is nested too deeply")
    out: dict[str, Any] = {}
    for key, value in schema.items():
        key = SNAKE_CASE_KEYWORDS.get(key, key)
        if key == "type":
            if value not in (TYPES[0], 0):
                out[key] = [_type_in(inner) for inner in value] if type(value) is list else _type_in(value)
        elif key == "$ref" and type(value) is str:
            out[key] = value.replace("#/defs/", "#/$defs/")
        elif key in INT64_KEYWORDS and type(value) is str and value.isdigit():
            out[key] = int(value)
        elif key in SCHEMA_KEYWORDS and type(value) is dict:
            out[key] = schema_in(value, depth + 1)
        elif key in SCHEMA_LIST_KEYWORDS and type(value) is list:
            out[key] = [schema_in(inner, depth + 1) if type(inner) is dict else inner for inner in value]
        elif key in SCHEMA_MAP_KEYWORDS and type(value) is dict:
            out[key] = {n: schema_in(inner, depth + 1) if type(inner) is dict else inner for n, inner in value.items()}
        else:
            out[key] = value
    if type(out.get("nullable")) is bool:
        _nullable_in(out)
    if ORDER in out:
        _order_in(out)
    return out


def _order_in(schema: dict[str, Any]) -> None:
    """Replaces `propertyOrdering`, which other providers refuse, with the order of the properties, which all keep.

    "propertyOrdering: Optional. The order of the properties. Not a standard field in open api spec. Used to determine
    the order of the properties in the response." https://ai.google.dev/api/caching#Schema
    """
    names, properties = schema.pop(ORDER), schema.get("properties")
    if type(names) is list and type(properties) is dict:
        first = {name: properties[name] for name in names if type(name) is str and name in properties}
        schema["properties"] = {**first, **properties}


def _type_in(name: Any) -> Any:
    if type(name) is int and 0 < name < len(TYPES):
        return TYPES[name].lower()
    return name.lower() if type(name) is str and name in TYPES else name


def _nullable_in(schema: dict[str, Any]) -> None:
    """Replaces OpenAPI's `nullable` with the type `null`."""
    if not schema.pop("nullable"):
        return
    if type(schema.get("type")) is str:
        schema["type"] = [schema["type"], "null"]
        if type(schema.get("enum")) is list and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    elif type(schema.get("anyOf")) is list:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
