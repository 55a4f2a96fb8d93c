"""Decodes Anthropic Messages requests into neutral requests."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from msgspec.structs import replace

from ...errors import Malformed
from ...ir import (
    Block,
    Citation,
    Document,
    Extra,
    Image,
    Media,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Request,
    ResponseFormat,
    Sampling,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    signatures,
)
from ...ir.data_url import media_of
from ...ir.known_tools import KnownTools, take_tools
from ...ir.losses import says_nothing
from ...ir.media_type import media_type, standard_base64
from ...ir.repairs import Repairs
from ...wire import json_fields
from ...wire.json_fields import alias, each, maybe, need, take
from ..protocol import UrlParams
from .client_tools import client_tool_in
from .hosted_tools import FOREIGN, hosted_tool_in, mcp_servers_in
from .tables import NAME, TOOL_ADDITION


def decode_request(body: dict[str, Any], url: UrlParams) -> Request:
    """Decodes a request body; raises Malformed with the path of the faulty field."""
    model = need(body, "model", str)
    messages = need(body, "messages", list)
    if not messages:
        raise Malformed("messages", "must hold at least one message")
    system = body.pop("system", None)
    lead = (Turn("system", _content_in(system, "system")),) if system else ()
    tools = take_tools(body, _tools_in)
    if type(servers := body.get("mcp_servers")) is list:
        tools = mcp_servers_in(servers, tools)
    repairs = Repairs()
    turns = lead + each(messages, "messages", _message_in)
    tools += _added_tools(turns)
    choice, parallel = _tool_choice_in(_choice_object(body, repairs), tools)
    config = take(body, "output_config", dict, {})
    alias(body, "format", "output_format", config, "output_config.")
    response_format = _format_in(config)
    reasoning = _reasoning_config_in(take(body, "thinking", dict), config)
    if config:
        body["output_config"] = config
    metadata = take(body, "metadata", dict, {})
    user = take(metadata, "user_id", str)
    if metadata:
        body["metadata"] = metadata
    return Request(
        protocol=NAME,
        model=model,
        turns=turns,
        tools=tools,
        tool_choice=choice,
        parallel=parallel,
        sampling=Sampling(take(body, "temperature", float), take(body, "top_p", float), take(body, "top_k", int)),
        max_tokens=take(body, "max_tokens", int),
        stop=json_fields.strings(body, "stop_sequences"),
        reasoning=reasoning,
        format=response_format,
        user=user,
        stream=take(body, "stream", bool, False),
        extra=body or None,
        repaired=repairs.names(),
    )


def _message_in(message: dict[str, Any]) -> Turn:
    role = need(message, "role", str)
    match role:
        case "user" | "assistant" | "system":
            blocks = _attach_signatures(_content_in(message.pop("content", None), "content"))
            if role == "user" and says_nothing(blocks):
                # "messages.0: user messages must have non-empty content", as the API answers
                raise Malformed("content", "says nothing; give the user's message a text, or leave it out")
            return Turn(role, blocks, message or None)
        case _:
            raise Malformed("role", f"'{role}' is none of user, assistant, system")


def _content_in(content: Any, key: str) -> tuple[Block, ...]:
    if type(content) is str:
        return (Text(content),)
    if type(content) is list:
        return each(content, key, block_in)
    raise Malformed(key, "is required and must be a string or an array of blocks")


def _attach_signatures(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Removes signature carriers (empty thinking blocks) and moves their signature to the call or text that follows."""
    if not any(isinstance(block, Reasoning) and _is_carrier(block) for block in blocks):
        return blocks
    out: list[Block] = []
    waiting: Reasoning | None = None
    for block in blocks:
        if waiting is not None and isinstance(block, ToolCall | Text):
            block, waiting = replace(block, signature=waiting.signature), None
        elif waiting is not None:
            out.append(Text("", signature=waiting.signature))
            waiting = None
        if isinstance(block, Reasoning) and _is_carrier(block):
            waiting = block
        else:
            out.append(block)
    if waiting is not None:  # nothing follows: it was the signature of an empty text
        out.append(Text("", signature=waiting.signature))
    return tuple(out)


def _is_carrier(block: Reasoning) -> bool:
    """Returns whether a thinking block only carries the signature of the next block; see `carrier_out`."""
    return not block.text and not block.redacted and block.signature is not None and block.signature.issuer is not None


def _client_signature_in(text: str) -> Signature:
    return signatures.parse_token(text, NAME)


