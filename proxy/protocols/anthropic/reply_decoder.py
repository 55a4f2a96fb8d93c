"""Decodes Anthropic Messages replies into neutral replies."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...errors import Malformed, UpstreamError
from ...ir import Block, Opaque, Refusal, Reply, Signature, StopReason, ToolCall, Usage
from ...ir.repairs import Repairs, agreed_stop
from ...wire import json_fields
from ...wire.error_bodies import error_in_body, is_error
from ...wire.json_fields import each, maybe, need, take
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .hosted_tools import HostedCalls
from .request_decoder import block_in
from .tables import DIRECT_CALLER, NAME, OTHER_STOPS, STOPS


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises Malformed if it is not an Anthropic message."""
    kind = take(body, "type", str, "message")
    if kind == "error" or ("content" not in body and is_error(body)):  # some hosts answer 200 with an error
        raise UpstreamError(error_in(error_in_body(body), None, None))
    if kind != "message":
        raise Malformed("type", f"must be message, is '{kind}'")
    repairs = Repairs()

    hosted = HostedCalls()

    def reply_block_in(block: dict[str, Any]) -> Block:
        if block.get("type") == "tool_use" and not block.get("id"):
            repairs.add("call_id")
            block["id"] = new_id("toolu_")
        found = block_in(block, lambda signature: with_issuer(signature, sent))
        return hosted.with_call(found) if isinstance(found, Opaque) else _with_client_name(found, sent)

    if body.get("content", False) is None:
        body["content"] = []
    blocks = each(need(body, "content", list), "content", reply_block_in)
    native, matched = take(body, "stop_reason", str), take(body, "stop_sequence", str)
    usage = take(body, "usage", dict, {})
    counts = usage_in(usage, repairs)
    body.pop("role", None)
    id_, model = maybe(body, "id", str), maybe(body, "model", str)
    body = {key: value for key, value in body.items() if key not in ("id", "model")}
    if usage := without_defaults(usage):
        body["usage"] = usage
    refusal = refusal_in(body)
    if refusal:
        blocks += (Refusal(refusal),)
    return Reply(
        protocol=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks), repairs),
        matched=matched,
        native=native or None,
        usage=counts,
        extra=without_defaults(body) or None,
        repaired=repairs.names(),
    )


def _with_client_name(block: Block, sent: UpstreamRequest) -> Block:
    """Returns a tool call under the name that the client knows; other blocks unchanged."""
    if not isinstance(block, ToolCall):
        return block
    if block.extra:
        block = replace(block, extra=without_defaults(block.extra) or None)
    if block.name not in sent.names:
        return block
    alias = sent.names[block.name]
    arguments = free_text_in(block.arguments) if alias.kind == "custom" else block.arguments
    return replace(block, name=alias.name, namespace=alias.namespace, kind=alias.kind, arguments=arguments)


def with_issuer(signature: str, sent: UpstreamRequest) -> Signature:
    """Returns a signature of a reply as issued by the backend's provider."""
    return Signature(signature, NAME, sent.target.provider)


def free_text_in(arguments: str) -> str:
    """Returns the text for a custom tool, which the backend knows as a function with one string parameter."""
    try:
        fields = json_fields.parse_object(arguments)
    except Malformed:
        return arguments
    text = fields.get("input")
    return text if type(text) is str else arguments


def refusal_in(extra: dict[str, Any]) -> str | None:
    """Takes the explanation of a refusal out of `stop_details`; the other details remain.

    "explanation: A human-readable explanation of the refusal."
    https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals
    """
    details = extra.get("stop_details")
    if type(details) is not dict or type(details.get("explanation")) is not str or not details["explanation"]:
        return None
    rest = {key: value for key, value in details.items() if key not in ("type", "explanation") and value is not None}
    if rest:
        extra["stop_details"] = rest
    else:
        del extra["stop_details"]
    return str(details["explanation"])


def stop_in(native: str | None, called: bool | None, repairs: Repairs) -> StopReason:
    """Maps a stop reason; `called` tells whether there is a call, None where that is not known.

    Some hosts report `end_turn` for a tool call, or `tool_use` without one: the call decides.
    """
    stop = STOPS.get(native or "", "other")
    if not native:
        stop = "end"
        repairs.add("stop_missing")
    elif stop == "other" and native.lower() in OTHER_STOPS:
        stop = OTHER_STOPS[native.lower()]
        repairs.add("stop_word")
    return agreed_stop(stop, called, repairs)


def usage_in(usage: dict[str, Any], repairs: Repairs) -> Usage | None:
    """Takes the token counts; details such as tier, region and cache lifetimes remain.

    "Total input tokens in a request is the summation of input_tokens, cache_creation_input_tokens, and
    cache_read_input_tokens." https://platform.claude.com/docs/en/api/messages/create
    """
    details = usage.get("output_tokens_details")
    reasoning = _count(details, "thinking_tokens")
    if type(details) is dict and not details:
        del usage["output_tokens_details"]
    written = _count(usage, "cache_creation_input_tokens")
    creation = usage.get("cache_creation")
    if written is None and type(creation) is dict:  # {"ephemeral_5m_input_tokens": …, "ephemeral_1h_input_tokens": …}
        parts = [value for value in creation.values() if type(value) is int]
        written = sum(map(abs, parts)) if parts else None
    read, output = _count(usage, "cache_read_input_tokens"), _count(usage, "output_tokens")
    if reasoning is not None and output is not None and reasoning > output:
        repairs.add("usage_total")
        reasoning = output
    counts = Usage(_count(usage, "input_tokens"), output, read, written, reasoning)
    return counts if counts != Usage() else None


def _count(fields: Any, key: str) -> int | None:
    value = fields.pop(key, None) if type(fields) is dict else None
    return max(0, value) if type(value) is int else None


def without_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields without nulls, which a stream leaves out, and without the default caller."""
    default = ("caller", DIRECT_CALLER)
    return {key: value for key, value in fields.items() if value is not None and (key, value) != default}
