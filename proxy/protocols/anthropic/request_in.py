"""An Anthropic client's request as the neutral form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ... import seals, wire
from ...errors import Malformed
from ...ir import (
    Block,
    Citation,
    Document,
    Format,
    Image,
    Media,
    Opaque,
    Own,
    Reasoning,
    Request,
    Sampling,
    Signature,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ...wire import each, need, take
from ..contract import Where
from .words import NAME


def decode_request(body: dict[str, Any], where: Where) -> Request:
    model = need(body, "model", str)
    messages = need(body, "messages", list)
    if not messages:
        raise Malformed("messages", "must hold at least one message")
    system = body.pop("system", None)
    lead = (Turn("system", _content_in(system, "system")),) if system else ()
    choice, parallel = _tool_choice_in(take(body, "tool_choice", dict))
    config = take(body, "output_config", dict, {})
    form = _format_in(config, take(body, "output_format", dict))
    reasoning = _thinking_in(take(body, "thinking", dict), config)
    if config:
        body["output_config"] = config
    metadata = take(body, "metadata", dict, {})
    user = take(metadata, "user_id", str)
    if metadata:
        body["metadata"] = metadata
    return Request(
        dialect=NAME,
        model=model,
        turns=lead + each(messages, "messages", _message_in),
        tools=each(take(body, "tools", list, []), "tools", _tool_in),
        tool_choice=choice,
        parallel=parallel,
        sampling=Sampling(take(body, "temperature", float), take(body, "top_p", float), take(body, "top_k", int)),
        max_tokens=take(body, "max_tokens", int),
        stop=wire.strings(body, "stop_sequences"),
        reasoning=reasoning,
        format=form,
        user=user,
        stream=take(body, "stream", bool, False),
        own=body or None,
    )


def _message_in(message: dict[str, Any]) -> Turn:
    role = need(message, "role", str)
    match role:
        case "user" | "assistant" | "system":
            return Turn(role, _ridden(_content_in(message.pop("content", None), "content")), message or None)
        case _:
            raise Malformed("role", f"'{role}' is none of user, assistant, system")


def _content_in(content: Any, key: str) -> tuple[Block, ...]:
    if type(content) is str:
        return (Text(content),)
    if type(content) is list:
        return each(content, key, block_in)
    raise Malformed(key, "is required and must be a string or an array of blocks")


def _ridden(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Give the seals that rode in empty thinking blocks back to what they belong to: the call or text that follows."""
    if not any(isinstance(block, Reasoning) and _rides(block) for block in blocks):
        return blocks
    out: list[Block] = []
    waiting: Reasoning | None = None
    for block in blocks:
        if waiting is not None and isinstance(block, ToolCall | Text):
            block, waiting = replace(block, seal=waiting.seal), None
        elif waiting is not None:
            out.append(Text("", seal=waiting.seal))
            waiting = None
        if isinstance(block, Reasoning) and _rides(block):
            waiting = block
        else:
            out.append(block)
    if waiting is not None:  # nothing follows: it sat on a text that said nothing
        out.append(Text("", seal=waiting.seal))
    return tuple(out)


def _rides(block: Reasoning) -> bool:
    return not block.text and not block.redacted and block.seal is not None and block.seal.minter is not None


def _seal_in(text: str) -> Signature:
    return seals.read(text, NAME)


def block_in(block: dict[str, Any], seal_in: Callable[[str], Signature] = _seal_in) -> Block:
    """A block of a message; `seal_in` reads a signature, which a client's history and a backend's answer do apart."""
    kind = need(block, "type", str)
    match kind:
        case "text":
            text = need(block, "text", str)
            return Text(text, citations_in(block, len(text)), own=block or None)
        case "thinking":
            text, seal = take(block, "thinking", str, ""), take(block, "signature", str)
            return Reasoning(text, seal_in(seal) if seal else None, own=block or None)
        case "redacted_thinking":
            return Reasoning("", seal_in(need(block, "data", str)), redacted=True, own=block or None)
        case "tool_use":
            id_, name = need(block, "id", str), need(block, "name", str)
            arguments = wire.encode(take(block, "input", dict, {})).decode()
            return ToolCall(id_, name, arguments, own=block or None)
        case "tool_result":
            id_ = need(block, "tool_use_id", str)
            content = block.pop("content", None)
            blocks = () if content is None or content == "" else _content_in(content, "content")
            return ToolResult(id_, blocks, take(block, "is_error", bool, False), own=block or None)
        case "image":
            return _image_in(block)
        case "document":
            return _document_in(block)
        case "search_result":
            # the other dialects have no such block; its text they can be told
            texts = _texts(block.get("content"))
            if texts is not None:
                return Text(texts, own={"search_result": {"type": kind, **block}})
    return Opaque(NAME, kind, {"type": kind, **block})


