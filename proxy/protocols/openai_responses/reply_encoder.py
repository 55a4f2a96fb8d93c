"""Encodes neutral replies as Responses replies, and declares what is lost."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...ir import (
    Audio,
    Block,
    Document,
    Extra,
    HostedCall,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Reply,
    ReplyStart,
    Signature,
    StopReason,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    Video,
)
from ...ir.losses import citation_text_losses, reply_extra_losses
from ...ir.token_logprobs import tokens_out
from ..openai.losses import stop_losses
from ..protocol import NewId, ReplyContext
from . import signature_carrier
from .client_tools import CALL_PREFIXES, client_call_out, vendor_of
from .hosted_tools import hosted_item_out
from .items import call_out, group_by_item, part_out, reasoning_out, split_item_extra
from .request_encoder import format_out
from .tables import ECHO_KEY, IMAGE_FORMATS, INCOMPLETE, NAME, STATUSES
from .tool_encoder import tool_choice_out, tools_out


def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
    """Returns the body for a client, and the losses."""
    same = reply.protocol == NAME
    losses = [] if same else reply_extra_losses(reply)
    output: list[dict[str, Any]] = []
    first = 0  # of the items of the last group
    for group in group_by_item(reply.blocks):
        first = len(output)
        output += _items_out(group, context, same, losses)
    losses += [] if same else stop_losses(reply.stop, reply.matched)
    status, reason = stop_out(reply.stop, reply.native if same else None)
    if status == "incomplete":
        last = next((k for k in range(len(output) - 1, first - 1, -1) if "status" in output[k]), None)
        if last is not None:  # behind it there may be the carrier of its signature
            output[last] = incomplete_item(output[last])
    extra = reply.extra if same else None
    body = response_out(context, reply_id(reply, context), status, extra)
    body |= {"output": output, "usage": usage_out(reply.usage) if reply.usage is not None else None}
    if reason is not None:
        body["incomplete_details"] = {"reason": reason}
    return body, losses


def _items_out(
    group: list[tuple[int, Block]], context: ReplyContext, same: bool, losses: list[Loss]
) -> list[dict[str, Any]]:
    """Encodes the blocks of one item, with the carrier of a signature on it: before a call, behind a text."""
    new_id = context.new_id
    b, block = group[0]
    match block:
        case Text() | Refusal():
            parts = [part for _, part in group if isinstance(part, Text | Refusal)]
            for k, part in group:
                losses += citation_text_losses(part.citations, f"blocks[{k}]") if isinstance(part, Text) else []
            last = parts[-1]
            if not isinstance(last, Text) or last.signature is None:
                return [reply_message_out(parts, new_id, same)]
            # behind the text, as in a stream, where most come when their text was already sent
            parts = parts if last.text else parts[:-1]
            message = [reply_message_out(parts, new_id, same)] if parts else []
            return [*message, carrier_out(last.signature, "last" if last.text else "text", new_id)]
        case Reasoning():
            return [reply_reasoning_out([part for _, part in group if isinstance(part, Reasoning)], new_id, same)]
        case ToolCall():
            before = [carrier_out(block.signature, "next", new_id)] if block.signature else []
            return [*before, reply_call_out(block, new_id, same, context.request.tools)]
        case Opaque(protocol, _, data) if protocol == NAME:
            return [data]
        case Opaque(call=HostedCall() as call):
            return [hosted_item_out(call, new_id(""))]
        case Opaque():
            return []  # it is declared with the extra fields
        case Image(Media(data=str()) as media, extra):
            return [image_item_out(media, new_id, extra if same else None)]
        case Image() | Document() | Audio() | Video() | ToolResult():
            losses.append(Loss(f"blocks[{b}]", "media_out", "dropped"))
            return []


# ---- items: shared by body and stream --------------------------------------------------------------------------------


def reply_message_out(blocks: list[Text | Refusal], new_id: NewId, same: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    item: dict[str, Any] = {}
    for block in blocks:
        part, extra = split_item_extra(block.extra if same and block.extra else {})
        parts.append(output_part(block, part))
        item |= extra
    head = {"id": item.get("id") or new_id("msg_"), "type": "message", "status": "completed", "role": "assistant"}
    return {**head, "content": parts, **item}


def output_part(block: Text | Refusal, extra: dict[str, Any]) -> dict[str, Any]:
    part = part_out(block, extra)
    if isinstance(block, Text) and (block.logprobs or "logprobs" not in part):
        part["logprobs"] = tokens_out(block.logprobs)
    return part


def reply_reasoning_out(blocks: list[Reasoning], new_id: NewId, same: bool) -> dict[str, Any]:
    """Returns a reasoning item; other protocols' thinking becomes a summary, which clients of this one display."""
    tokens = (signature_carrier.thinking_token(block, block.signature) for block in reversed(blocks) if block.signature)
    signature = next(tokens, None)
    if not same:
        blocks = [replace(block, summary=bool(block.text), extra=None) for block in blocks]
    item = reasoning_out(blocks, signature)
    return {"id": item.pop("id", None) or new_id("rs_"), **item}


