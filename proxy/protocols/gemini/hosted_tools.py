"""Converts Gemini's built-in tools, and what they did, to and from the neutral form.

https://ai.google.dev/gemini-api/docs/tools
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...ir import HostedCall, HostedTool, Loss, Opaque, Request
from ...ir.hosted import foreign_hosted_tools, hosted_losses
from ...wire.json_fields import maybe
from ..protocol import UpstreamTarget
from .model_rules import has_functions
from .tables import NAME

_SEARCH = ("googleSearch", "googleSearchRetrieval", "enterpriseWebSearch")

TAKES: dict[str, frozenset[str]] = {
    "web_search": frozenset(),
    "code_execution": frozenset(),
    "web_fetch": frozenset(),
    # "mcpServers: MCP Servers to connect to.", "streamableHttpTransport: url, headers, timeout, …"
    # https://ai.google.dev/api/caching#McpServer
    "mcp": frozenset(("server.url", "server.headers", "server.authorization")),
}
"""The kinds of built-in tools that the API has, each with the settings that it takes."""

TYPES = {"web_search": "googleSearch", "code_execution": "codeExecution", "web_fetch": "urlContext"}


# ---- tools -----------------------------------------------------------------------------------------------------------


def hosted_tools_in(key: str, value: Any) -> Iterator[Opaque]:
    """Yields the tools that one field of a tool object defines; those without a counterpart have no neutral form."""
    whole = {key: value}
    if key in _SEARCH:
        excluded = value.get("excludeDomains") if type(value) is dict else None
        blocked = tuple(domain for domain in excluded if type(domain) is str) if type(excluded) is list else ()
        yield Opaque(NAME, key, whole, hosted=HostedTool("web_search", blocked_domains=blocked))
    elif key == "codeExecution":
        yield Opaque(NAME, key, whole, hosted=HostedTool("code_execution"))
    elif key == "urlContext":
        yield Opaque(NAME, key, whole, hosted=HostedTool("web_fetch"))
    elif key == "mcpServers" and type(value) is list:
        for server in value:
            yield Opaque(NAME, key, {key: [server]}, hosted=_mcp_in(server))
    else:
        yield Opaque(NAME, key, whole)


def _mcp_in(server: Any) -> HostedTool | None:
    transport = server.get("streamableHttpTransport") if type(server) is dict else None
    if type(transport) is not dict or type(transport.get("url")) is not str:
        return None
    fields: dict[str, Any] = {"name": maybe(server, "name", str) or "mcp", "url": transport["url"]}
    headers = dict(maybe(transport, "headers", dict) or {})
    for name in [name for name in headers if name.lower() == "authorization"]:
        scheme, _, token = str(headers[name]).partition(" ")
        if scheme.lower() == "bearer" and token:
            fields["authorization"] = token
            del headers[name]
    if headers:
        fields["headers"] = headers
    return HostedTool("mcp", server=fields)


def hosted_tools_out(request: Request, target: UpstreamTarget, tools: list[dict[str, Any]], losses: list[Loss]) -> None:
    """Appends the hosted tools of other protocols.

    "Built-in tools and Function Calling cannot be combined in the same request" is the error of models before Gemini 3.
    https://ai.google.dev/gemini-api/docs/function-calling#native-tools
    """
    is_refused = "functions_with_search" in target.traits.refuses and has_functions(request)
    takes: Mapping[str, frozenset[str]] = {} if is_refused else TAKES
    for i, tool in foreign_hosted_tools(request, NAME):
        losses += hosted_losses(i, tool, takes)
        if tool.kind not in takes:
            continue
        if tool.kind != "mcp":
            tools.append({TYPES[tool.kind]: {}})
            continue
        server = tool.server or {}
        headers = dict(server.get("headers") or {})
        if token := server.get("authorization"):
            headers["Authorization"] = f"Bearer {token}"
        transport = {"url": server.get("url"), **({"headers": headers} if headers else {})}
        tools.append({"mcpServers": [{"name": server["name"], "streamableHttpTransport": transport}]})


def runs_beside_functions(request: Request, target: UpstreamTarget) -> bool:
    """Returns whether a client of another protocol combines the service's own tools with functions.

    "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function calling." is the
    error of Gemini 3 otherwise. https://ai.google.dev/gemini-api/docs/tool-combination
    """
    if "functions_with_search" in target.traits.refuses or not has_functions(request):
        return False
    return any(tool.kind in TYPES for _, tool in foreign_hosted_tools(request, NAME))


# ---- what they did ---------------------------------------------------------------------------------------------------


class CodeRuns:
    """Joins the code that the model wrote and the result of its run, which are two parts."""

    def __init__(self) -> None:
        self._code = ""

    def with_call(self, block: Opaque) -> Opaque:
        """Returns the block of a result with the whole call, that of the code as a part of it; others unchanged."""
        data = block.data.get(block.kind)
        if type(data) is not dict:
            return block
        if block.kind == "executableCode":
            self._code = str(data.get("code") or "")
            return Opaque(NAME, block.kind, block.data, part=True)
        if block.kind != "codeExecutionResult":
            return block
        output, outcome = str(data.get("output") or ""), data.get("outcome")
        error = None if outcome in (None, "OUTCOME_OK") else output or str(outcome)
        code, self._code = self._code, ""
        call = HostedCall("code_execution", None, code, "" if error else output, error=error)
        return Opaque(NAME, block.kind, block.data, call=call)


def tool_uses_in(candidate: dict[str, Any]) -> list[Opaque]:
    """Returns the searches and fetches that a candidate's metadata tells of, which themselves remain in it."""
    found: list[HostedCall] = []
    grounding = candidate.get("groundingMetadata")
    queries = (
        grounding.get("webSearchQueries")
        if type(grounding) is dict
        else candidate.get("groundingMetadata.webSearchQueries")
    )
    if type(queries) is list:
        found += [HostedCall("web_search", None, query) for query in queries if type(query) is str]
    metadata = candidate.get("urlContextMetadata")
    pages = metadata.get("urlMetadata") if type(metadata) is dict else None
    for page in pages if type(pages) is list else ():
        if type(page) is dict and type(url := page.get("retrievedUrl")) is str:
            status = str(page.get("urlRetrievalStatus") or "")
            error = None if status.endswith("SUCCESS") or not status else status
            found.append(HostedCall("web_fetch", None, url, sources=((url, None),), error=error))
    return [Opaque(NAME, call.kind, {}, call=call) for call in found]