def _image_in(block: dict[str, Any]) -> Block:
    source = block.pop("source", None)
    match source:
        case {"type": "base64", "media_type": str(mime), "data": str(data)}:
            return Image(Media(mime, data), block or None)
        case {"type": "url", "url": str(url)}:
            return Image(Media(url=url), block or None)
        case {"type": "file", "file_id": str(id_)}:
            return Image(Media(file_id=id_), block or None)
    raise Malformed("source", "must be an object of type base64, url or file")


def _document_in(block: dict[str, Any]) -> Block:
    source = block.pop("source", None)
    name = take(block, "title", str)
    match source:
        case {"type": "base64", "media_type": str(mime), "data": str(data)}:
            return Document(Media(mime, data, name=name), block or None)
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
    """The text of some text blocks; None where they are anything else."""
    if type(content) is str:
        return content
    if type(content) is not list:
        return None
    texts = [block.get("text") for block in content if type(block) is dict and block.get("type") == "text"]
    if len(texts) < len(content) or not all(type(text) is str for text in texts):
        return None
    return "\n".join(str(text) for text in texts)


def citations_in(block: dict[str, Any], length: int) -> tuple[Citation, ...]:
    """The citations of a text that have a URL; each speaks of the whole text, for Anthropic cuts its blocks so."""
    raw = block.pop("citations", None)
    if not raw or type(raw) is not list:
        return ()
    block.update(citations_own(raw) or {})
    return tuple(citation for item in raw if (citation := citation_in(item, length)) is not None)


def citations_own(raw: list[Any]) -> Own:
    """What the neutral citations do not hold: an index to send back, or the places in a document."""
    if not raw:
        return None
    return {"web_citations" if all(citation_in(item, 0) for item in raw) else "citations": raw}


def citation_in(item: Any, length: int) -> Citation | None:
    match item:
        case {"type": "web_search_result_location", "url": str(url)}:
            return Citation(url, item.get("title"), item.get("cited_text") or None, 0, length)
        case {"type": "search_result_location", "source": str(url)} if url.startswith(("http://", "https://")):
            return Citation(url, item.get("title"), item.get("cited_text") or None, 0, length)
    return None


def _tool_in(tool: dict[str, Any]) -> Tool | Opaque:
    kind = take(tool, "type", str, "custom")
    if kind != "custom":
        return Opaque(NAME, kind, {"type": kind, **tool})
    return Tool(
        need(tool, "name", str),
        take(tool, "description", str),
        take(tool, "input_schema", dict),
        take(tool, "strict", bool),
        own=tool or None,
    )


def _tool_choice_in(choice: dict[str, Any] | None) -> tuple[ToolChoice | None, bool | None]:
    if choice is None:
        return None, None
    kind = need(choice, "type", str)
    single = take(choice, "disable_parallel_tool_use", bool)
    parallel = None if single is None else not single
    match kind:
        case "auto" | "none":
            return ToolChoice(kind, own=choice or None), parallel
        case "any":
            return ToolChoice("required", own=choice or None), parallel
        case "tool":
            return ToolChoice("named", (need(choice, "name", str),), choice or None), parallel
        case _:
            raise Malformed("tool_choice.type", f"'{kind}' is none of auto, any, tool, none")


def _thinking_in(fields: dict[str, Any] | None, config: dict[str, Any]) -> Thinking | None:
    effort = take(config, "effort", str)
    own: dict[str, Any] = {}
    if effort == "max":  # more than any other dialect's most
        effort, own["effort"] = "xhigh", "max"
    if fields is None:
        return Thinking(effort, own=own or None) if effort is not None else None
    kind = need(fields, "type", str)
    budget = take(fields, "budget_tokens", int)
    display = take(fields, "display", str)
    if display not in (None, "summarized"):
        own["display"] = display
    own |= fields
    match kind:
        case "enabled" | "adaptive":
            summary = "auto" if display == "summarized" else None
            return Thinking(effort, budget, True, summary, own or None)
        case "disabled":
            # the effort then speaks of the answer alone, which is nothing that the others' efforts mean
            if effort is not None:
                own.setdefault("effort", effort)
            return Thinking(enabled=False, own=own or None)
        case _:
            return Thinking(effort, budget, own={**own, "thinking": kind})


def _format_in(config: dict[str, Any], older: dict[str, Any] | None) -> Format | None:
    fields = take(config, "format", dict) or older
    if fields is None:
        return None
    kind = need(fields, "type", str)
    if kind != "json_schema":
        raise Malformed("output_config.format.type", f"'{kind}' is not json_schema")
    return Format("json_schema", need(fields, "schema", dict), own=fields or None)
