"""The types of the official SDKs accept valid values and name the wrong field of others."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.conformance.replay.sdk_types import EVENT, REPLY, REQUEST, sdk_complaint

from .recorded_exchanges import (
    ANTHROPIC,
    CHAT,
    CHUNK,
    GEMINI,
    GEMINI_REPLY,
    MESSAGE,
    OLLAMA,
    OLLAMA_REPLY,
    RESPONSE,
    RESPONSES,
    chunk,
)

VALUES: list[tuple[str, str, Any, str | None]] = [
    ("openai-chat", REQUEST, CHAT["request"], None),
    ("openai-chat", REQUEST, {"model": "m", "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ("openai-chat", REPLY, CHAT["response"], None),
    ("openai-chat", REPLY, {**CHAT["response"], "created": "now"}, "created"),
    ("openai-chat", EVENT, chunk(content="hi"), None),
    ("openai-chat", EVENT, {**CHUNK, "choices": [{"index": 0}]}, "choices[0]"),
    (
        "openai-chat",
        EVENT,
        chunk(tool_calls=[{"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql", "input": ""}}]),
        None,
    ),
    (
        "openai-chat",
        EVENT,
        chunk(tool_calls=[{"index": 0, "id": "c", "type": "custom", "custom": {"input": 5}}]),
        "choices[0].delta.tool_calls[0].type",
    ),
    ("openai-responses", REQUEST, RESPONSES["request"], None),
    ("openai-responses", REPLY, RESPONSE, None),
    ("openai-responses", REPLY, {**RESPONSE, "tools": None}, "tools"),
    ("openai-responses", EVENT, {"type": "response.output_text.delta", "delta": "hi"}, "content_index"),
    ("anthropic", REQUEST, ANTHROPIC["request"], None),
    ("anthropic", REQUEST, {"model": "m", "messages": []}, "max_tokens"),
    ("anthropic", REPLY, MESSAGE, None),
    ("anthropic", REPLY, {**MESSAGE, "usage": {}}, "usage.input_tokens"),
    ("anthropic", EVENT, {"type": "ping"}, None),
    ("anthropic", EVENT, {"type": "content_block_stop"}, "index"),
    ("gemini", REQUEST, GEMINI["request"], None),
    ("gemini", REQUEST, {"contents": [{"role": "user", "parts": [{"txt": "hi"}]}]}, "contents.[0].parts[0].txt"),
    ("gemini", REPLY, GEMINI_REPLY, None),
    ("gemini", REPLY, {"candidates": [{"finishReason": "FED_UP"}]}, "FED_UP"),
    ("gemini", REPLY, {"candidates": [{"finishReason": 1}]}, "upper"),
    ("ollama", REQUEST, OLLAMA["request"], None),
    ("ollama", REQUEST, {"model": "m", "messages": [{"content": "hi"}]}, "messages"),
    ("ollama", REPLY, OLLAMA_REPLY, None),
    ("ollama", EVENT, {**OLLAMA_REPLY, "message": {"content": "hi"}}, "message.role"),
]


@pytest.mark.parametrize(("protocol", "part", "value", "expected"), VALUES)
def test_sdk_complaints(protocol: str, part: str, value: Any, expected: str | None) -> None:
    found = sdk_complaint(protocol, part, value)
    assert found is None if expected is None else found is not None and expected in found
