"""Token counts as hosts report them: at any place, running, with details outside their whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import Event, Reply, Usage, fold
from crosswire.proxy.ir.repairs import Repairs
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.openai import usage
from crosswire.proxy.protocols.protocol import UpstreamRequest, UpstreamTarget
from crosswire.proxy.wire.framing import DONE, Frame

JSON = dict[str, Any]
SENT = UpstreamRequest({}, (), UpstreamTarget("m", "p"))


def chat_usage(prompt: int | None, output: int | None, total: int | None = None, **more: Any) -> JSON:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total, **more}


def cached(read: int | None = None, write: int | None = None, **more: Any) -> JSON:
    return {"prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": write, **more}}


def thought(count: int) -> JSON:
    return {"completion_tokens_details": {"reasoning_tokens": count}}


CHAT: dict[str, tuple[JSON, Usage | None]] = {
    "plain": (chat_usage(5, 3, 8), Usage(5, 3)),
    "cached within the prompt": (chat_usage(100, 3, 103, **cached(90)), Usage(10, 3, 90)),
    "more cached than prompt (Azure's grok)": (chat_usage(23, 110, 133, **cached(158)), Usage(0, 110, 23)),
    "read and written as much as the prompt": (
        chat_usage(2168, 100, 2268, **cached(2161, 2161)),
        Usage(0, 100, 2161, 7),
    ),
    "cached beside the prompt": (chat_usage(10, 5, 105, **cached(90)), Usage(10, 5, 90)),
    "sound beside the prompt (Mistral)": (chat_usage(11, 15, 401, **cached(9, audio_tokens=375)), Usage(377, 15, 9)),
    "reasoning outside the output (xAI)": (chat_usage(5, 10, 111, **thought(96)), Usage(5, 106, reasoning=96)),
    "reasoning above the output, and no total": (chat_usage(5, 10, **thought(96)), Usage(5, 10, reasoning=10)),
    "reasoning inside the output": (chat_usage(5, 10, 15, **thought(7)), Usage(5, 10, reasoning=7)),
    "a remainder": (chat_usage(66, 6, 100), Usage(66, 34, reasoning=28)),
    "a remainder beside reasoning": (chat_usage(66, 6, 100, **thought(4)), Usage(66, 34, reasoning=4)),
    "a total below its parts": (chat_usage(66, 6, 1), Usage(66, 6)),
    "no output": (chat_usage(60, None, 100), Usage(60, 40)),
    "no prompt": (chat_usage(None, 40, 100), Usage(60, 40)),
    "only a total": (chat_usage(None, None, 100), None),
    "below zero": (chat_usage(-3, 2, 2), Usage(0, 2)),
    "numbers with a point": ({"prompt_tokens": 5.0, "completion_tokens": 3.0}, Usage(5, 3)),
    "the names of Responses": ({"input_tokens": 5, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 2}},
                               Usage(3, 3, 2)),
    "DeepSeek's cache": (chat_usage(5, 3, 8, prompt_cache_hit_tokens=4), Usage(1, 3, 4)),
    "Moonshot's cache": (chat_usage(19, 21, 40, cached_tokens=10), Usage(9, 21, 10)),
    "the cache in Anthropic's names": (
        chat_usage(9, 3, 12, cache_read_input_tokens=4, cache_creation_input_tokens=2), Usage(3, 3, 4, 2),
    ),
    "reasoning at the top": (chat_usage(5, 10, 15, reasoning_tokens=4), Usage(5, 10, reasoning=4)),
}  # fmt: skip


def body_of(usage: JSON) -> JSON:
    message = {"role": "assistant", "content": "x"}
    return {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


def chunk(finish: str | None = None, choice: JSON | None = None, **more: Any) -> JSON:
    inner = {"index": 0, "delta": {"content": "x"} if finish is None else {}, "finish_reason": finish}
    return {"id": "c", "choices": [{**inner, **(choice or {})}], **more}


def streamed(protocol: str, frames: list[JSON | bytes]) -> Reply:
    decoder = PROTOCOLS[protocol].stream_decoder(SENT, lambda prefix: prefix)
    events: list[Event] = []
    for frame in frames:
        events += decoder.feed(Frame(frame if isinstance(frame, bytes) else json.dumps(frame).encode()))
    answer = fold(events + decoder.close())
    assert isinstance(answer, Reply)
    return answer


@pytest.mark.parametrize(("usage", "expected"), CHAT.values(), ids=CHAT)
def test_chat_in_a_body_and_in_a_stream(usage: JSON, expected: Usage | None) -> None:
    assert PROTOCOLS["openai-chat"].decode_reply(body_of(usage), SENT, str).usage == expected
    last = {"choices": [], "usage": usage}
    assert streamed("openai-chat", [chunk(), chunk("stop"), last, DONE]).usage == expected


FULL = chat_usage(7, 9, 16)
PLACES: dict[str, list[JSON | bytes]] = {
    "a chunk of its own": [chunk(), chunk("stop"), {"choices": [], "usage": FULL}],
    "beside the finish reason": [chunk(), chunk("stop", usage=FULL)],
    "before the finish reason": [chunk(usage=FULL), chunk("stop")],
    "in the choice (Moonshot)": [chunk(), chunk("stop", {"usage": FULL})],
    "in the delta": [chunk(), chunk("stop", {"delta": {"usage": FULL}})],
    "in x_groq (Groq)": [chunk(), chunk("stop", x_groq={"usage": FULL})],
    "running, the whole last": [chunk(usage=chat_usage(7, 1, 8)), chunk("stop", usage=chat_usage(7, 8, 15)),
                                {"choices": [], "usage": FULL}],
    "running in the choice": [chunk(choice={"usage": chat_usage(7, 1, 8)}), chunk("stop", {"usage": FULL})],
    "zeros before the whole": [chunk(usage=chat_usage(0, 0, 0)), chunk("stop", usage=FULL)],
    "zeros after the whole": [chunk(usage=FULL), chunk("stop", usage=chat_usage(0, 0, 0))],
    "null after the whole": [chunk(usage=FULL), chunk("stop", usage=None)],
}  # fmt: skip


@pytest.mark.parametrize("frames", PLACES.values(), ids=PLACES)
def test_chat_at_any_place(frames: list[JSON | bytes]) -> None:
    assert streamed("openai-chat", [*frames, DONE]).usage == Usage(7, 9)


@pytest.mark.parametrize("place", ["choice", "message"])
def test_chat_in_a_body_at_another_place(place: str) -> None:
    body = body_of({})
    (body["choices"][0] if place == "choice" else body["choices"][0]["message"])["usage"] = FULL
    answer = PROTOCOLS["openai-chat"].decode_reply(body, SENT, str)
    assert (answer.usage, answer.repaired) == (Usage(7, 9), ("usage_place",))


def counts(prompt: int | None, output: int | None, total: int | None = None, **more: int) -> JSON:
    found = {"promptTokenCount": prompt, "candidatesTokenCount": output, "totalTokenCount": total, **more}
    return {key: value for key, value in found.items() if value is not None}


GEMINI: dict[str, tuple[JSON, Usage]] = {
    "thinking beside the candidates": (counts(5, 3, 12, thoughtsTokenCount=4), Usage(5, 7, reasoning=4)),
    "thinking among the candidates": (counts(5, 9, 14, thoughtsTokenCount=4), Usage(5, 9, reasoning=4)),
    "tools": (counts(5, 3, 18, toolUsePromptTokenCount=10), Usage(15, 3)),
    "more cached than prompt": (counts(5, 3, 8, cachedContentTokenCount=9), Usage(0, 3, 5)),
    "a remainder": (counts(66, 6, 100), Usage(66, 34, reasoning=28)),
}


def gemini_body(usage: JSON, **candidate: Any) -> JSON:
    content = {"parts": [{"text": "x"}]}
    return {"candidates": [{"content": content, "finishReason": "STOP", **candidate}], "usageMetadata": usage}


@pytest.mark.parametrize(("usage", "expected"), GEMINI.values(), ids=GEMINI)
def test_gemini_in_a_body_and_in_a_stream(usage: JSON, expected: Usage) -> None:
    assert PROTOCOLS["gemini"].decode_reply(gemini_body(usage), SENT, str).usage == expected
    running = {"candidates": [{"content": {"parts": [{"text": "x"}]}}], "usageMetadata": {"promptTokenCount": 5}}
    assert streamed("gemini", [running, gemini_body(usage)]).usage == expected


def test_gemini_keeps_what_a_later_chunk_leaves_out() -> None:
    first = {"candidates": [{"content": {"parts": [{"text": "x"}]}}],
             "usageMetadata": counts(5, None, 9, thoughtsTokenCount=4)}  # fmt: skip
    answer = streamed("gemini", [first, gemini_body(counts(5, 3, 12))])
    assert answer.usage == Usage(5, 7, reasoning=4)


def test_gemini_inside_the_candidate() -> None:
    body = gemini_body({}, usageMetadata=counts(5, 3, 8))
    assert PROTOCOLS["gemini"].decode_reply(body, SENT, str).usage == Usage(5, 3)


def message(reason: str | None, usage: JSON | None, delta: JSON | None = None) -> JSON:
    found = {"type": "message_delta", "delta": {"stop_reason": reason, **(delta or {})}, "usage": usage}
    return {key: value for key, value in found.items() if value is not None}


def begun(**usage: Any) -> JSON:
    return {"type": "message_start", "message": {"id": "m", "usage": usage}}


END = {"type": "message_stop"}
ANTHROPIC: dict[str, tuple[list[JSON | bytes], Usage]] = {
    "the end counts once more": (
        [begun(input_tokens=7, output_tokens=1), message("end_turn", {"input_tokens": 1681, "output_tokens": 9}), END],
        Usage(1681, 9),
    ),
    "a prompt of zero at the end": (
        [begun(input_tokens=7, cache_read_input_tokens=4, output_tokens=1),
         message("end_turn", {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9}), END],
        Usage(7, 9, 4),
    ),
    "in the delta": (
        [begun(input_tokens=7), message("end_turn", None, {"usage": {"output_tokens": 9}}), END], Usage(7, 9),
    ),
    "in the last event": (
        [begun(input_tokens=7), message("end_turn", None), {**END, "usage": {"output_tokens": 9}}], Usage(7, 9),
    ),
    "cache writes by lifetime": (
        [begun(input_tokens=7, cache_creation={"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}),
         message("end_turn", {"output_tokens": 9}), END],
        Usage(7, 9, cache_write=5),
    ),
    "more thinking than output": (
        [begun(input_tokens=7),
         message("end_turn", {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 12}}), END],
        Usage(7, 9, reasoning=9),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "expected"), ANTHROPIC.values(), ids=ANTHROPIC)
def test_anthropic(frames: list[JSON | bytes], expected: Usage) -> None:
    assert streamed("anthropic", frames).usage == expected


def response(kind: str, usage: JSON | None) -> JSON:
    inner = {"id": "r", "status": "completed", "output": [], "usage": usage}
    return {"type": f"response.{kind}", "response": inner}


COUNTED = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
RESPONSES: dict[str, list[JSON | bytes]] = {
    "at the end": [response("created", None), response("completed", COUNTED)],
    "beside the response": [response("created", None), {**response("completed", None), "usage": COUNTED}],
    "running": [response("created", {"input_tokens": 5, "output_tokens": 1}), response("completed", COUNTED)],
    "before the end": [response("in_progress", COUNTED), response("completed", None)],
}


@pytest.mark.parametrize("frames", RESPONSES.values(), ids=RESPONSES)
def test_responses(frames: list[JSON | bytes]) -> None:
    assert streamed("openai-responses", frames).usage == Usage(5, 3)


def test_ollama_counts_no_more_cached_tokens_than_the_prompt_has() -> None:
    body = {"message": {"content": "x"}, "done": True, "prompt_eval_count": 5, "eval_count": 3,
            "prompt_eval_cached_count": 9}  # fmt: skip
    expected = Usage(0, 3, 5)
    assert PROTOCOLS["ollama"].decode_reply(dict(body), SENT, str).usage == expected
    assert streamed("ollama", [body]).usage == expected


PARTS = st.integers(0, 3000)


@given(PARTS, PARTS, PARTS, PARTS)
def test_property_counts_that_agree_are_told_as_they_are(read: int, write: int, new: int, output: int) -> None:
    """By the vendors' own arithmetic: cached tokens lie inside chat's prompt and outside Anthropic's input."""
    prompt = read + write + new
    expected = Usage(new, output, read, write)
    usage = chat_usage(prompt, output, prompt + output, **cached(read, write))
    body = PROTOCOLS["openai-chat"].decode_reply(body_of(usage), SENT, str)
    stream = streamed("openai-chat", [chunk(), chunk("stop"), {"choices": [], "usage": usage}, DONE])
    native = {"input_tokens": new, "output_tokens": output, "cache_read_input_tokens": read}
    native |= {"cache_creation_input_tokens": write}
    other = {"type": "message", "content": [], "stop_reason": "end_turn", "usage": native}
    assert body.usage == stream.usage == PROTOCOLS["anthropic"].decode_reply(other, SENT, str).usage == expected
    assert body.repaired == ()


