"""A chat backend's answer as the neutral form."""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import Malformed, UpstreamError
from ...ir import (
    Block,
    Citation,
    Refusal,
    Reply,
    StopReason,
    Text,
    ToolCall,
    Usage,
)
from ...wire import each, need, take
from ..contract import NewId, Sent
from .failure import error_in
from .request_in import call_in, content_in, reasoning_in
from .words import NAME, STOPS


def decode_reply(body: dict[str, Any], sent: Sent, new_id: NewId) -> Reply:
    if body.get("error") is not None:  # hosts that answer 200 and then think better of it
        raise UpstreamError(error_in(body["error"], None, None))
    choices = need(body, "choices", list)
    if not choices or type(choices[0]) is not dict:
        raise Malformed("choices", "must hold at least one choice")
    choice = choices[0]
    try:
        native = take(choice, "finish_reason", str)
        # Azure leaves the message out where its filter took all of it
        message = take(choice, "message", dict, {}) if native == "content_filter" else need(choice, "message", dict)
        blocks = _reply_blocks(message, sent, new_id)
    except Malformed as fault:
        raise fault.under("choices[0]") from None
    usage = take(body, "usage", dict)
    message.pop("role", None)
    id_, model = take(body, "id", str), take(body, "model", str)
    own = {**body, **{f"choices[0].{k}": v for k, v in choice.items()}}
    own |= {f"choices[0].message.{k}": v for k, v in message.items()}
    if len(choices) > 1:
        own["n"] = choices[1:]
    return Reply(
        dialect=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks)),
        native=native,
        usage=usage_in(usage) if usage else None,
        own=own or None,
    )


def _reply_blocks(message: dict[str, Any], sent: Sent, new_id: NewId) -> tuple[Block, ...]:
    provider = sent.target.provider
    blocks: tuple[Block, ...] = reasoning_in(message, provider)
    content = content_in(message, required=False)
    if content and type(content[-1]) is Text:
        notes = citations_in(message)
        content = (*content[:-1], msgspec.structs.replace(content[-1], citations=notes))
    blocks += content
    if refusal := take(message, "refusal", str):
        blocks += (Refusal(refusal),)
    calls = take(message, "tool_calls", list, [])
    function = take(message, "function_call", dict)
    if function and function.get("name"):  # hosts that fill every field in say {"name": "", "arguments": ""}
        calls = [*calls, {"function": function}]
    for call in calls:
        if type(call) is dict and not call.get("id"):
            call["id"] = new_id("call_")
    for found in each(calls, "tool_calls", lambda call: call_in(call, provider)):
        alias = sent.names.get(found.name)
        if alias is not None:
            found = msgspec.structs.replace(found, name=alias.name, namespace=alias.namespace)
        blocks += (found,)
    return blocks


def citations_in(message: dict[str, Any]) -> tuple[Citation, ...]:
    """The URL citations of a message; annotations of another kind stay behind."""
    annotations = message.pop("annotations", None)
    if type(annotations) is not list:
        return ()
    found, others = [], []
    for annotation in annotations:
        match annotation:
            case {"type": "url_citation", "url_citation": {"url": str(url)} as fields}:
                found.append(
                    Citation(
                        url,
                        fields.get("title"),
                        fields.get("content"),
                        fields.get("start_index"),
                        fields.get("end_index"),
                    )
                )
            case _:
                others.append(annotation)
    if others:
        message["annotations"] = others
    return tuple(found)


def stop_in(native: str | None, called: bool) -> StopReason:
    """A host may say `stop` although it called a tool: the call is what counts."""
    stop = STOPS.get(native or "", "other")
    return "tool" if called and stop in ("end", "other") else stop


def usage_in(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    prompt, output = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    read = _count(details, "cached_tokens")
    written = _count(details, "cache_write_tokens")
    if read is None:  # DeepSeek: https://api-docs.deepseek.com/guides/kv_cache
        read = _count(usage, "prompt_cache_hit_tokens")
    reasoning = _count(usage.get("completion_tokens_details") or {}, "reasoning_tokens")
    total = _count(usage, "total_tokens")
    if reasoning and output is not None and total == (prompt or 0) + output + reasoning:
        output += reasoning  # xAI counts reasoning outside the output
    # Azure may count more cached tokens than the prompt has
    new = None if prompt is None else max(0, prompt - (read or 0) - (written or 0))
    return Usage(new, output, read, written, reasoning)


def _count(fields: Any, key: str) -> int | None:
    value = fields.get(key) if type(fields) is dict else None
    return max(0, value) if type(value) is int else None
