"""OpenAI's own tools that the client runs, as functions: shells, patches, the computer, and the search for tools.

Their calls and outputs are items of types of their own. Another protocol's model is given a function with the inputs
that the items have, and its calls come back as such items.
https://platform.openai.com/docs/guides/tools-shell, https://platform.openai.com/docs/guides/tools-apply-patch,
https://platform.openai.com/docs/guides/tools-local-shell, https://platform.openai.com/docs/guides/tools-computer-use
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ...errors import Malformed
from ...ir import Block, Image, Media, Opaque, Text, Tool, ToolCall, ToolResult
from ...ir.data_url import media_of
from ...wire import json_fields
from ...wire.json_fields import maybe, need, take
from .tables import NAME

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}


class ClientTool(Struct, frozen=True):
    """One such tool: the type of its calls, the field of a call that holds the inputs, and the function's fields.

    `fixed` are fields of the inputs with one value, which the model is not asked for.
    """

    call: str
    field: str
    description: str
    properties: dict[str, Any]
    required: tuple[str, ...]
    fixed: dict[str, Any] = {}


_POINT = {"type": "object", "properties": {"x": _NUMBER, "y": _NUMBER}, "required": ["x", "y"]}
# ComputerAction of the API's schema: https://platform.openai.com/docs/api-reference/responses/object
_ACTION: dict[str, Any] = {
    "type": {
        **_TEXT,
        "enum": ["click", "double_click", "drag", "keypress", "move", "screenshot", "scroll", "type", "wait"],
    },
    "x": _NUMBER,
    "y": _NUMBER,
    "button": {**_TEXT, "enum": ["left", "right", "wheel", "back", "forward"], "description": "For click."},
    "keys": {**_TEXTS, "description": "For keypress: the keys."},
    "text": {**_TEXT, "description": "For type: the text."},
    "scroll_x": {**_NUMBER, "description": "For scroll: by how many pixels to the right."},
    "scroll_y": {**_NUMBER, "description": "For scroll: by how many pixels down."},
    "path": {"type": "array", "items": _POINT, "description": "For drag: the points that the mouse passes."},
}

CLIENT_TOOLS: dict[str, ClientTool] = {
    "shell": ClientTool(
        "shell_call",
        "action",
        "Runs shell commands; the result has the output and the outcome of each.",
        {
            "commands": {**_TEXTS, "description": "The commands, which are independent of each other."},
            "timeout_ms": {**_NUMBER, "description": "Milliseconds after which a command is stopped."},
            "max_output_length": {**_NUMBER, "description": "Characters of output that are returned."},
        },
        ("commands",),
    ),
    "local_shell": ClientTool(
        "local_shell_call",
        "action",
        "Runs one command on the user's machine.",
        {
            "command": {**_TEXTS, "description": "The program and its arguments."},
            "env": {"type": "object", "additionalProperties": _TEXT, "description": "Environment variables to set."},
            "timeout_ms": {**_NUMBER, "description": "Milliseconds after which the command is stopped."},
            "user": {**_TEXT, "description": "The user to run it as."},
            "working_directory": _TEXT,
        },
        ("command",),
        {"type": "exec", "env": {}},
    ),
    "apply_patch": ClientTool(
        "apply_patch_call",
        "operation",
        "Creates, updates or deletes a file.",
        {
            "type": {**_TEXT, "enum": ["create_file", "update_file", "delete_file"]},
            "path": {**_TEXT, "description": "The file."},
            "diff": {
                **_TEXT,
                "description": "For create_file and update_file: the change as a V4A diff, whose lines begin with"
                " ' ', '-' or '+' below a line that begins with '@@'.",
            },
        },
        ("type", "path"),
    ),
    "computer_use_preview": ClientTool(
        "computer_call",
        "action",
        "Controls a computer by mouse and keyboard; the result is a screenshot.",
        _ACTION,
        ("type",),
    ),
    "computer": ClientTool(
        "computer_call",
        "actions",
        "Controls a computer by mouse and keyboard; the result is a screenshot.",
        {"actions": {"type": "array", "items": {"type": "object", "properties": _ACTION, "required": ["type"]}}},
        ("actions",),
    ),
}
"""The tools by the type of their definition, which is also the name of the function."""

CALL_NAMES = {
    "shell_call": "shell",
    "local_shell_call": "local_shell",
    "apply_patch_call": "apply_patch",
    "computer_call": "computer_use_preview",
    "tool_search_call": "tool_search",
}
"""Type of a call to the name of its tool."""
CALL_PREFIXES = {
    "shell_call": "sh_",
    "local_shell_call": "lsh_",
    "apply_patch_call": "apc_",
    "computer_call": "cu_",
    "tool_search_call": "tsc_",
}
"""Type of a call to the prefix of its ids."""
OUTPUTS = {
    **{f"{kind}_output": kind for kind in CALL_NAMES if kind != "tool_search_call"},
    "tool_search_output": "tool_search_call",
}
"""Type of an output to the type of its call."""


# ---- decoding --------------------------------------------------------------------------------------------------------


def client_tool_in(kind: str, tool: dict[str, Any]) -> Tool | None:
    """Returns the function that says the same as a tool of this type; None where the client does not run it."""
    vendor = Opaque(NAME, kind, {"type": kind, **tool})
    if kind == "tool_search" and tool.get("execution") == "client":
        description = maybe(tool, "description", str) or "Searches for tools; those that it finds can be called then."
        return Tool("tool_search", description, maybe(tool, "parameters", dict), vendor=vendor)
    known = CLIENT_TOOLS.get(kind)
    if known is None:
        return None
    environment = tool.get("environment")
    if kind == "shell" and type(environment) is dict and environment.get("type") not in (None, "local"):
        return None  # a container of the provider
    description = known.description
    if width := maybe(tool, "display_width", int):
        description += f" The screen has {width} x {tool.get('display_height')} pixels ({tool.get('environment')})."
    schema = {"type": "object", "properties": known.properties, "required": list(known.required)}
    return Tool(kind, description, schema, vendor=vendor)


def client_call_in(kind: str, item: dict[str, Any]) -> ToolCall | None:
    """Decodes the call of such a tool; None for a call that the provider itself carries out."""
    if kind == "tool_search_call" and item.get("execution") != "client":
        return None
    id_ = take(item, "call_id", str) or maybe(item, "id", str)
    if id_ is None:
        return None
    name = CALL_NAMES[kind]
    if kind == "tool_search_call":
        arguments = item.pop("arguments", None)
        text = arguments if type(arguments) is str else json_fields.encode(arguments or {}).decode()
        return ToolCall(id_, name, text, extra=item or None, vendor=kind)
    if kind == "computer_call" and type(item.get("actions")) is list:
        text = json_fields.encode({"actions": item.pop("actions")}).decode()
        return ToolCall(id_, "computer", text, extra=item or None, vendor=kind)
    fields = need(item, CLIENT_TOOLS[name].field, dict)
    return ToolCall(id_, name, json_fields.encode(fields).decode(), extra=item or None, vendor=kind)


def client_result_in(kind: str, item: dict[str, Any]) -> ToolResult | None:
    """Decodes the output of such a tool; the item's own fields are kept for a backend of this protocol."""
    id_ = maybe(item, "call_id", str) or maybe(item, "id", str)
    if id_ is None or (kind == "tool_search_output" and item.get("execution") == "server"):
        return None
    output = item.get("output")
    failed = item.get("status") == "failed"
    blocks: tuple[Block, ...]
    match kind:
        case "computer_call_output":
            blocks = _screenshot(output)
        case "shell_call_output" if type(output) is list:
            blocks = tuple(Text(_chunk_text(chunk)) for chunk in output if type(chunk) is dict)
        case "tool_search_output":
            listed = item.get("tools") or []
            if type(listed) is not list:
                raise Malformed("tools", f"must be a list, is {json_fields.describe(listed)}")
            tools = [tool for tool in listed if type(tool) is dict]
            found = ", ".join(str(tool.get("name") or tool.get("server_label") or tool.get("type")) for tool in tools)
            blocks = (Text(f"Tools found: {found or 'none'}"),)
        case _:
            text = output if type(output) is str else json_fields.encode(output).decode() if output else ""
            blocks = (Text(text or ("failed" if failed else "completed")),)
    return ToolResult(id_, blocks, failed, extra=dict(item), vendor=kind)


