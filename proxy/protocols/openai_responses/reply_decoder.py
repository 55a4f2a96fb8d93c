"""Decodes Responses replies into neutral replies."""

from __future__ import annotations

import itertools
from typing import Any

from msgspec.structs import replace

from ...errors import UpstreamError
from ...ir import Block, Extra, Failure, Image, Media, Opaque, Reasoning, Reply, Signature, StopReason, Text, ToolCall
from ...ir.media_type import media_type
from ...ir.repairs import Repairs
from ...ir.token_logprobs import tokens_in
from ...wire.error_bodies import error_in_body, is_error
from ...wire.json_fields import each, maybe, need, take
from ..openai.usage import usage_in
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .hosted_tools import with_call
from .request_decoder import PartKey, call_in, message_in, reasoning_in
from .tables import ECHO_FIELDS, ECHO_KEY, FAILED_STATUSES, NAME, STOPS


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises Malformed if it is not a response, UpstreamError if it holds an error."""
    if (failed := failure_in(body)) is not None:
        raise UpstreamError(failed)
    repairs = Repairs()
    index = itertools.count()
    items = each(need(body, "output", list), "output", lambda item: item_in(item, next(index), sent, new_id))
    blocks = tuple(block for item in items for _, block in item)
    id_, model = maybe(body, "id", str), maybe(body, "model", str)
    body = {key: value for key, value in body.items() if key not in ("id", "model")}
    native = native_in(body)
    usage = take(body, "usage", dict)
    return Reply(
        protocol=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks)),
        native=native,
        usage=usage_in(usage, repairs) if usage else None,
        extra=extra_in(body),
        repaired=repairs.names(),
    )


def failure_in(body: dict[str, Any]) -> Failure | None:
    """Returns the failure that a response or an error in its place tells; None where it has none.

    "status: completed, failed, in_progress, cancelled, queued, or incomplete"; a failed one may lack its error.
    https://platform.openai.com/docs/api-reference/responses/object
    """
    if body.get("error") or ("output" not in body and is_error(body)):
        return error_in(error_in_body(body), None, None)
    sentence = FAILED_STATUSES.get(maybe(body, "status", str) or "")
    return None if sentence is None else error_in({"message": sentence}, None, None)


def item_in(item: dict[str, Any], index: int, sent: UpstreamRequest, new_id: NewId) -> list[tuple[PartKey, Block]]:
    """Decodes the parts of one output item; blocks of one message or reasoning item share `index` as their group."""
    kind = need(item, "type", str)
    match kind:
        case "message":
            item.pop("status", None)
            return [(key, with_tokens(block)) for key, block in message_in(item, index)]
        case "reasoning":
            item.pop("status", None)
            return [(key, _with_issuer(block, sent)) for key, block in reasoning_in(item, index)]
        case "function_call" | "custom_tool_call":
            return [(("call", 0), reply_call_in(kind, item, sent, new_id))]
        case "image_generation_call" if type(item.get("result")) is str and item["result"]:
            # "result: The generated image encoded in base64."
            # https://platform.openai.com/docs/api-reference/responses/object#responses-object-output
            data = item.pop("result")
            mime = media_type(f"image/{maybe(item, 'output_format', str) or 'png'}", data)
            return [(("item", 0), Image(Media(mime, data), item or None))]
        case _:
            return [(("item", 0), with_call(Opaque(NAME, kind, {"type": kind, **item})))]


def reply_call_in(kind: str, item: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> ToolCall:
    item.pop("status", None)
    if not item.get("call_id"):
        item["call_id"] = new_id("call_")
    call = call_in(kind, item)
    alias = sent.names.get(call.name)
    return call if alias is None else replace(call, name=alias.name, namespace=alias.namespace)


def with_tokens(block: Block) -> Block:
    """Returns a text with the log probabilities of its tokens, which are an extra field of a part."""
    if not isinstance(block, Text) or not block.extra or not (tokens := tokens_in(block.extra.get("logprobs"))):
        return block
    extra = {key: value for key, value in block.extra.items() if key != "logprobs"}
    return replace(block, logprobs=tokens, extra=extra or None)


def _with_issuer(block: Block, sent: UpstreamRequest) -> Block:
    """Names the backend's provider as the issuer of a signature."""
    if isinstance(block, Reasoning) and block.signature is not None:
        return replace(block, signature=Signature(block.signature.value, NAME, sent.target.provider))
    return block


def native_in(response: dict[str, Any]) -> str:
    """Returns the native stop reason: the status, or the reason where that is `incomplete`."""
    status = take(response, "status", str, "completed")
    details = take(response, "incomplete_details", dict)
    if status != "incomplete":
        return status
    reason = take(details, "reason", str) if details else None
    return reason or status


def stop_in(native: str, called: bool) -> StopReason:
    """Maps a native stop reason; a completed response with a call is `tool`."""
    stop = STOPS.get(native, "other")
    return "tool" if called and stop == "end" else stop


def extra_in(response: dict[str, Any]) -> Extra:
    """Returns the extra fields of a response; those that repeat the request are kept together under one key."""
    for key in ("object", "error", "output", "tools", "tool_choice", "instructions"):
        response.pop(key, None)
    echo = {key: response.pop(key) for key in ECHO_FIELDS if key in response}
    extra = {key: value for key, value in response.items() if value is not None}
    if echo:
        extra[ECHO_KEY] = echo
    return extra or None