def carrier_out(signature: Signature, signed: signature_carrier.Signed, new_id: NewId) -> dict[str, Any]:
    """Returns the empty reasoning item that carries another provider's signature."""
    return {
        "id": new_id("rs_"),
        "type": "reasoning",
        "summary": [],
        "encrypted_content": signature_carrier.carrier_token(signature, signed),
    }


def reply_call_out(call: ToolCall, new_id: NewId, same: bool, tools: tuple[Tool | Opaque, ...] = ()) -> dict[str, Any]:
    """Returns the item of a call; among the client's `tools` the call of a vendor's own has an item of its own."""
    vendor = None if same else vendor_of(call.name, tools)
    if vendor is not None and (own := client_call_out(vendor, call.arguments, call.id, {})) is not None:
        return {"id": new_id(CALL_PREFIXES[vendor]), **own, "status": "completed"}
    item = call_out(call, None, call.extra if same and call.extra else {})
    id_ = item.pop("id", None) or new_id("ctc_" if call.kind == "custom" else "fc_")
    return {"id": id_, **item, "status": "completed"}


def image_item_out(media: Media, new_id: NewId, extra: Extra) -> dict[str, Any]:
    """Returns an image of an answer as the service writes one that a model made.

    "result: The generated image encoded in base64."
    https://platform.openai.com/docs/api-reference/responses/object#responses-object-output
    """
    id_ = extra["id"] if extra and "id" in extra else new_id("ig_")
    item = {"id": id_, "type": "image_generation_call", "status": "completed", "result": media.data}
    kind = (media.mime or "").removeprefix("image/")
    return {**item, **({"output_format": kind} if kind in IMAGE_FORMATS else {}), **(extra or {})}


def incomplete_item(item: dict[str, Any]) -> dict[str, Any]:
    """Marks the item in which an answer was cut off."""
    return {**item, "status": "incomplete"} if item.get("status") == "completed" else item


# ---- the response ----------------------------------------------------------------------------------------------------


def response_out(context: ReplyContext, id_: str, status: str, extra: Extra) -> dict[str, Any]:
    """Returns a response with every required field, and those of the request; a Responses backend's values win."""
    request = context.request
    requested = request.extra or {}
    reasoning, sampling = request.reasoning, request.sampling
    first = request.turns[0] if request.turns else None
    instructed = first is not None and first.extra is not None and "instructions" in first.extra
    instructions = "".join(b.text for b in first.blocks if isinstance(b, Text)) if first and instructed else None
    text = {"format": _format_echo(format_out(request.format, True) if request.format else {"type": "text"})}
    text |= {key[5:]: value for key, value in requested.items() if key.startswith("text.")}
    choice = request.tool_choice
    body: dict[str, Any] = {
        "id": id_,
        "object": "response",
        "created_at": context.created,
        "status": status,
        "background": False,
        "completed_at": context.created if status == "completed" else None,
        "error": None,
        "frequency_penalty": sampling.frequency_penalty or 0.0,
        "incomplete_details": None,
        "instructions": instructions,
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": requested.get("max_tool_calls"),
        "metadata": requested.get("metadata") or {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": True if request.parallel is None else request.parallel,
        "presence_penalty": sampling.presence_penalty or 0.0,
        "previous_response_id": requested.get("previous_response_id"),
        "prompt_cache_key": requested.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary} if reasoning else NO_REASONING,
        "safety_identifier": requested.get("safety_identifier"),
        "service_tier": "default",
        "store": False,  # a Responses backend's value is among the extra fields
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "text": text,
        "tool_choice": tool_choice_out(choice, request.tools, None) if choice else "auto",
        "tools": [_tool_echo(tool) for tool in tools_out(request.tools, None, True)],
        "top_logprobs": request.logprobs or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "truncation": requested.get("truncation") or "disabled",
        "usage": None,
        "user": request.user,
    }
    for key, value in (extra or {}).items():
        if key == ECHO_KEY:
            body |= value
        else:
            body[key] = value
    return body


NO_REASONING: dict[str, Any] = {"effort": None, "summary": None}


def _format_echo(form: dict[str, Any]) -> dict[str, Any]:
    """Adds the keys that a response lists for a format even where they are null."""
    return {"description": None, "strict": False, **form} if form["type"] == "json_schema" else form


def _tool_echo(tool: dict[str, Any]) -> dict[str, Any]:
    """Adds the keys that a response lists for a function even where they are null."""
    if tool["type"] != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


def reply_id(reply: Reply | ReplyStart, context: ReplyContext) -> str:
    return reply.id if reply.protocol == NAME and reply.id else f"resp_{context.id}"


def stop_out(stop: StopReason, native: str | None) -> tuple[str, str | None]:
    """Returns the status, and the reason where it is incomplete; a Responses backend's own value is kept."""
    if native is not None:
        return (native, None) if native in STATUSES else ("incomplete", native)
    reason = INCOMPLETE.get(stop)
    return ("incomplete", reason) if reason else ("completed", None)


def usage_out(usage: Usage) -> dict[str, Any]:
    """Returns usage with every detail, which this protocol requires; a count that is unknown is 0."""
    prompt, output = usage.prompt or 0, usage.output or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_read or 0, "cache_write_tokens": usage.cache_write or 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": prompt + output,
    }
