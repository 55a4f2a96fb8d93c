"""An Anthropic backend's answer as the neutral form."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ... import wire
from ...errors import Malformed
from ...ir import (
    Block,
    Refusal,
    Reply,
    Signature,
    StopReason,
    ToolCall,
    Usage,
)
from ...wire import each, need, take
from ..contract import NewId, Sent
from .request_in import block_in
from .words import DIRECT, NAME, STOPS


def decode_reply(body: dict[str, Any], sent: Sent, new_id: NewId) -> Reply:
    kind = take(body, "type", str, "message")
    if kind != "message":
        raise Malformed("type", f"must be message, is '{kind}'")
    content = each(
        need(body, "content", list), "content", lambda block: block_in(block, lambda seal: minted(seal, sent))
    )
    blocks = tuple(_called(block, sent) for block in content)
    native, matched = take(body, "stop_reason", str), take(body, "stop_sequence", str)
    usage = take(body, "usage", dict, {})
    counted = usage_in(usage)
    body.pop("role", None)
    id_, model = take(body, "id", str), take(body, "model", str)
    if usage := said(usage):
        body["usage"] = usage
    refusal = refusal_in(body)
    if refusal:
        blocks += (Refusal(refusal),)
    return Reply(
        dialect=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks)),
        matched=matched,
        native=native,
        usage=counted,
        own=said(body) or None,
    )


def _called(block: Block, sent: Sent) -> Block:
    """A call under the name that the client knows."""
    if not isinstance(block, ToolCall):
        return block
    if block.own:
        block = replace(block, own=said(block.own) or None)
    if block.name not in sent.names:
        return block
    alias = sent.names[block.name]
    arguments = custom_in(block.arguments) if alias.kind == "custom" else block.arguments
    return replace(block, name=alias.name, namespace=alias.namespace, kind=alias.kind, arguments=arguments)


def minted(seal: str, sent: Sent) -> Signature:
    """A provider's own seal is minted by that provider, whatever client will carry it."""
    return Signature(seal, NAME, sent.target.provider)


def custom_in(arguments: str) -> str:
    """The free text of a custom tool that was played by a function with one string."""
    try:
        fields = wire.parse_object(arguments)
    except Malformed:
        return arguments
    text = fields.get("input")
    return text if type(text) is str else arguments


def refusal_in(own: dict[str, Any]) -> str | None:
    """Pop the model's own words for why it will not answer; what else the details say stays behind.

    "explanation: A human-readable explanation of the refusal."
    https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals
    """
    details = own.get("stop_details")
    if type(details) is not dict or type(details.get("explanation")) is not str or not details["explanation"]:
        return None
    rest = {key: value for key, value in details.items() if key not in ("type", "explanation") and value is not None}
    if rest:
        own["stop_details"] = rest
    else:
        del own["stop_details"]
    return str(details["explanation"])


def stop_in(native: str | None, called: bool) -> StopReason:
    """A host may say `end_turn` although it called a tool: the call is what counts."""
    stop = STOPS.get(native or "", "other")
    return "tool" if called and stop in ("end", "other") else stop


def usage_in(usage: dict[str, Any]) -> Usage | None:
    """Pop the counts; what stays behind is detail: tiers, places, the cache's ages."""
    details = usage.get("output_tokens_details")
    reasoning = _count(details, "thinking_tokens")
    if type(details) is dict and not details:
        del usage["output_tokens_details"]
    counted = Usage(
        _count(usage, "input_tokens"),
        _count(usage, "output_tokens"),
        _count(usage, "cache_read_input_tokens"),
        _count(usage, "cache_creation_input_tokens"),
        reasoning,
    )
    return counted if counted != Usage() else None


def _count(fields: Any, key: str) -> int | None:
    value = fields.pop(key, None) if type(fields) is dict else None
    return max(0, value) if type(value) is int else None


def said(fields: dict[str, Any]) -> dict[str, Any]:
    """What of these fields says something: no null, which a stream leaves out, and no caller but the model itself."""
    return {key: value for key, value in fields.items() if value is not None and (key, value) != ("caller", DIRECT)}
