"""Converts the hosted tools of Responses and their calls to and from the neutral form.

https://platform.openai.com/docs/guides/tools
"""

from __future__ import annotations

import re
from typing import Any

from ...ir import HostedCall, HostedTool, Loss, Opaque, Request
from ...ir.hosted import foreign_hosted_tools, hosted_losses
from ...wire.json_fields import maybe
from .tables import NAME

_SEARCH = re.compile(r"web_search(_preview)?(_\d{4}_\d{2}_\d{2})?$")

TAKES: dict[str, frozenset[str]] = {
    "web_search": frozenset(("allowed_domains", "context_size", "location")),
    "code_execution": frozenset(),
    "mcp": frozenset(
        ("server.url", "server.authorization", "server.headers", "server.allowed_tools", "server.description")
    ),
}
"""The kinds of hosted tools that the API has, each with the settings that it takes."""

TYPES = {"web_search": "web_search", "code_execution": "code_interpreter", "mcp": "mcp"}
INCLUDES = {
    # "web_search_call.action.sources: Include the sources of the web search tool call",
    # "code_interpreter_call.outputs": https://platform.openai.com/docs/api-reference/responses/create
    "web_search": "web_search_call.action.sources",
    "code_execution": "code_interpreter_call.outputs",
}
"""The value of `include` without which the results of a tool are left out."""


def hosted_tool_in(kind: str, tool: dict[str, Any]) -> HostedTool | None:
    """Returns the neutral form of a hosted tool; None where no other protocol has one like it."""
    if _SEARCH.fullmatch(kind):
        filters, location = maybe(tool, "filters", dict) or {}, maybe(tool, "user_location", dict) or {}
        return HostedTool(
            "web_search",
            _texts(filters.get("allowed_domains")),
            _texts(filters.get("blocked_domains")),
            context_size=maybe(tool, "search_context_size", str),
            location={key: value for key, value in location.items() if key != "type" and type(value) is str} or None,
        )
    if kind == "code_interpreter":
        container = tool.get("container")
        plain = type(container) is dict and not container.get("file_ids")
        return HostedTool("code_execution", losses=() if plain else ("container",))
    if kind == "mcp" and type(tool.get("server_url")) is str and tool.get("require_approval") == "never":
        # a server whose calls the user must approve is not given to a provider that asks for no approval
        allowed = tool.get("allowed_tools")
        server = {
            "name": str(tool.get("server_label") or "mcp"),
            "url": tool["server_url"],
            "authorization": maybe(tool, "authorization", str),
            "headers": maybe(tool, "headers", dict),
            "allowed_tools": list(_texts(allowed)) or None,
            "description": maybe(tool, "server_description", str),
        }
        lost = ("allowed_tools",) if type(allowed) is dict else ()
        return HostedTool("mcp", server={key: value for key, value in server.items() if value}, losses=lost)
    return None


def hosted_tools_out(request: Request, payload: dict[str, Any], losses: list[Loss]) -> None:
    """Adds the hosted tools of other protocols to the payload, and asks for their results."""
    for i, tool in foreign_hosted_tools(request, NAME):
        losses += hosted_losses(i, tool, TAKES)
        out: dict[str, Any] = {}
        match tool.kind:
            case "web_search":
                out = {"type": "web_search"}
                if tool.allowed_domains:
                    out["filters"] = {"allowed_domains": list(tool.allowed_domains)}
                if tool.location:
                    out["user_location"] = {"type": "approximate", **tool.location}
                if tool.context_size:
                    out["search_context_size"] = tool.context_size
            case "code_execution":
                out = {"type": "code_interpreter", "container": {"type": "auto"}}
            case "mcp":
                server = tool.server or {}
                out = {
                    "type": "mcp",
                    "server_label": server["name"],
                    "server_url": server.get("url"),
                    **{key: server[key] for key in ("authorization", "headers", "allowed_tools") if server.get(key)},
                    **({"server_description": server["description"]} if server.get("description") else {}),
                    "require_approval": "never",  # in the other protocols no call is approved
                }
            case _:
                continue
        payload.setdefault("tools", []).append(out)
        if tool.kind in INCLUDES:
            payload.setdefault("include", []).append(INCLUDES[tool.kind])


def with_call(item: Opaque) -> Opaque:
    """Returns the item with the call of a hosted tool that it is; any other item unchanged."""
    data = item.data
    id_ = maybe(data, "id", str)
    failed = "failed" if data.get("status") == "failed" else None
    call: HostedCall | None = None
    match item.kind:
        case "web_search_call":
            action = maybe(data, "action", dict) or {}
            if action.get("type") in ("open_page", "find_in_page"):
                url = str(action.get("url") or "")
                call = HostedCall("web_fetch", id_, url, sources=((url, None),) if url else (), error=failed)
            else:
                # "queries: The search queries", of which `query` is the first
                queries = _texts(action.get("queries"))
                query = action.get("query") or (queries[0] if queries else "")
                others = tuple(text for text in queries if text != query)
                found = action.get("sources")
                pages = [page for page in found if type(page) is dict] if type(found) is list else []
                sources = tuple((page["url"], None) for page in pages if type(page.get("url")) is str)
                call = HostedCall("web_search", id_, str(query), sources=sources, error=failed, queries=others)
        case "code_interpreter_call":
            outputs = data.get("outputs")
            logs = [part.get("logs") for part in outputs if type(part) is dict] if type(outputs) is list else []
            text = "".join(log for log in logs if type(log) is str)
            call = HostedCall("code_execution", id_, str(data.get("code") or ""), text, error=failed)
        case "mcp_call":
            error = data.get("error")
            call = HostedCall(
                "mcp",
                id_,
                str(data.get("arguments") or "{}"),
                str(data.get("output") or ""),
                error=None if error is None else str(error),
                name=maybe(data, "name", str),
                server=maybe(data, "server_label", str),
            )
        case "mcp_list_tools":
            return Opaque(item.protocol, item.kind, data, part=True)  # the list that the server gave; nothing was said
    return item if call is None else Opaque(item.protocol, item.kind, data, call=call)


def hosted_item_out(call: HostedCall, id_: str) -> dict[str, Any]:
    """Returns the item of a hosted tool's call for a client."""
    status = "failed" if call.error else "completed"
    match call.kind:
        case "web_search":
            sources = [{"type": "url", "url": url} for url, _ in call.sources]
            action = {"type": "search", "query": call.input, **({"sources": sources} if sources else {})}
            return {"id": f"ws_{id_}", "type": "web_search_call", "status": status, "action": action}
        case "web_fetch":
            action = {"type": "open_page", "url": call.input}
            return {"id": f"ws_{id_}", "type": "web_search_call", "status": status, "action": action}
        case "code_execution":
            text = "\n".join(part for part in (call.output, call.error) if part)
            return {
                "id": f"ci_{id_}",
                "type": "code_interpreter_call",
                "status": status,
                "code": call.input,
                "container_id": "",  # required, and the other providers' sandboxes have none that could be used
                "outputs": [{"type": "logs", "logs": text}] if text else None,
            }
        case _:
            return {
                "id": f"mcp_{id_}",
                "type": "mcp_call",
                "status": status,
                "server_label": call.server or "",
                "name": call.name or "",
                "arguments": call.input,
                "output": call.output or None,
                "error": call.error,
                "approval_request_id": None,
            }


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if type(item) is str) if type(value) is list else ()
