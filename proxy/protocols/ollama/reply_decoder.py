"""Decodes Ollama chat replies into neutral replies."""

from __future__ import annotations

from typing import Any

from ...errors import Malformed, UpstreamError
from ...ir import Block, Reply, StopReason, Text, ToolCall, Usage
from ...ir.repairs import Repairs
from ...ir.token_logprobs import tokens_in, with_logprobs
from ...ir.usage_arithmetic import agreed_usage
from ...wire import json_fields
from ...wire.error_bodies import error_in_body, is_error
from ...wire.json_fields import each, need, take
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .fields import merge_extra
from .request_decoder import call_in, content_in, reasoning_in
from .tables import NAME, OTHER_STOPS, STOPS


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body.

    Raises UpstreamError if it is an error, and Malformed if it is not an Ollama reply.
    """
    if body.get("error") or ("message" not in body and is_error(body)):
        raise UpstreamError(error_in(error_in_body(body), None, None))
    repairs = Repairs()
    message = need(body, "message", dict)
    if take(body, "done", bool) is not True:
        raise Malformed("done", "must be true in a whole answer")
    try:
        blocks = _blocks_in(message, sent, new_id)
    except Malformed as fault:
        raise fault.under("message") from None
    native = take(body, "done_reason", str)
    usage = usage_in(body, repairs)
    model = take(body, "model", str)
    message.pop("role", None)
    if any(type(block) is Text for block in blocks) and (tokens := tokens_in(body.get("logprobs"))):
        blocks = with_logprobs(blocks, tokens)
        del body["logprobs"]
    return Reply(
        protocol=NAME,
        id=None,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks), repairs),
        native=native or None,
        usage=usage,
        extra=merge_extra(body, "message", message),
        repaired=repairs.names(),
    )


def _blocks_in(message: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> tuple[Block, ...]:
    return (
        *reasoning_in(message),
        *content_in(message, required=False),
        *calls_in(message, sent, new_id),
    )


def calls_in(message: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> tuple[ToolCall, ...]:
    """Takes the calls of a message, under the names that the client knows; a call without an id gets one."""
    found = each(take(message, "tool_calls", list, []), "tool_calls", call_in)
    return tuple(_reply_call_in(call, sent, new_id) for call in found)


def _reply_call_in(call: ToolCall, sent: UpstreamRequest, new_id: NewId) -> ToolCall:
    id_ = call.id or new_id("call_")
    alias = sent.names.get(call.name)
    if alias is None:
        return ToolCall(id_, call.name, call.arguments, extra=call.extra)
    arguments = _free_text_in(call.arguments) if alias.kind == "custom" else call.arguments
    return ToolCall(id_, alias.name, arguments, alias.kind, alias.namespace, extra=call.extra)


def _free_text_in(arguments: str) -> str:
    """Returns the text for a custom tool, which the backend knows as a function with one string parameter."""
    match json_fields.parse(arguments):
        case {"input": str(text)}:
            return text
        case _:
            return arguments


def stop_in(native: str | None, called: bool, repairs: Repairs) -> StopReason:
    """Maps a stop reason; Ollama reports `stop` for a tool call, older servers nothing, so the calls decide."""
    stop: StopReason = STOPS.get(native, "other") if native else "end"
    if native and native.lower() in OTHER_STOPS:
        stop = OTHER_STOPS[native.lower()]
        repairs.add("stop_word")
    if stop == "tool" and not called:
        repairs.add("stop_without_call")
        return "end"
    return "tool" if called and stop in ("end", "other") else stop


def usage_in(fields: dict[str, Any], repairs: Repairs) -> Usage | None:
    """Takes the token counts of a body or of the last line of a stream; None if it has none.

    `prompt_eval_count` includes the cached tokens. https://github.com/ollama/ollama/pull/17943
    """
    return agreed_usage(
        prompt=_count(fields, "prompt_eval_count"),
        output=_count(fields, "eval_count"),
        cache_read=_count(fields, "prompt_eval_cached_count"),
        repairs=repairs,
    )


def _count(fields: dict[str, Any], key: str) -> int | None:
    value = take(fields, key, int)
    return None if value is None else max(0, value)
