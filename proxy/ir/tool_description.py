"""Puts into a tool's description what its target has no field for: a grammar, and what a group of tools is for."""

from __future__ import annotations

from typing import Any

from .model import Tool


def told_description(tool: Tool, same: bool, *, custom: bool = True) -> str | None:
    """Returns the description of a tool for a target, of the client's own protocol where `same`.

    `custom` says that the target has free-text tools, whose grammar has a field of its own.
    """
    texts = [tool.description or ""]
    if not same and tool.extra and type(group := tool.extra.get("namespace.description")) is str and group:
        texts.append(f"Of the group {tool.namespace}: {group}")
    if not custom and tool.kind == "custom" and tool.grammar is not None:
        texts.append(_grammar_text(tool.grammar))
    told = "\n".join(text for text in texts if text)
    return told if told or tool.description is not None else None


def _grammar_text(grammar: dict[str, Any]) -> str:
    inner = grammar.get("grammar")
    fields = inner if type(inner) is dict else grammar
    syntax, definition = fields.get("syntax"), fields.get("definition")
    if type(definition) is not str:
        return ""
    return f"The input must fit this {syntax if type(syntax) is str else ''} grammar:\n{definition}".replace("  ", " ")