def block_in(block: dict[str, Any], signature_in: Callable[[str], Signature] = _client_signature_in) -> Block:
    """Decodes a content block.

    `signature_in` parses a signature: in a client's history it may be a token of ours, in a reply it is the backend's.
    """
    kind = need(block, "type", str)
    match kind:
        case "text":
            text = need(block, "text", str)
            return Text(text, citations_in(block, len(text)), extra=block or None)
        case "thinking":
            text, signature = take(block, "thinking", str, ""), take(block, "signature", str)
            return Reasoning(text, signature_in(signature) if signature else None, extra=block or None)
        case "redacted_thinking":
            return Reasoning("", signature_in(need(block, "data", str)), redacted=True, extra=block or None)
        case "tool_use":
            id_, name = need(block, "id", str), need(block, "name", str)
            arguments = json_fields.encode(take(block, "input", dict, {})).decode()
            return ToolCall(id_, name, arguments, extra=block or None)
        case "tool_result":
            id_ = need(block, "tool_use_id", str)
            content = block.pop("content", None)
            blocks = () if content is None or content == "" else _content_in(content, "content")
            return ToolResult(id_, blocks, take(block, "is_error", bool, False), extra=block or None)
        case "image":
            return _image_in(block)
        case "document":
            return _document_in(block)
        case "search_result":
            # other protocols have no such block, but can be sent its text
            texts = _texts(block.get("content"))
            if texts is not None:
                return Text(texts, extra={"search_result": {"type": kind, **block}})
    whole = {"type": kind, **block}
    if str(block.get("id") or block.get("tool_use_id")).startswith(FOREIGN):
        return Opaque("", kind, whole)  # no protocol's own: our reply encoder wrote it
    return Opaque(NAME, kind, whole, readable_text(kind, block))


def readable_text(kind: str, block: dict[str, Any]) -> str | None:
    """Returns what a model must read of a block that only this protocol has; None where it cannot be told as text."""
    match kind, block:
        case "compaction", {"content": str(text)}:
            # "content: Summary of previously compacted content": it stands for the whole conversation before it
            # https://platform.claude.com/docs/en/build-with-claude/compaction
            return f"Summary of the conversation so far:\n{text}"
        case "compaction", {"content": None}:
            return ""  # "null if compaction failed": such a block means nothing
        case "tool_reference", {"tool_name": str(name)}:
            # https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool
            return f"Tool found: {name}"
        case "tool_addition" | "tool_removal", {"tool": {"name": str(name)} | {"definition": {"name": str(name)}}}:
            # https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
            return f"The tool {name} is {'now' if kind == 'tool_addition' else 'no longer'} available."
    return None


def _image_in(block: dict[str, Any]) -> Block:
    source = block.pop("source", None)
    match source:
        case {"type": "base64", "media_type": str(mime), "data": str(data)}:
            data = standard_base64(data)
            return Image(Media(media_type(mime, data), data), block or None)
        case {"type": "url", "url": str(url)}:
            return Image(media_of(url), block or None)
        case {"type": "file", "file_id": str(id_)}:
            return Image(Media(file_id=id_), block or None)
    raise Malformed("source", "must be an object of type base64, url or file")


def _document_in(block: dict[str, Any]) -> Block:
    source = block.pop("source", None)
    name = take(block, "title", str)
    match source:
        case {"type": "base64", "media_type": str(mime), "data": str(data)}:
            data = standard_base64(data)
            return Document(Media(media_type(mime, data), data, name=name), block or None)
        case {"type": "url", "url": str(url)} if url[:5].lower() == "data:":
            return Document(replace(media_of(url), name=name), block or None)
        case {"type": "url", "url": str(url)}:
            return Document(Media("application/pdf", url=url, name=name), block or None)
        case {"type": "file", "file_id": str(id_)}:
            return Document(Media(file_id=id_, name=name), block or None)
        case {"type": "text", "data": str(text)}:
            return Document(Media("text/plain", text=text, name=name), block or None)
        case {"type": "content", "content": content} if (texts := _texts(content)) is not None:
            return Document(Media("text/plain", text=texts, name=name), {**block, "source": source})
        case {"type": str()}:
            title = {} if name is None else {"title": name}
            return Opaque(NAME, "document", {"type": "document", "source": source, **title, **block})
    raise Malformed("source", "must be an object of type base64, url, file, text or content")


def _texts(content: Any) -> str | None:
    """Returns the text of a string or a list of text blocks; None if it holds anything else."""
    if type(content) is str:
        return content
    if type(content) is not list:
        return None
    texts = [block.get("text") for block in content if type(block) is dict and block.get("type") == "text"]
    if len(texts) < len(content) or not all(type(text) is str for text in texts):
        return None
    return "\n".join(str(text) for text in texts)


def citations_in(block: dict[str, Any], length: int) -> tuple[Citation, ...]:
    """Takes the URL citations of a text block; each covers the whole text, because Anthropic splits its blocks so."""
    raw = block.pop("citations", None)
    if not raw or type(raw) is not list:
        return ()
    block.update(citations_extra(raw) or {})
    return tuple(citation for item in raw if (citation := citation_in(item, length)) is not None)


def citations_extra(raw: list[Any]) -> Extra:
    """Returns the citations as extra fields, which keep what the neutral ones lack: indexes and document locations."""
    if not raw:
        return None
    return {"web_citations" if all(citation_in(item, 0) for item in raw) else "citations": raw}


