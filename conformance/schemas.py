"""JSON Schemas of two requests side by side: the same one in other words, or one that is only narrower.

It knows the words of JSON Schema and OpenAPI, and no dialect.
"""

from __future__ import annotations

from typing import Any


def plain_schema(schema: Any) -> Any:
    """The schema in JSON Schema's own words: some clients say OBJECT, and mean object."""
    if isinstance(schema, list):
        return [plain_schema(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {key: plain_schema(inner) for key, inner in schema.items()}
    kind = schema.get("type")
    if isinstance(kind, str):
        whole["type"] = kind.lower()
    elif isinstance(kind, list):
        whole["type"] = [one.lower() if isinstance(one, str) else one for one in kind]
    return _nullable(whole) if isinstance(schema.get("nullable"), bool) else whole


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's `nullable` as a type among others, which is how JSON Schema says it."""
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


def as_open(said: Any, arrived: Any) -> Any:
    """The schema that arrived, without the closing of objects of which nobody said whether they may hold more.

    Every answer that fits a closed one fits what was said.
    """
    if isinstance(said, list) and isinstance(arrived, list) and len(said) == len(arrived):
        return [as_open(one, other) for one, other in zip(said, arrived, strict=True)]
    if not isinstance(said, dict) or not isinstance(arrived, dict):
        return arrived
    closed = "additionalProperties" not in said and arrived.get("additionalProperties") is False
    kept = {key: inner for key, inner in arrived.items() if not (closed and key == "additionalProperties")}
    return {key: as_open(said.get(key), inner) for key, inner in kept.items()}
