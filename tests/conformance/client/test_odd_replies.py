"""Odd replies of real hosts, as the suite's clients read them: what they hold, and where they break off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import ParsedReply
from crosswire.mockserver.scenarios.model import Image

CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


def parsed(protocol: str, body: Any) -> ParsedReply:
    headers = {"content-type": "application/json"}
    return CLIENTS[protocol].parse_reply(200, headers, json.dumps(body).encode(), stream=False)


def events(*values: dict[str, Any]) -> bytes:
    return "".join(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n" for value in values).encode()


def message_start() -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    head = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": usage}
    return {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None}}


ENDING = (
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
)


@pytest.mark.parametrize(("half", "kind"), [('{"a":', "cut"), ("", None)])
def test_a_message_that_begins_again_within_a_call_is_broken(half: str, kind: str | None) -> None:
    start = {"type": "content_block_start", "index": 0, "content_block": CALL}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": half}}
    begun = (start, delta) if half else ()
    body = events(message_start(), *begun, message_start(), *ENDING)
    reply = CLIENTS["anthropic"].parse_reply(200, {"content-type": "text/event-stream"}, body, stream=True)
    assert (reply.error.kind if reply.error else None) == kind


@pytest.mark.parametrize(
    ("parts", "finish", "stop"),
    [
        ([{"functionCall": {"name": "f", "args": {}}}], "UNEXPECTED_TOOL_CALL", "tool"),
        ([{"text": "hm"}], "UNEXPECTED_TOOL_CALL", "other"),
        ([{"functionCall": {"name": "f", "args": {}}}], "MALFORMED_FUNCTION_CALL", "other"),
    ],
)
def test_a_call_that_gemini_did_not_expect_is_one(parts: list[Any], finish: str, stop: str) -> None:
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": finish}
    assert parsed("gemini", {"candidates": [candidate]}).stop == stop


def test_together_s_end_is_an_end() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a", "refusal": None}, "finish_reason": "eos"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    assert parsed("openai-chat", body).stop == "end"


def test_pictures_of_answers_are_read() -> None:
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    message = {"role": "assistant", "content": None, "refusal": None, "images": [url]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    chat = parsed(
        "openai-chat", {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBO"}
    response = parsed("openai-responses", {"id": "r", "object": "response", "status": "completed", "output": [item]})
    assert chat.blocks == response.blocks == (Image("image/png", "iVBO"),)


@pytest.mark.parametrize(
    ("members", "thinking"),
    [
        ({"reasoning": "hm"}, "hm"),
        ({"reasoning": {"content": "hm"}}, ""),
        ({"reasoning_content": {"text": "a"}, "reasoning": "hm"}, "hm"),
    ],
)
def test_reasoning_that_is_no_text_is_a_member_that_nobody_reads(members: dict[str, Any], thinking: str) -> None:
    message = {"role": "assistant", "content": "Hi", "refusal": None, **members}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    assert parsed("openai-chat", {**head, "choices": [choice]}).thinking == thinking


def test_reasoning_of_a_stream_that_is_no_text_does_not_hide_the_text() -> None:
    deltas = [{"role": "assistant", "reasoning": {"content": "a"}}, {"reasoning": {"content": "b"}}, {"content": "Hi"}]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None})
    lines = [f"data: {json.dumps({**head, 'choices': [choice]})}\n\n" for choice in choices]
    body = "".join([*lines, "data: [DONE]\n\n"]).encode()
    reply = CLIENTS["openai-chat"].parse_reply(200, {"content-type": "text/event-stream"}, body, stream=True)
    assert (reply.text, reply.thinking) == ("Hi", "")
