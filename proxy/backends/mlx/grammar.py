"""What a model may say, as a grammar for llguidance: calls of these tools, or a JSON value that fits a schema.

It knows the text of grammars and no library. https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""One way to write JSON, so that a model cannot spend its tokens on blanks; it is what Python and templates write."""

_INNER = ("properties", "$defs", "definitions")
"""Keys of a schema whose values are schemas by name."""


def calls(
    tools: Mapping[str, dict[str, Any]],
    opens: str,
    closes: str,
    *,
    parallel: bool,
    instead: dict[str, Any] | None = None,
) -> str:
    """One call of these tools (name to closed parameters), or several; the marks around each are single tokens.

    `instead` is the schema of an answer that may come in place of calls. Every tool has its own `%json`: in a shared
    one a `$ref` would look for its target in the whole of them.
    """
    rules = [
        f"tool_{i}: {_text(head(name))} %json {_json(schema)} {_text('}')}"
        for i, (name, schema) in enumerate(tools.items())
    ]
    some = " | ".join(f"tool_{i}" for i in range(len(tools)))
    several = 'call ("\\n"? call)*' if parallel else "call"
    if instead is not None:
        rules.append(f"answer: %json {_json(instead)}")
        several = f"answer | {several}"
    return "\n".join([f"start: {several}", f'call: {opens} "\\n"? ({some}) "\\n"? {closes}', *rules])


def answer(schema: dict[str, Any]) -> str:
    """A JSON value that fits."""
    return f"start: %json {_json(schema)}"


def head(name: str) -> str:
    """What a call begins with, up to its arguments."""
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments: an object, with no other keys than it names."""
    if "$ref" in schema:
        return closed(schema)
    whole = {"type": "object", **schema}
    if not any(key in whole for key in ("anyOf", "oneOf", "allOf", "additionalProperties")):
        whole.setdefault("properties", {})
    return closed(whole)


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, its objects that name their keys and say nothing of others closed to others."""
    made = dict(schema)
    for key in _INNER:
        if isinstance(made.get(key), dict):
            made[key] = {name: _closed(inner) for name, inner in made[key].items()}
    for key in ("anyOf", "oneOf", "prefixItems"):
        if isinstance(made.get(key), list):
            made[key] = [_closed(inner) for inner in made[key]]
    if "items" in made:
        made["items"] = _closed(made["items"])
    if isinstance(made.get("properties"), dict) and not made.keys() & {"patternProperties", "allOf", "anyOf", "oneOf"}:
        made.setdefault("additionalProperties", False)
    return made


def _closed(schema: Any) -> Any:
    return closed(schema) if isinstance(schema, dict) else schema  # true and false are schemas too


def _json(schema: dict[str, Any]) -> str:
    return json.dumps({**schema, "x-guidance": _SPACING}, ensure_ascii=False)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
