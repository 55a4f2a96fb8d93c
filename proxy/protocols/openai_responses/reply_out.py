"""The neutral reply as a Responses client gets it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ... import ledger
from ...ir import (
    Audio,
    Block,
    Document,
    Image,
    Loss,
    Opaque,
    Own,
    Reasoning,
    Refusal,
    Reply,
    Signature,
    Start,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from ..contract import Asked, NewId
from . import rider
from .items import call_out, part_out, reasoning_out, runs, split_own
from .request_out import format_out, tool_choice_out, tools_out
from .words import ECHO_KEY, INCOMPLETE, INEXACT_STOPS, NAME, STATUSES


def encode_reply(reply: Reply, asked: Asked) -> tuple[dict[str, Any], list[Loss]]:
    same = reply.dialect == NAME
    losses = [] if same else ledger.reply_leftovers(reply)
    output: list[dict[str, Any]] = []
    for run in runs(reply.blocks):
        output += _items_out(run, asked.new_id, same, losses)
    losses += [] if same else stop_losses(reply.stop, reply.matched)
    status, reason = stop_out(reply.stop, reply.native if same else None)
    if status == "incomplete" and output:
        output[-1] = broken_off(output[-1])
    own = reply.own if same else None
    body = response_out(asked, reply_id(reply, asked), status, own)
    body |= {"output": output, "usage": usage_out(reply.usage) if reply.usage is not None else None}
    if reason is not None:
        body["incomplete_details"] = {"reason": reason}
    return body, losses


def _items_out(run: list[tuple[int, Block]], new_id: NewId, same: bool, losses: list[Loss]) -> list[dict[str, Any]]:
    b, block = run[0]
    match block:
        case Text() | Refusal():
            said = [one for _, one in run if isinstance(one, Text | Refusal)]
            for k, one in run:
                losses += ledger.quote_losses(one.citations, f"blocks[{k}]") if isinstance(one, Text) else []
            seal = block.seal if isinstance(block, Text) else None
            if seal is not None and not block.text:
                return [rider_out(seal, "text", new_id)]
            before = [rider_out(seal, "next", new_id)] if seal is not None else []
            return [*before, message_out(said, new_id, same)]
        case Reasoning():
            return [thinking_out([one for _, one in run if isinstance(one, Reasoning)], new_id, same)]
        case ToolCall():
            before = [rider_out(block.seal, "next", new_id)] if block.seal else []
            return [*before, called_out(block, new_id, same)]
        case Opaque(dialect, _, data):
            return [data] if dialect == NAME else []  # the leftovers name any other
        case Image() | Document() | Audio() | ToolResult():
            losses.append(Loss(f"blocks[{b}]", "media_out", "dropped"))
            return []


# ---- items: shared by body and stream --------------------------------------------------------------------------------


def message_out(blocks: list[Text | Refusal], new_id: NewId, same: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    item: dict[str, Any] = {}
    for block in blocks:
        part, own = split_own(block.own if same and block.own else {})
        parts.append(output_part(block, part))
        item |= own
    head = {"id": item.get("id") or new_id("msg_"), "type": "message", "status": "completed", "role": "assistant"}
    return {**head, "content": parts, **item}


def output_part(block: Text | Refusal, own: dict[str, Any]) -> dict[str, Any]:
    part = part_out(block, own)
    if isinstance(block, Text):
        part.setdefault("logprobs", [])
    return part


def thinking_out(blocks: list[Reasoning], new_id: NewId, same: bool) -> dict[str, Any]:
    """A reasoning item; other dialects' thinking is shown as a summary, which is what clients of this one display."""
    sealed = next((block for block in reversed(blocks) if block.seal is not None), None)
    seal = rider.thought(sealed, sealed.seal) if sealed is not None and sealed.seal is not None else None
    if not same:
        blocks = [replace(block, summary=bool(block.text), own=None) for block in blocks]
    item = reasoning_out(blocks, seal)
    return {"id": item.pop("id", None) or new_id("rs_"), **item}


def rider_out(seal: Signature, place: rider.Place, new_id: NewId) -> dict[str, Any]:
    return {"id": new_id("rs_"), "type": "reasoning", "summary": [], "encrypted_content": rider.token(seal, place)}


