"""Streams of real hosts that break their protocol: what the decoders make of them, and which repairs they name."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest

from crosswire.proxy.errors import Malformed
from crosswire.proxy.ir import Event, Failure, Reasoning, Reply, Text, ToolCall, fold
from crosswire.proxy.ir.repairs import REPAIRS
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UpstreamRequest, UpstreamTarget
from crosswire.proxy.wire.framing import DONE, Frame

JSON = dict[str, Any]
SENT = UpstreamRequest({}, (), UpstreamTarget("m", "p"))


def decode(protocol: str, frames: Iterable[JSON | bytes]) -> Reply | Failure:
    """Folds a stream of these frames, by which the grammar of its events is checked."""
    ids = itertools.count(1)
    decoder = PROTOCOLS[protocol].stream_decoder(SENT, lambda prefix: f"{prefix}{next(ids)}")
    events: list[Event] = []
    for frame in frames:
        events += decoder.feed(Frame(frame if isinstance(frame, bytes) else json.dumps(frame).encode()))
    return fold(events + decoder.close())


def facts(answer: Reply | Failure) -> tuple[list[str], str, set[str]]:
    """The blocks in short, the stop reason and the repairs."""
    assert isinstance(answer, Reply), answer
    said = []
    for block in answer.blocks:
        match block:
            case Text(text) | Reasoning(text):
                said.append(f"{type(block).__name__.lower()} {text}")
            case ToolCall(name=name, arguments=arguments):
                said.append(f"{name}({arguments})")
    assert set(answer.repaired) <= REPAIRS.keys()
    return said, answer.stop, set(answer.repaired)


def chat(delta: JSON | None = None, finish: str | None = None, **more: Any) -> JSON:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}


def calls(*pieces: JSON) -> JSON:
    return chat({"tool_calls": list(pieces)})


def piece(name: str | None = None, arguments: str | None = None, **more: Any) -> JSON:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**more, "function": function}


HELLO = chat({"role": "assistant", "content": "Hello"})
CALLS = chat({}, "tool_calls")

CHAT: dict[str, tuple[list[JSON | bytes], list[str], str, set[str]]] = {
    "no finish reason, but the sentinel": ([HELLO, DONE], ["text Hello"], "end", {"stop_missing"}),
    "no finish reason, with usage and the sentinel": (
        [HELLO, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}, DONE],
        ["text Hello"],
        "end",
        {"stop_missing"},
    ),
    "no finish reason after a call": (
        [calls(piece("f", "{}", index=0, id="a")), DONE],
        ["f({})"],
        "tool",
        {"stop_missing", "stop_with_call"},
    ),
    "an empty finish reason": ([HELLO, chat({}, ""), DONE], ["text Hello"], "end", {"stop_missing"}),
    "an empty finish reason in every chunk": (
        [chat({"content": "Hel"}, ""), chat({"content": "lo"}, ""), chat({}, "length"), DONE],
        ["text Hello"],
        "length",
        set(),
    ),
    "eos": ([HELLO, chat({}, "eos"), DONE], ["text Hello"], "end", {"stop_word"}),
    "a word in capitals": ([HELLO, chat({}, "MAX_TOKENS"), DONE], ["text Hello"], "length", {"stop_word"}),
    "tool_calls without a call": ([HELLO, CALLS, DONE], ["text Hello"], "end", {"stop_without_call"}),
    "all calls at index 0, with ids": (
        [calls(piece("f", "{", index=0, id="a")), calls(piece(None, "}", index=0)),
         calls(piece("g", "{", index=0, id="b")), calls(piece(None, "}", index=0)), CALLS, DONE],
        ["f({})", "g({})"],
        "tool",
        {"index"},
    ),
    "all pieces at index 0, told apart by their ids": (
        [calls(piece("f", "", index=0, id="a")), calls(piece("g", "", index=0, id="b")),
         calls(piece(None, '{"x":1}', index=0, id="a")), calls(piece(None, "{}", index=0, id="b")), CALLS, DONE],
        ['f({"x":1})', "g({})"],
        "tool",
        {"index"},
    ),
    "an id of its own for every piece": (
        [calls(piece("f", "", index=0, id="a")), calls(piece(None, '{"x":', index=0, id="b")),
         calls(piece(None, "1}", index=0, id="c")), CALLS, DONE],
        ['f({"x":1})'],
        "tool",
        set(),
    ),
    "neither ids nor indexes": (
        [calls(piece("f", "{}")), calls(piece("f", "{}")), CALLS, DONE],
        ["f({})", "f({})"],
        "tool",
        {"index", "call_id"},
    ),
    "neither ids nor indexes, in pieces": (
        [calls(piece("f", "{")), calls(piece(None, "}")), calls(piece("g", "{}")), CALLS, DONE],
        ["f({})", "g({})"],
        "tool",
        {"index", "call_id"},
    ),
    "whole calls at index 0, without ids": (
        [calls(piece("f", '{"n":1}', index=0)), calls(piece("f", '{"n":2}', index=0)), CALLS, DONE],
        ['f({"n":1})', 'f({"n":2})'],
        "tool",
        {"index", "call_id"},
    ),
    "the name in every piece": (
        [calls(piece("f", '{"n":', index=0, id="a")), calls(piece("f", "1}", index=0, id="a")), CALLS, DONE],
        ['f({"n":1})'],
        "tool",
        set(),
    ),
    "the name comes late": (
        [calls(piece("", "", index=0, id="a")), calls(piece(None, '{"n":', index=0)), calls(piece("f", "1}", index=0)),
         CALLS, DONE],
        ['f({"n":1})'],
        "tool",
        {"call_name"},
    ),
    "the id comes late": (
        [calls(piece("f", "", index=0)), calls(piece(None, "{}", index=0, id="a")), CALLS, DONE],
        ["f({})"],
        "tool",
        {"call_id"},
    ),
    "an empty call": ([HELLO, calls(piece("", "", index=0)), CALLS, DONE], ["text Hello"], "end",
                      {"call_empty", "stop_without_call"}),
    "null for a list, a call and a choice": (
        [{"id": "c", "choices": [None]}, chat({"tool_calls": None}), calls(), chat({"tool_calls": [None]}), HELLO,
         chat({}, "stop"), DONE],
        ["text Hello"],
        "end",
        {"unknown_frame"},
    ),
    "a call that is no list": ([chat({"tool_calls": piece("f", "{}", index=0, id="a")}), CALLS, DONE], ["f({})"],
                               "tool", set()),
    "frames of another kind": ([{"type": "ping"}, {"status": "queued"}, HELLO, chat({}, "stop"), DONE], ["text Hello"],
                               "end", {"unknown_frame"}),
    "a whole completion in one frame": (
        [{"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"},
                                  "finish_reason": "stop"}]}, DONE],
        ["text Hello"],
        "end",
        set(),
    ),
    "an encrypted detail without its data": (
        [chat({"reasoning_details": [{"type": "reasoning.encrypted", "id": "r"}]}), HELLO, chat({}, "stop"), DONE],
        ["text Hello"],
        "end",
        {"part_empty"},
    ),
    "an id that is a number": ([{**HELLO, "id": 7}, chat({}, "stop"), DONE], ["text Hello"], "end", set()),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "said", "stop", "repaired"), CHAT.values(), ids=CHAT)
def test_chat(frames: list[JSON | bytes], said: list[str], stop: str, repaired: set[str]) -> None:
    assert facts(decode("openai-chat", frames)) == (said, stop, repaired)


def test_calls_of_one_stream_have_different_ids() -> None:
    answer = decode("openai-chat", [calls(piece("f", "{}"), piece("g", "{}")), CALLS, DONE])
    assert isinstance(answer, Reply)
    assert len({block.id for block in answer.blocks if isinstance(block, ToolCall)}) == 2


def start() -> JSON:
    return {"type": "message_start", "message": {"id": "m1", "model": "m", "usage": {"input_tokens": 3}}}


def delta(text: str, index: int | None = 0) -> JSON:
    found = {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}
    return {key: value for key, value in found.items() if value is not None}


def opened(index: int | None, **block: Any) -> JSON:
    return {"type": "content_block_start", "content_block": block} | ({} if index is None else {"index": index})


def stopped(index: int | None = None) -> JSON:
    return {"type": "content_block_stop"} | ({} if index is None else {"index": index})


def arguments(text: str, index: int = 0) -> JSON:
    inner = {"type": "input_json_delta", "partial_json": text}
    return {"type": "content_block_delta", "index": index, "delta": inner}


def message_end(reason: str | None, **more: Any) -> list[JSON | bytes]:
    return [{"type": "message_delta", "delta": {"stop_reason": reason}, **more}, {"type": "message_stop"}]


TEXT = {"type": "text", "text": ""}
TOOL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}

ANTHROPIC: dict[str, tuple[list[JSON | bytes], list[str], str, set[str]]] = {
    "no stop reason, but the last event": (
        [start(), opened(0, **TEXT), delta("Hello"), stopped(0), {"type": "message_stop"}],
        ["text Hello"], "end", {"stop_missing"},
    ),
    "no stop reason, but the sentinel": (
        [start(), opened(0, **TOOL), arguments("{}"), stopped(0), DONE],
        ["f({})"], "tool", {"stop_missing", "stop_with_call"},
    ),
    "cut off by max_tokens inside a call": (
        [start(), opened(0, **TOOL), arguments('{"x":'), *message_end("max_tokens")],
        ['f({"x":)'], "length", {"unclosed"},
    ),
    "a text that is never closed": (
        [start(), opened(0, **TEXT), delta("Hello"), *message_end("end_turn")], ["text Hello"], "end", {"unclosed"},
    ),
    "tool_use without a call": (
        [start(), opened(0, **TEXT), delta("Hello"), stopped(0), *message_end("tool_use")],
        ["text Hello"], "end", {"stop_without_call"},
    ),
    "a word of chat": (
        [start(), opened(0, **TEXT), delta("Hello"), stopped(0), *message_end("length")],
        ["text Hello"], "length", {"stop_word"},
    ),
    "no indexes": (
        [start(), opened(None, **TEXT), delta("Hello", None), stopped(), opened(None, **TOOL), stopped(),
         *message_end("tool_use")],
        ["text Hello", "f({})"], "tool", {"index"},
    ),
    "equal indexes": (
        [start(), opened(0, **TEXT), delta("Hello"), opened(0, **TOOL), arguments("{}"), stopped(0),
         *message_end("tool_use")],
        ["text Hello", "f({})"], "tool", {"index"},
    ),
    "a text that nothing announced": (
        [start(), delta("Hello"), stopped(0), *message_end("end_turn")], ["text Hello"], "end", {"index"},
    ),
    "a call without an id": (
        [start(), opened(0, type="tool_use", name="f", input={}), stopped(0), *message_end("tool_use")],
        ["f({})"], "tool", {"call_id"},
    ),
    "frames of another kind": (
        [{"hook_results": {}}, start(), opened(0, **TEXT), {"ping": 1}, delta("Hello"), stopped(0),
         *message_end("end_turn")],
        ["text Hello"], "end", {"unknown_frame"},
    ),
    "deltas of an unknown type and no delta": (
        [start(), {"type": "content_block_delta", "index": 0, "delta": {"type": "trace_delta", "trace": "x"}},
         opened(0, **TEXT), {"type": "content_block_delta", "index": 0, "delta": None}, delta("Hello"), stopped(0),
         *message_end("end_turn")],
        ["text Hello"], "end", {"unknown_frame"},
    ),
    "a whole message in one frame": (
        [{"type": "message", "id": "m1", "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}],
        ["text Hello"], "end", set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "said", "stop", "repaired"), ANTHROPIC.values(), ids=ANTHROPIC)
def test_anthropic(frames: list[JSON | bytes], said: list[str], stop: str, repaired: set[str]) -> None:
    assert facts(decode("anthropic", frames)) == (said, stop, repaired)


def event(kind: str, **fields: Any) -> JSON:
    return {"type": f"response.{kind}", **fields}


def text_item(text: str = "Hello", id_: str = "i") -> JSON:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": id_, "role": "assistant", "status": "completed", "content": [part]}


def text_delta(text: str = "Hello", **fields: Any) -> JSON:
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    return event("output_text.delta", **{**place, "delta": text, **fields})


def completed(*output: JSON, **more: Any) -> JSON:
    return event("completed", response={"id": "r", "status": "completed", "output": list(output), **more})


CREATED = event("created", response={"id": "r", "model": "m", "status": "in_progress", "output": []})
ADDED = event("output_item.added", output_index=0, item={**text_item(), "content": []})
CALL_ITEM = {"type": "function_call", "id": "k", "call_id": "a", "name": "f", "arguments": "{}"}
OTHER_CALL = {"type": "function_call", "id": "l", "call_id": "b", "name": "g", "arguments": "{}"}

RESPONSES: dict[str, tuple[list[JSON | bytes], list[str], str, set[str]]] = {
    "deltas at an index that the whole item does not have": (
        [CREATED, ADDED, text_delta(content_index=1), event("output_item.done", output_index=0, item=text_item()),
         completed(text_item())],
        ["text Hello"], "end", {"text_twice"},
    ),
    "a part that ends at another index": (
        [CREATED, ADDED, text_delta(content_index=1),
         event("content_part.done", output_index=0, content_index=0, part=text_item()["content"][0]),
         event("output_item.done", output_index=0, item=text_item()), completed(text_item())],
        ["text Hello"], "end", {"text_twice"},
    ),
    "the sentinel in place of the last event": (
        [CREATED, ADDED, text_delta(), event("output_item.done", output_index=0, item=text_item()), DONE],
        ["text Hello"], "end", {"stop_missing"},
    ),
    "the sentinel after a call": (
        [CREATED, event("output_item.done", output_index=0, item=CALL_ITEM), DONE], ["f({})"], "tool", {"stop_missing"},
    ),
    "all items at index 0": (
        [CREATED, event("output_item.added", output_index=0, item=CALL_ITEM),
         event("output_item.done", output_index=0, item=CALL_ITEM),
         event("output_item.added", output_index=0, item=OTHER_CALL),
         event("output_item.done", output_index=0, item=OTHER_CALL), completed(CALL_ITEM, OTHER_CALL)],
        ["f({})", "g({})"], "tool", {"index"},
    ),
    "no indexes": (
        [CREATED, event("output_item.added", item=CALL_ITEM), event("output_item.done", item=CALL_ITEM),
         event("output_item.added", item=OTHER_CALL), event("output_item.done", item=OTHER_CALL),
         completed(CALL_ITEM, OTHER_CALL)],
        ["f({})", "g({})"], "tool", set(),
    ),
    "frames of another kind": ([CREATED, {"ping": 1}, ADDED, text_delta(), completed(text_item())], ["text Hello"],
                               "end", {"unknown_frame"}),
    "null for an item": ([CREATED, event("output_item.added", item=None), ADDED, text_delta(),
                          event("output_item.done", item=None), completed(text_item())], ["text Hello"], "end", set()),
    "a whole response in one frame": ([{"id": "r", "object": "response", "status": "completed",
                                        "output": [text_item()]}], ["text Hello"], "end", set()),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "said", "stop", "repaired"), RESPONSES.values(), ids=RESPONSES)
def test_responses(frames: list[JSON | bytes], said: list[str], stop: str, repaired: set[str]) -> None:
    assert facts(decode("openai-responses", frames)) == (said, stop, repaired)


def gemini(*parts: Any, finish: str | None = None, **more: Any) -> JSON:
    candidate: JSON = {"content": {"role": "model", "parts": list(parts)}}
    return {"candidates": [candidate | ({} if finish is None else {"finishReason": finish})], **more}


GEMINI_CALL = {"functionCall": {"name": "f", "args": {}}}

GEMINI: dict[str, tuple[list[JSON | bytes], list[str], str, set[str]]] = {
    "an unexpected call": ([gemini(GEMINI_CALL, finish="UNEXPECTED_TOOL_CALL")], ["f({})"], "tool", {"stop_with_call"}),
    "no finish reason, but the sentinel": ([gemini({"text": "Hello"}), DONE], ["text Hello"], "end", {"stop_missing"}),
    "no finish reason after a call": ([gemini(GEMINI_CALL), DONE], ["f({})"], "tool", {"stop_missing"}),
    "the sentinel after the end": ([gemini({"text": "Hello"}, finish="STOP"), DONE], ["text Hello"], "end", set()),
    "a finish reason in small letters": ([gemini({"text": "Hello"}, finish="stop")], ["text Hello"], "end",
                                         {"stop_word"}),
    "null and settings for a part": ([gemini(None, {"videoMetadata": {"fps": 1}}, {"text": "Hello"}, finish="STOP")],
                                     ["text Hello"], "end", set()),
    "null for a candidate, and a part without data": (
        [{"candidates": [None]}, gemini({}, {"text": "Hello"}, finish="STOP")], ["text Hello"], "end",
        {"unknown_frame"},
    ),
    "frames of another kind": ([{"ping": 1}, gemini({"text": "Hello"}, finish="STOP")], ["text Hello"], "end",
                               {"unknown_frame"}),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "said", "stop", "repaired"), GEMINI.values(), ids=GEMINI)
def test_gemini(frames: list[JSON | bytes], said: list[str], stop: str, repaired: set[str]) -> None:
    assert facts(decode("gemini", frames)) == (said, stop, repaired)


def line(text: str = "Hello", done: bool = False, **more: Any) -> JSON:
    return {"model": "m", "message": {"role": "assistant", "content": text}, "done": done, **more}


OLLAMA_CALL = {"function": {"name": "f", "arguments": {}}}

OLLAMA: dict[str, tuple[list[JSON | bytes], list[str], str, set[str]]] = {
    "the sentinel in place of the last line": ([line(), DONE], ["text Hello"], "end", {"stop_missing"}),
    "tool_calls without a call": ([line(), line("", True, done_reason="tool_calls")], ["text Hello"], "end",
                                  {"stop_word", "stop_without_call"}),
    "tool_calls with a call": (
        [{"message": {"tool_calls": [OLLAMA_CALL]}, "done": False}, line("", True, done_reason="tool_calls")],
        ["f({})"], "tool", {"stop_word"},
    ),
    "lines without a message": ([{"done": False}, {"ping": 1}, line(), line("", True)], ["text Hello"], "end",
                                {"unknown_frame"}),
    "null for everything": ([{"message": None, "done": False}, line(), {"message": None, "done": True}],
                            ["text Hello"], "end", set()),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "said", "stop", "repaired"), OLLAMA.values(), ids=OLLAMA)
def test_ollama(frames: list[JSON | bytes], said: list[str], stop: str, repaired: set[str]) -> None:
    assert facts(decode("ollama", frames)) == (said, stop, repaired)


CUTS: dict[str, tuple[str, list[JSON | bytes]]] = {
    "chat": ("openai-chat", [HELLO]),
    "chat, an empty reason beside the text": ("openai-chat", [chat({"content": "Hello"}, "")]),
    "chat, the sentinel alone": ("openai-chat", [DONE]),
    "responses": ("openai-responses", [CREATED, ADDED, text_delta()]),
    "responses, the sentinel alone": ("openai-responses", [CREATED, DONE]),
    "anthropic": ("anthropic", [start(), opened(0, **TEXT), delta("Hello"), stopped(0)]),
    "anthropic, half a call begun again": (
        "anthropic", [start(), opened(0, **TOOL), arguments('{"x":'), start(), *message_end("end_turn")],
    ),
    "gemini": ("gemini", [gemini({"text": "Hello"})]),
    "gemini, the sentinel alone": ("gemini", [DONE]),
    "ollama": ("ollama", [line()]),
    "ollama, the sentinel alone": ("ollama", [DONE]),
}  # fmt: skip


@pytest.mark.parametrize(("protocol", "frames"), CUTS.values(), ids=CUTS)
def test_a_stream_without_any_end_stays_a_cut(protocol: str, frames: list[JSON | bytes]) -> None:
    answer = decode(protocol, frames)
    assert isinstance(answer, Failure)
    assert answer.kind == "upstream_cut"


def test_arguments_without_a_name_are_no_call() -> None:
    with pytest.raises(Malformed, match="name never came"):
        decode("openai-chat", [calls(piece(None, "{}", index=0, id="a")), CALLS, DONE])


FAILURES: dict[str, tuple[str, JSON, str, int, str]] = {
    "chat, a choice's error": (
        "openai-chat",
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "slow"}}]},
        "rate_limit", 429, "slow",
    ),
    "chat, finish_reason error": ("openai-chat", chat({}, "error"), "upstream_error", 502, "failed"),
    "chat, no resources": ("openai-chat", chat({}, "insufficient_system_resource"), "overloaded", 503, "resources"),
    "chat, network_error": ("openai-chat", chat({}, "network_error"), "upstream_error", 502, "network"),
    "chat, vLLM": (
        "openai-chat", {"object": "error", "message": "maximum context length is 9", "code": 400},
        "context_length", 400, "maximum context length",
    ),
    "chat, FastAPI": ("openai-chat", {"detail": [{"loc": ["n"], "msg": "no n"}]}, "upstream_error", 502, "no n"),
    "chat, Groq": (
        "openai-chat", {"error": {"message": "bad call", "type": "invalid_request_error", "status_code": 400}},
        "bad_request", 400, "bad call",
    ),
    "chat, Groq's tool_use_failed": (
        "openai-chat", {"error": {"message": "bad call", "code": "tool_use_failed"}}, "bad_request", 400, "bad call",
    ),
    "chat, a sentence": ("openai-chat", {"detail": "rate limited, slow down"}, "rate_limit", 429, "slow down"),
    "responses, failed without an error": (
        "openai-responses", event("failed", response={"status": "failed"}), "upstream_error", 502, "failed",
    ),
    "responses, completed as failed": (
        "openai-responses", completed(status="failed"), "upstream_error", 502, "failed",
    ),
    "responses, an overload": (
        "openai-responses", {"type": "error", "code": "server_is_overloaded", "message": "too many of us"},
        "overloaded", 503, "too many of us",
    ),
    "responses, a detail": ("openai-responses", {"detail": "no such thing"}, "upstream_error", 502, "no such thing"),
    "anthropic, without a type": ("anthropic", {"error": {"type": "overloaded_error", "message": "busy"}}, "overloaded",
                                  503, "busy"),
    "anthropic, a detail": ("anthropic", {"detail": "no such thing"}, "upstream_error", 502, "no such thing"),
    "gemini, an array": ("gemini", {"error": [{"code": 404, "message": "no m"}]}, "not_found", 404, "no m"),
    "gemini, a detail": ("gemini", {"detail": "no such thing"}, "upstream_error", 502, "no such thing"),
    "ollama, an object": ("ollama", {"error": {"message": "no m", "code": 404}}, "not_found", 404, "no m"),
    "ollama, a detail": ("ollama", {"detail": "no such thing"}, "upstream_error", 502, "no such thing"),
}  # fmt: skip


@pytest.mark.parametrize(("protocol", "frame", "kind", "status", "words"), FAILURES.values(), ids=FAILURES)
def test_a_failure_inside_a_200(protocol: str, frame: JSON, kind: str, status: int, words: str) -> None:
    answer = decode(protocol, [frame])
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.status) == (kind, status)
    assert words in answer.message
