"""Anthropic's own tools that the client runs, as functions: bash, the text editor, memory and the computer.

"Anthropic-defined tools that require client implementation": a request names only their type, because the models know
their inputs, which other models must be given. Calls and results are the same blocks as for any tool.
https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from ...ir import Opaque, Tool
from .tables import NAME

_TYPE = re.compile(r"(bash|text_editor|memory|computer)_(\d{8})$")
_Function: TypeAlias = tuple[str, dict[str, Any], tuple[str, ...]]
"""The description of a function, its properties, and those that are required."""

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_POINT = {"type": "array", "items": {"type": "integer"}, "description": "x and y in pixels."}

_BASH: _Function = (
    "Runs commands in a bash session that persists between calls. With restart the session starts anew.",
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/bash-tool#parameters
    {
        "command": {**_TEXT, "description": "The command to run; required unless restart is set."},
        "restart": {"type": "boolean", "description": "True to restart the session."},
    },
    (),
)

# https://platform.claude.com/docs/en/agents-and-tools/tool-use/text-editor-tool#text-editor-tool-commands
_EDIT_COMMANDS = ("view", "create", "str_replace", "insert")
_UNDO_VERSIONS = ("20241022", "20250124")
"""Versions of the text editor that have the command undo_edit and another name."""
_EDITOR: dict[str, Any] = {
    "path": {**_TEXT, "description": "The file, or for view a file or directory."},
    "file_text": {**_TEXT, "description": "For create: the content of the new file."},
    "old_str": {**_TEXT, "description": "For str_replace: the text to replace; it must occur exactly once."},
    "new_str": {**_TEXT, "description": "For str_replace: the text in its place."},
    "insert_line": {**_NUMBER, "description": "For insert: the line after which the text goes; 0 is the beginning."},
    # models send insert_text: https://github.com/anthropics/anthropic-sdk-python/issues/1155
    "insert_text": {**_TEXT, "description": "For insert: the text."},
    "view_range": {
        "type": "array",
        "items": {"type": "integer"},
        "description": "For view of a file: first and last line, counted from 1; the last may be -1, the end.",
    },
}

_MEMORY: _Function = (
    "Keeps notes in files below the directory /memories, which persist between conversations.",
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/memory-tool#tool-commands
    {
        "command": {**_TEXT, "enum": ["view", "create", "str_replace", "insert", "delete", "rename"]},
        "path": {**_TEXT, "description": "The file or directory; every command but rename needs it."},
        "view_range": {"type": "array", "items": {"type": "integer"}, "description": "For view: first and last line."},
        "file_text": {**_TEXT, "description": "For create: the content of the new file."},
        "old_str": {**_TEXT, "description": "For str_replace: the text to replace."},
        "new_str": {**_TEXT, "description": "For str_replace: the text in its place."},
        "insert_line": {**_NUMBER, "description": "For insert: the line after which the text goes."},
        "insert_text": {**_TEXT, "description": "For insert: the text."},
        "old_path": {**_TEXT, "description": "For rename: the path that is."},
        "new_path": {**_TEXT, "description": "For rename: the path that shall be."},
    },
    ("command",),
)

# "Basic actions (all versions)", "Enhanced actions (computer_20250124)" and "(computer_20251124)":
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/computer-use-tool#available-actions
_ACTIONS = (
    *("key", "type", "mouse_move", "left_click", "left_click_drag", "right_click", "middle_click", "double_click"),
    *("screenshot", "cursor_position"),
)
_LATER_ACTIONS = ("left_mouse_down", "left_mouse_up", "scroll", "hold_key", "wait", "triple_click")
_COMPUTER: dict[str, Any] = {
    "coordinate": {**_POINT, "description": "Where: x and y in pixels from the upper left corner."},
    "text": {**_TEXT, "description": "For type the text, for key and hold_key the keys; with a click, keys held down."},
}
_LATER_COMPUTER: dict[str, Any] = {
    "start_coordinate": {**_POINT, "description": "For left_click_drag: where the drag begins."},
    "scroll_direction": {**_TEXT, "enum": ["up", "down", "left", "right"]},
    "scroll_amount": {**_NUMBER, "description": "For scroll: by how many clicks of the wheel."},
    "duration": {"type": "number", "description": "For hold_key and wait: seconds."},
}
_REGION = {"type": "array", "items": {"type": "integer"}, "description": "For zoom: x1, y1, x2, y2 in pixels."}


def client_tool_in(kind: str, fields: dict[str, Any]) -> Tool | None:
    """Returns the function that says the same as a tool of this type; None where the client does not run it."""
    match = _TYPE.fullmatch(kind)
    if match is None or type(fields.get("name")) is not str:
        return None
    family, version = match.groups()
    match family:
        case "bash":
            description, properties, required = _BASH
        case "memory":
            description, properties, required = _MEMORY
        case "text_editor":
            description, properties, required = _editor(version, fields)
        case _:
            description, properties, required = _computer(version, fields)
    schema = {"type": "object", "properties": properties, "required": list(required)}
    extra: dict[str, Any] = {
        key: fields[key] for key in ("cache_control", "defer_loading", "allowed_callers") if key in fields
    }
    whole = Opaque(NAME, kind, {"type": kind, **fields})
    return Tool(fields["name"], description, schema, extra=extra or None, vendor=whole)


def _editor(version: str, fields: dict[str, Any]) -> _Function:
    commands = [*_EDIT_COMMANDS, "undo_edit"] if version in _UNDO_VERSIONS else list(_EDIT_COMMANDS)
    text = "Views, creates and changes text files."
    if type(most := fields.get("max_characters")) is int:
        text += f" A view is cut to {most} characters."
    return text, {"command": {**_TEXT, "enum": commands}, **_EDITOR}, ("command", "path")


def _computer(version: str, fields: dict[str, Any]) -> _Function:
    width, height = fields.get("display_width_px"), fields.get("display_height_px")
    text = f"Controls a computer by mouse and keyboard; its screen has {width} x {height} pixels."
    if type(number := fields.get("display_number")) is int:
        text += f" It is the display number {number}."
    actions, properties = list(_ACTIONS), dict(_COMPUTER)
    if version != "20241022":
        actions += _LATER_ACTIONS
        properties |= _LATER_COMPUTER
    if version >= "20251124" and fields.get("enable_zoom"):
        actions.append("zoom")
        properties["region"] = _REGION
    return text, {"action": {**_TEXT, "enum": actions}, **properties}, ("action",)
