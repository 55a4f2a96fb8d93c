"""Client of the Gemini API: built requests, accepted replies, and every complaint about an invalid one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.conformance.client.gemini import CLIENT
from crosswire.conformance.client.gemini.reply_parser import parse_reply
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.mockserver.protocols.gemini import PROTOCOL
from crosswire.mockserver.scenarios.model import (
    Ask,
    NamedTool,
    Text,
    Thinking,
    Tool,
    ToolCall,
    Usage,
)
from tests.mockserver.protocols.gemini_fixture import (
    ARRAY_PATH,
    SSE_PATH,
    UNARY_PATH,
    VALUES,
    Body,
    Chunks,
    chunks,
    context,
    mutated,
    part,
)


def test_a_built_request() -> None:
    ask = Ask(
        system=("Be brief.",),
        user=(Text("Hi"),),
        tools=(Tool("w", "weather", {"type": "object"}),),
        tool_choice=NamedTool("w"),
        reasoning="high",
        max_tokens=9,
        also={"gemini": {"generationConfig": {"candidateCount": 1}}},
    )
    request = CLIENT.build_request([(ask, None)], model="gemini-2.5-flash", stream=True, key="k")
    assert request.path == SSE_PATH
    assert request.headers["x-goog-api-key"] == "k"
    assert request.body == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "w", "description": "weather", "parametersJsonSchema": {"type": "object"}}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["w"]}},
        "generationConfig": {
            "maxOutputTokens": 9,
            # this model has no thinking levels
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 24576},
            "candidateCount": 1,
        },
    }


def parse_stream(found: Chunks, *, wrap: Callable[[bytes], bytes] = lambda body: body) -> ParsedReply:
    """Parses the chunks as an SSE stream, whose bytes `wrap` may change."""
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in found)
    request = HttpRequest("POST", SSE_PATH, {}, {})
    return parse_reply(200, {"content-type": "text/event-stream"}, wrap(body), stream=True, request=request)


COMPLAINTS: dict[str, tuple[Callable[[Chunks], Any], str]] = {
    "empty-text": (lambda c: part(c, 0).update(text=""), "part: an empty text"),
    "no-data": (lambda c: part(c, 0).pop("text"), "part: one of its data fields must be set, found []"),
    "two-data": (lambda c: part(c, 2).update(text="x"), "part: one of its data fields must be set"),
    "text-is-no-string": (lambda c: part(c, 0).update(text=3), "part: `text` is not a string"),
    "thought-is-no-flag": (lambda c: part(c, 0).update(thought="yes"), "part: `thought` is neither"),
    "signature-is-not-base64": (
        lambda c: part(c, 2).update(thoughtSignature="sig:x"),
        "`thoughtSignature` is not base64",
    ),
    "empty-parts": (
        lambda c: c[0]["candidates"][0]["content"].update(parts=[]),
        "content: `parts` is not an array that holds one",
    ),
    "no-parts": (lambda c: c[0]["candidates"][0]["content"].pop("parts"), "content: `parts` is missing"),
    "no-content": (
        lambda c: c[0]["candidates"][0].pop("content"),
        "candidate: neither `content` nor `finishReason`",
    ),
    "role": (lambda c: c[0]["candidates"][0]["content"].update(role="assistant"), "content: role is 'assistant'"),
    "no-role": (lambda c: c[0]["candidates"][0]["content"].pop("role"), "content: role is None"),
    "name": (lambda c: part(c, 2)["functionCall"].pop("name"), "functionCall: `name` is missing"),
    "args-are-text": (lambda c: part(c, 2)["functionCall"].update(args="{}"), "functionCall: `args` is"),
    "no-args": (lambda c: part(c, 2)["functionCall"].pop("args"), "functionCall: `args` is null, not an object"),
    "id": (lambda c: part(c, 2)["functionCall"].update(id=3), "functionCall: `id` is 3"),
    "same-ids": (
        lambda c: c[2]["candidates"][0]["content"].update(
            parts=[{"functionCall": {"name": "w", "args": {}, "id": "i"}} for _ in "ab"]
        ),
        "calls: two have the same id",
    ),
    "unknown-fields": (lambda c: c[0].update(id="chatcmpl-1"), "response: there is no field `id`"),
    "unknown-field-of-a-candidate": (
        lambda c: c[0]["candidates"][0].update(finish_reason=None),
        "candidate: there is no field `finish_reason`",
    ),
    "unknown-field-of-a-part": (lambda c: part(c, 0).update(type="text"), "part: there is no field `type`"),
    "unknown-field-of-a-call": (
        lambda c: part(c, 2)["functionCall"].update(arguments="{}"),
        "functionCall: there is no field `arguments`",
    ),
    "unknown-field-of-usage": (
        lambda c: c[2]["usageMetadata"].update(completion_tokens=1),
        "usageMetadata: there is no field `completion_tokens`",
    ),
    "no-response-id": (lambda c: [chunk.pop("responseId") for chunk in c], "response: `responseId` is missing"),
    "response-id-changes": (lambda c: c[1].update(responseId="other"), "`responseId` changes within the stream"),
    "no-model": (lambda c: [chunk.pop("modelVersion") for chunk in c], "response: `modelVersion` is missing"),
    "no-candidates": (lambda c: c[0].update(candidates=[]), "`candidates` is not an array that holds one"),
    "nothing-at-all": (
        lambda c: (c[0].pop("candidates"), c[0].pop("usageMetadata")),
        "response: neither `candidates` nor `promptFeedback` nor `usageMetadata`",
    ),
    "finish-number": (lambda c: c[2]["candidates"][0].update(finishReason=1), "numbers must be asked for"),
    "finish-name": (
        lambda c: c[2]["candidates"][0].update(finishReason="tool_calls"),
        "no `finishReason` 'tool_calls'",
    ),
    "finish-twice": (lambda c: c[1]["candidates"][0].update(finishReason="STOP"), "`finishReason` comes twice"),
    "content-after-finish": (
        lambda c: c[1]["candidates"][0].update(finishReason="STOP"),
        "candidate: content after `finishReason`",
    ),
    "no-usage": (lambda c: [chunk.pop("usageMetadata") for chunk in c], "stream: no `usageMetadata`"),
    "total": (lambda c: c[2]["usageMetadata"].update(totalTokenCount=3), "usage: totalTokenCount is 3, its parts are"),
    "no-total": (lambda c: c[2]["usageMetadata"].pop("totalTokenCount"), "usage: totalTokenCount is None"),
    "cached": (
        lambda c: c[2]["usageMetadata"].update(cachedContentTokenCount=99),
        "cachedContentTokenCount 99 exceeds promptTokenCount",
    ),
    "count": (lambda c: c[2]["usageMetadata"].update(candidatesTokenCount="5"), "`candidatesTokenCount` is '5'"),
    "event-after-error": (
        lambda c: c.insert(0, {"error": {"code": 500, "message": "m", "status": "INTERNAL"}}),
        "stream: an event after an error",
    ),
    "error-after-finish": (
        lambda c: c.append({"error": {"code": 500, "message": "m", "status": "INTERNAL"}}),
        "stream: an error after finishReason",
    ),
    "error-code": (
        lambda c: c.append({"error": {"code": "500", "message": "m", "status": "INTERNAL"}}),
        "error: `code` is '500', not an HTTP status",
    ),
    "error-name": (
        lambda c: c.append({"error": {"code": 429, "message": "m", "status": "rate_limit_error"}}),
        "error: `status` rate_limit_error does not belong to 429; RESOURCE_EXHAUSTED does",
    ),
    "error-shape": (lambda c: c.append({"error": "boom"}), "error: `error` is not an object"),
    "done": (lambda c: c.append("[DONE]"), "stream: an event that is not a JSON object"),
    "unfinished-arguments": (
        lambda c: part(c, 2).update(functionCall={"name": "w", "willContinue": True}),
        "functionCall: the arguments never came to an end",
    ),
}


@pytest.mark.parametrize("case", COMPLAINTS)
def test_each_violation_has_a_complaint(case: str) -> None:
    mutate, complaint = COMPLAINTS[case]
    found = chunks()
    assert parse_stream(found).complaints == ()
    mutate(found)
    reply = parse_stream(found)
    assert any(complaint in found for found in reply.complaints), reply.complaints


@pytest.mark.parametrize(
    ("wrap", "complaint"),
    [
        (lambda body: body + b"data: [DONE]\r\n\r\n", "stream: a [DONE]"),
        (lambda body: b": still here\r\n\r\n" + body, "stream: a comment ('still here')"),
        (lambda body: b"event: message\r\n" + body, "stream: an `event:` line (message)"),
        (lambda body: body + b"data: {", "stream: it does not end well"),
    ],
)
def test_complaints_about_framing(wrap: Callable[[bytes], bytes], complaint: str) -> None:
    assert any(complaint in found for found in parse_stream(chunks(), wrap=wrap).complaints)


def test_line_ends_may_be_lf() -> None:
    assert parse_stream(chunks(), wrap=lambda body: body.replace(b"\r\n", b"\n")) == parse_stream(chunks())


@pytest.mark.parametrize(
    ("status", "headers", "body", "complaint"),
    [
        (200, {"content-type": "text/html"}, b"{}", "headers: content-type is text/html"),
        (200, {"content-type": "application/json"}, b"<html>", "not JSON"),
        (200, {"content-type": "application/json"}, b'{"error":{}}', "an error with status 200"),
        (500, {"content-type": "application/json"}, b"{}", "error: the body has no `error`"),
        (
            500,
            {"content-type": "application/json"},
            b'{"error":{"code":400,"message":"m","status":"INTERNAL"}}',
            "error: `code` is 400, the status is 500",
        ),
        (
            500,
            {"content-type": "application/json"},
            b'{"error":{"code":500,"status":"INTERNAL","details":{}}}',
            "error: `message` is None",
        ),
        (
            500,
            {"content-type": "application/json"},
            b'{"error":{"code":500,"message":"m","details":{}}}',
            "error: `details` is not an array",
        ),
    ],
)
def test_complaints_about_bodies(status: int, headers: dict[str, str], body: bytes, complaint: str) -> None:
    complaints = parse_reply(status, headers, body, stream=False).complaints
    assert any(complaint in found for found in complaints), complaints


def test_a_stream_without_its_end_is_cut() -> None:
    reply = parse_stream(chunks()[:1])
    assert reply.error is not None
    assert (reply.error.kind, reply.text, reply.stop) == ("cut", "Hi", None)
    whole = PROTOCOL.render_reply(context(path=ARRAY_PATH)).body
    request = HttpRequest("POST", ARRAY_PATH, {}, {})
    headers = {"content-type": "application/json"}
    for at in range(len(whole) - 2):
        reply = parse_reply(200, headers, whole[:at], stream=True, request=request)
        assert reply.error is not None
        assert reply.error.kind == "cut"


# ---- the vendor's own samples ----------------------------------------------------------------------------------------

SAMPLES = [
    pytest.param(
        # https://ai.google.dev/gemini-api/docs/text-generation, with the ids that the service adds
        {
            "candidates": [
                {
                    "content": {"parts": [{"text": "AI learns patterns from data."}], "role": "model"},
                    "finishReason": "STOP",
                    "index": 0,
                    "avgLogprobs": -0.2,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 8,
                "candidatesTokenCount": 6,
                "totalTokenCount": 34,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}],
                "thoughtsTokenCount": 20,
            },
            "modelVersion": "gemini-2.5-flash",
            "responseId": "mAitaLmkHPPlz7IPvtfUqQ4",
        },
        ParsedReply(blocks=(Text("AI learns patterns from data."),), stop="end", usage=Usage(8, 26, None, None, 20)),
        id="text",
    ),
    pytest.param(
        # https://ai.google.dev/gemini-api/docs/function-calling#parallel_function_calling
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"functionCall": {"name": "power_disco_ball", "args": {"power": True}, "id": "8f2b1a3c"}},
                            {"functionCall": {"name": "dim_lights", "args": {"brightness": 0.5}, "id": "9d3c2b1a"}},
                        ],
                        "role": "model",
                    },
                    "finishReason": "STOP",
                    "index": 0,
                    "finishMessage": "Model generated function call(s).",
                }
            ],
            "usageMetadata": {"promptTokenCount": 105, "candidatesTokenCount": 28, "totalTokenCount": 133},
            "modelVersion": "gemini-3-flash-preview",
            "responseId": "x",
        },
        ParsedReply(
            blocks=(
                ToolCall("8f2b1a3c", "power_disco_ball", '{"power":true}'),
                ToolCall("9d3c2b1a", "dim_lights", '{"brightness":0.5}'),
            ),
            stop="tool",
            usage=Usage(105, 28),
        ),
        id="calls",
    ),
    pytest.param(
        # https://ai.google.dev/gemini-api/docs/thought-signatures#non-functioncall-parts
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "I need to check the flight.", "thought": True},
                            {"text": "The flight is delayed.", "thoughtSignature": "PFNpZ25hdHVyZT4="},
                        ],
                        "role": "model",
                    },
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 50,
                "candidatesTokenCount": 5,
                "totalTokenCount": 62,
                "thoughtsTokenCount": 7,
                "cachedContentTokenCount": 20,
            },
            "modelVersion": "gemini-3-pro-preview",
            "responseId": "x",
        },
        ParsedReply(
            blocks=(
                Thinking("I need to check the flight."),
                Thinking("", "PFNpZ25hdHVyZT4="),
                Text("The flight is delayed."),
            ),
            stop="end",
            usage=Usage(30, 12, 20, None, 7),
        ),
        id="signature-on-text",
    ),
    pytest.param(
        # https://ai.google.dev/api/generate-content#PromptFeedback
        {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
            "modelVersion": "gemini-2.5-flash",
            "responseId": "x",
        },
        ParsedReply(stop="content_filter", usage=Usage(4, 0)),
        id="blocked-prompt",
    ),
]


@pytest.mark.parametrize(("body", "wanted"), SAMPLES)
def test_the_vendors_bodies_are_accepted(body: Body, wanted: ParsedReply) -> None:
    reply = parse_reply(
        200, {"content-type": "application/json; charset=UTF-8"}, json.dumps(body).encode(), stream=False
    )
    assert reply.complaints == ()
    assert (reply.blocks, reply.stop, reply.usage) == (wanted.blocks, wanted.stop, wanted.usage)
    types.GenerateContentResponse.model_validate(body)


def test_the_vendors_stream_is_accepted() -> None:
    """https://ai.google.dev/gemini-api/docs/thought-signatures: in streams the signature may come on an empty text."""
    text = (
        'data: {"candidates": [{"content": {"parts": [{"text": "I am"}],"role": "model"},"index": 0}],'
        '"usageMetadata": {"promptTokenCount": 5,"candidatesTokenCount": 2,"totalTokenCount": 7},'
        '"modelVersion": "gemini-3-flash-preview","responseId": "x"}\r\n\r\n'
        'data: {"candidates": [{"content": {"parts": [{"text": " here."}],"role": "model"},"index": 0}],'
        '"usageMetadata": {"promptTokenCount": 5,"candidatesTokenCount": 4,"totalTokenCount": 9},'
        '"modelVersion": "gemini-3-flash-preview","responseId": "x"}\r\n\r\n'
        'data: {"candidates": [{"content": {"parts": [{"text": "","thoughtSignature": "U2ln"}],"role": "model"},'
        '"finishReason": "STOP","index": 0}],'
        '"usageMetadata": {"promptTokenCount": 5,"candidatesTokenCount": 4,"totalTokenCount": 9},'
        '"modelVersion": "gemini-3-flash-preview","responseId": "x"}\r\n\r\n'
    )
    reply = parse_reply(200, {"content-type": "text/event-stream"}, text.encode(), stream=True)
    assert (reply.complaints, reply.stop, reply.usage) == ((), "end", Usage(5, 4))
    assert reply.blocks == (Thinking("", "U2ln"), Text("I am here."))
    # a signed part is not merged with an unsigned one in the echo
    assert reply.echo == (
        {"role": "model", "parts": [{"text": "I am here."}, {"text": "", "thoughtSignature": "U2ln"}]},
    )


