"""A Gemini backend's answer as the neutral form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ... import wire
from ...errors import Malformed
from ...ir import (
    Block,
    Reasoning,
    Reply,
    Signature,
    StopReason,
    Text,
    ToolCall,
    Usage,
)
from ...wire import each, take
from ..contract import NewId, Sent
from .fields import named, several
from .grounding import citations_in
from .parts import Pairs, joined, part_in
from .words import FINISH_NUMBERS, NAME, STOPS


def decode_reply(body: dict[str, Any], sent: Sent, new_id: NewId) -> Reply:
    candidates = several(body, "candidates")
    feedback = feedback_in(body)
    if candidates and type(candidates[0]) is not dict:
        raise Malformed("candidates", "must hold objects")
    if not candidates and feedback is None:
        raise Malformed("candidates", "must hold at least one candidate, or promptFeedback say why there is none")
    candidate = candidates[0] if candidates else {}
    try:
        content = take(candidate, "content", dict, {})
        blocks = _blocks_in(content, sent, Pairs(lambda: new_id("call_")))
        native = finish_in(candidate)
    except Malformed as fault:
        raise fault.under("candidates[0]") from None
    if blocks and type(blocks[-1]) is Text:
        blocks = (*blocks[:-1], replace(blocks[-1], citations=citations_in(candidate, blocks[-1].text)))
    usage = take(body, "usageMetadata", dict)
    id_, model = take(body, "responseId", str), take(body, "modelVersion", str)
    own = {**body, **{f"candidates[0].{key}": value for key, value in candidate.items()}}
    own |= {f"candidates[0].content.{key}": value for key, value in content.items()}
    if len(candidates) > 1:
        own["n"] = candidates[1:]
    return Reply(
        dialect=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, feedback, any(isinstance(block, ToolCall) for block in blocks)),
        native=native or feedback,
        usage=usage_in(usage) if usage else None,
        own=named(own) or None,
    )


def _blocks_in(content: dict[str, Any], sent: Sent, pairs: Pairs) -> tuple[Block, ...]:
    content.pop("role", None)
    parts = [part for part in several(content, "parts") if part != {}]
    return joined(each(parts, "content.parts", lambda part: reply_block_in(part, sent, pairs)))


def reply_block_in(part: dict[str, Any], sent: Sent, pairs: Pairs) -> Block:
    """One part, under the client's own name of the tool, sealed by this backend's provider."""
    block = part_in(part, pairs)
    if not isinstance(block, Text | Reasoning | ToolCall):
        return block
    if block.seal is not None and block.seal.minter is None:
        block = replace(block, seal=minted(block.seal.value, sent))
    return renamed(block, sent) if isinstance(block, ToolCall) else block


def minted(seal: str, sent: Sent) -> Signature:
    return Signature(seal, NAME, sent.target.provider)


def renamed(call: ToolCall, sent: Sent) -> ToolCall:
    alias = sent.names.get(call.name)
    if alias is None:
        return call
    arguments = call.arguments
    if alias.kind == "custom" and arguments:
        arguments = free_text(arguments)
    return replace(call, name=alias.name, namespace=alias.namespace, kind=alias.kind, arguments=arguments)


def free_text(arguments: str) -> str:
    """What a free-text tool gets, out of the one string of the function that plays it."""
    match wire.parse(arguments):
        case {"input": str(text)}:
            return text
    return arguments


def feedback_in(body: dict[str, Any]) -> str | None:
    """Why the prompt was blocked, where it was. The feedback itself stays, field by field."""
    feedback = body.get("promptFeedback")
    if type(feedback) is not dict:
        return None
    named(feedback)
    del body["promptFeedback"]
    body.update((f"promptFeedback.{key}", value) for key, value in feedback.items())
    reason = feedback.get("blockReason")
    return None if reason is None else str(reason)


def finish_in(candidate: dict[str, Any]) -> str | None:
    word = candidate.pop("finishReason", None)
    if type(word) is int:
        return FINISH_NUMBERS.get(word, f"FINISH_REASON_{word}")
    if word is None or type(word) is str:
        return word or None
    raise Malformed("finishReason", f"must be a string, is {wire.describe(word)}")


def stop_in(native: str | None, feedback: str | None, called: bool) -> StopReason:
    """Gemini says STOP although it called a tool: the call is what counts."""
    if native is None and feedback is not None:
        return "filter"
    stop = STOPS.get(native or "", "other")
    return "tool" if called and stop == "end" else stop


def usage_in(usage: dict[str, Any]) -> Usage | None:
    """ "totalTokenCount: [...] the sum of prompt_token_count, candidates_token_count, tool_use_prompt_token_count, and
    thoughts_token_count"; the cached ones are part of the prompt. https://ai.google.dev/api/generate-content#UsageMetadata
    """
    count = _counter(usage)
    prompt, tools = count("promptTokenCount"), count("toolUsePromptTokenCount")
    said, thought = count("candidatesTokenCount"), count("thoughtsTokenCount")
    cached = count("cachedContentTokenCount")
    new = None if prompt is None and tools is None else max(0, (prompt or 0) + (tools or 0) - (cached or 0))
    output = None if said is None and thought is None else (said or 0) + (thought or 0)
    found = Usage(new, output, cached, None, thought)
    return None if found == Usage() else found


def _counter(usage: dict[str, Any]) -> Callable[[str], int | None]:
    def count(key: str) -> int | None:
        value = usage.get(key)
        return max(0, value) if type(value) is int else None

    return count
