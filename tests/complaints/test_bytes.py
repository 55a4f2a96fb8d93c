"""Complaints about bytes: where they are cut, how they are framed, how many there are (B), and silence (SA13)."""

from __future__ import annotations

import json

import pytest

from tests.proxy.sample_messages import JSON, PROTOCOLS, ask, stream, stream_kind, text_of
from tests.proxy.scripted_upstream import LAST, chunk, head

from .exchange import call_delta, chat, exchange, message_blocks

TEXT = "一个像素 🙂👩‍👩‍👧 naïve"


def streamed_text(frontend: str, events: list[JSON]) -> str:
    """Returns the text of a streamed answer."""
    match frontend:
        case "anthropic":
            return "".join(block["text"] for block in message_blocks(events))
        case "openai-chat":
            return "".join(c["delta"].get("content") or "" for event in events for c in event["choices"])
        case "openai-responses":
            return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        case "gemini":
            contents = [c.get("content", {}) for event in events for c in event["candidates"]]
            return "".join(part["text"] for content in contents for part in content.get("parts", ()))
        case _:
            return "".join(event["message"]["content"] for event in events)


@pytest.mark.parametrize("backend", PROTOCOLS)
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_b1_utf_8_may_be_split_anywhere(frontend: str, backend: str) -> None:
    whole = b"".join(stream(backend, words=(TEXT[:3], TEXT[3:7], TEXT[7:])))
    raw = [head(stream_kind(backend)), *(chunk(whole[at : at + 1]) for at in range(len(whole))), LAST]
    it = await exchange(frontend, backend, raw=raw, stream=True, keys={"relay": "never"})
    assert streamed_text(frontend, it.events) == TEXT


async def test_b1_utf_8_may_be_split_in_arguments() -> None:
    arguments = json.dumps({"text": TEXT}, ensure_ascii=False)
    deltas = (call_delta(0, arguments[:12], "call_1", "f"), call_delta(0, arguments[12:]))
    whole = b"".join(chat(*deltas, finish="tool_calls"))
    assert "🙂".encode() in whole
    raw = [head(), *(chunk(whole[at : at + 1]) for at in range(len(whole))), LAST]
    it = await exchange("anthropic", "openai-chat", raw=raw, stream=True)
    assert message_blocks(it.events)[0]["input"] == {"text": TEXT}


FRAMINGS = ("lf", "crlf", "cr", "comments", "several lines", "no last blank line", "no blank after the colon")


def framed(frames: list[bytes], framing: str) -> bytes:
    """Returns the same events in another framing that the standard allows."""
    whole = b"".join(frames)
    match framing:
        case "crlf":
            return whole.replace(b"\n", b"\r\n")
        case "cr":
            return whole.replace(b"\n", b"\r")
        case "comments":
            return b": hello\n\n" + b": processing\n".join(frames)
        case "several lines":
            return whole.replace(b', "', b',\ndata: "')
        case "no last blank line":
            return whole.rstrip(b"\n") + b"\n"
        case "no blank after the colon":
            return whole.replace(b"data: ", b"data:").replace(b"event: ", b"event:")
        case _:
            return whole


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("backend", ["openai-chat", "openai-responses", "anthropic", "gemini"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_b2_framing_does_not_change_the_answer(backend: str, framing: str, size: int) -> None:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation"""
    frontend = "anthropic" if backend != "anthropic" else "openai-chat"
    plain = await exchange(frontend, backend, stream(backend), stream=True)
    whole = framed(stream(backend), framing)
    raw = [head(), *(chunk(whole[at : at + size]) for at in range(0, len(whole), size)), LAST]
    it = await exchange(frontend, backend, raw=raw, stream=True)
    assert streamed_text(frontend, it.events) == streamed_text(frontend, plain.events) == "Hello there."
    assert [event.get("type") for event in it.events[-2:]] == [event.get("type") for event in plain.events[-2:]]
    assert it.answer.whole


@pytest.mark.parametrize("backend", ["anthropic", "openai-chat"])
async def test_b3_a_body_of_32_mib_is_accepted_and_a_larger_one_refused(backend: str) -> None:
    room = 32 * 2**20 - len(json.dumps(ask("anthropic", text="")))
    it = await exchange("anthropic", backend, body=ask("anthropic", text="x" * room))
    assert it.answer.status == 200
    assert text_of("anthropic", it.answer.body) == "Hello there."
    it = await exchange("anthropic", backend, body=ask("anthropic", text="x" * (room + 1)))
    assert (it.answer.status, it.sent) == (413, [])


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_b3_the_refusal_of_a_larger_body_has_the_clients_error_shape(frontend: str) -> None:
    it = await exchange(frontend, "openai-chat", body=ask(frontend, text="x" * 5000), body_limit=4096)
    assert it.answer.status == 413
    assert "error" in it.body
    assert it.sent == []
    if frontend == "anthropic":
        assert it.body["error"]["type"] == "request_too_large"
    if frontend == "gemini":
        assert it.body["error"]["code"] == 413
