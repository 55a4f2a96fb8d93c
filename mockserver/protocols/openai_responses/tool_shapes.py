"""Problems in the shape of the tools, of the choice among them, and of the text format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..rule import Asked
from .shape_problems import Problem, has_type, missing, name_problems, unknown, wrong_type, wrong_value
from .tables import TOOL_KEYS, TOOL_TYPES

CHOICES = ("none", "auto", "required")


def tools(asked: Asked) -> list[dict[str, Any]]:
    """Returns the tools that are objects."""
    value = asked.body.get("tools")
    return [tool for tool in value if isinstance(tool, dict)] if isinstance(value, list) else []


def tool_problems(asked: Asked) -> Iterator[Problem]:
    """Yields the problems of each tool, and of `tool_choice`."""
    value = asked.body.get("tools")
    for at, tool in enumerate(value if isinstance(value, list) else []):
        where = f"tools[{at}]"
        if not isinstance(tool, dict):
            yield wrong_type(where, "an object", tool)
            return
        if "type" not in tool:
            yield missing(f"{where}.type")
        elif tool["type"] not in TOOL_TYPES:
            yield wrong_value(tool["type"], TOOL_TYPES, where)
        elif tool["type"] == "function":
            yield from _function_problems(tool, where)
        elif tool["type"] == "custom":
            yield from _custom_problems(tool, where)
    choice = asked.body.get("tool_choice")
    if isinstance(choice, str):
        if choice not in CHOICES:
            yield wrong_value(choice, CHOICES, "tool_choice")
    elif isinstance(choice, dict):
        yield from _choice_problems(choice)
    elif choice is not None:
        yield wrong_type("tool_choice", "one of an object or 'none', 'auto' or 'required'", choice)


def _function_problems(tool: dict[str, Any], where: str) -> Iterator[Problem]:
    if "name" not in tool:
        # The name is missing in a tool of the Chat Completions form. https://github.com/mozilla-ai/any-llm/pull/1310
        yield missing(f"{where}.name")
        return
    if not isinstance(tool["name"], str):
        yield wrong_type(f"{where}.name", "a string", tool["name"])
        return
    yield from name_problems(tool["name"], f"{where}.name")
    for key in tool:
        if key not in TOOL_KEYS:
            yield unknown(f"{where}.{key}")
    for key, kinds, wanted in (
        ("description", (str,), "a string"),
        ("strict", (bool,), "a boolean"),
        ("parameters", (dict,), "an object"),
    ):
        if tool.get(key) is not None and not has_type(tool[key], kinds):
            yield wrong_type(f"{where}.{key}", wanted, tool[key])


def _custom_problems(tool: dict[str, Any], where: str) -> Iterator[Problem]:
    """Yields the problems of a custom tool. https://platform.openai.com/docs/guides/function-calling#custom-tools"""
    if not isinstance(tool.get("name"), str):
        yield missing(f"{where}.name")
        return
    yield from name_problems(tool["name"], f"{where}.name")
    form = tool.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") not in ("text", "grammar"):
        found = form.get("type") if isinstance(form, dict) else None
        yield wrong_value(found, ("text", "grammar"), f"{where}.format")
    elif form["type"] == "grammar":
        for key in ("syntax", "definition"):
            if not isinstance(form.get(key), str):
                yield missing(f"{where}.format.{key}")
        if form.get("syntax") not in ("lark", "regex"):
            yield wrong_value(form.get("syntax"), ("lark", "regex"), f"{where}.format.syntax")


def _choice_problems(choice: dict[str, Any]) -> Iterator[Problem]:
    if choice.get("type") in ("function", "custom"):
        strange = [key for key in choice if key not in ("type", "name")]
        for key in strange:
            yield unknown(f"tool_choice.{key}")
        if "name" not in choice and not strange:
            yield missing("tool_choice.name")
    elif choice.get("type") == "allowed_tools" and choice.get("mode") not in ("auto", "required"):
        # https://platform.openai.com/docs/api-reference/responses/create#responses-create-tool_choice
        yield wrong_value(choice.get("mode"), ("auto", "required"), "tool_choice.mode")


def text_format(asked: Asked) -> Any:
    """Returns `text.format`, None if there is none."""
    text = asked.body.get("text")
    return text.get("format") if isinstance(text, dict) else None


def format_problems(asked: Asked) -> Iterator[Problem]:
    """Yields the problems of `text.format`."""
    wanted = text_format(asked)
    if wanted is None:
        return
    if not isinstance(wanted, dict):
        yield wrong_type("text.format", "an object", wanted)
        return
    kind = wanted.get("type")
    if kind not in ("json_object", "text", "json_schema"):
        yield wrong_value(kind, ("json_object", "text", "json_schema"), "text.format.type")
    elif kind == "json_schema":
        for key in ("name", "schema"):
            if key not in wanted:
                yield missing(f"text.format.{key}")
        if "name" in wanted:
            yield from name_problems(str(wanted["name"]), "text.format.name")
        for key in wanted:
            if key not in ("type", "name", "schema", "strict", "description"):
                yield unknown(f"text.format.{key}")
