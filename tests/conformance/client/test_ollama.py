"""Client of Ollama: built requests, accepted replies, and every complaint about an invalid one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.conformance.client.ollama import CLIENT
from crosswire.conformance.client.ollama.reply_parser import parse_reply
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.mockserver.protocols.ollama import PROTOCOL
from crosswire.mockserver.scenarios.model import (
    Ask,
    Audio,
    Document,
    Image,
    NamedTool,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    Usage,
)
from tests.mockserver.protocols.ollama_fixture import (
    VALUES,
    Lines,
    call,
    context,
    lines,
    mutated,
)


def test_a_built_request() -> None:
    ask = Ask(
        system=("Be brief.",),
        user=(Text("What is "), Image("image/png", "aWU="), Text("this?")),
        tools=(Tool("w", "weather", {"type": "object"}, True),),
        tool_choice=NamedTool("w"),
        parallel=False,
        reasoning=512,
        max_tokens=9,
        stop=("END",),
        top_k=3,
        format=ResponseFormat(),
        also={"ollama": {"options": {"num_ctx": 4096}, "keep_alive": "5m"}},
    )
    request = CLIENT.build_request([(ask, None)], model="llama3.2", stream=False, key="k")
    assert (request.method, request.path, request.headers["authorization"]) == ("POST", "/api/chat", "Bearer k")
    assert request.body == {
        "model": "llama3.2",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is this?", "images": ["aWU="]},
        ],
        "stream": False,
        "tools": [
            {
                "type": "function",
                "function": {"name": "w", "description": "weather", "parameters": {"type": "object"}},
            }
        ],
        "options": {"top_k": 3, "num_predict": 9, "stop": ["END"], "num_ctx": 4096},
        "think": True,
        "format": "json",
        "keep_alive": "5m",
    }


@pytest.mark.parametrize(
    ("reasoning", "think"), [("none", False), ("minimal", "low"), ("medium", "medium"), ("xhigh", "max"), (0, False)]
)
def test_reasoning_is_sent_as_think(reasoning: str | int, think: bool | str) -> None:
    ask = Ask(user=(Text("u"),), reasoning=reasoning)
    assert CLIENT.build_request([(ask, None)], model="m", stream=False).body["think"] == think


@pytest.mark.parametrize(
    "block", [Image("image/png", None, "https://x.test/a.png"), Document("application/pdf", "aWU="), Audio("a/b", "a")]
)
def test_blocks_that_a_message_cannot_hold_raise(block: Any) -> None:
    with pytest.raises(ValueError, match="an Ollama message has no place for"):
        CLIENT.build_request([(Ask(user=(block,)), None)], model="m", stream=False)


def parse_stream(found: Lines, *, wrap: Callable[[bytes], bytes] = lambda body: body) -> ParsedReply:
    """Parses the lines as a stream, whose bytes `wrap` may change."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in found)
    return parse_reply(200, {"content-type": "application/x-ndjson"}, wrap(body), stream=True)


