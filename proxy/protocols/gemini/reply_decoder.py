"""Decodes Gemini generateContent replies into neutral replies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ...errors import Malformed, UpstreamError
from ...ir import Block, Opaque, Reasoning, Reply, Signature, StopReason, Text, ToolCall, Usage
from ...ir.repairs import Repairs
from ...ir.token_logprobs import NATIVE, with_logprobs
from ...ir.usage_arithmetic import agreed_usage
from ...wire import json_fields
from ...wire.error_bodies import error_in_body, is_error
from ...wire.json_fields import each, take
from ..protocol import NewId, UpstreamRequest
from .errors import error_in, failed_stop
from .fields import enum_names, take_list
from .grounding import AnswerText, citations_in
from .hosted_tools import CodeRuns, tool_uses_in
from .logprobs import FIELD as LOGPROBS
from .logprobs import tokens_in
from .parts import ToolCallIds, is_empty_part, merge_blocks, part_in
from .tables import ANSWER_FIELDS, FINISH_NUMBERS, NAME, STOPS, UNEXPECTED_CALL


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises Malformed if it is not a Gemini response."""
    repairs = Repairs()
    if body.get("error") or (body.keys().isdisjoint(ANSWER_FIELDS) and is_error(body)):  # a 200 with an error
        raise UpstreamError(error_in(error_in_body(body), None, None))
    candidates = take_list(body, "candidates")
    feedback = feedback_in(body)
    if candidates and type(candidates[0]) is not dict:
        raise Malformed("candidates", "must hold objects")
    if not candidates and feedback is None:
        raise Malformed("candidates", "must hold at least one candidate, or promptFeedback say why there is none")
    candidate = candidates[0] if candidates else {}
    try:
        content = take(candidate, "content", dict, {})
        part_texts = _part_texts(content)
        blocks = _blocks_in(content, sent, ToolCallIds(lambda: new_id("call_")))
        native = finish_reason_in(candidate)
    except Malformed as fault:
        raise fault.under("candidates[0]") from None
    if all(type(block) is Reasoning for block in blocks):
        failed = failed_stop(native, candidate.get("finishMessage"))
        if failed is not None:
            raise UpstreamError(failed)
    uses = tool_uses_in(candidate)
    if blocks and type(blocks[-1]) is Text:
        text = blocks[-1].text
        citations = citations_in(candidate, AnswerText(text, _places(text, part_texts)))
        blocks = (*blocks[:-1], replace(blocks[-1], citations=citations))
    if any(type(block) is Text for block in blocks) and (tokens := tokens_in(candidate.get(LOGPROBS))):
        blocks = with_logprobs(blocks, tokens)
        candidate[NATIVE] = candidate.pop(LOGPROBS)
    blocks += tuple(uses)
    usage = take_usage(body, candidate, repairs)
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
        stop=stop_in(native, feedback, any(isinstance(block, ToolCall) for block in blocks), repairs),
        native=native or feedback,
        usage=usage_in(usage, repairs) if usage else None,
        extra=enum_names(extra) or None,
        repaired=repairs.names(),
    )


def _blocks_in(content: dict[str, Any], sent: UpstreamRequest, call_ids: ToolCallIds) -> tuple[Block, ...]:
    content.pop("role", None)
    parts = [part for part in take_list(content, "parts") if part and not is_empty_part(part)]
    runs = CodeRuns()
    blocks = each(parts, "content.parts", lambda part: reply_block_in(part, sent, call_ids))
    return merge_blocks(runs.with_call(block) if isinstance(block, Opaque) else block for block in blocks)


def _part_texts(content: dict[str, Any]) -> list[str | None]:
    """Returns the text of each part that is one of the answer; None for any other."""
    parts = content.get("parts")
    return [
        part["text"] if type(part) is dict and type(part.get("text")) is str and not part.get("thought") else None
        for part in (parts if type(parts) is list else ())
    ]


def _places(text: str, part_texts: list[str | None]) -> dict[int, tuple[int, int]]:
    """Returns the place in the last block's text of each part that belongs to it, counted from the end."""
    places: dict[int, tuple[int, int]] = {}
    end = len(text)
    for index in range(len(part_texts) - 1, -1, -1):
        part = part_texts[index]
        if part is None or not text[:end].endswith(part):
            break
        places[index] = end - len(part), end
        end -= len(part)
    return places


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


def stop_in(native: str | None, feedback: str | None, called: bool, repairs: Repairs) -> StopReason:
    """Maps a finish reason; Gemini reports STOP for a tool call, in which case the call decides.

    "UNEXPECTED_TOOL_CALL: Model generated a tool call but no tools were enabled in the request."
    https://ai.google.dev/api/generate-content#FinishReason
    """
    if native is None and feedback is not None:
        return "filter"
    if native is None:
        repairs.add("stop_missing")
    stop = STOPS.get(native.upper(), "other") if native else "end"
    if native and native not in STOPS and stop != "other":
        repairs.add("stop_word")
    if called and native == UNEXPECTED_CALL:
        repairs.add("stop_with_call")
        return "tool"
    return "tool" if called and stop == "end" else stop


def take_usage(body: dict[str, Any], candidate: dict[str, Any], repairs: Repairs) -> dict[str, Any] | None:
    """Takes the token counts of a body or a chunk, which some hosts put into the candidate."""
    usage = take(body, "usageMetadata", dict)
    inner = take(candidate, "usageMetadata", dict)
    if not usage and inner:
        repairs.add("usage_place")
        return inner
    return usage


def usage_in(usage: dict[str, Any], repairs: Repairs) -> Usage | None:
    """Decodes the token counts.

    "totalTokenCount: [...] the sum of prompt_token_count, candidates_token_count, tool_use_prompt_token_count, and
    thoughts_token_count"; the cached ones are part of the prompt. https://ai.google.dev/api/generate-content#UsageMetadata
    """
    count = _count_reader(usage)
    prompt, tools = count("promptTokenCount"), count("toolUsePromptTokenCount")
    candidate, thinking = count("candidatesTokenCount"), count("thoughtsTokenCount")
    total = count("totalTokenCount")
    asked = None if prompt is None and tools is None else (prompt or 0) + (tools or 0)
    made = None if candidate is None and thinking is None else (candidate or 0) + (thinking or 0)
    if thinking and candidate is not None and total == (asked or 0) + candidate:
        repairs.add("usage_total")
        made = candidate  # the thinking is counted among the candidates
    return agreed_usage(
        prompt=asked,
        output=made,
        cache_read=count("cachedContentTokenCount"),
        reasoning=thinking,
        total=total,
        repairs=repairs,
    )


def _count_reader(usage: dict[str, Any]) -> Callable[[str], int | None]:
    def count(key: str) -> int | None:
        value = usage.get(key)
        return max(0, value) if type(value) is int else None

    return count