def citation_in(item: Any, length: int) -> Citation | None:
    """Decodes a citation that has a URL; `length` is that of the cited text in characters."""
    match item:
        case {"type": "web_search_result_location", "url": str(url)}:
            return Citation(url, maybe(item, "title", str), maybe(item, "cited_text", str) or None, 0, length)
        case {"type": "search_result_location", "source": str(url)} if url.startswith(("http://", "https://")):
            return Citation(url, maybe(item, "title", str), maybe(item, "cited_text", str) or None, 0, length)
    return None


def _added_tools(turns: tuple[Turn, ...]) -> tuple[Tool | Opaque, ...]:
    """Returns the tools that system messages define, marked, as an Anthropic backend is sent them there alone.

    "tool_addition": https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    """
    found: list[Tool | Opaque] = []
    for turn in turns:
        for block in turn.blocks if turn.role == "system" else ():
            if isinstance(block, Opaque) and block.kind == TOOL_ADDITION:
                tool = block.data.get("tool")
                definition = tool.get("definition") if type(tool) is dict else None
                if type(definition) is dict:
                    added = _tool_in(deepcopy(definition))
                    mark = {TOOL_ADDITION: None}
                    if isinstance(added, Opaque):
                        found.append(replace(added, data={**added.data, **mark}))
                    else:
                        found.append(replace(added, extra={**(added.extra or {}), **mark}))
    return tuple(found)


def _tools_in(tools: list[Any]) -> tuple[Tool | Opaque, ...]:
    return each(tools, "tools", _tool_in)


KNOWN_TOOLS = KnownTools(_tools_in)


def _tool_in(tool: dict[str, Any]) -> Tool | Opaque:
    kind = take(tool, "type", str, "custom")
    if kind != "custom":
        return client_tool_in(kind, tool) or Opaque(
            NAME, kind, {"type": kind, **tool}, hosted=hosted_tool_in(kind, tool)
        )
    return Tool(
        need(tool, "name", str),
        take(tool, "description", str),
        take(tool, "input_schema", dict),
        take(tool, "strict", bool),
        extra=tool or None,
    )


def _choice_object(body: dict[str, Any], repairs: Repairs) -> dict[str, Any] | None:
    """Takes the tool choice; without a type, as chat's word or in chat's form it becomes what it means here."""
    match body.get("tool_choice"):
        case "auto" | "any" | "none" | "required" as mode:
            body["tool_choice"] = {"type": "any" if mode == "required" else mode}
        case {"function": {"name": str(name)}}:
            body["tool_choice"] = {"type": "tool", "name": name}
        case {"name": str(name), **rest} if "type" not in rest:
            body["tool_choice"] = {"type": "tool", "name": name, **rest}
        case _:
            return take(body, "tool_choice", dict)
    repairs.add("tool_choice")
    return take(body, "tool_choice", dict)


def _tool_choice_in(
    choice: dict[str, Any] | None, tools: tuple[Tool | Opaque, ...]
) -> tuple[ToolChoice | None, bool | None]:
    if choice is None:
        return None, None
    kind = need(choice, "type", str)
    single = take(choice, "disable_parallel_tool_use", bool)
    parallel = None if single is None else not single
    match kind:
        case "auto" | "none":
            return ToolChoice(kind, extra=choice or None), parallel
        case "any":
            return ToolChoice("required", extra=choice or None), parallel
        case "tool":
            name = need(choice, "name", str)
            hosted = [tool for tool in tools if isinstance(tool, Opaque) and tool.data.get("name") == name]
            if hosted:
                forced = {"forced_hosted_tool": {"type": "tool", "name": name, **choice}}
                kind_ = hosted[0].hosted.kind if hosted[0].hosted is not None else None
                return ToolChoice("auto", (), forced, kind_), parallel
            return ToolChoice("named", (name,), choice or None), parallel
        case _:
            raise Malformed("tool_choice.type", f"'{kind}' is none of auto, any, tool, none")


def _reasoning_config_in(fields: dict[str, Any] | None, config: dict[str, Any]) -> ReasoningConfig | None:
    effort = take(config, "effort", str)
    extra: dict[str, Any] = {}
    if fields is None:
        return ReasoningConfig(effort, extra=extra or None) if effort is not None else None
    kind = need(fields, "type", str)
    budget = take(fields, "budget_tokens", int)
    display = take(fields, "display", str)
    if display not in (None, "summarized"):
        extra["display"] = display
    extra |= fields
    match kind:
        case "enabled" | "adaptive":
            summary = "auto" if display == "summarized" else None
            return ReasoningConfig(effort, budget, True, summary, extra or None)
        case "disabled":
            # without thinking, the effort concerns the answer alone; in other protocols it means thinking
            if effort is not None:
                extra.setdefault("effort", effort)
            return ReasoningConfig(enabled=False, extra=extra or None)
        case _:
            return ReasoningConfig(effort, budget, extra={**extra, "thinking": kind})


def _format_in(config: dict[str, Any]) -> ResponseFormat | None:
    fields = take(config, "format", dict)
    if fields is None:
        return None
    kind = need(fields, "type", str)
    if kind != "json_schema":
        raise Malformed("output_config.format.type", f"'{kind}' is not json_schema")
    return ResponseFormat("json_schema", need(fields, "schema", dict), extra=fields or None)
