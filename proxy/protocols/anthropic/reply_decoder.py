"""Decodes Anthropic Messages replies into neutral replies."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...errors import Malformed
from ...ir import Block, Refusal, Reply, Signature, StopReason, ToolCall, Usage
from ...wire import json_fields
from ...wire.json_fields import each, need, take
from ..protocol import NewId, UpstreamRequest
from .request_decoder import block_in
from .tables import DIRECT_CALLER, NAME, STOPS


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises Malformed if it is not an Anthropic message."""
    kind = take(body, "type", str, "message")
    if kind != "message":
        raise Malformed("type", f"must be message, is '{kind}'")

    def reply_block_in(block: dict[str, Any]) -> Block:
        return _with_client_name(block_in(block, lambda signature: with_issuer(signature, sent)), sent)

    blocks = each(need(body, "content", list), "content", reply_block_in)
    native, matched = take(body, "stop_reason", str), take(body, "stop_sequence", str)
    usage = take(body, "usage", dict, {})
    counts = usage_in(usage)
    body.pop("role", None)
    id_, model = take(body, "id", str), take(body, "model", str)
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
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks)),
        matched=matched,
        native=native,
        usage=counts,
        extra=without_defaults(body) or None,
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


def stop_in(native: str | None, called: bool) -> StopReason:
    """Maps a stop reason; some hosts report `end_turn` for a tool call, in which case the call decides."""
    stop = STOPS.get(native or "", "other")
    return "tool" if called and stop in ("end", "other") else stop


def usage_in(usage: dict[str, Any]) -> Usage | None:
    """Takes the token counts; details such as tier, region and cache lifetimes remain."""
    details = usage.get("output_tokens_details")
    reasoning = _count(details, "thinking_tokens")
    if type(details) is dict and not details:
        del usage["output_tokens_details"]
    counts = Usage(
        _count(usage, "input_tokens"),
        _count(usage, "output_tokens"),
        _count(usage, "cache_read_input_tokens"),
        _count(usage, "cache_creation_input_tokens"),
        reasoning,
    )
    return counts if counts != Usage() else None


def _count(fields: Any, key: str) -> int | None:
    value = fields.pop(key, None) if type(fields) is dict else None
    return max(0, value) if type(value) is int else None


def without_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields without nulls, which a stream leaves out, and without the default caller."""
    default = ("caller", DIRECT_CALLER)
    return {key: value for key, value in fields.items() if value is not None and (key, value) != default}
