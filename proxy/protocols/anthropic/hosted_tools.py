"""Converts Anthropic's server tools, their calls and results to and from the neutral form.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools
"""

from __future__ import annotations

import re
from typing import Any

from ...ir import HostedCall, HostedTool, Loss, Opaque, Request
from ...ir.hosted import foreign_hosted_tools, hosted_losses
from ...ir.losses import is_harmless
from ...wire import json_fields
from ...wire.json_fields import maybe
from .tables import NAME

_TYPE = re.compile(r"(web_search|web_fetch|code_execution)_\d{8}$")
_SETTINGS = frozenset(("type", "name", "allowed_domains", "blocked_domains", "max_uses", "user_location"))
_MCP_TYPES = ("mcp_tool_use", "mcp_tool_result")
_CODE_TOOLS = ("code_execution", "bash_code_execution", "text_editor_code_execution")
"""Names under which the code execution tool is called; the later versions of it have the last two."""

TAKES: dict[str, frozenset[str]] = {
    "web_search": frozenset(("allowed_domains", "blocked_domains", "max_uses", "location")),
    "web_fetch": frozenset(("allowed_domains", "blocked_domains", "max_uses")),
    "code_execution": frozenset(),
    "mcp": frozenset(("server.url", "server.authorization", "server.allowed_tools")),
}
"""The kinds of hosted tools that the API has, each with the settings that it takes."""

# https://platform.claude.com/docs/en/api/beta-headers; web search needs none
BETAS: dict[str, str] = {
    # "anthropic-beta: web-fetch-2025-09-10" https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-fetch-tool
    "web_fetch": "web-fetch-2025-09-10",
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/code-execution-tool
    "code_execution": "code-execution-2025-08-25",
    # https://platform.claude.com/docs/en/agents-and-tools/mcp-connector
    "mcp": "mcp-client-2025-11-20",
}
"""The beta flag that a request with a tool of this kind must have."""


# ---- tools -----------------------------------------------------------------------------------------------------------


def hosted_tool_in(kind: str, fields: dict[str, Any]) -> HostedTool | None:
    """Returns the neutral form of a server tool; None where no other protocol has one like it."""
    match = _TYPE.fullmatch(kind)
    if match is None:
        return None
    location = maybe(fields, "user_location", dict) or {}
    found = HostedTool(
        "web_search" if match[1] == "web_search" else "web_fetch" if match[1] == "web_fetch" else "code_execution",
        _texts(fields.get("allowed_domains")),
        _texts(fields.get("blocked_domains")),
        maybe(fields, "max_uses", int),
        location={key: value for key, value in location.items() if key != "type" and type(value) is str} or None,
        losses=tuple(key for key in fields if key not in _SETTINGS and not is_harmless(key, fields[key])),
    )
    return found