COUNTS: list[Any] = [None, 0, 3, 9, -1, 9.0, True, "9"]
DETAILS: list[Any] = [
    None,
    {},
    [],
    "x",
    {"cached_tokens": 3},
    {"cached_tokens": 9, "cache_write_tokens": 1},
    *({name: count} for name in ("cached_tokens", "reasoning_tokens", "audio_tokens") for count in COUNTS),
]


def test_usage_in_openais_own_words_is_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[JSON] = [
        {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total}
        for prompt in COUNTS
        for output in COUNTS
        for total in (*COUNTS, 6, 12, 18)
    ]
    plain: JSON = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
    bodies += [
        plain | {name: found} for name in ("prompt_tokens_details", "completion_tokens_details") for found in DETAILS
    ]
    bodies += [plain | {"prompt_tokens_details": DETAILS[4], "completion_tokens_details": found} for found in DETAILS]
    bodies += [plain | {name: 3} for name in ("cached_tokens", "reasoning_tokens", "input_tokens", "queue_time")]

    def read() -> list[tuple[Usage | None, tuple[str, ...]]]:
        found = []
        for body in bodies:
            repairs = Repairs()
            found.append((usage.usage_in(json.loads(json.dumps(body)), repairs), repairs.names()))
        return found

    assert usage.plain_usage(plain) == Usage(5, 4)
    quick = read()
    monkeypatch.setattr(usage, "plain_usage", lambda fields: None)
    assert quick == read()