def _screenshot(output: Any) -> tuple[Block, ...]:
    if type(output) is not dict:
        raise Malformed("output", f"must be an object, is {json_fields.describe(output)}")
    if (url := maybe(output, "image_url", str)) is not None:
        return (Image(media_of(url)),)
    return (Image(Media(file_id=maybe(output, "file_id", str))),)


def _chunk_text(chunk: dict[str, Any]) -> str:
    """Returns the output of one shell command: what it wrote, and how it ended."""
    written = [str(chunk[key]) for key in ("stdout", "stderr") if chunk.get(key)]
    outcome = maybe(chunk, "outcome", dict) or {}
    if outcome.get("type") == "timeout":
        written.append("(stopped: it took too long)")
    elif outcome.get("exit_code"):
        written.append(f"(exit code {outcome['exit_code']})")
    return "\n".join(written)


# ---- encoding --------------------------------------------------------------------------------------------------------


def client_call_out(kind: str, arguments: str, id_: str, extra: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the item of a call with these arguments; None where they are no object, which the item must hold."""
    if not json_fields.is_object(arguments or "{}"):
        return None
    fields = json_fields.parse_object(arguments or "{}")
    item: dict[str, Any] = {"type": kind, "call_id": id_}
    if kind == "tool_search_call":
        return {**item, "execution": "client", "arguments": fields, **extra}
    if kind == "computer_call" and "actions" in fields:
        return {**item, "actions": fields["actions"], "pending_safety_checks": [], **extra}
    known = CLIENT_TOOLS[CALL_NAMES[kind]]
    item[known.field] = {**known.fixed, **fields}
    if kind == "computer_call":
        item["pending_safety_checks"] = []
    return {**item, **extra}


def vendor_of(name: str, tools: tuple[Tool | Opaque, ...]) -> str | None:
    """Returns the type of the item in which a client expects a call of this name; None for a function."""
    for tool in tools:
        if isinstance(tool, Tool) and tool.name == name and tool.vendor is not None and tool.vendor.protocol == NAME:
            kind = tool.vendor.kind
            return "tool_search_call" if kind == "tool_search" else CLIENT_TOOLS[kind].call
    return None
