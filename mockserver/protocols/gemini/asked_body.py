"""Reads the parts of a Gemini request that the rules look at: contents, configs and tools, with camelCase keys."""

from __future__ import annotations

from typing import Any

from ..rule import Asked
from .message_schema import camel
from .request_parser import method_of


def camel_case_keys(value: Any) -> dict[str, Any]:
    """Returns an object with its own keys in camelCase and without nulls; an empty one for any other value."""
    if not isinstance(value, dict):
        return {}
    return {camel(key): held for key, held in value.items() if held is not None}


def objects(value: Any) -> list[dict[str, Any]]:
    """Returns the objects of a list with keys in camelCase; a single object counts as a list of one."""
    return [camel_case_keys(item) for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def top(asked: Asked) -> dict[str, Any]:
    """Returns the body with its keys in camelCase."""
    return camel_case_keys(asked.body)


def config(asked: Asked) -> dict[str, Any]:
    """Returns `generationConfig`."""
    return camel_case_keys(top(asked).get("generationConfig"))


def thinking(asked: Asked) -> dict[str, Any]:
    """Returns `generationConfig.thinkingConfig`."""
    return camel_case_keys(config(asked).get("thinkingConfig"))


def tool_config(asked: Asked) -> dict[str, Any]:
    """Returns `toolConfig`."""
    return camel_case_keys(top(asked).get("toolConfig"))


def model_of(asked: Asked) -> str:
    """Returns the model of the path, or an empty string."""
    return method_of(asked.path)[0] or ""


def contents(asked: Asked) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the role and the parts of every content."""
    found = objects(top(asked).get("contents", []))
    return [(content.get("role", "user"), objects(content.get("parts", []))) for content in found]


def turns(asked: Asked) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the contents with adjacent ones of the model merged into one turn.

    Google's own SDK sends a streamed reply back as one content for each chunk:
    "model_output.append(chunk.candidates[0].content)".
    https://github.com/googleapis/python-genai/blob/main/google/genai/chats.py
    """
    found: list[tuple[str, list[dict[str, Any]]]] = []
    for role, parts in contents(asked):
        if role == "model" and found and found[-1][0] == "model":
            found[-1] = (role, found[-1][1] + parts)
        else:
            found.append((role, parts))
    return found


def declarations(asked: Asked) -> list[tuple[str, dict[str, Any]]]:
    """Returns the path and the object of each function declaration."""
    return [
        (f"tools[{at}].function_declarations[{n}]", declaration)
        for at, tool in enumerate(objects(top(asked).get("tools", [])))
        for n, declaration in enumerate(objects(tool.get("functionDeclarations", [])))
    ]


def native_tools(asked: Asked) -> set[str]:
    """Returns the kinds of tools that the service itself runs."""
    return {key for tool in objects(top(asked).get("tools", [])) for key in tool} - {"functionDeclarations"}
