"""Decodes Chat Completions replies into neutral replies."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...errors import Malformed, UpstreamError
from ...ir import Block, Citation, Refusal, Reply, StopReason, Text, ToolCall, Usage
from ...wire.json_fields import each, maybe, need, take
from ..openai import usage as openai
from ..openai.content import content_in, split_annotations
from ..openai.usage import count
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .request_decoder import call_in, part_in, reasoning_in
from .tables import NAME, STOPS


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises Malformed if it is not a chat completion, UpstreamError if it holds an error."""
    if body.get("error") is not None:  # some hosts answer 200 with an error
        raise UpstreamError(error_in(body["error"], None, None))
    choices = need(body, "choices", list)
    if not choices or type(choices[0]) is not dict:
        raise Malformed("choices", "must hold at least one choice")
    choice = choices[0]
    try:
        native = take(choice, "finish_reason", str)
        # Azure leaves the message out where its filter took all of it
        message = take(choice, "message", dict, {}) if native == "content_filter" else need(choice, "message", dict)
        blocks = _blocks_in(message, sent, new_id)
    except Malformed as fault:
        raise fault.under("choices[0]") from None
    usage = take(body, "usage", dict)
    message.pop("role", None)
    id_, model = take(body, "id", str), take(body, "model", str)
    extra = {**body, **{f"choices[0].{k}": v for k, v in choice.items()}}
    extra |= {f"choices[0].message.{k}": v for k, v in message.items()}
    if len(choices) > 1:
        extra["n"] = choices[1:]
    return Reply(
        protocol=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks)),
        native=native,
        usage=usage_in(usage) if usage else None,
        extra=extra or None,
    )


def _blocks_in(message: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> tuple[Block, ...]:
    provider = sent.target.provider
    blocks: tuple[Block, ...] = reasoning_in(message, provider)
    content = content_in(message, "content", part_in, required=False)
    if content and type(content[-1]) is Text:
        citations = citations_in(message)
        content = (*content[:-1], replace(content[-1], citations=citations))
    blocks += content
    if refusal := take(message, "refusal", str):
        blocks += (Refusal(refusal),)
    calls = take(message, "tool_calls", list, [])
    function = take(message, "function_call", dict)
    if function and function.get("name"):  # some hosts send {"name": "", "arguments": ""} without a call
        calls = [*calls, {"function": function}]
    for call in calls:
        if type(call) is dict and not call.get("id"):
            call["id"] = new_id("call_")
    for found in each(calls, "tool_calls", lambda call: call_in(call, provider)):
        alias = sent.names.get(found.name)
        if alias is not None:
            found = replace(found, name=alias.name, namespace=alias.namespace)
        blocks += (found,)
    return blocks


def citations_in(message: dict[str, Any]) -> tuple[Citation, ...]:
    """Pops the URL citations of a message; annotations of another kind are left in it."""
    annotations = message.pop("annotations", None)
    if type(annotations) is not list:
        return ()
    citations, others = split_annotations(annotations, _citation_in)
    if others:
        message["annotations"] = others
    return citations


def _citation_in(annotation: Any) -> Citation | None:
    match annotation:
        case {"type": "url_citation", "url_citation": {"url": str(url)} as fields}:
            return Citation(
                url,
                maybe(fields, "title", str),
                maybe(fields, "content", str),
                maybe(fields, "start_index", int),
                maybe(fields, "end_index", int),
            )
    return None


def stop_in(native: str | None, called: bool) -> StopReason:
    """Maps a finish reason; a call counts as `tool` although some hosts report `stop` with it."""
    stop = STOPS.get(native or "", "other")
    return "tool" if called and stop in ("end", "other") else stop


def usage_in(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details")
    cache_read = count(details, "cached_tokens")
    if cache_read is None:  # DeepSeek: https://api-docs.deepseek.com/guides/kv_cache
        cache_read = count(usage, "prompt_cache_hit_tokens")
    return openai.usage_in(
        prompt=count(usage, "prompt_tokens"),
        output=count(usage, "completion_tokens"),
        cache_read=cache_read,
        cache_write=count(details, "cache_write_tokens"),
        reasoning=count(usage.get("completion_tokens_details"), "reasoning_tokens"),
        total=count(usage, "total_tokens"),
    )
