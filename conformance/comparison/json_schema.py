"""Normalizes JSON Schemas of two requests for comparison: OpenAPI spellings, and objects that were only closed."""

from __future__ import annotations

import json
import re
from typing import Any


def normalize_schema(schema: Any) -> Any:
    """Returns the schema in JSON Schema's spelling: lower-case types, and `null` as a type instead of `nullable`."""
    if isinstance(schema, list):
        return [normalize_schema(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    normalized = {key: normalize_schema(inner) for key, inner in schema.items()}
    kind = schema.get("type")
    if isinstance(kind, str):
        normalized["type"] = kind.lower()
    elif isinstance(kind, list):
        normalized["type"] = [one.lower() if isinstance(one, str) else one for one in kind]
    return _replace_nullable(normalized) if isinstance(schema.get("nullable"), bool) else normalized


def _replace_nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Replaces OpenAPI's `nullable` by the type `null`."""
    rest = {key: inner for key, inner in schema.items() if key != "nullable"}
    if not schema["nullable"]:
        return rest
    if isinstance(rest.get("type"), str):
        rest["type"] = [rest["type"], "null"]
        if isinstance(rest.get("enum"), list) and None not in rest["enum"]:
            rest["enum"] = [*rest["enum"], None]
    elif isinstance(rest.get("anyOf"), list):
        rest["anyOf"] = [*rest["anyOf"], {"type": "null"}]
    return rest


def without_added_closing(sent: Any, received: Any) -> Any:
    """Returns the received schema without `additionalProperties: false` where the sent one leaves it open.

    Every value that matches a closed schema also matches the open one.
    """
    if isinstance(sent, list) and isinstance(received, list) and len(sent) == len(received):
        return [without_added_closing(one, other) for one, other in zip(sent, received, strict=True)]
    if not isinstance(sent, dict) or not isinstance(received, dict):
        return received
    closed = "additionalProperties" not in sent and received.get("additionalProperties") is False
    kept = {key: inner for key, inner in received.items() if not (closed and key == "additionalProperties")}
    return {key: without_added_closing(sent.get(key), inner) for key, inner in kept.items()}


def refers_to_itself(schema: dict[str, Any]) -> bool:
    """Returns True if a definition of the schema leads back to itself, which some grammars cannot express."""
    parts = {f"#/$defs/{name}": inner for name, inner in schema.get("$defs", {}).items()} | {
        "#": {**schema, "$defs": {}}
    }
    leads_to = {name: set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(inner))) for name, inner in parts.items()}
    for name, reached in leads_to.items():
        while further := set().union(*(leads_to.get(one, set()) for one in reached)) - reached:
            reached |= further
        if name in reached:
            return True
    return False
