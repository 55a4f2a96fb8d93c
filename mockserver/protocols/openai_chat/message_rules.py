"""Rules of Chat Completions about the messages: contents, calls, results, and signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...scenarios.model import Thinking, ToolCall
from ..reply_context import is_foreign_signature
from ..rule import TODAY, Asked, Breach, Rule
from .request_parser import parse_request
from .tables import MAX_CALL_ID, TOOL_NAME

CREATE = "https://platform.openai.com/docs/api-reference/chat/create"
CALLING = "https://platform.openai.com/docs/guides/function-calling"
SPEC = "https://github.com/openai/openai-openapi"
NULL_CONTENT = "Invalid value for 'content': expected a string, got null."


def _messages(asked: Asked) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yields the index and the role of each message, and the message."""
    for at, message in enumerate(asked.body["messages"]):
        yield at, message.get("role"), message


def _calls(asked: Asked) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yields the message's index, the path and the object of each call."""
    for at, _, message in _messages(asked):
        for n, call in enumerate(message.get("tool_calls") or []):
            yield at, f"messages[{at}].tool_calls[{n}]", call


def _content_null(asked: Asked) -> Iterator[Breach]:
    for at, role, message in _messages(asked):
        says = role == "assistant" and (message.get("tool_calls") or message.get("refusal"))
        legacy = role == "assistant" and (message.get("function_call") or message.get("audio"))
        if message.get("content") is None and not says and not legacy:
            yield {"at": at}


def _content_empty(asked: Asked) -> Iterator[Breach]:
    for at, _, message in _messages(asked):
        if message.get("content") == []:
            yield {"at": at}


def _result_parts(asked: Asked) -> Iterator[tuple[int, set[str]]]:
    """Yields the index of each result and the types of its parts that are not text."""
    for at, role, message in _messages(asked):
        content = message.get("content")
        kinds = {str(part.get("type")) for part in content} if role == "tool" and isinstance(content, list) else set()
        yield at, kinds - {"text"}


def _image_in_result(asked: Asked) -> Iterator[Breach]:
    for at, kinds in _result_parts(asked):
        if "image_url" in kinds:
            yield {"at": at}


def _part_in_result(asked: Asked) -> Iterator[Breach]:
    for at, kinds in _result_parts(asked):
        if kinds:
            yield {"at": at, "kind": min(kinds)}


def _calls_empty(asked: Asked) -> Iterator[Breach]:
    for at, role, message in _messages(asked):
        if role == "assistant" and message.get("tool_calls") == []:
            yield {"at": at}


def _call_id_missing(asked: Asked) -> Iterator[Breach]:
    for _, where, call in _calls(asked):
        if not call.get("id"):
            yield {"where": where}


def _call_id_long(asked: Asked) -> Iterator[Breach]:
    for _, where, call in _calls(asked):
        if len(call.get("id") or "") > MAX_CALL_ID:
            yield {"where": where, "most": MAX_CALL_ID, "length": len(call["id"])}


def _call_name(asked: Asked) -> Iterator[Breach]:
    for _, where, call in _calls(asked):
        kind = "custom" if call.get("type") == "custom" else "function"
        if not re.fullmatch(TOOL_NAME, (call.get(kind) or {}).get("name") or ""):
            yield {"where": f"{where}.{kind}"}


def _call_id_twice(asked: Asked) -> Iterator[Breach]:
    seen: set[tuple[int, str]] = set()
    for at, _, call in _calls(asked):
        if (at, call["id"]) in seen:
            yield {"at": at, "id": call["id"]}
        seen.add((at, call["id"]))


def _pairs(asked: Asked) -> Iterator[tuple[int, str, list[str], bool]]:
    """Yields, of each message and of the end, the index, the role, the ids without a result so far, and a mismatch.

    The mismatch is a result whose id is none of the open ones.
    """
    pending: list[str] = []
    for at, role, message in _messages(asked):
        if role == "tool":
            id = message.get("tool_call_id")
            yield at, role, [], id not in pending
            if id in pending:
                pending.remove(id)
            continue
        yield at, role, pending, False
        pending = [call["id"] for call in message.get("tool_calls") or []]
    yield len(asked.body["messages"]), "", pending, False


def _result_missing(asked: Asked) -> Iterator[Breach]:
    # A result of no call, which the next rule names, is found first where it comes first.
    for at, _, pending, mismatch in _pairs(asked):
        if mismatch:
            return
        if pending:
            yield {"at": at, "ids": ", ".join(pending)}