COMPLAINTS: dict[str, tuple[Callable[[Lines], Any], str]] = {
    "model": (lambda x: x[1].pop("model"), "line: `model` is missing"),
    "model-changes": (lambda x: x[1].update(model="other"), "line: `model` changes from llama3.2 to other"),
    "time": (lambda x: x[1].update(created_at=1760000000), "line: `created_at` is 1760000000, not a time"),
    "no-time": (lambda x: x[1].pop("created_at"), "line: `created_at` is null, not a time"),
    "no-done": (lambda x: x[1].pop("done"), "line: `done` is null"),
    "no-message": (lambda x: x[1].pop("message"), "line: `message` is missing"),
    "role": (lambda x: x[1]["message"].pop("role"), "message: role is null, not 'assistant'"),
    "content": (lambda x: x[1]["message"].update(content=None), "message: `content` is null, not a string"),
    "content-parts": (lambda x: x[1]["message"].update(content=[]), "message: `content` is [], not a string"),
    "thinking": (lambda x: x[0]["message"].update(thinking=True), "message: `thinking` is true, not a string"),
    "empty-calls": (lambda x: x[3]["message"].update(tool_calls=[]), "`tool_calls` is not an array that holds one"),
    "no-function": (lambda x: call(x).pop("function"), "tool_calls: `function` is missing"),
    "no-name": (lambda x: call(x)["function"].pop("name"), "tool_calls: `name` is missing"),
    "arguments-are-text": (
        lambda x: call(x)["function"].update(arguments="{}"),
        'tool_calls: `arguments` is "{}", not an object',
    ),
    "no-arguments": (lambda x: call(x)["function"].pop("arguments"), "tool_calls: `arguments` is null"),
    "id": (lambda x: call(x).update(id=""), 'tool_calls: `id` is "", not a string'),
    "same-ids": (lambda x: call(x, 4).update(id="c1"), "calls: two have the same id"),
    "index": (lambda x: call(x, 4)["function"].update(index=0), "tool_calls: `index` is 0 for call 1"),
    "reason": (lambda x: x[-1].update(done_reason="tool_calls"), 'done: there is no `done_reason` "tool_calls"'),
    "no-reason": (lambda x: x[-1].pop("done_reason"), "done: there is no `done_reason` null"),
    "early-reason": (lambda x: x[0].update(done_reason="stop"), "line: `done_reason` before `done`"),
    "early-count": (lambda x: x[0].update(eval_count=1), "line: `eval_count` before `done`"),
    "count": (lambda x: x[-1].update(eval_count="9"), 'usage: `eval_count` is "9", not a count'),
    "duration": (lambda x: x[-1].update(total_duration=0.5), "usage: `total_duration` is 0.5, not a count"),
    "no-counts": (
        lambda x: (x[-1].pop("eval_count"), x[-1].pop("prompt_eval_count")),
        "usage: neither `prompt_eval_count` nor `eval_count`",
    ),
    "after-done": (lambda x: x.append(x[0]), "line: after `done`"),
    "line-after-error": (lambda x: x.insert(0, {"error": "e"}), "stream: a line after an error"),
    "error-after-done": (lambda x: x.append({"error": "e"}), "stream: an error after `done`"),
    "error-shape": (lambda x: x.append({"error": {"message": "e"}}), "error: `error` is not a string"),
    "not-an-object": (lambda x: x.insert(0, "[DONE]"), "stream: a line that is not a JSON object"),
}


@pytest.mark.parametrize("case", COMPLAINTS)
def test_each_violation_has_a_complaint(case: str) -> None:
    mutate, complaint = COMPLAINTS[case]
    found = lines()
    assert parse_stream(found).complaints == ()
    mutate(found)
    reply = parse_stream(found)
    assert any(complaint in found for found in reply.complaints), reply.complaints


@pytest.mark.parametrize(
    ("wrap", "complaint"),
    [
        (lambda body: body.replace(b"\n", b"\n\n", 1), "stream: an empty line"),
        (lambda body: b"\n" + body, "stream: an empty line"),
        (lambda body: body.rstrip(b"\n"), "stream: no line end after the last line"),
        (lambda body: b": comment\n" + body, "stream: a line that is not a JSON object"),
        (lambda body: b"data: " + body, "stream: a line that is not a JSON object"),
    ],
)
def test_complaints_about_framing(wrap: Callable[[bytes], bytes], complaint: str) -> None:
    assert any(complaint in found for found in parse_stream(lines(), wrap=wrap).complaints)


def test_line_ends_may_be_crlf() -> None:
    assert parse_stream(lines(), wrap=lambda body: body.replace(b"\n", b"\r\n")) == parse_stream(lines())


@pytest.mark.parametrize(
    ("status", "headers", "body", "complaint"),
    [
        (200, {"content-type": "text/html"}, b"{}", "headers: content-type is text/html"),
        (200, {"content-type": "application/json"}, b"<html>", "not JSON"),
        (200, {"content-type": "application/json"}, b'{"error":"e"}', "an error with status 200"),
        (200, {"content-type": "application/json"}, b'{"done":false}', "body: `done` is not true"),
        (500, {"content-type": "application/json"}, b"{}", "error: the body has no `error`"),
        (500, {"content-type": "application/json"}, b'{"error":{"message":"m"}}', "error: `error` is not a string"),
    ],
)
def test_complaints_about_bodies(status: int, headers: dict[str, str], body: bytes, complaint: str) -> None:
    complaints = parse_reply(status, headers, body, stream=False).complaints
    assert any(complaint in found for found in complaints), complaints