def code_parts_out(call: HostedCall) -> list[dict[str, Any]]:
    """Returns the parts of a run of code for a client."""
    outcome = "OUTCOME_FAILED" if call.error else "OUTCOME_OK"
    output = "\n".join(text for text in (call.output, call.error) if text)
    return [
        {"executableCode": {"language": "PYTHON", "code": call.input}},
        {"codeExecutionResult": {"outcome": outcome, "output": output}},
    ]


def metadata_out(calls: list[HostedCall], candidate: dict[str, Any]) -> None:
    """Adds the searches and fetches of another provider to the metadata of a candidate."""
    searches = [call for call in calls if call.kind == "web_search"]
    queries = [query for call in searches for query in (call.input, *call.queries) if query]
    pages_found = {url: title for call in searches for url, title in call.sources}
    if queries or pages_found:
        grounding = candidate.setdefault("groundingMetadata", {})
        if queries:
            grounding["webSearchQueries"] = queries
        # "groundingChunks[]: List of supporting references retrieved from specified grounding source."
        # https://ai.google.dev/api/generate-content#GroundingMetadata
        chunks = grounding.get("groundingChunks", [])
        known = {chunk["web"].get("uri") for chunk in chunks if "web" in chunk}
        chunks += [
            {"web": {"uri": url, **({"title": title} if title else {})}}
            for url, title in pages_found.items()
            if url not in known
        ]
        if chunks:
            grounding["groundingChunks"] = chunks
    pages = [
        {
            "retrievedUrl": call.input,
            "urlRetrievalStatus": f"URL_RETRIEVAL_STATUS_{'ERROR' if call.error else 'SUCCESS'}",
        }
        for call in calls
        if call.kind == "web_fetch" and call.input
    ]
    if pages:
        candidate["urlContextMetadata"] = {"urlMetadata": pages}