def _result_of_no_call(asked: Asked) -> Iterator[Breach]:
    for at, _, _, mismatch in _pairs(asked):
        if mismatch:
            yield {"at": at}


def _signature_foreign(asked: Asked) -> Iterator[Breach]:
    for turn in parse_request("", {}, asked.body).turns:
        for block in turn.blocks:
            signature = block.signature if isinstance(block, Thinking | ToolCall) else None
            if signature and is_foreign_signature(signature, asked.provider):
                yield {"shown": repr(signature[:40])}


RULES: tuple[Rule, ...] = (
    Rule(
        id="calls-empty",
        says="A list of calls has at least one.",
        source=CREATE,
        check=_calls_empty,
        message="Invalid 'messages[{at}].tool_calls': empty array. Expected an array with minimum length 1, but got an "
        "empty array instead.",
        param="messages[{at}].tool_calls",
        code="empty_array",
    ),
    Rule(
        id="content-null",
        says="content: Required unless tool_calls or function_call is specified.",
        source=CREATE,
        check=_content_null,
        message=NULL_CONTENT,
        param="messages.[{at}].content",
    ),
    Rule(
        id="content-empty",
        says="A content that is an array has minItems 1.",
        source=SPEC,
        checked=TODAY,
        check=_content_empty,
        message="Invalid 'messages[{at}].content': empty array. Expected an array with minimum length 1, but got an "
        "empty array instead.",
        param="messages[{at}].content",
        code="empty_array",
    ),
    Rule(
        id="result-image",
        says="For tool messages, only type `text` is supported.",
        source=f"{CREATE}#chat_create-messages-tool_message",
        check=_image_in_result,
        message="Invalid 'messages[{at}]'. Image URLs are only allowed for messages with role 'user', but this message "
        "with role 'tool' contains an image URL.",
        param="messages[{at}]",
        code="invalid_value",
        strict=True,
    ),
    Rule(
        id="result-part",
        says="For tool messages, only type `text` is supported.",
        source=f"{CREATE}#chat_create-messages-tool_message",
        check=_part_in_result,
        message="Invalid value: '{kind}'. Supported values are: 'text'.",
        param="messages[{at}]",
        code="invalid_value",
        strict=True,
    ),
    Rule(
        id="call-id-missing",
        says="id: Required. The ID of the tool call.",
        source=CREATE,
        check=_call_id_missing,
        message="Missing required parameter: '{where}.id'.",
        param="{where}.id",
        code="missing_required_parameter",
    ),
    Rule(
        id="call-id-long",
        says="Expected a string with maximum length 40.",
        source="https://github.com/langmanus/langmanus/issues/119",
        check=_call_id_long,
        message="Invalid '{where}.id': string too long. Expected a string with maximum length {most}, but got a string "
        "with length {length} instead.",
        param="{where}.id",
        code="string_above_max_length",
    ),
    Rule(
        id="call-name",
        says="Must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64.",
        source=CREATE,
        check=_call_name,
        message="Invalid '{where}.name': string does not match pattern. Expected a string that matches the pattern "
        "'^[a-zA-Z0-9_-]+$'.",
        param="{where}.name",
        code="invalid_value",
    ),
    Rule(
        id="call-id-twice",
        says="Each call of a message has an id of its own.",
        source=CALLING,
        check=_call_id_twice,
        message="Duplicate value for 'tool_call_id' of '{id}' in messages[{at}].",
        param="messages.[{at}]",
    ),
    Rule(
        id="result-missing",
        says="An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'.",
        source=CALLING,
        check=_result_missing,
        message="An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
        param="messages.[{at}].role",
    ),
    Rule(
        id="result-of-no-call",
        says="messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
        source=CALLING,
        check=_result_of_no_call,
        message="Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
        "'tool_calls'.",
        param="messages.[{at}].role",
    ),
    Rule(
        id="signature-foreign",
        says="Hosts that sign reasoning want their own signatures back, unmodified.",
        source="https://openrouter.ai/docs/use-cases/reasoning-tokens",
        check=_signature_foreign,
        message="Invalid signature in messages: {shown} was not made by this provider.",
        param="messages",
        own_words=True,
    ),
)
"""Rules about messages, in the order in which the service checks them."""
