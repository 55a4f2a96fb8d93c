"""Gemini in both directions: tables of wire and neutral forms, the vendor's examples, and properties.

No other protocol is used: requests and replies of other protocols are written in the neutral form.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.genai import types
from google.genai.chats import _validate_response
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from crosswire.proxy.errors import STATUS, Malformed, UpstreamError, failure
from crosswire.proxy.ir import (
    Audio,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Citation,
    Document,
    Event,
    Failure,
    HostedCall,
    HostedTool,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Reply,
    ReplyEnd,
    ReplyStart,
    Request,
    ResponseFormat,
    Sampling,
    Signature,
    StopReason,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    Video,
    fold,
    signatures,
    unfold,
)
from crosswire.proxy.protocols.gemini import PROTOCOL
from crosswire.proxy.protocols.protocol import ReplyContext, UpstreamRequest, UpstreamTarget, UrlParams
from crosswire.proxy.wire import json_fields
from crosswire.proxy.wire.framing import SSE, JSONArray

NAME = "gemini"
EVIDENCE = Path(__file__).parents[2] / "evidence" / NAME
URL = UrlParams("gemini-2.5-flash", "generateContent")
SENT = UpstreamRequest({}, (), UpstreamTarget("gemini-2.5-flash", NAME))


def new_id() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def decode(body: dict[str, Any], url: UrlParams = URL) -> Request:
    return PROTOCOL.decode_request(json.loads(json.dumps(body)), url)


def make_request(*turns: Turn, protocol: str = "openai-chat", **fields: Any) -> Request:
    return Request(protocol=protocol, model="m", turns=turns or (Turn("user", (Text("hi"),)),), **fields)


def encode_request(
    request: Request, model: str = "gemini-2.5-flash", **target: Any
) -> tuple[dict[str, Any], list[Loss]]:
    sent = PROTOCOL.encode_request(request, UpstreamTarget(model, NAME, **target))
    payload: dict[str, Any] = json_fields.parse_object(json_fields.encode(sent.payload))
    for content in payload["contents"]:
        types.Content.model_validate(content)
    for tool in payload.get("tools", ()):
        types.Tool.model_validate(tool)
    types.GenerationConfig.model_validate(payload.get("generationConfig", {}))
    return payload, list(sent.losses)


def pairs(losses: Sequence[Loss]) -> list[tuple[str, str]]:
    return [(loss.path, loss.feature) for loss in losses]


def make_context(*, array: bool = False, **fields: Any) -> ReplyContext:
    return ReplyContext(make_request(protocol=NAME, **fields), "req-1", 1_700_000_000, new_id(), array)


def reply(*blocks: Any, protocol: str = "openai-chat", stop: StopReason = "end", **fields: Any) -> Reply:
    return Reply(protocol=protocol, id="up-1", model="up", blocks=blocks, stop=stop, **fields)


def decode_reply(body: dict[str, Any], sent: UpstreamRequest = SENT) -> Reply:
    return PROTOCOL.decode_reply(json.loads(json.dumps(body)), sent, new_id())


def decode_stream(chunks: Sequence[bytes], sent: UpstreamRequest = SENT, array: bool = False) -> list[Event]:
    framing = JSONArray() if array else SSE()
    decoder, events = PROTOCOL.stream_decoder(sent, new_id()), []
    for chunk in chunks:
        if last_chunk := framing.cut(chunk):
            for frame in framing.parse(last_chunk):
                events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    return events + decoder.close()


def encode_reply(answer: Reply) -> tuple[dict[str, Any], list[Loss]]:
    body, losses = PROTOCOL.encode_reply(answer, make_context())
    chunks_out: dict[str, Any] = json_fields.parse_object(json_fields.encode(body))
    types.GenerateContentResponse.model_validate(chunks_out)
    return chunks_out, losses


def encode_stream(
    events: Sequence[Event], *, array: bool = False, at_once: bool = True
) -> tuple[list[Any], list[Loss], bytes]:
    encoder = PROTOCOL.stream_encoder(make_context(stream=True, array=array))
    raw = encoder.encode(events) if at_once else b"".join(encoder.encode([event]) for event in events)
    if array:
        chunks_out = json.loads(raw)
    else:
        framing = SSE()
        chunks_out = [json.loads(frame.data) for frame in framing.parse(framing.cut(raw))]
        assert not framing.rest()
    for chunk in chunks_out:
        if "error" not in chunk:
            types.GenerateContentResponse.model_validate(chunk)
    return chunks_out, encoder.losses, raw


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def chunk(*parts: Any, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], **fields}


# ---- decode_request --------------------------------------------------------------------------------------------------

MINE = Signature("c2ln", NAME)
TOKEN = signatures.for_client(Signature("tide", "anthropic", "anthropic"), NAME)
FOREIGN = Signature("tide", NAME, "anthropic")
BYPASS = "skip_thought_signature_validator"
FILE = "https://generativelanguage.googleapis.com/v1beta/files/abc"

PARTS: list[tuple[str, list[dict[str, Any]], tuple[Any, ...]]] = [
    ("text", [{"text": "hi"}], (Text("hi"),)),
    ("adjacent texts are merged", [{"text": "h"}, {"text": "i"}, {"text": ""}], (Text("hi"),)),
    ("a signature ends a text", [{"text": "h"}, {"text": "i", "thoughtSignature": "c2ln"}, {"text": "j"}],
     (Text("hi", signature=MINE), Text("j"))),
    ("a signature alone", [{"text": "hi"}, {"thoughtSignature": "c2ln"}], (Text("hi", signature=MINE),)),
    ("a thought", [{"text": "hm", "thought": True}], (Reasoning("hm", summary=True),)),
    ("thinking with a foreign signature", [{"text": "h", "thought": True}, {"text": "m", "thought": True},
                                        {"thought": True, "thoughtSignature": TOKEN}],
     (Reasoning("hm", FOREIGN, summary=True),)),
    ("redacted thinking of another provider",
     [{"thought": True, "thoughtSignature": TOKEN, "partMetadata": {"redacted": True}}],
     (Reasoning("", FOREIGN, summary=True, redacted=True),)),
    ("a call without id", [{"functionCall": {"name": "f", "args": {"a": 1}}}], (ToolCall("call_1", "f", '{"a":1}'),)),
    ("a call without arguments", [{"functionCall": {"name": "f", "id": "x"}}], (ToolCall("x", "f", "{}"),)),
    ("a signed call", [{"functionCall": {"name": "f", "id": "x"}, "thoughtSignature": "c2ln"}],
     (ToolCall("x", "f", "{}", signature=MINE),)),
    ("a foreign signature on a call", [{"functionCall": {"name": "f", "id": "x"}, "thoughtSignature": TOKEN}],
     (ToolCall("x", "f", "{}", signature=FOREIGN),)),
    ("the dummy signature is ignored", [{"functionCall": {"name": "f", "id": "x"}, "thoughtSignature": BYPASS}],
     (ToolCall("x", "f", "{}", extra={"thoughtSignature": BYPASS}),)),
    ("two calls of one id", [{"functionCall": {"name": "w", "id": "w"}}, {"functionCall": {"name": "w", "id": "w"}}],
     (ToolCall("w", "w", "{}"), ToolCall("call_1", "w", "{}"))),
    ("an image", [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}], (Image(Media("image/png", "iVBO")),)),
    ("an image in snake case and URL-safe base64", [{"inline_data": {"mime_type": "image/png", "data": "_-A"}}],
     (Image(Media("image/png", "/+A=")),)),
    ("audio", [{"inlineData": {"mimeType": "audio/wav", "data": "UklG"}}], (Audio(Media("audio/wav", "UklG")),)),
    ("a document", [{"inlineData": {"mimeType": "application/pdf", "data": "JVBE", "displayName": "T"}}],
     (Document(Media("application/pdf", "JVBE", name="T")),)),
    ("an image by its URL", [{"fileData": {"fileUri": "https://a/b.png"}}], (Image(Media("image/png", url="https://a/b.png")),)),
    ("a file of Google's store", [{"fileData": {"fileUri": FILE, "mimeType": "image/png"}}],
     (Image(Media("image/png", file_id=FILE)),)),
    ("media resolution", [{"inlineData": {"mimeType": "image/png", "data": "iVBO"},
                              "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}],
     (Image(Media("image/png", "iVBO"), {"mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}),)),
    ("a video", [{"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}, "videoMetadata": {"fps": 1}}],
     (Video(Media(url="https://www.youtube.com/watch?v=1"), {"videoMetadata": {"fps": 1}}),)),
    ("code that ran", [{"executable_code": {"code": "1", "language": "PYTHON"}}],
     (Opaque(NAME, "executableCode", {"executableCode": {"code": "1", "language": "PYTHON"}}),)),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "blocks"), [row[1:] for row in PARTS], ids=[row[0] for row in PARTS])
def test_parts(parts: list[dict[str, Any]], blocks: tuple[Any, ...]) -> None:
    request = decode({"contents": [{"role": "model", "parts": parts}]})
    assert request.turns == (Turn("assistant", blocks),)
    assert request.extra is None


CALLING = {"role": "model", "parts": [{"functionCall": {"name": "w", "args": {"city": "Oslo"}}}]}


def result(response: Any, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": "w", "response": response, **fields}}


RESPONSES: list[tuple[str, dict[str, Any], ToolResult]] = [
    ("wrapped text", result({"result": "12"}), ToolResult("call_1", (Text("12"),), name="w")),
    ("wrapped text, Google's key", result({"output": "12"}),
     ToolResult("call_1", (Text("12"),), name="w", extra={"functionResponse.output": None})),
    ("an object", result({"t": 12}), ToolResult("call_1", (Text('{"t":12}'),), name="w")),
    ("wrapped text that is an object", result({"result": '{"t":12}'}),
     ToolResult("call_1", (Text('{"t":12}'),), name="w", extra={"functionResponse.result": None})),
    ("an error whose text is an object", result({"error": '{"code":5}'}),
     ToolResult("call_1", (Text('{"code":5}'),), True, "w", extra={"functionResponse.error": None})),
    ("a number stays wrapped", result({"result": 12}), ToolResult("call_1", (Text('{"result":12}'),), name="w")),
    ("nothing at all", result({"result": ""}), ToolResult("call_1", (Text(""),), name="w")),
    ("an error", result({"error": "no"}), ToolResult("call_1", (Text("no"),), True, "w")),
    ("an error in an object", result({"error": {"code": 5}}),
     ToolResult("call_1", (Text('{"error":{"code":5}}'),), True, "w")),
    ("no error", result({"error": None, "t": 1}), ToolResult("call_1", (Text('{"error":null,"t":1}'),), name="w")),
    ("media alone", result({}, parts=[{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]),
     ToolResult("call_1", (Image(Media("image/png", "iVBO")),), name="w")),
]  # fmt: skip


@pytest.mark.parametrize(("part", "block"), [row[1:] for row in RESPONSES], ids=[row[0] for row in RESPONSES])
def test_a_response_and_back(part: dict[str, Any], block: ToolResult) -> None:
    body = {"contents": [CALLING, {"role": "function", "parts": [part]}]}
    request = decode(body)
    assert request.turns[1] == Turn("user", (block,))
    payload, losses = encode_request(request, "gemini-3-pro-preview")
    assert payload["contents"][1]["parts"][0]["functionResponse"]["response"] == part["functionResponse"]["response"]
    assert not losses


PAIRS: list[tuple[str, list[tuple[str | None, str]], list[tuple[str | None, str]], list[str]]] = [
    ("by id", [("a", "w"), ("b", "w")], [("b", "w"), ("a", "w")], ["b", "a"]),
    ("by order within a name", [(None, "w"), (None, "v"), (None, "w")], [(None, "v"), (None, "w"), (None, "w")],
     ["call_2", "call_1", "call_3"]),
    ("a call without id, a result with one", [(None, "w")], [("z", "w")], ["call_1"]),
    ("a call with id, a result without", [("a", "w")], [(None, "w")], ["a"]),
    ("a result without a call", [], [("z", "w")], ["z"]),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "results", "ids"), [row[1:] for row in PAIRS], ids=[row[0] for row in PAIRS])
def test_results_are_matched_to_calls(
    calls: list[tuple[str | None, str]], results: list[tuple[str | None, str]], ids: list[str]
) -> None:
    called = [{"functionCall": {"id": id_, "name": name}} for id_, name in calls]
    results_: list[Any] = [{"functionResponse": {"id": id_, "name": name, "response": {}}} for id_, name in results]
    contents = [{"role": "user", "parts": [{"text": "go"}]}, {"role": "model", "parts": called},
                *({"role": "user", "parts": [part]} for part in results_)]  # fmt: skip
    blocks = decode({"contents": contents}).turns[2].blocks  # one turn, though they came in several contents
    assert [block.id for block in blocks if isinstance(block, ToolResult)] == ids


FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("system instruction", {"systemInstruction": {"role": "model", "parts": {"text": "be brief"}}},
     {"turns": (Turn("system", (Text("be brief"),)), Turn("user", (Text("hi"),)))}),
    ("sampling", {"generationConfig": {"temperature": 0.5, "topP": 1, "topK": 40.0, "seed": "7",
                                       "frequencyPenalty": 1, "presencePenalty": 2}},
     {"sampling": Sampling(0.5, 1, 40, 7, 1, 2), "extra": None}),
    ("bounds in snake case", {"generation_config": {"max_output_tokens": 7, "stop_sequences": ["a"]}},
     {"max_tokens": 7, "stop": ("a",), "extra": None}),
    ("a budget", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 128, "includeThoughts": True}}},
     {"reasoning": ReasoningConfig(budget=128, summary="auto")}),
    ("dynamic thinking", {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}},
     {"reasoning": ReasoningConfig(enabled=True)}),
    ("a level", {"generationConfig": {"thinking_config": {"thinking_level": "HIGH"}}},
     {"reasoning": ReasoningConfig("high")}),
    ("the highest level", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "XHIGH"}}},
     {"reasoning": ReasoningConfig("xhigh")}),
    ("JSON", {"generationConfig": {"responseMimeType": "application/json"}}, {"format": ResponseFormat("json_object")}),
    ("JSON by the newer field", {"generationConfig": {"responseFormat": [{"text": {"mimeType": "APPLICATION_JSON"}}]}},
     {"format": ResponseFormat("json_object"), "extra": None}),
    ("a schema by the newer field, in snake case",
     {"generationConfig": {"response_format": {"text": {"mime_type": "application/json",
                                                        "schema": {"type": "object", "properties": {"a_b": {}}}}}}},
     {"format": ResponseFormat("json_schema", {"type": "object", "properties": {"a_b": {}}}), "extra": None}),
    ("text by the newer field", {"generationConfig": {"responseFormat": [{"text": {"mimeType": "text/plain"}}]}},
     {"format": ResponseFormat("text"), "extra": None}),
    ("the format of a picture remains an extra field",
     {"generationConfig": {"responseFormat": [{"image": {"aspectRatio": "1:1"}}]}},
     {"format": None, "extra": {"generationConfig.responseFormat": [{"image": {"aspectRatio": "1:1"}}]}}),
    ("a schema", {"generationConfig": {"responseMimeType": "application/json",
                                       "responseJsonSchema": {"type": "OBJECT"}}},
     {"format": ResponseFormat("json_schema", {"type": "object"}), "extra": None}),
    ("an enum as text remains an extra field", {"generationConfig": {"responseMimeType": "text/x.enum"}},
     {"format": None, "extra": {"generationConfig.responseMimeType": "text/x.enum"}}),
    ("a tool", {"tools": [{"functionDeclarations": [{"name": "f", "description": "d",
                                                     "parameters": {"type": "OBJECT"}}]}]},
     {"tools": (Tool("f", "d", {"type": "object"}),)}),
    ("tools in snake case, one object for a list",
     {"tools": {"function_declarations": {"name": "f", "parameters_json_schema": {"type": "object"}}}},
     {"tools": (Tool("f", None, {"type": "object"}),)}),
    ("hosted tools", {"tools": [{"googleSearch": {}, "codeExecution": None}]},
     {"tools": (Opaque(NAME, "googleSearch", {"googleSearch": {}}, hosted=HostedTool("web_search")),)}),
    ("any tool", {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, {"tool_choice": ToolChoice("required")}),
    ("one tool", {"toolConfig": {"functionCallingConfig": {"mode": "any", "allowedFunctionNames": ["f"]}}},
     {"tool_choice": ToolChoice("named", ("f",)), "extra": None}),
    ("some tools", {"tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f", "g"]}}},
     {"tool_choice": ToolChoice("required", ("f", "g"))}),
    ("no tool", {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}, {"tool_choice": ToolChoice("none")}),
    ("fields that only Gemini has",
     {"safetySettings": [{"category": "C"}], "generationConfig": {"candidateCount": 2},
      "toolConfig": {"retrievalConfig": {"languageCode": "de"}}},
     {"extra": {"safetySettings": [{"category": "C"}], "generationConfig.candidateCount": 2,
              "toolConfig": {"retrievalConfig": {"languageCode": "de"}}}}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_request_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    request = decode({"contents": [{"role": "USER", "parts": [{"text": "hi"}]}], **fields})
    assert {key: getattr(request, key) for key in expected} == expected


def test_a_gemini_request_round_trips() -> None:
    body = json.loads((EVIDENCE / "tools-request.json").read_text())["body"]
    request = decode(body)
    payload, losses = encode_request(replace(request, protocol=NAME), "gemini-3-pro-preview")
    assert not losses
    assert decode(payload) == request
    assert payload["safetySettings"] == body["safetySettings"]


SCHEMAS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
    ({"type": "ARRAY", "min_items": "2", "items": {"type": "INTEGER"}},
     {"type": "array", "minItems": 2, "items": {"type": "integer"}}),
    ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    # a property may be called like a keyword
    ({"type": "OBJECT", "properties": {"type": {"type": "STRING"}, "nullable": {"type": "BOOLEAN"}}},
     {"type": "object", "properties": {"type": {"type": "string"}, "nullable": {"type": "boolean"}}}),
    ({"type": "object", "$defs": {"a": {"type": "STRING"}}, "properties": {"x": {"$ref": "#/$defs/a"}}},
     {"type": "object", "$defs": {"a": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}),
    # Google's REST takes an enum's number for its name
    ({"type": 6, "properties": {"x": {"type": 1}, "y": {"type": 0}}},
     {"type": "object", "properties": {"x": {"type": "string"}, "y": {}}}),
    ({"type": "OBJECT", "properties": {"snake_case": {"description": "STRING"}}},
     {"type": "object", "properties": {"snake_case": {"description": "STRING"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("gemini_schema", "json_schema"), SCHEMAS)
def test_schemas_become_json_schema(gemini_schema: dict[str, Any], json_schema: dict[str, Any]) -> None:
    tools = [{"functionDeclarations": [{"name": "f", "parameters": gemini_schema}]}]
    tool = decode({"contents": [{"parts": [{"text": "hi"}]}], "tools": tools}).tools[0]
    assert isinstance(tool, Tool)
    assert tool.parameters == json_schema


HI = {"contents": [{"parts": [{"text": "hi"}]}]}


@pytest.mark.parametrize(
    ("body", "url", "path"),
    [
        ({}, URL, "contents"),
        (HI, UrlParams("m", "countTokens"), ""),
        (HI, UrlParams("", "generateContent"), "model"),
        ({"contents": [{"role": "robot", "parts": [{"text": "hi"}]}]}, URL, "contents[0].role"),
        ({"contents": [{"parts": [{}]}]}, URL, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 1}]}]}, URL, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"inlineData": {}}]}]}, URL, "contents[0].parts[0].inlineData.data"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, URL, "contents[0].parts[0].name"),
        ({**HI, "generationConfig": {"topK": 1.5}}, URL, "generationConfig.topK"),
        ({**HI, "generationConfig": {"responseFormat": 5}}, URL, "generationConfig.responseFormat"),
        ({**HI, "generationConfig": {"responseMimeType": "application/json", "responseFormat": {"text": {}}}}, URL,
         "generationConfig.responseFormat"),
        ({**HI, "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}, URL,
         "toolConfig.functionCallingConfig.mode"),
        ({**HI, "tools": [{"functionDeclarations": [{}]}]}, URL, "tools[0].functionDeclarations[0].name"),
    ],
)  # fmt: skip
def test_a_malformed_request_names_the_path(body: dict[str, Any], url: UrlParams, path: str) -> None:
    with pytest.raises(Malformed) as fault:
        decode(body, url)
    assert fault.value.path == path


def test_the_method_decides_whether_to_stream() -> None:
    assert decode(HI, UrlParams("a/b:c", "streamGenerateContent", "sse")).stream
    assert not decode(HI, UrlParams("a/b:c", "generateContent")).stream
    assert decode(HI, UrlParams("a/b:c", "generateContent")).model == "a/b:c"


def test_deep_nesting_is_malformed() -> None:
    deep: Any = {"type": "STRING"}
    for _ in range(500):
        deep = {"type": "ARRAY", "items": deep}
    with pytest.raises(Malformed, match="deeply"):
        decode({**HI, "tools": [{"functionDeclarations": [{"name": "f", "parameters": deep}]}]})
    assert decode({**HI, "labels_of_mine": deep}).extra is not None


def test_signatures_in_url_safe_base64_are_decoded() -> None:
    signature = Signature("?>~\u00ff?>", "anthropic", "anthropic")
    token = signatures.for_client(signature, NAME)
    part = types.Part.model_validate({"thought": True, "thoughtSignature": token})
    assert part.thought_signature is not None
    echoed = urlsafe_b64encode(part.thought_signature).decode()
    assert echoed != token
    contents = [{"role": "model", "parts": [{"thought": True, "thoughtSignature": echoed}]}]
    assert decode({"contents": contents}).turns[0].blocks == (
        Reasoning("", replace(signature, protocol=NAME), summary=True),
    )


# ---- encode_request --------------------------------------------------------------------------------------------------


def user(*blocks: Any) -> Turn:
    return Turn("user", blocks)


def model(*blocks: Any) -> Turn:
    return Turn("assistant", blocks)


def content(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} if type(part) is str else part for part in parts]}


CALL = ToolCall("c1", "f", '{"a": 1}')
CALLED = {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}
OTHER = ToolCall("c2", "f", "")
ALSO_CALLED = {"functionCall": {"id": "c2", "name": "f", "args": {}}}


def response(id_: str, response: Any, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"id": id_, "name": "f", "response": response, **fields}}


PNG = Image(Media("image/png", "iVBO"))
PNG_PART = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}

CONVERSATIONS: list[tuple[str, tuple[Turn, ...], dict[str, Any], list[tuple[str, str]]]] = [
    ("leading instructions become the system instruction",
     (Turn("system", (Text("a"),)), Turn("developer", (Text("b"),)), user(Text("hi"))),
     {"systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]}, "contents": [content("user", "hi")]}, []),
    ("a later system message becomes a user content",
     (user(Text("hi")), model(Text("yes")), Turn("system", (Text("be brief"),)), user(Text("go"))),
     {"contents": [content("user", "hi"), content("model", "yes"), content("user", "be brief", "go")]},
     [("turns[2]", "role")]),
    ("instructions alone become a user content",
     (Turn("system", (Text("a"),)),), {"contents": [content("user", "a")]}, [("turns[0]", "role")]),
    ("turns of one role are one content",
     (user(Text("a")), user(Text("b"))), {"contents": [content("user", "a", "b")]}, []),
    ("empty texts are left out",
     (user(Text("hi"), Text("")), model(Text(""), CALL), user(ToolResult("c1", (Text(""),)))),
     {"contents": [content("user", "hi"), content("model", CALLED),
                   content("user", response("c1", {"result": ""}))]}, []),
    ("results of one round come first in one content",
     (user(Text("hi")), model(CALL, OTHER),
      user(ToolResult("c1", (Text("1"),)), Text("and"), ToolResult("c2", (Text("no"),), error=True))),
     {"contents": [content("user", "hi"), content("model", CALLED, ALSO_CALLED),
                   content("user", response("c1", {"result": "1"}), response("c2", {"error": "no"}), "and")]}, []),
    ("an instruction between call and result is moved after the result",
     (user(Text("hi")), model(CALL), Turn("system", (Text("s"),)), user(ToolResult("c1", (Text('{"t": 1}'),)))),
     {"contents": [content("user", "hi"), content("model", CALLED), content("user", response("c1", {"t": 1}), "s")]},
     [("turns[2]", "role")]),
    ("orphaned calls and results are dropped",
     (user(Text("hi")), model(CALL, OTHER), user(ToolResult("c1", (Text("1"),)), ToolResult("c9", (Text("?"),)))),
     {"contents": [content("user", "hi"), content("model", CALLED), content("user", response("c1", {"result": "1"}))]},
     [("turns[1].blocks[1]", "orphan"), ("turns[2].blocks[1]", "orphan")]),
    ("thoughts, refusals and media",
     (user(Text("hi"), PNG), model(Reasoning("hm"), Refusal("no"))),
     {"contents": [content("user", "hi", PNG_PART), content("model", {"text": "hm", "thought": True}, "no")]},
     [("turns[1].blocks[1]", "refusal")]),
    ("another provider's file cannot be read",
     (user(Text("hi"), Document(Media(file_id="file-1"))),), {"contents": [content("user", "hi")]},
     [("turns[0].blocks[1]", "document")]),
    ("an image by its URL", (user(Image(Media(url="https://a/b.png"))),),
     {"contents": [content("user", {"fileData": {"mimeType": "image/png", "fileUri": "https://a/b.png"}})]}, []),
    ("arguments that are no object", (user(Text("hi")), model(replace(CALL, arguments="[1"))),
     {"contents": [content("user", "hi"), content("model", {"functionCall": {"id": "c1", "name": "f",
                                                                      "args": {"input": "[1"}}})]},
     [("turns[1].blocks[0].arguments", "tool_arguments")]),
    ("a signature of another provider",
     (user(Text("hi")), model(Text("a", signature=FOREIGN), Reasoning("", signature=FOREIGN))),
     {"contents": [content("user", "hi"), content("model", "a")]},
     [("turns[1].blocks[0].seal", "signature"), ("turns[1].blocks[1].seal", "signature")]),
    ("a signature of this provider",
     (user(Text("hi")), model(replace(CALL, signature=Signature("c2ln", "openai-chat", NAME)))),
     {"contents": [content("user", "hi"), content("model", {**CALLED, "thoughtSignature": "c2ln"})]}, []),
    ("audio without a type", (user(Audio(Media(data="UklGRiQA"))),),
     {"contents": [content("user", {"inlineData": {"mimeType": "audio/wav", "data": "UklGRiQA"}})]}, []),
    ("another provider's file in a result",
     (user(Text("hi")), model(CALL), user(ToolResult("c1", (Text("1"), Document(Media(file_id="file-1")))))),
     {"contents": [content("user", "hi"), content("model", CALLED), content("user", response("c1", {"result": "1"}))]},
     [("turns[2].blocks[0].blocks[1]", "tool_result_media")]),
    ("media of results follow all results",
     (user(Text("hi")), model(CALL, OTHER), user(ToolResult("c1", (Text("1"), PNG)), ToolResult("c2", (Text("2"),)))),
     {"contents": [content("user", "hi"), content("model", CALLED, ALSO_CALLED),
                   content("user", response("c1", {"result": "1"}), response("c2", {"result": "2"}), PNG_PART)]},
     [("turns[2].blocks[0]", "tool_result_media")]),
    ("media of a result follows it", (user(Text("hi")), model(CALL), user(ToolResult("c1", (Text("1"), PNG)))),
     {"contents": [content("user", "hi"), content("model", CALLED),
                   content("user", response("c1", {"result": "1"}), PNG_PART)]},
     [("turns[2].blocks[0]", "tool_result_media")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "payload", "losses"), [row[1:] for row in CONVERSATIONS], ids=[row[0] for row in CONVERSATIONS]
)
def test_conversations(turns: tuple[Turn, ...], payload: dict[str, Any], losses: list[tuple[str, str]]) -> None:
    sent, lost = encode_request(make_request(*turns))
    assert sent == payload
    assert pairs(lost) == losses


ROUND = (user(Text("hi")), model(CALL, OTHER), user(ToolResult("c1", ()), ToolResult("c2", ())))
EARLIER = (user(Text("so")), model(replace(CALL, id="c0")), user(ToolResult("c0", ())), model(Text("well")))


def thought_signatures(payload: dict[str, Any]) -> list[str | None]:
    parts = [part for content in payload["contents"] for part in content["parts"]]
    return [part.get("thoughtSignature") for part in parts if "functionCall" in part]


@pytest.mark.parametrize(
    ("model_name", "turns", "protocol", "signed", "losses"),
    [
        ("gemini-2.5-flash", ROUND, "openai-chat", [None, None], []),
        ("gemini-3-pro-preview", ROUND, "openai-chat", [BYPASS, None], ["turns[1].blocks[0].seal"]),
        ("gemini-flash-latest", ROUND, "openai-chat", [BYPASS, None], ["turns[1].blocks[0].seal"]),
        ("gemini-3-pro-preview", EARLIER + ROUND, "openai-chat", [None, BYPASS, None], ["turns[5].blocks[0].seal"]),
        # a Gemini client is responsible for its signatures, unless a signature of another provider was dropped
        ("gemini-3-pro-preview", ROUND, NAME, [None, None], []),
        ("gemini-3-pro-preview", (ROUND[0], model(replace(CALL, signature=FOREIGN), OTHER), ROUND[2]), NAME,
         [BYPASS, None], ["turns[1].blocks[0].seal"]),
        ("gemini-3-pro-preview", (ROUND[0], model(replace(CALL, signature=MINE), OTHER), ROUND[2]), NAME,
         ["c2ln", None], []),
    ],
)  # fmt: skip
def test_gemini_3_requires_signatures_of_first_calls(
    model_name: str, turns: tuple[Turn, ...], protocol: str, signed: list[str | None], losses: list[str]
) -> None:
    payload, lost = encode_request(make_request(*turns, protocol=protocol), model_name)
    assert thought_signatures(payload) == signed
    assert pairs(lost) == [(path, "signature") for path in losses]


def test_gemini_3_takes_media_inside_a_result() -> None:
    turns = (user(Text("hi")), model(replace(CALL, signature=MINE)), user(ToolResult("c1", (PNG,))))
    payload, losses = encode_request(make_request(*turns, protocol=NAME), "gemini-3-flash-preview")
    assert payload["contents"][2]["parts"] == [response("c1", {}, parts=[PNG_PART])]
    assert not losses


F, G = Tool("f", "d", {"type": "object", "properties": {"x": {"exclusiveMinimum": 0}}}), Tool("g", strict=True)
F_OUT = {"name": "f", "description": "d", "parametersJsonSchema": F.parameters}


def config(**fields: Any) -> dict[str, Any]:
    return {"generationConfig": fields}


def calling(**fields: Any) -> dict[str, Any]:
    return {"toolConfig": {"functionCallingConfig": fields}}


THINKS = "thinkingConfig"
INPUT = {"type": "string", "description": "The whole input of the tool, as plain text."}
REQUESTS_OUT: list[tuple[str, str, dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    ("schemas as they are", "", {"tools": (F, G)},
     {"tools": [{"functionDeclarations": [F_OUT, {"name": "g"}]}], **calling(mode="VALIDATED")}, []),
    ("a custom tool", "", {"tools": (Tool("p", kind="custom"),)},
     {"tools": [{"functionDeclarations": [{"name": "p", "parametersJsonSchema": {
         "type": "object", "required": ["input"], "properties": {"input": INPUT}}}]}]},
     [("tools[0]", "custom_tool")]),
    ("an invalid tool name", "", {"tools": (Tool("1 f"),), "tool_choice": ToolChoice("named", ("1 f",))},
     {"tools": [{"functionDeclarations": [{"name": "t_1_f"}]}],
      **calling(mode="ANY", allowedFunctionNames=["t_1_f"])}, []),
    ("auto", "", {"tools": (F,), "tool_choice": ToolChoice("auto")},
     {"tools": [{"functionDeclarations": [F_OUT]}], **calling(mode="AUTO")}, []),
    ("none", "", {"tools": (F,), "tool_choice": ToolChoice("none")},
     {"tools": [{"functionDeclarations": [F_OUT]}], **calling(mode="NONE")}, []),
    ("required", "", {"tools": (F,), "tool_choice": ToolChoice("required")},
     {"tools": [{"functionDeclarations": [F_OUT]}], **calling(mode="ANY")}, []),
    ("a subset that may be called", "", {"tools": (F,), "tool_choice": ToolChoice("auto", ("f",))},
     {"tools": [{"functionDeclarations": [F_OUT]}], **calling(mode="VALIDATED", allowedFunctionNames=["f"])}, []),
    ("a tool choice without tools", "", {"tool_choice": ToolChoice("required")}, {}, [("tool_choice", "tool_choice")]),
    ("one call at a time", "", {"parallel": False}, {}, [("parallel", "parallel_tool_calls")]),
    ("parallel calls are the default", "", {"parallel": True}, {}, []),
    ("sampling", "", {"sampling": Sampling(2.5, 0.9, 40, 7, 1, 2), "max_tokens": 9},
     config(temperature=2, topP=0.9, topK=40, seed=7, frequencyPenalty=1, presencePenalty=2, maxOutputTokens=9),
     [("sampling.temperature", "temperature")]),
    ("too many stops", "", {"stop": tuple("abcdef")}, config(stopSequences=list("abcde")), []),
    ("the end user", "", {"user": "u"}, {}, [("user", "user")]),
    ("JSON", "", {"format": ResponseFormat("json_object")}, config(responseMimeType="application/json"), []),
    ("a schema", "", {"format": ResponseFormat("json_schema", {"type": "object"}, "n", "d", True)},
     config(responseMimeType="application/json", responseJsonSchema={"description": "d", "type": "object"}), []),
    ("an effort as a budget", "", {"reasoning": ReasoningConfig("low")}, config(**{THINKS: {"thinkingBudget": 1024}}),
     [("reasoning", "reasoning")]),
    ("no thinking", "", {"reasoning": ReasoningConfig("none")}, config(**{THINKS: {"thinkingBudget": 0}}), []),
    ("no thinking where it cannot be disabled", "gemini-2.5-pro", {"reasoning": ReasoningConfig(enabled=False)},
     config(**{THINKS: {"thinkingBudget": 128}}), [("reasoning", "reasoning")]),
    ("a budget includes thoughts", "", {"reasoning": ReasoningConfig(budget=4096, enabled=True)},
     config(**{THINKS: {"thinkingBudget": 4096, "includeThoughts": True}}), []),
    ("a budget above the maximum", "", {"reasoning": ReasoningConfig(budget=99999, summary="none")},
     config(**{THINKS: {"thinkingBudget": 24576}}), [("reasoning", "reasoning")]),
    ("thinking enabled", "", {"reasoning": ReasoningConfig(enabled=True)},
     config(**{THINKS: {"thinkingBudget": -1, "includeThoughts": True}}), []),
    ("an effort is a level from Gemini 3 on", "gemini-3-flash-preview",
     {"reasoning": ReasoningConfig("minimal", summary="auto")},
     config(**{THINKS: {"thinkingLevel": "minimal", "includeThoughts": True}}), []),
    ("a level that Gemini 3 Pro lacks", "gemini-3-pro-preview", {"reasoning": ReasoningConfig("none")},
     config(**{THINKS: {"thinkingLevel": "low"}}), [("reasoning", "reasoning")]),
    ("a model that cannot think", "gemini-2.0-flash", {"reasoning": ReasoningConfig("high")}, {},
     [("reasoning", "reasoning")]),
    ("a model that cannot think gets no field", "gemini-2.0-flash", {"reasoning": ReasoningConfig("none")}, {}, []),
    ("fields of another protocol", "", {"extra": {"n": 2, "logit_bias": {"1": 1}, "store": False}}, {},
     [("n", "n"), ("logit_bias", "logit_bias")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model_name", "fields", "payload", "losses"),
    [row[1:] for row in REQUESTS_OUT],
    ids=[row[0] for row in REQUESTS_OUT],
)
def test_request_out(
    model_name: str, fields: dict[str, Any], payload: dict[str, Any], losses: list[tuple[str, str]]
) -> None:
    sent, lost = encode_request(make_request(**fields), model_name or "gemini-2.5-flash")
    assert sent == {"contents": [content("user", "hi")], **payload}
    assert pairs(lost) == losses


@pytest.mark.parametrize(
    ("name", "stream", "path"),
    [
        ("gemini-2.5-flash", False, "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("gemini-2.5-flash", True, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("../../admin?x#y", False, "/v1beta/models/..%2F..%2Fadmin%3Fx%23y:generateContent"),
    ],
)
def test_address(name: str, stream: bool, path: str) -> None:
    assert PROTOCOL.address(name, stream) == path
    assert PROTOCOL.auth("k") == {"x-goog-api-key": "k"}


# ---- vendor examples -------------------------------------------------------------------------------------------------

SIGNED = Signature("PFNpZ25hdHVyZSBBPg==", NAME, NAME)
FLIGHT = ToolCall("call_1", "check_flight", '{"flight":"AA100"}', signature=SIGNED)
ANSWER = Text("AI learns patterns from data to make predictions.")

EVIDENCE_REPLIES: dict[str, dict[str, Any]] = {
    "text-reply": {"blocks": (ANSWER,), "stop": "end", "native": "STOP", "usage": Usage(8, 37, reasoning=27),
                   "id": "mAitaLmkHPPlz7IPvtfUqQ4", "model": "gemini-2.5-flash"},
    "text-stream": {"blocks": (ANSWER,), "stop": "end", "native": "STOP", "usage": Usage(8, 37, reasoning=27),
                    "id": "mAitaLmkHPPlz7IPvtfUqQ4", "model": "gemini-2.5-flash", "extra": {"candidates[0].index": 0}},
    "tool-reply": {"blocks": (FLIGHT,), "stop": "tool", "native": "STOP", "usage": Usage(60, 58, reasoning=40)},
    "parallel-reply": {"blocks": (ToolCall("call_1", "get_current_temperature", '{"location":"Paris"}',
                                           signature=SIGNED),
                                  ToolCall("call_2", "get_current_temperature", '{"location":"London"}')),
                       "stop": "tool", "usage": None},
    "tool-stream": {"blocks": (Reasoning("I should look up the flight.", summary=True), FLIGHT), "stop": "tool",
                    "usage": Usage(60, 58, reasoning=40)},
    "signed-text-stream": {"blocks": (Text("The risk is low.",
                                           signature=Signature("PFNpZ25hdHVyZSBCPg==", NAME, NAME)),),
                           "stop": "end"},
    "partial-arguments-stream": {
        "blocks": (ToolCall("call_1", "get_current_weather",
                            '{"location":"New Delhi","days":[null,{"hour":12}],"exact":true,"unit":null}'),),
        "stop": "tool"},
    "blocked-reply": {"blocks": (), "stop": "filter", "native": "SAFETY", "usage": Usage(12),
                      "extra": {"promptFeedback.blockReason": "SAFETY", "promptFeedback.safetyRatings": [
                          {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH"}]}},
    "blocked-stream": {"blocks": (), "stop": "filter", "native": "PROHIBITED_CONTENT", "usage": Usage(12),
                       "extra": {"promptFeedback.blockReason": "PROHIBITED_CONTENT"}},
    "stopped-reply": {"blocks": (), "stop": "length", "native": "MAX_TOKENS", "usage": Usage(9, 30, reasoning=30)},
    "grounded-reply": {
        "blocks": (Text("España won Euro 2024. It beat England 2-1.", citations=(
            Citation("https://vertexaisearch.cloud.google.com/1", "aljazeera.com", None, 0, 21),
            Citation("https://vertexaisearch.cloud.google.com/1", "aljazeera.com", None, 22, 42),
            Citation("https://vertexaisearch.cloud.google.com/2", "uefa.com", None, 22, 42))),
                   Opaque(NAME, "web_search", {}, call=HostedCall("web_search", None, "who won euro 2024"))),
        "extra": {"candidates[0].groundingMetadata.webSearchQueries": ["who won euro 2024"]}},
    "error": {"kind": "overloaded", "status": 503, "message": "The model is overloaded. Please try again later."},
    "error-quota": {"kind": "rate_limit", "status": 429, "retry_after": 34.5,
                    "message": "You exceeded your current quota."},
    "error-key": {"kind": "upstream_auth", "status": 502},
    "error-model": {"kind": "model_not_found", "status": 404},
    "error-stream": {"kind": "upstream_error", "status": 502},
    "tools-request": {
        "turns": (Turn("system", (Text("You are a helpful home assistant."),)),
                  user(Text("Turn this place into a party!")),
                  model(ToolCall("call_1", "power_disco_ball", '{"power":true}',
                                 signature=Signature("PFNpZ25hdHVyZSBBPg==", NAME)),
                        ToolCall("call_2", "start_music", '{"energetic":true}')),
                  user(ToolResult("call_1", (Text("Disco ball is now on"),), name="power_disco_ball"),
                       ToolResult("call_2", (Text('{"playing":true,"volume":7}'),), name="start_music"))),
        "tools": (Tool("power_disco_ball", "Powers the spinning disco ball.", {
                      "type": "object", "required": ["power"],
                      "properties": {"power": {"type": "boolean", "description": "Whether to turn it on."}}}),
                  Tool("start_music", None, {"type": "object", "properties": {"energetic": {"type": "boolean"}}}),
                  Opaque(NAME, "googleSearch", {"googleSearch": {}}, hosted=HostedTool("web_search"))),
        "tool_choice": ToolChoice("required", ("power_disco_ball", "start_music")),
        "sampling": Sampling(0.2), "max_tokens": 200, "stop": ("END",),
        "reasoning": ReasoningConfig(budget=1024, summary="auto"), "stream": False,
        "extra": {"safetySettings": [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "threshold": "BLOCK_ONLY_HIGH"}]}},
    "image-request": {
        "turns": (user(Image(Media("image/jpeg", "/9j/4A==")),
                       Document(Media("application/pdf", file_id=FILE)), Text("Caption this image.")),),
        "format": ResponseFormat("json_schema",
                                 {"type": "array", "minItems": 1, "items": {"type": ["string", "null"]}}),
        "stream": True, "extra": None},
}  # fmt: skip


def test_all_evidence_files_are_tested() -> None:
    assert {path.stem for path in EVIDENCE.glob("*.json")} == set(EVIDENCE_REPLIES)


@pytest.mark.parametrize("name", EVIDENCE_REPLIES)
def test_evidence(name: str) -> None:
    case = json.loads((EVIDENCE / f"{name}.json").read_text())
    assert case["source"].startswith("https://")
    decoded: Request | Reply | Failure
    match case["kind"]:
        case "request":
            decoded = decode(case["body"], UrlParams("m", case["method"]))
        case "reply":
            decoded = decode_reply(case["body"])
        case "error":
            decoded = PROTOCOL.decode_failure(case["status"], json.dumps(case["body"]).encode(), None)
        case _:
            decoded = fold(decode_stream([case["stream"].encode()]))
    assert {key: getattr(decoded, key) for key in EVIDENCE_REPLIES[name]} == EVIDENCE_REPLIES[name]


# ---- decode_reply ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish_reason", "called", "stop"),
    [
        ("STOP", False, "end"),
        ("STOP", True, "tool"),
        (1, False, "end"),
        (2, False, "length"),
        ("MAX_TOKENS", True, "length"),
        ("SAFETY", False, "filter"),
        ("RECITATION", False, "filter"),
        ("PROHIBITED_CONTENT", False, "filter"),
        ("BLOCKLIST", False, "filter"),
        ("SPII", False, "filter"),
        (3, False, "filter"),
        ("MALFORMED_FUNCTION_CALL", False, "other"),
        ("A_WORD_OF_TOMORROW", False, "other"),
    ],
)
def test_stops(finish_reason: str | int, called: bool, stop: str) -> None:
    parts = [{"functionCall": {"name": "f"}}] if called else [{"text": "a"}]
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": finish_reason}]}
    assert decode_reply(body).stop == stop
    streamed = fold(decode_stream([sse(body)]))
    assert isinstance(streamed, Reply)
    assert streamed.stop == stop
    chunks_out, _ = encode_reply(decode_reply(body))  # an unknown word, or a number, would break google-genai
    assert type(chunks_out["candidates"][0]["finishReason"]) is str


@pytest.mark.parametrize("parts", [[], [{"text": "hm", "thought": True}]], ids=["nothing", "thinking"])
@pytest.mark.parametrize("finish_reason", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"])
def test_an_answer_that_the_provider_could_not_parse_is_a_failure(finish_reason: str, parts: list[Any]) -> None:
    body = {
        "candidates": [{"content": {"parts": parts}, "finishReason": finish_reason, "finishMessage": "no call: f("}]
    }
    with pytest.raises(UpstreamError) as caught:
        decode_reply(copy.deepcopy(body))
    streamed = fold(decode_stream([sse(body)]))
    assert isinstance(streamed, Failure)
    for told in (caught.value.failure, streamed):
        assert (told.kind, told.status, told.message) == ("upstream_error", 502, "no call: f(")


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"promptTokenCount": 100, "cachedContentTokenCount": 80, "candidatesTokenCount": 5}, Usage(20, 5, 80)),
        ({"promptTokenCount": 10, "toolUsePromptTokenCount": 7, "candidatesTokenCount": 5}, Usage(17, 5)),
        ({"promptTokenCount": 10, "thoughtsTokenCount": 7}, Usage(10, 7, reasoning=7)),
        ({"promptTokenCount": 1, "cachedContentTokenCount": 3}, Usage(0, None, 1)),
        ({"trafficType": "ON_DEMAND"}, None),
    ],
)
def test_usage(counts: dict[str, Any], usage: Usage | None) -> None:
    last_chunk = chunk({"text": "a"}, finish="STOP", usageMetadata=counts)
    assert decode_reply(last_chunk).usage == usage
    streamed = fold(decode_stream([sse(chunk({"text": "a"}, usageMetadata={"promptTokenCount": 1}), last_chunk)]))
    assert isinstance(streamed, Reply)
    assert streamed.usage == (usage or Usage(1))


def test_tool_names_and_custom_tool_text_are_restored() -> None:
    tools = (Tool("run", kind="custom"), Tool("f", namespace="ns"))
    sent = PROTOCOL.encode_request(make_request(tools=tools), UpstreamTarget("m", NAME))
    parts = [{"functionCall": {"id": "a", "name": "run", "args": {"input": "ls -l"}}},
             {"functionCall": {"id": "b", "name": "ns__f", "args": {}}}]  # fmt: skip
    blocks = (ToolCall("a", "run", "ls -l", "custom"), ToolCall("b", "f", "{}", namespace="ns"))
    assert decode_reply(chunk(*parts, finish="STOP"), sent).blocks == blocks
    decoded = fold(decode_stream([sse(chunk(*parts, finish="STOP"))], sent))
    assert isinstance(decoded, Reply)
    assert decoded.blocks == blocks


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"candidates": []},
        {"candidates": [1]},
        {"candidates": [{"content": {"parts": [{"text": 1}]}}]},
        {"error": {}},
    ],
)
def test_a_body_of_another_protocol_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decode_reply(body)


# ---- StreamDecoder ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (sse(chunk({"text": "a"})), "upstream_cut"),
        (b"", "upstream_cut"),
        (sse(chunk({"text": "a"}), {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}),
         "rate_limit"),
        (sse({"error": {"status": "UNAVAILABLE", "message": "x"}}), "overloaded"),
        (sse([{"error": {"code": 400, "message": "The input token count (2000) exceeds the maximum number of tokens "
                                                 "allowed (1000).", "status": "INVALID_ARGUMENT"}}]), "context_length"),
    ],
)  # fmt: skip
def test_broken_streams(raw: bytes, kind: str) -> None:
    decoded = fold(decode_stream([raw]))
    assert isinstance(decoded, Failure)
    assert decoded.kind == kind


@pytest.mark.parametrize("raw", [b"data: <html>\n\n", b"data: 7\n\n"])
def test_a_stream_of_another_protocol_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_stream([raw])


def test_text_may_continue_after_a_finish_reason() -> None:
    decoded = fold(decode_stream([sse(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, finish="RECITATION"))]))
    assert isinstance(decoded, Reply)
    assert (decoded.blocks, decoded.stop) == ((Text("ab"),), "filter")


def test_extra_fields_of_a_stream_are_restored() -> None:
    """Code and its result, a second candidate, and metadata are all kept."""
    code = {"executableCode": {"code": "1", "language": "PYTHON"}}
    events = decode_stream([
        sse(chunk({"text": "a"}, code, {"text": "b"})),
        sse({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]}),
        sse({"candidates": [{"finishReason": "STOP", "finishMessage": "why", "safetyRatings": [{"category": 7}]}]}),
    ])  # fmt: skip
    decoded = fold(events)
    assert isinstance(decoded, Reply)
    assert decoded.blocks == (Text("a"), Opaque(NAME, "executableCode", code, part=True), Text("b"))
    assert decoded.extra is not None
    assert decoded.extra["n"] == [{"index": 1, "content": {"parts": [{"text": "other"}]}}]
    assert decoded.extra["candidates[0].finishMessage"] == "why"
    assert decoded.extra["candidates[0].safetyRatings"] == [{"category": "HARM_CATEGORY_HARASSMENT"}]


def test_a_stream_as_one_array() -> None:
    raw = json.dumps([chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP")], indent=1).encode()
    decoded = fold(decode_stream([raw], array=True))
    assert isinstance(decoded, Reply)
    assert decoded.blocks == (Text("ab"),)


# ---- encode_reply and StreamEncoder ----------------------------------------------------------------------------------


REPLIES: list[tuple[str, Reply, list[dict[str, Any]], str, list[tuple[str, str]]]] = [
    ("text", reply(Text("hi")), [{"text": "hi"}], "STOP", []),
    ("a call, and its text", reply(Text("hm"), CALL, stop="tool"), [{"text": "hm"}, CALLED], "STOP", []),
    ("empty texts are left out", reply(Text(""), OTHER, stop="tool"), [ALSO_CALLED], "STOP", []),
    ("thinking with its signature", reply(Reasoning("hm", Signature("s", "openai-chat", NAME)), Text("hi")),
     [{"text": "hm", "thought": True,
       "thoughtSignature": signatures.for_client(Signature("s", "openai-chat", NAME), NAME)},
      {"text": "hi"}], "STOP", []),
    ("redacted thought", reply(Reasoning("", Signature("tide", "anthropic", "anthropic"), redacted=True), Text("hi")),
     [{"text": "", "thought": True, "thoughtSignature": TOKEN, "partMetadata": {"redacted": True}}, {"text": "hi"}],
     "STOP", []),
    ("a signed call", reply(replace(CALL, signature=Signature("tide", "anthropic", "anthropic")), stop="tool"),
     [{**CALLED, "thoughtSignature": TOKEN}], "STOP", []),
    ("a refusal", reply(Refusal("no"), stop="filter"), [{"text": "no"}], "SAFETY", [("blocks[0]", "refusal")]),
    ("max_tokens", reply(Text("hi"), stop="length"), [{"text": "hi"}], "MAX_TOKENS", []),
    ("a matched stop", reply(Text("hi"), stop="stop_sequence", matched="x"), [{"text": "hi"}], "STOP",
     [("matched", "matched_stop")]),
    ("a pause", reply(Text("hi"), stop="pause"), [{"text": "hi"}], "OTHER", [("stop", "stop_reason")]),
    ("an image", reply(PNG), [PNG_PART], "STOP", []),
    ("a hosted tool of another provider", reply(Opaque("anthropic", "server_tool_use", {}), Text("hi")),
     [{"text": "hi"}], "STOP", [("blocks[0].server_tool_use", "hosted_output")]),
    ("arguments that are no object", reply(replace(CALL, arguments="x"), stop="tool"),
     [{"functionCall": {"id": "c1", "name": "f", "args": {"input": "x"}}}], "STOP",
     [("blocks[0].arguments", "tool_arguments")]),
    ("a native finish reason", reply(Text("hi"), protocol=NAME, stop="filter", native="RECITATION"),
     [{"text": "hi"}], "RECITATION", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "parts", "finish", "losses"), [row[1:] for row in REPLIES], ids=[row[0] for row in REPLIES]
)
def test_replies(answer: Reply, parts: list[Any], finish: str, losses: list[tuple[str, str]]) -> None:
    body, lost = encode_reply(answer)
    assert body["candidates"] == [{"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}]
    assert body["modelVersion"] == "m"
    assert body["responseId"] == ("up-1" if answer.protocol == NAME else "req-1")
    assert pairs(lost) == losses
    for array, at_once in itertools.product((False, True), repeat=2):
        chunks_out, lost, _ = encode_stream(list(unfold(answer)), array=array, at_once=at_once)
        assert [part for chunk_out in chunks_out for part in chunk_out["candidates"][0]["content"]["parts"]] == (
            parts if "thoughtSignature" not in parts[0] or not parts[0].get("text") else
            [{"text": "hm", "thought": True},
             {"text": "", "thought": True, "thoughtSignature": parts[0]["thoughtSignature"]}, *parts[1:]]
        )  # fmt: skip
        assert [chunk_out["candidates"][0].get("finishReason") for chunk_out in chunks_out] == [None] * (
            len(chunks_out) - 1
        ) + [finish]
        assert all(
            _validate_response(types.GenerateContentResponse.model_validate(chunk_out)) for chunk_out in chunks_out
        )
        assert pairs(lost) == losses


def test_usage_out() -> None:
    body, _ = encode_reply(reply(Text("hi"), usage=Usage(20, 12, 80, 5, 7)))
    assert body["usageMetadata"] == {
        "promptTokenCount": 105,
        "cachedContentTokenCount": 80,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 117,
    }
    begun, *middle, _ = unfold(reply(Text("hi"), Text("ho")))
    ended = ReplyEnd("end", None, "end_turn", Usage(output=12, reasoning=7))
    chunks_out, _, _ = encode_stream([replace(begun, usage=Usage(20, 0, 80, 5)), *middle, ended])
    assert [chunk_out.get("usageMetadata") for chunk_out in chunks_out] == [None, body["usageMetadata"]]


def test_an_empty_answer_has_no_parts() -> None:
    body, _ = encode_reply(reply(stop="length"))
    assert body["candidates"][0]["content"] == {"role": "model"}
    chunks_out, _, _ = encode_stream(list(unfold(reply(stop="length"))))
    assert [chunk_out["candidates"][0]["content"] for chunk_out in chunks_out] == [{"role": "model"}]


def test_a_blocked_prompt_round_trips() -> None:
    decoded = decode_reply(json.loads((EVIDENCE / "blocked-reply.json").read_text())["body"])
    body, losses = encode_reply(decoded)
    chunks_out, _, _ = encode_stream(list(unfold(decoded)))
    for answer in (body, *chunks_out):
        assert "candidates" not in answer
        assert answer["promptFeedback"]["blockReason"] == "SAFETY"
    assert not losses


CITED = Text("Süd und Nord", (Citation("https://a", "A", None, 0, 3), Citation("https://b", None, "quote", 8, 12)))


def test_citation_ranges_are_in_bytes() -> None:
    body, losses = encode_reply(reply(CITED))
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 4, "text": "Süd"}, "groundingChunkIndices": [0]},
            {"segment": {"startIndex": 9, "endIndex": 13, "text": "Nord"}, "groundingChunkIndices": [1]},
        ],
    }
    assert body["candidates"][0]["groundingMetadata"] == metadata
    assert pairs(losses) == [("blocks[0].citations[1].text", "citations")]
    chunks_out, lost, _ = encode_stream(list(unfold(reply(CITED))))
    assert chunks_out[-1]["candidates"][0]["groundingMetadata"] == metadata
    assert lost == losses
    decoded = decode_reply(body).blocks
    assert decoded == (replace(CITED, citations=(CITED.citations[0], replace(CITED.citations[1], text=None))),)
    assert fold(decode_stream([sse(*chunks_out)])) == replace(decode_reply(body), extra={"candidates[0].index": 0})


def test_overlapping_calls_are_sent_whole_and_in_order() -> None:
    events: list[Event] = [
        ReplyStart("openai-chat", "a", "b"),
        BlockStart(0, Text("")), BlockDelta(0, "hm"), BlockEnd(0),
        BlockStart(1, ToolCall("c1", "f")), BlockDelta(1, '{"a"'),
        BlockStart(2, ToolCall("c2", "f")), BlockDelta(2, "{}"), BlockDelta(1, ": 1}"),
        BlockSignature(1, Signature("tide", "anthropic", "anthropic")),
        BlockEnd(1), BlockEnd(2),
        ReplyEnd("tool", None, "tool_calls"),
    ]  # fmt: skip
    chunks_out, losses, _ = encode_stream(events, at_once=False)
    parts = [chunk_out["candidates"][0]["content"]["parts"] for chunk_out in chunks_out]
    assert parts == [[{"text": "hm"}], [{**CALLED, "thoughtSignature": TOKEN}], [ALSO_CALLED]]
    assert not losses


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_failure_ends_the_stream(array: bool, begun: bool) -> None:
    broken = Failure("overloaded", "x", 503, retry_after=7)
    events: list[Event] = (
        [ReplyStart("openai-chat", "a", "b"), BlockStart(0, Text("")), BlockDelta(0, "hm")] if begun else []
    )
    chunks_out, _, raw = encode_stream([*events, broken], array=array)
    error = {"code": 503, "message": "x", "status": "UNAVAILABLE",
             "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]}  # fmt: skip
    assert chunks_out[-1] == {"error": error}
    assert [chunk_out["candidates"][0]["content"]["parts"] for chunk_out in chunks_out[:-1]] == [
        [{"text": "hm"}]
    ] * begun
    assert b"finishReason" not in raw


@pytest.mark.parametrize("kind", sorted(STATUS))
def test_every_failure_has_a_status(kind: str) -> None:
    error = PROTOCOL.encode_failure(failure(kind, "why"), "req-1")["error"]
    assert error["code"] == STATUS[kind]
    assert error["message"] == "why"
    assert error["status"].isupper()


# ---- properties ------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
own_signatures = st.none() | st.builds(
    Signature, st.from_regex(r"[a-z0-9]{4}", fullmatch=True), st.just(NAME), st.just(NAME)
)
blocks = (
    st.builds(Text, texts, signature=own_signatures)
    | st.builds(Reasoning, texts, own_signatures, summary=st.just(True))
    | st.builds(
        lambda name, args, signature: ToolCall("", name, json_fields.encode(args).decode(), signature=signature),
        st.sampled_from(("f", "g")),
        st.dictionaries(texts, st.integers() | texts | st.none(), max_size=3),
        own_signatures,
    )
    | st.just(Opaque(NAME, "executableCode", {"executableCode": {"code": "1", "language": "PYTHON"}}, part=True))
)


def normalized(found: list[Any]) -> tuple[Any, ...]:
    """Returns the blocks as in one reply: with distinct ids, and adjacent texts merged."""
    out: list[Any] = []
    for block in found:
        if out and type(out[-1]) is type(block) and isinstance(block, Text | Reasoning) and out[-1].signature is None:
            continue
        out.append(replace(block, id=f"c{len(out)}") if isinstance(block, ToolCall) else block)
    return tuple(out)


replies = st.builds(
    lambda found, usage, stop: Reply(
        protocol=NAME,
        id="r",
        model="m",
        blocks=found,
        stop="tool" if stop == "end" and any(isinstance(block, ToolCall) for block in found) else stop,
        native={"end": "STOP", "length": "MAX_TOKENS", "filter": "SPII"}[stop],
        usage=usage,
    ),
    st.lists(blocks, max_size=5).map(normalized),
    st.none() | st.builds(Usage, st.integers(0, 9), st.integers(9, 99), st.none() | st.integers(0, 9), st.none(),
                          st.none() | st.integers(0, 9)),
    st.sampled_from(("end", "length", "filter")),
)  # fmt: skip


@given(replies, st.booleans(), st.data())
def test_a_reply_round_trips_as_body_and_stream(answer: Reply, array: bool, data: st.DataObject) -> None:
    """Body and stream decode to the same reply, however the bytes are split into chunks."""
    body, losses = encode_reply(answer)
    assert not losses
    assert replace(decode_reply(body), extra=None) == answer
    _, losses, raw = encode_stream(list(unfold(answer)), array=array)
    assert not losses
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    chunks = [raw[a:b] for a, b in itertools.pairwise([0, *cuts, len(raw)])]
    decoded = fold(decode_stream(chunks, array=array))
    assert isinstance(decoded, Reply)
    assert replace(decoded, extra=None) == answer
    assert decode_stream([raw], array=array) == decode_stream(chunks, array=array)


@given(st.lists(blocks, max_size=5).map(normalized))
def test_a_reply_round_trips_through_the_next_request(found: tuple[Any, ...]) -> None:
    """A client that sends back a body or its chunks gives the same blocks, with signatures without an issuer."""
    answer = reply(*found, protocol=NAME)
    bare = tuple(
        replace(block, signature=Signature(block.signature.value, NAME)) if getattr(block, "signature", None) else block
        for block in (replace(b, part=False) if isinstance(b, Opaque) else b for b in found)
    )
    body, _ = encode_reply(answer)
    chunks_out, _, _ = encode_stream(list(unfold(answer)))
    ask_ = {"role": "user", "parts": [{"text": "hi"}]}
    for contents in (
        [body["candidates"][0]["content"]],
        [chunk_out["candidates"][0]["content"] for chunk_out in chunks_out],
    ):
        turns = decode({"contents": [ask_, *contents, ask_]}).turns
        assert turns[1].blocks == bare


@given(st.binary(max_size=60))
def test_random_bytes_raise_at_most_malformed(raw: bytes) -> None:
    with contextlib.suppress(Malformed):
        decode_stream([b"data: " + raw + b"\n\n"])
