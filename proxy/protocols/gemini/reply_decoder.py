"""Decodes Gemini generateContent replies into neutral replies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ...errors import Malformed
from ...ir import Block, Reasoning, Reply, Signature, StopReason, Text, ToolCall, Usage
from ...wire import json_fields
from ...wire.json_fields import each, take
from ..protocol import NewId, UpstreamRequest
from .fields import enum_names, take_list
from .grounding import citations_in
from .parts import ToolCallIds, merge_blocks, part_in
from .tables import FINISH_NUMBERS, NAME, STOPS


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises Malformed if it is not a Gemini response."""
    candidates = take_list(body, "candidates")
    feedback = feedback_in(body)
    if candidates and type(candidates[0]) is not dict:
        raise Malformed("candidates", "must hold objects")
    if not candidates and feedback is None:
        raise Malformed("candidates", "must hold at least one candidate, or promptFeedback say why there is none")
    candidate = candidates[0] if candidates else {}
    try:
        content = take(candidate, "content", dict, {})
        blocks = _blocks_in(content, sent, ToolCallIds(lambda: new_id("call_")))
        native = finish_reason_in(candidate)
    except Malformed as fault:
        raise fault.under("candidates[0]") from None
    if blocks and type(blocks[-1]) is Text:
        blocks = (*blocks[:-1], replace(blocks[-1], citations=citations_in(candidate, blocks[-1].text)))
    usage = take(body, "usageMetadata", dict)
    id_, model = take(body, "responseId", str), take(body, "modelVersion", str)
    extra = {**body, **{f"candidates[0].{key}": value for key, value in candidate.items()}}
    extra |= {f"candidates[0].content.{key}": value for key, value in content.items()}
    if len(candidates) > 1:
        extra["n"] = candidates[1:]
    return Reply(
        protocol=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, feedback, any(isinstance(block, ToolCall) for block in blocks)),
        native=native or feedback,
        usage=usage_in(usage) if usage else None,
        extra=enum_names(extra) or None,
    )


def _blocks_in(content: dict[str, Any], sent: UpstreamRequest, call_ids: ToolCallIds) -> tuple[Block, ...]:
    content.pop("role", None)
    parts = [part for part in take_list(content, "parts") if part != {}]
    return merge_blocks(each(parts, "content.parts", lambda part: reply_block_in(part, sent, call_ids)))


def reply_block_in(part: dict[str, Any], sent: UpstreamRequest, call_ids: ToolCallIds) -> Block:
    """Decodes one part, with the client's name of a tool and this backend's provider as issuer of the signature."""
    block = part_in(part, call_ids)
    if not isinstance(block, Text | Reasoning | ToolCall):
        return block
    if block.signature is not None and block.signature.issuer is None:
        block = replace(block, signature=with_issuer(block.signature.value, sent))
    return with_client_name(block, sent) if isinstance(block, ToolCall) else block


def with_issuer(signature: str, sent: UpstreamRequest) -> Signature:
    """Returns a signature of a reply as issued by the backend's provider."""
    return Signature(signature, NAME, sent.target.provider)


def with_client_name(call: ToolCall, sent: UpstreamRequest) -> ToolCall:
    """Returns a tool call under the name that the client knows."""
    alias = sent.names.get(call.name)
    if alias is None:
        return call
    arguments = call.arguments
    if alias.kind == "custom" and arguments:
        arguments = free_text_in(arguments)
    return replace(call, name=alias.name, namespace=alias.namespace, kind=alias.kind, arguments=arguments)


def free_text_in(arguments: str) -> str:
    """Returns the text for a custom tool, which the backend knows as a function with one string parameter."""
    match json_fields.parse(arguments):
        case {"input": str(text)}:
            return text
    return arguments


def feedback_in(body: dict[str, Any]) -> str | None:
    """Returns why the prompt was blocked, or None; the feedback remains as extra fields with dotted keys."""
    feedback = body.get("promptFeedback")
    if type(feedback) is not dict:
        return None
    enum_names(feedback)
    del body["promptFeedback"]
    body.update((f"promptFeedback.{key}", value) for key, value in feedback.items())
    reason = feedback.get("blockReason")
    return None if reason is None else str(reason)


def finish_reason_in(candidate: dict[str, Any]) -> str | None:
    """Takes the finish reason of a candidate; a number becomes its name."""
    reason = candidate.pop("finishReason", None)
    if type(reason) is int:
        return FINISH_NUMBERS.get(reason, f"FINISH_REASON_{reason}")
    if reason is None or type(reason) is str:
        return reason or None
    raise Malformed("finishReason", f"must be a string, is {json_fields.describe(reason)}")


def stop_in(native: str | None, feedback: str | None, called: bool) -> StopReason:
    """Maps a finish reason; Gemini reports STOP for a tool call, in which case the call decides."""
    if native is None and feedback is not None:
        return "filter"
    stop = STOPS.get(native or "", "other")
    return "tool" if called and stop == "end" else stop


def usage_in(usage: dict[str, Any]) -> Usage | None:
    """Decodes the token counts.

    "totalTokenCount: [...] the sum of prompt_token_count, candidates_token_count, tool_use_prompt_token_count, and
    thoughts_token_count"; the cached ones are part of the prompt. https://ai.google.dev/api/generate-content#UsageMetadata
    """
    count = _count_reader(usage)
    prompt, tools = count("promptTokenCount"), count("toolUsePromptTokenCount")
    candidate, thinking = count("candidatesTokenCount"), count("thoughtsTokenCount")
    cached = count("cachedContentTokenCount")
    new = None if prompt is None and tools is None else max(0, (prompt or 0) + (tools or 0) - (cached or 0))
    output = None if candidate is None and thinking is None else (candidate or 0) + (thinking or 0)
    found = Usage(new, output, cached, None, thinking)
    return None if found == Usage() else found


def _count_reader(usage: dict[str, Any]) -> Callable[[str], int | None]:
    def count(key: str) -> int | None:
        value = usage.get(key)
        return max(0, value) if type(value) is int else None

    return count
