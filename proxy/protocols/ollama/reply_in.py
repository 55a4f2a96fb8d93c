"""An Ollama backend's answer as the neutral form."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...errors import Malformed, UpstreamError
from ...ir import (
    Block,
    Reply,
    StopReason,
    ToolCall,
    Usage,
)
from ...wire import each, need, take
from ..contract import NewId, Sent
from .failure import error_in
from .request_in import call_in, content_in, reasoning_in
from .words import NAME, STOPS


def decode_reply(body: dict[str, Any], sent: Sent, new_id: NewId) -> Reply:
    if body.get("error") is not None:
        raise UpstreamError(error_in(body["error"], None, None))
    message = need(body, "message", dict)
    if take(body, "done", bool) is not True:
        raise Malformed("done", "must be true in a whole answer")
    try:
        blocks = _reply_blocks(message, sent, new_id)
    except Malformed as fault:
        raise fault.under("message") from None
    native = take(body, "done_reason", str)
    usage = usage_in(body)
    model = take(body, "model", str)
    message.pop("role", None)
    own = {**body, **{f"message.{key}": value for key, value in message.items()}}
    return Reply(
        dialect=NAME,
        id=None,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks)),
        native=native,
        usage=usage,
        own=own or None,
    )


def _reply_blocks(message: dict[str, Any], sent: Sent, new_id: NewId) -> tuple[Block, ...]:
    return (
        *reasoning_in(message),
        *content_in(message, required=False),
        *calls_in(message, sent, new_id),
    )


def calls_in(message: dict[str, Any], sent: Sent, new_id: NewId) -> tuple[ToolCall, ...]:
    """The calls of a message, under the client's names; those that came without an id get one."""
    found = each(take(message, "tool_calls", list, []), "tool_calls", call_in)
    return tuple(_reply_call(call, sent, new_id) for call in found)


def _reply_call(call: ToolCall, sent: Sent, new_id: NewId) -> ToolCall:
    id_ = call.id or new_id("call_")
    alias = sent.names.get(call.name)
    if alias is None:
        return ToolCall(id_, call.name, call.arguments, own=call.own)
    arguments = _free_text(call.arguments) if alias.kind == "custom" else call.arguments
    return ToolCall(id_, alias.name, arguments, alias.kind, alias.namespace, own=call.own)


def _free_text(arguments: str) -> str:
    """What a custom tool was told, out of the one argument of the function that played it."""
    match wire.parse(arguments):
        case {"input": str(text)}:
            return text
        case _:
            return arguments


def stop_in(native: str | None, called: bool) -> StopReason:
    """Ollama ends calls with a plain stop, and older servers say no reason at all: the calls are what counts."""
    stop: StopReason = STOPS.get(native, "other") if native else "end"
    return "tool" if called and stop in ("end", "other") else stop


def usage_in(fields: dict[str, Any]) -> Usage | None:
    """The counts of a body or of a stream's last line; None where it has none.

    `prompt_eval_count` includes the cached tokens. https://github.com/ollama/ollama/pull/17943
    """
    prompt, output = take(fields, "prompt_eval_count", int), take(fields, "eval_count", int)
    read = take(fields, "prompt_eval_cached_count", int)
    if prompt is None and output is None and read is None:
        return None
    return Usage(
        None if prompt is None else max(0, prompt - (read or 0)),
        None if output is None else max(0, output),
        None if read is None else max(0, read),
    )