def test_enums_may_be_numbers_on_request() -> None:
    """https://cloud.google.com/apis/docs/system-parameters: `$alt=json;enum-encoding=int`."""
    body = copy.deepcopy(SAMPLES[0].values[0])
    assert isinstance(body, dict)
    body["candidates"][0]["finishReason"] = 2
    request = HttpRequest("POST", f"{UNARY_PATH}?%24alt=json%3Benum-encoding%3Dint", {}, {})
    reply = parse_reply(
        200, {"content-type": "application/json"}, json.dumps(body).encode(), stream=False, request=request
    )
    assert (reply.stop, reply.native_stop, reply.complaints) == ("length", "MAX_TOKENS", ())


def test_an_error_of_an_array_stream_may_be_an_array() -> None:
    error = b'[{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}]'
    headers = {"content-type": "application/json"}
    reply = parse_reply(429, headers, error, stream=True, request=HttpRequest("POST", ARRAY_PATH, {}, {}))
    assert reply.complaints == ()
    assert reply.error is not None
    assert reply.error.kind == "rate_limit"
    assert parse_reply(429, headers, error, stream=True, request=HttpRequest("POST", SSE_PATH, {}, {})).complaints


# ---- streamed arguments ----------------------------------------------------------------------------------------------


def test_streamed_arguments_are_assembled() -> None:
    """https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc"""
    pieces: list[Body] = [
        {"name": "w", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.city", "stringValue": "Os", "willContinue": True}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.city", "stringValue": "lo"}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.days[0].n", "numberValue": 1}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.days[1]", "nullValue": "NULL_VALUE"}, {"jsonPath": "$.a", "boolValue": True}]},
    ]
    found = chunks()
    head = {"modelVersion": found[0]["modelVersion"], "responseId": found[0]["responseId"]}
    stream: Chunks = [
        {"candidates": [{"content": {"role": "model", "parts": [{"functionCall": piece}]}}]} | head for piece in pieces
    ]
    stream[-1]["candidates"][0]["finishReason"] = "STOP"
    stream[-1]["usageMetadata"] = found[-1]["usageMetadata"]
    reply = parse_stream(stream)
    assert reply.complaints == ()
    assert [(call.name, json.loads(call.arguments)) for call in reply.calls] == [
        ("w", {"city": "Oslo", "days": [{"n": 1}, None], "a": True})
    ]
    assert reply.echo[0]["parts"][0]["functionCall"]["args"]["city"] == "Oslo"


@settings(max_examples=150, deadline=None)
@given(found=st.lists(VALUES, max_size=3) | mutated(chunks()), status=st.sampled_from([200, 400]))
def test_no_response_raises(found: Any, status: int) -> None:
    found = found if isinstance(found, list) else [found]
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in found)
    parse_reply(status, {}, body, stream=True)
    for chunk in found:
        parse_reply(status, {}, json.dumps(chunk).encode(), stream=False)