def called_out(call: ToolCall, new_id: NewId, same: bool) -> dict[str, Any]:
    item = call_out(call, None, call.own if same and call.own else {})
    id_ = item.pop("id", None) or new_id("ctc_" if call.kind == "custom" else "fc_")
    return {"id": id_, **item, "status": "completed"}


def broken_off(item: dict[str, Any]) -> dict[str, Any]:
    """The item in which an answer broke off."""
    return {**item, "status": "incomplete"} if item.get("status") == "completed" else item


# ---- the response around them ----------------------------------------------------------------------------------------


def response_out(asked: Asked, id_: str, status: str, own: Own) -> dict[str, Any]:
    """A response with every field that must be there, the request's repeated; the `own` of an equal one wins."""
    request = asked.request
    said = request.own or {}
    thinking, sampling = request.reasoning, request.sampling
    first = request.turns[0] if request.turns else None
    instructed = first is not None and first.own is not None and "instructions" in first.own
    instructions = "".join(b.text for b in first.blocks if isinstance(b, Text)) if first and instructed else None
    text = {"format": _format_echo(format_out(request.format, True) if request.format else {"type": "text"})}
    text |= {key[5:]: value for key, value in said.items() if key.startswith("text.")}
    choice = request.tool_choice
    body: dict[str, Any] = {
        "id": id_,
        "object": "response",
        "created_at": asked.created,
        "status": status,
        "background": False,
        "completed_at": asked.created if status == "completed" else None,
        "error": None,
        "frequency_penalty": sampling.frequency_penalty or 0.0,
        "incomplete_details": None,
        "instructions": instructions,
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": said.get("max_tool_calls"),
        "metadata": said.get("metadata") or {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": True if request.parallel is None else request.parallel,
        "presence_penalty": sampling.presence_penalty or 0.0,
        "previous_response_id": said.get("previous_response_id"),
        "prompt_cache_key": said.get("prompt_cache_key"),
        "reasoning": {"effort": thinking.effort, "summary": thinking.summary} if thinking else NO_REASONING,
        "safety_identifier": said.get("safety_identifier"),
        "service_tier": "default",
        "store": False,  # of an equal protocol's answer `own` says what its provider did
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "text": text,
        "tool_choice": tool_choice_out(choice, request.tools, None) if choice else "auto",
        "tools": [_tool_echo(tool) for tool in tools_out(request.tools, None, True)],
        "top_logprobs": said.get("top_logprobs") or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "truncation": said.get("truncation") or "disabled",
        "usage": None,
        "user": request.user,
    }
    for key, value in (own or {}).items():
        if key == ECHO_KEY:
            body |= value
        else:
            body[key] = value
    return body


NO_REASONING: dict[str, Any] = {"effort": None, "summary": None}


def _format_echo(form: dict[str, Any]) -> dict[str, Any]:
    """A format as a response repeats it: with its keys that are null, too."""
    return {"description": None, "strict": False, **form} if form["type"] == "json_schema" else form


def _tool_echo(tool: dict[str, Any]) -> dict[str, Any]:
    """A function as a response repeats it: with its keys that are null, too."""
    if tool["type"] != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


def reply_id(reply: Reply | Start, asked: Asked) -> str:
    return reply.id if reply.dialect == NAME and reply.id else f"resp_{asked.id}"


def stop_out(stop: StopReason, native: str | None) -> tuple[str, str | None]:
    """The status, and where it is incomplete the reason; a word of this very dialect stands as it is."""
    if native is not None:
        return (native, None) if native in STATUSES else ("incomplete", native)
    reason = INCOMPLETE.get(stop)
    return ("incomplete", reason) if reason else ("completed", None)


def stop_losses(stop: StopReason, matched: str | None) -> list[Loss]:
    losses = [ledger.loss("stop", "stop_reason")] if stop in INEXACT_STOPS else []
    if matched is not None:
        losses.append(ledger.loss("matched", "matched_stop"))
    return losses


def usage_out(usage: Usage) -> dict[str, Any]:
    """Usage with every detail, because this wire requires them: what nobody counted is 0."""
    prompt, output = usage.prompt or 0, usage.output or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_read or 0, "cache_write_tokens": usage.cache_write or 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": prompt + output,
    }
