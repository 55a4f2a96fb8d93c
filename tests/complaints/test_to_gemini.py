"""Complaints about the streams that Gemini clients receive, and about the spellings that they send (SG)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.proxy.sample_messages import JSON, PROTOCOLS, stream

from .exchange import chat, exchange

OTHERS = [name for name in PROTOCOLS if name != "gemini"]


@pytest.mark.parametrize("backend", PROTOCOLS)
async def test_sg1_a_stream_ends_without_a_sentinel(backend: str) -> None:
    it = await exchange("gemini", backend, stream(backend), stream=True)
    assert b"[DONE]" not in it.answer.body
    assert it.answer.whole
    frames = it.answer.body.replace(b"\r\n", b"\n").split(b"\n\n")
    assert all(frame.startswith(b"data: {") for frame in frames if frame)


@pytest.mark.parametrize("backend", OTHERS)
async def test_sg2_no_chunk_is_empty(backend: str) -> None:
    it = await exchange("gemini", backend, stream(backend), stream=True)
    candidates = [event["candidates"][0] for event in it.events if event.get("candidates")]
    parts = [candidate["content"]["parts"] for candidate in candidates if "parts" in candidate.get("content", {})]
    assert parts
    assert [] not in parts
    assert all(part["text"] for some in parts for part in some)
    last = it.events[-1]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"]["totalTokenCount"] == 5


async def test_sg3_usage_thoughts_and_names_are_sent() -> None:
    usage = {
        "prompt_tokens": 105,
        "completion_tokens": 30,
        "total_tokens": 135,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 12},
    }
    frames = chat({"reasoning_content": "Hm."}, {"content": "So."}, usage=usage)
    it = await exchange("gemini", "openai-chat", frames, stream=True)
    parts = [part for event in it.events for c in event["candidates"] for part in c.get("content", {}).get("parts", ())]
    assert [part["text"] for part in parts if part.get("thought")] == ["Hm."]
    assert [part["text"] for part in parts if not part.get("thought") and "text" in part] == ["So."]
    usage = it.events[-1]["usageMetadata"]
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"]) == (105, 80)
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"], usage["totalTokenCount"]) == (18, 12, 135)
    assert all(event["responseId"] and event["modelVersion"] for event in it.events)


CAMEL: JSON = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "See"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]}
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "description": "F."}]}],
    "generationConfig": {"maxOutputTokens": 99},
}


def snake(value: Any) -> Any:
    """Returns the same value with every key in snake_case."""
    match value:
        case dict():
            return {re.sub("(?=[A-Z])", "_", key).lower(): snake(inner) for key, inner in value.items()}
        case list():
            return [snake(inner) for inner in value]
        case _:
            return value


@pytest.mark.parametrize("body", [CAMEL, snake(CAMEL)], ids=["camel", "snake"])
async def test_sg4_camel_case_and_snake_case_are_accepted(body: JSON) -> None:
    it = await exchange("gemini", "openai-chat", body=body)
    system, user = it.upstream["messages"]
    assert (system["role"], system["content"]) == ("system", "Be brief.")
    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    assert it.upstream["tools"][0]["function"]["name"] == "f"
    assert 99 in (it.upstream.get("max_tokens"), it.upstream.get("max_completion_tokens"))
    assert it.losses == []
