"""Grammars for llguidance: calls of tools, or a JSON value that fits a schema.

https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""Fixed whitespace, so that a model cannot spend tokens on blanks; Python and chat templates write JSON like this."""

_SCHEMA_MAP_KEYWORDS = ("properties", "$defs", "definitions")
"""Keywords with a map of names to schemas as value."""


def calls_grammar(
    tools: Mapping[str, dict[str, Any]],
    open_token: str,
    close_token: str,
    *,
    parallel: bool,
    answer_schema: dict[str, Any] | None = None,
) -> str:
    """Returns a grammar for one call, or with `parallel` several; `tools` maps names to closed parameters.

    `answer_schema` allows an answer instead of calls. Every tool has its own `%json`, because in a shared one a `$ref`
    would be resolved against all of them.
    """
    rules = [
        f"tool_{i}: {_literal(call_prefix(name))} %json {_json_rule(schema)} {_literal('}')}"
        for i, (name, schema) in enumerate(tools.items())
    ]
    any_tool = " | ".join(f"tool_{i}" for i in range(len(tools)))
    start = 'call ("\\n"? call)*' if parallel else "call"
    if answer_schema is not None:
        rules.append(f"answer: %json {_json_rule(answer_schema)}")
        start = f"answer | {start}"
    return "\n".join([f"start: {start}", f'call: {open_token} "\\n"? ({any_tool}) "\\n"? {close_token}', *rules])


def answer_grammar(schema: dict[str, Any]) -> str:
    """Returns a grammar for a JSON value that fits the schema."""
    return f"start: %json {_json_rule(schema)}"


def call_prefix(name: str) -> str:
    """Returns the text of a call up to its arguments."""
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def close_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a tool's arguments as that of an object without additional properties."""
    if "$ref" in schema:
        return close_schema(schema)
    completed = {"type": "object", **schema}
    if not any(key in completed for key in ("anyOf", "oneOf", "allOf", "additionalProperties")):
        completed.setdefault("properties", {})
    return close_schema(completed)


def close_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema with `additionalProperties: false` in all objects that list properties and do not set it."""
    out = dict(schema)
    for key in _SCHEMA_MAP_KEYWORDS:
        if isinstance(out.get(key), dict):
            out[key] = {name: _close_inner(inner) for name, inner in out[key].items()}
    for key in ("anyOf", "oneOf", "prefixItems"):
        if isinstance(out.get(key), list):
            out[key] = [_close_inner(inner) for inner in out[key]]
    if "items" in out:
        out["items"] = _close_inner(out["items"])
    if isinstance(out.get("properties"), dict) and not out.keys() & {"patternProperties", "allOf", "anyOf", "oneOf"}:
        out.setdefault("additionalProperties", False)
    return out


def _close_inner(schema: Any) -> Any:
    return close_schema(schema) if isinstance(schema, dict) else schema  # true and false are schemas too


def _json_rule(schema: dict[str, Any]) -> str:
    return json.dumps({**schema, "x-guidance": _SPACING}, ensure_ascii=False)


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