def mcp_servers_in(servers: list[Any], tools: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the tools with those of the MCP servers, which stand in a field of their own and in `mcp_toolset` tools.

    "mcp_server_name: Must match a server name defined in the mcp_servers array."
    https://platform.claude.com/docs/en/agents-and-tools/mcp-connector#mcp-toolset-configuration
    """
    by_name = {s["name"]: s for s in servers if type(s) is dict and type(s.get("name")) is str}
    out: list[Any] = []
    for tool in tools:
        if isinstance(tool, Opaque) and tool.kind == "mcp_toolset":
            server = by_name.pop(maybe(tool.data, "mcp_server_name", str) or "", None)
            if server is not None:
                tool = Opaque(NAME, tool.kind, tool.data, hosted=_mcp_in(server, tool.data))
        out.append(tool)
    # the older form of the field has no tools beside it
    return (*out, *(Opaque(NAME, "mcp_servers", {}, hosted=_mcp_in(server, {})) for server in by_name.values()))


def _mcp_in(server: dict[str, Any], toolset: dict[str, Any]) -> HostedTool:
    fields: dict[str, Any] = {"name": server["name"], "url": server.get("url")}
    if token := maybe(server, "authorization_token", str):
        fields["authorization"] = token
    older = maybe(server, "tool_configuration", dict) or {}
    allowed = _texts(older.get("allowed_tools"))
    configs, default = maybe(toolset, "configs", dict) or {}, maybe(toolset, "default_config", dict) or {}
    if default.get("enabled") is False:
        allowed = tuple(name for name, config in configs.items() if type(config) is dict and config.get("enabled"))
    disabled = [name for name, config in configs.items() if type(config) is dict and config.get("enabled") is False]
    if allowed:
        fields["allowed_tools"] = list(allowed)
    return HostedTool("mcp", server=fields, losses=("configs",) if disabled and not allowed else ())


def hosted_tools_out(request: Request, payload: dict[str, Any], losses: list[Loss]) -> dict[str, str]:
    """Adds the hosted tools of other protocols to the payload; returns the headers that they need."""
    betas: list[str] = []
    tools: list[dict[str, Any]] = payload.get("tools", [])
    for i, tool in foreign_hosted_tools(request, NAME):
        losses += hosted_losses(i, tool, TAKES)
        if tool.kind in BETAS:
            betas.append(BETAS[tool.kind])
        if tool.kind == "mcp":
            server = tool.server or {}
            token = {"authorization_token": server["authorization"]} if server.get("authorization") else {}
            entry = {"type": "url", "name": server["name"], "url": server.get("url"), **token}
            payload.setdefault("mcp_servers", []).append(entry)
            tools.append(_toolset_out(server))
            continue
        out: dict[str, Any] = {"type": _TYPES[tool.kind], "name": tool.kind}
        if tool.max_uses is not None and "max_uses" in TAKES[tool.kind]:
            out["max_uses"] = tool.max_uses
        # "You can use either allowed_domains or blocked_domains, but not both in the same request."
        # https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools#domain-filtering
        if tool.allowed_domains:
            out["allowed_domains"] = list(tool.allowed_domains)
        elif tool.blocked_domains:
            out["blocked_domains"] = list(tool.blocked_domains)
        if tool.location and tool.kind == "web_search":
            out["user_location"] = {"type": "approximate", **tool.location}
        tools.append(out)
    if tools:
        payload["tools"] = tools
    return {"anthropic-beta": ",".join(dict.fromkeys(betas))} if betas else {}


_TYPES = {
    "web_search": "web_search_20250305",
    "web_fetch": "web_fetch_20250910",
    "code_execution": "code_execution_20250825",
}


def _toolset_out(server: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "mcp_toolset", "mcp_server_name": server["name"]}
    if allowed := server.get("allowed_tools"):
        out["default_config"] = {"enabled": False}
        out["configs"] = {name: {"enabled": True} for name in allowed}
    return out


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if type(item) is str) if type(value) is list else ()


# ---- calls and results -----------------------------------------------------------------------------------------------


def is_hosted_block(kind: str) -> bool:
    """Returns whether blocks of this type are calls or results of a tool that the provider runs."""
    return kind == "server_tool_use" or kind in _MCP_TYPES or kind.endswith("_tool_result")


class HostedCalls:
    """Joins the calls and results of one answer: a result's block gets the whole call, whose own block is a part."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, Any]] = {}

    def with_call(self, block: Opaque) -> Opaque:
        """Returns the block with what it says in neutral form; other blocks unchanged."""
        data, kind = block.data, block.kind
        id_ = data.get("id") if kind in ("server_tool_use", "mcp_tool_use") else data.get("tool_use_id")
        if type(id_) is not str:
            return block
        if kind in ("server_tool_use", "mcp_tool_use"):
            self._open[id_] = data
            known = kind == "mcp_tool_use" or data.get("name") in ("web_search", "web_fetch", *_CODE_TOOLS)
            return Opaque(NAME, kind, data, part=True) if known else block
        call = self._open.pop(id_, None)
        if call is None:
            return block
        found = _call_in(id_, call, kind, data.get("content"), bool(data.get("is_error")))
        return block if found is None else Opaque(NAME, kind, data, call=found)


def _call_in(id_: str, call: dict[str, Any], kind: str, content: Any, failed: bool) -> HostedCall | None:
    given = maybe(call, "input", dict) or {}
    error = maybe(content, "error_code", str) if type(content) is dict else None
    if kind == "web_search_tool_result":
        pages = [page for page in content if type(page) is dict] if type(content) is list else []
        sources = tuple((page["url"], maybe(page, "title", str)) for page in pages if type(page.get("url")) is str)
        return HostedCall("web_search", id_, str(given.get("query") or ""), sources=sources, error=error)
    if kind == "web_fetch_tool_result":
        url = str(given.get("url") or "")
        return HostedCall("web_fetch", id_, url, sources=((url, None),) if url else (), error=error)
    if kind in ("code_execution_tool_result", "bash_code_execution_tool_result"):
        result = content if type(content) is dict else {}
        code = given.get("code") or given.get("command") or ""
        output = "".join(str(result.get(key) or "") for key in ("stdout", "stderr"))
        if result.get("return_code"):
            error = error or f"return code {result['return_code']}"
        return HostedCall("code_execution", id_, str(code), output, error=error)
    if kind == "mcp_tool_result":
        texts = content if type(content) is list else []
        output = "\n".join(str(part.get("text") or "") for part in texts if type(part) is dict)
        arguments = json_fields.encode(given).decode()
        name, server = maybe(call, "name", str), maybe(call, "server_name", str)
        return HostedCall("mcp", id_, arguments, output, (), output if failed else None, name, server)
    return None


FOREIGN = "srvtoolu_foreign_"
"""Prefix of the ids of calls that another provider ran.

The API cannot read them (`encrypted_content` can only be its own), so they are taken out when a client sends them back.
"""


def hosted_blocks_out(call: HostedCall, id_: str) -> list[dict[str, Any]]:
    """Returns the call and the result of a hosted tool of another provider, for a client."""
    id_ = f"{FOREIGN}{id_}"
    match call.kind:
        case "web_search":
            pages = [
                {
                    "type": "web_search_result",
                    "url": url,
                    "title": title or "",
                    "encrypted_content": "",
                    "page_age": None,
                }
                for url, title in call.sources
            ]
            failed = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
            return [
                # a search has one query here
                _server_call(id_, "web_search", {"query": "\n".join((call.input, *call.queries))}),
                {"type": "web_search_tool_result", "tool_use_id": id_, "content": failed if call.error else pages},
            ]
        case "code_execution":
            result: dict[str, Any] = {
                "type": "code_execution_result",
                "stdout": call.output,
                "stderr": call.error or "",
                "return_code": 1 if call.error else 0,
                "content": [],
            }
            return [
                _server_call(id_, "code_execution", {"code": call.input}),
                {"type": "code_execution_tool_result", "tool_use_id": id_, "content": result},
            ]
        case "web_fetch":
            # the other providers tell the address alone, and the text of a result is required
            failed = {"type": "web_fetch_tool_result_error", "error_code": "unavailable"}
            source = {"type": "text", "media_type": "text/plain", "data": call.output}
            page = {"type": "document", "source": source, "title": None, "citations": None}
            fetched = {"type": "web_fetch_result", "url": call.input, "content": page, "retrieved_at": None}
            return [
                _server_call(id_, "web_fetch", {"url": call.input}),
                {"type": "web_fetch_tool_result", "tool_use_id": id_, "content": failed if call.error else fetched},
            ]
        case _:
            arguments, is_object = json_fields.splice(call.input)
            fields = json_fields.parse(bytes(arguments)) if is_object else {"input": call.input}
            return [
                {
                    "type": "mcp_tool_use",
                    "id": id_,
                    "name": call.name or "",
                    "server_name": call.server or "",
                    "input": fields,
                },
                {
                    "type": "mcp_tool_result",
                    "tool_use_id": id_,
                    "is_error": call.error is not None,
                    "content": [{"type": "text", "text": call.output or call.error or ""}],
                },
            ]


def _server_call(id_: str, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "server_tool_use", "id": id_, "name": name, "input": fields, "caller": {"type": "direct"}}