def test_a_stream_without_its_end_is_cut() -> None:
    whole = PROTOCOL.render_reply(context()).body
    for at in range(len(whole) - 1):
        reply = parse_reply(200, {"content-type": "application/x-ndjson"}, whole[:at], stream=True)
        assert reply.error is not None
        assert reply.error.kind == "cut"


# ---- the vendor's own samples ----------------------------------------------------------------------------------------


def test_the_vendors_stream_is_accepted() -> None:
    """https://github.com/ollama/ollama/blob/main/docs/api.md#chat-request-streaming, with today's final line."""
    text = (
        '{"model":"llama3.2","created_at":"2023-08-04T08:52:19.385406455-07:00",'
        '"message":{"role":"assistant","content":"The","images":null},"done":false}\n'
        '{"model":"llama3.2","created_at":"2023-08-04T19:22:45.499127Z","message":{"role":"assistant","content":""},'
        '"done":true,"done_reason":"stop","total_duration":4883583458,"load_duration":1334875,'
        '"prompt_eval_count":26,"prompt_eval_duration":342546000,"eval_count":282,"eval_duration":4535599000}\n'
    )
    reply = parse_reply(200, {"content-type": "application/x-ndjson"}, text.encode(), stream=True)
    assert (reply.complaints, reply.text, reply.stop, reply.usage) == ((), "The", "end", Usage(26, 282))


def test_the_vendors_calls_are_accepted() -> None:
    """https://docs.ollama.com/capabilities/tool-calling, with the ids that newer servers add."""
    body = {
        "model": "llama3.2",
        "created_at": "2024-07-22T20:33:28.123648Z",
        "message": {
            "role": "assistant",
            "content": "",
            "thinking": "Both cities.",
            "tool_calls": [
                {
                    "id": "call_p8x2k1qa",
                    "function": {"index": 0, "name": "get_temperature", "arguments": {"city": "X"}},
                },
                {"function": {"name": "get_temperature", "arguments": {"city": "Y"}}},
            ],
        },
        "done_reason": "stop",
        "done": True,
        "total_duration": 885095291,
        "load_duration": 3753500,
        "eval_count": 33,
        "eval_duration": 552222000,
    }
    reply = parse_reply(200, {"content-type": "application/json"}, json.dumps(body).encode(), stream=False)
    assert reply.complaints == ()
    assert reply.blocks == (
        Thinking("Both cities."),
        ToolCall("call_p8x2k1qa", "get_temperature", '{"city":"X"}'),
        ToolCall("", "get_temperature", '{"city":"Y"}'),
    )
    assert (reply.stop, reply.usage) == ("tool", Usage(0, 33))
    assert reply.echo == (
        {"role": "assistant", "content": "", "thinking": "Both cities.", "tool_calls": body["message"]["tool_calls"]},
    )


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_replies_without_content_are_accepted(reason: str) -> None:
    """https://github.com/ollama/ollama/blob/main/docs/api.md#load-a-model-1"""
    body = {
        "model": "llama3.2",
        "created_at": "2024-09-12T21:17:29.110811Z",
        "message": {"role": "assistant", "content": ""},
        "done_reason": reason,
        "done": True,
    }
    reply = parse_reply(200, {"content-type": "application/json"}, json.dumps(body).encode(), stream=False)
    assert (reply.complaints, reply.stop, reply.usage, reply.blocks) == ((), "other", None, ())


def test_a_reply_does_not_depend_on_the_request() -> None:
    rendered = PROTOCOL.render_reply(context())
    headers = {"content-type": "application/x-ndjson"}
    request = HttpRequest("POST", "/api/chat", {}, {})
    assert parse_reply(200, headers, rendered.body, stream=True, request=request) == parse_reply(
        200, headers, rendered.body, stream=True
    )


@settings(max_examples=150, deadline=None)
@given(found=st.lists(VALUES, max_size=3) | mutated(lines()), status=st.sampled_from([200, 400]))
def test_no_response_raises(found: Any, status: int) -> None:
    found = found if isinstance(found, list) else [found]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in found)
    parse_reply(status, {}, body, stream=True)
    for line in found:
        parse_reply(status, {}, json.dumps(line).encode(), stream=False)
