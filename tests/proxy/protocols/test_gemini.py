"""Gemini, both ways: literal wire against neutral form, the vendor's own words, and the laws.

Nothing here asks another dialect; what is foreign is written in the neutral form by hand.
"""

from __future__ import annotations

import contextlib
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

from proxy import seals, wire
from proxy.errors import STATUS, Malformed, failure
from proxy.framing import SSE, JSONArray
from proxy.ir import (
    Audio,
    Citation,
    Close,
    Delta,
    Document,
    Event,
    Failure,
    Finish,
    Format,
    Image,
    Loss,
    Media,
    Opaque,
    Open,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Sampling,
    Seal,
    Signature,
    Start,
    StopReason,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    fold,
    unfold,
)
from proxy.protocols.contract import Asked, Sent, Target, Where
from proxy.protocols.gemini import PROTOCOL

NAME = "gemini"
EVIDENCE = Path(__file__).parents[2] / "evidence" / NAME
HERE = Where("gemini-2.5-flash", "generateContent")
SENT = Sent({}, (), Target("gemini-2.5-flash", NAME))


def new_id() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def decode(body: dict[str, Any], where: Where = HERE) -> Request:
    return PROTOCOL.decode_request(json.loads(json.dumps(body)), where)


def ask(*turns: Turn, dialect: str = "openai-chat", **fields: Any) -> Request:
    return Request(dialect=dialect, model="m", turns=turns or (Turn("user", (Text("hi"),)),), **fields)


def send(request: Request, model: str = "gemini-2.5-flash", **target: Any) -> tuple[dict[str, Any], list[Loss]]:
    sent = PROTOCOL.encode_request(request, Target(model, NAME, **target))
    payload: dict[str, Any] = wire.parse_object(wire.encode(sent.payload))
    for content in payload["contents"]:
        types.Content.model_validate(content)
    for tool in payload.get("tools", ()):
        types.Tool.model_validate(tool)
    types.GenerationConfig.model_validate(payload.get("generationConfig", {}))
    return payload, list(sent.losses)


def named(losses: Sequence[Loss]) -> list[tuple[str, str]]:
    return [(loss.path, loss.feature) for loss in losses]


def asked(*, array: bool = False, **fields: Any) -> Asked:
    return Asked(ask(dialect=NAME, **fields), "req-1", 1_700_000_000, new_id(), array)


def reply(*blocks: Any, dialect: str = "openai-chat", stop: StopReason = "end", **fields: Any) -> Reply:
    return Reply(dialect=dialect, id="up-1", model="up", blocks=blocks, stop=stop, **fields)


def hear(body: dict[str, Any], sent: Sent = SENT) -> Reply:
    return PROTOCOL.decode_reply(json.loads(json.dumps(body)), sent, new_id())


def listen(chunks: Sequence[bytes], sent: Sent = SENT, array: bool = False) -> list[Event]:
    framing = JSONArray() if array else SSE()
    decoder, events = PROTOCOL.stream_decoder(sent, new_id()), []
    for chunk in chunks:
        if whole := framing.cut(chunk):
            for frame in framing.parse(whole):
                events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    return events + decoder.close()


def say(answer: Reply) -> tuple[dict[str, Any], list[Loss]]:
    body, losses = PROTOCOL.encode_reply(answer, asked())
    told: dict[str, Any] = wire.parse_object(wire.encode(body))
    types.GenerateContentResponse.model_validate(told)
    return told, losses


def tell(events: Sequence[Event], *, array: bool = False, at_once: bool = True) -> tuple[list[Any], list[Loss], bytes]:
    encoder = PROTOCOL.stream_encoder(asked(stream=True, array=array))
    raw = encoder.encode(events) if at_once else b"".join(encoder.encode([event]) for event in events)
    if array:
        told = json.loads(raw)
    else:
        framing = SSE()
        told = [json.loads(frame.data) for frame in framing.parse(framing.cut(raw))]
        assert not framing.rest()
    for chunk in told:
        if "error" not in chunk:
            types.GenerateContentResponse.model_validate(chunk)
    return told, encoder.losses, raw


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def chunk(*parts: Any, finish: str | None = None, **beside: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], **beside}


# ---- the client's request --------------------------------------------------------------------------------------------

MINE = Signature("c2ln", NAME)
TOKEN = seals.for_client(Signature("tide", "anthropic", "anthropic"), NAME)
FOREIGN = Signature("tide", NAME, "anthropic")
BYPASS = "skip_thought_signature_validator"
FILE = "https://generativelanguage.googleapis.com/v1beta/files/abc"

PARTS: list[tuple[str, list[dict[str, Any]], tuple[Any, ...]]] = [
    ("text", [{"text": "hi"}], (Text("hi"),)),
    ("pieces of one answer", [{"text": "h"}, {"text": "i"}, {"text": ""}], (Text("hi"),)),
    ("a signed piece ends the text", [{"text": "h"}, {"text": "i", "thoughtSignature": "c2ln"}, {"text": "j"}],
     (Text("hi", seal=MINE), Text("j"))),
    ("a signature alone", [{"text": "hi"}, {"thoughtSignature": "c2ln"}], (Text("hi", seal=MINE),)),
    ("a thought", [{"text": "hm", "thought": True}], (Reasoning("hm", summary=True),)),
    ("a thought and its foreign seal", [{"text": "h", "thought": True}, {"text": "m", "thought": True},
                                        {"thought": True, "thoughtSignature": TOKEN}],
     (Reasoning("hm", FOREIGN, summary=True),)),
    ("what another provider redacted",
     [{"thought": True, "thoughtSignature": TOKEN, "partMetadata": {"redacted": True}}],
     (Reasoning("", FOREIGN, summary=True, redacted=True),)),
    ("a call without id", [{"functionCall": {"name": "f", "args": {"a": 1}}}], (ToolCall("call_1", "f", '{"a":1}'),)),
    ("a call without arguments", [{"functionCall": {"name": "f", "id": "x"}}], (ToolCall("x", "f", "{}"),)),
    ("a signed call", [{"functionCall": {"name": "f", "id": "x"}, "thoughtSignature": "c2ln"}],
     (ToolCall("x", "f", "{}", seal=MINE),)),
    ("a foreign seal on a call", [{"functionCall": {"name": "f", "id": "x"}, "thoughtSignature": TOKEN}],
     (ToolCall("x", "f", "{}", seal=FOREIGN),)),
    ("the bypass is no seal", [{"functionCall": {"name": "f", "id": "x"}, "thoughtSignature": BYPASS}],
     (ToolCall("x", "f", "{}", own={"thoughtSignature": BYPASS}),)),
    ("two calls of one id", [{"functionCall": {"name": "w", "id": "w"}}, {"functionCall": {"name": "w", "id": "w"}}],
     (ToolCall("w", "w", "{}"), ToolCall("call_1", "w", "{}"))),
    ("an image", [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}], (Image(Media("image/png", "iVBO")),)),
    ("an image in snake case and URL-safe base64", [{"inline_data": {"mime_type": "image/png", "data": "_-A"}}],
     (Image(Media("image/png", "/+A=")),)),
    ("sound", [{"inlineData": {"mimeType": "audio/wav", "data": "UklG"}}], (Audio(Media("audio/wav", "UklG")),)),
    ("a document", [{"inlineData": {"mimeType": "application/pdf", "data": "JVBE", "displayName": "T"}}],
     (Document(Media("application/pdf", "JVBE", name="T")),)),
    ("an address", [{"fileData": {"fileUri": "https://a/b.png"}}], (Image(Media("image/png", url="https://a/b.png")),)),
    ("Google's own file", [{"fileData": {"fileUri": FILE, "mimeType": "image/png"}}],
     (Image(Media("image/png", file_id=FILE)),)),
    ("how closely to look", [{"inlineData": {"mimeType": "image/png", "data": "iVBO"},
                              "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}],
     (Image(Media("image/png", "iVBO"), {"mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}),)),
    ("a video", [{"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}, "videoMetadata": {"fps": 1}}],
     (Opaque(NAME, "video", {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"},
                             "videoMetadata": {"fps": 1}}),)),
    ("code that ran", [{"executable_code": {"code": "1", "language": "PYTHON"}}],
     (Opaque(NAME, "executableCode", {"executableCode": {"code": "1", "language": "PYTHON"}}),)),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "blocks"), [row[1:] for row in PARTS], ids=[row[0] for row in PARTS])
def test_parts(parts: list[dict[str, Any]], blocks: tuple[Any, ...]) -> None:
    request = decode({"contents": [{"role": "model", "parts": parts}]})
    assert request.turns == (Turn("assistant", blocks),)
    assert request.own is None


CALLING = {"role": "model", "parts": [{"functionCall": {"name": "w", "args": {"city": "Oslo"}}}]}


def result(response: Any, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": "w", "response": response, **fields}}


RESPONSES: list[tuple[str, dict[str, Any], ToolResult]] = [
    ("wrapped text", result({"result": "12"}), ToolResult("call_1", (Text("12"),), name="w")),
    ("wrapped text, Google's key", result({"output": "12"}),
     ToolResult("call_1", (Text("12"),), name="w", own={"functionResponse.output": None})),
    ("an object", result({"t": 12}), ToolResult("call_1", (Text('{"t":12}'),), name="w")),
    ("wrapped text that is an object", result({"result": '{"t":12}'}),
     ToolResult("call_1", (Text('{"t":12}'),), name="w", own={"functionResponse.result": None})),
    ("an error whose text is an object", result({"error": '{"code":5}'}),
     ToolResult("call_1", (Text('{"code":5}'),), True, "w", own={"functionResponse.error": None})),
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
    payload, losses = send(request)
    assert payload["contents"][1]["parts"][0]["functionResponse"]["response"] == part["functionResponse"]["response"]
    assert not losses


PAIRS: list[tuple[str, list[tuple[str | None, str]], list[tuple[str | None, str]], list[str]]] = [
    ("by id", [("a", "w"), ("b", "w")], [("b", "w"), ("a", "w")], ["b", "a"]),
    ("by order within a name", [(None, "w"), (None, "v"), (None, "w")], [(None, "v"), (None, "w"), (None, "w")],
     ["call_2", "call_1", "call_3"]),
    ("a call without id, a result with one", [(None, "w")], [("z", "w")], ["call_1"]),
    ("a call with id, a result without", [("a", "w")], [(None, "w")], ["a"]),
    ("an answer to nobody", [], [("z", "w")], ["z"]),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "results", "ids"), [row[1:] for row in PAIRS], ids=[row[0] for row in PAIRS])
def test_results_find_their_calls(
    calls: list[tuple[str | None, str]], results: list[tuple[str | None, str]], ids: list[str]
) -> None:
    called = [{"functionCall": {"id": id_, "name": name}} for id_, name in calls]
    results_: list[Any] = [{"functionResponse": {"id": id_, "name": name, "response": {}}} for id_, name in results]
    contents = [{"role": "user", "parts": [{"text": "go"}]}, {"role": "model", "parts": called},
                *({"role": "user", "parts": [part]} for part in results_)]  # fmt: skip
    blocks = decode({"contents": contents}).turns[2].blocks  # one turn, though they came in several contents
    assert [block.id for block in blocks if isinstance(block, ToolResult)] == ids


FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("the system's words", {"systemInstruction": {"role": "model", "parts": {"text": "be brief"}}},
     {"turns": (Turn("system", (Text("be brief"),)), Turn("user", (Text("hi"),)))}),
    ("sampling", {"generationConfig": {"temperature": 0.5, "topP": 1, "topK": 40.0, "seed": "7",
                                       "frequencyPenalty": 1, "presencePenalty": 2}},
     {"sampling": Sampling(0.5, 1, 40, 7, 1, 2), "own": None}),
    ("bounds in snake case", {"generation_config": {"max_output_tokens": 7, "stop_sequences": ["a"]}},
     {"max_tokens": 7, "stop": ("a",), "own": None}),
    ("a budget", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 128, "includeThoughts": True}}},
     {"reasoning": Thinking(budget=128, summary="auto")}),
    ("dynamic thinking", {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}},
     {"reasoning": Thinking(enabled=True)}),
    ("a level", {"generationConfig": {"thinking_config": {"thinking_level": "HIGH"}}},
     {"reasoning": Thinking("high")}),
    ("JSON", {"generationConfig": {"responseMimeType": "application/json"}}, {"format": Format("json_object")}),
    ("a schema", {"generationConfig": {"responseMimeType": "application/json",
                                       "responseJsonSchema": {"type": "OBJECT"}}},
     {"format": Format("json_schema", {"type": "object"}), "own": None}),
    ("an enum as text is Gemini's own", {"generationConfig": {"responseMimeType": "text/x.enum"}},
     {"format": None, "own": {"generationConfig.responseMimeType": "text/x.enum"}}),
    ("a tool", {"tools": [{"functionDeclarations": [{"name": "f", "description": "d",
                                                     "parameters": {"type": "OBJECT"}}]}]},
     {"tools": (Tool("f", "d", {"type": "object"}),)}),
    ("tools in snake case, one object for a list",
     {"tools": {"function_declarations": {"name": "f", "parameters_json_schema": {"type": "object"}}}},
     {"tools": (Tool("f", None, {"type": "object"}),)}),
    ("hosted tools", {"tools": [{"googleSearch": {}, "codeExecution": None}]},
     {"tools": (Opaque(NAME, "googleSearch", {"googleSearch": {}}),)}),
    ("any tool", {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, {"tool_choice": ToolChoice("required")}),
    ("one tool", {"toolConfig": {"functionCallingConfig": {"mode": "any", "allowedFunctionNames": ["f"]}}},
     {"tool_choice": ToolChoice("named", ("f",)), "own": None}),
    ("some tools", {"tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f", "g"]}}},
     {"tool_choice": ToolChoice("required", ("f", "g"))}),
    ("no tool", {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}, {"tool_choice": ToolChoice("none")}),
    ("what only Gemini knows",
     {"safetySettings": [{"category": "C"}], "generationConfig": {"candidateCount": 2},
      "toolConfig": {"retrievalConfig": {"languageCode": "de"}}},
     {"own": {"safetySettings": [{"category": "C"}], "generationConfig.candidateCount": 2,
              "toolConfig": {"retrievalConfig": {"languageCode": "de"}}}}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "meaning"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_request_fields(fields: dict[str, Any], meaning: dict[str, Any]) -> None:
    request = decode({"contents": [{"role": "USER", "parts": [{"text": "hi"}]}], **fields})
    assert {key: getattr(request, key) for key in meaning} == meaning


def test_a_gemini_request_survives_conversion_whole() -> None:
    body = json.loads((EVIDENCE / "tools-request.json").read_text())["body"]
    request = decode(body)
    payload, losses = send(replace(request, dialect=NAME))
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


@pytest.mark.parametrize(("theirs", "plain"), SCHEMAS)
def test_schemas_become_plain(theirs: dict[str, Any], plain: dict[str, Any]) -> None:
    tools = [{"functionDeclarations": [{"name": "f", "parameters": theirs}]}]
    tool = decode({"contents": [{"parts": [{"text": "hi"}]}], "tools": tools}).tools[0]
    assert isinstance(tool, Tool)
    assert tool.parameters == plain


HI = {"contents": [{"parts": [{"text": "hi"}]}]}


@pytest.mark.parametrize(
    ("body", "where", "path"),
    [
        ({}, HERE, "contents"),
        (HI, Where("m", "countTokens"), ""),
        (HI, Where("", "generateContent"), "model"),
        ({"contents": [{"role": "robot", "parts": [{"text": "hi"}]}]}, HERE, "contents[0].role"),
        ({"contents": [{"parts": [{}]}]}, HERE, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 1}]}]}, HERE, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"inlineData": {}}]}]}, HERE, "contents[0].parts[0].inlineData.data"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, HERE, "contents[0].parts[0].name"),
        ({**HI, "generationConfig": {"topK": 1.5}}, HERE, "generationConfig.topK"),
        ({**HI, "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}, HERE,
         "toolConfig.functionCallingConfig.mode"),
        ({**HI, "tools": [{"functionDeclarations": [{}]}]}, HERE, "tools[0].functionDeclarations[0].name"),
    ],
)  # fmt: skip
def test_a_bad_request_names_its_place(body: dict[str, Any], where: Where, path: str) -> None:
    with pytest.raises(Malformed) as fault:
        decode(body, where)
    assert fault.value.path == path


def test_the_method_tells_whether_to_stream() -> None:
    assert decode(HI, Where("a/b:c", "streamGenerateContent", "sse")).stream
    assert not decode(HI, Where("a/b:c", "generateContent")).stream
    assert decode(HI, Where("a/b:c", "generateContent")).model == "a/b:c"


def test_a_deep_request_ends_in_no_recursion() -> None:
    deep: Any = {"type": "STRING"}
    for _ in range(500):
        deep = {"type": "ARRAY", "items": deep}
    with pytest.raises(Malformed, match="deeply"):
        decode({**HI, "tools": [{"functionDeclarations": [{"name": "f", "parameters": deep}]}]})
    assert decode({**HI, "labels_of_mine": deep}).own is not None


def test_seals_survive_the_url_safe_base64_of_google_genai() -> None:
    seal = Signature("?>~\u00ff?>", "anthropic", "anthropic")
    token = seals.for_client(seal, NAME)
    part = types.Part.model_validate({"thought": True, "thoughtSignature": token})
    assert part.thought_signature is not None
    echoed = urlsafe_b64encode(part.thought_signature).decode()
    assert echoed != token
    contents = [{"role": "model", "parts": [{"thought": True, "thoughtSignature": echoed}]}]
    assert decode({"contents": contents}).turns[0].blocks == (Reasoning("", replace(seal, dialect=NAME), summary=True),)


# ---- the backend's request -------------------------------------------------------------------------------------------


def user(*blocks: Any) -> Turn:
    return Turn("user", blocks)


def model(*blocks: Any) -> Turn:
    return Turn("assistant", blocks)


def said(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} if type(part) is str else part for part in parts]}


CALL = ToolCall("c1", "f", '{"a": 1}')
CALLED = {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}
OTHER = ToolCall("c2", "f", "")
ALSO_CALLED = {"functionCall": {"id": "c2", "name": "f", "args": {}}}


def answered(id_: str, response: Any, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"id": id_, "name": "f", "response": response, **fields}}


PNG = Image(Media("image/png", "iVBO"))
PNG_PART = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}

CONVERSATIONS: list[tuple[str, tuple[Turn, ...], dict[str, Any], list[tuple[str, str]]]] = [
    ("the leading run is the system instruction",
     (Turn("system", (Text("a"),)), Turn("developer", (Text("b"),)), user(Text("hi"))),
     {"systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]}, "contents": [said("user", "hi")]}, []),
    ("a later instruction is folded in its place",
     (user(Text("hi")), model(Text("yes")), Turn("system", (Text("be brief"),)), user(Text("go"))),
     {"contents": [said("user", "hi"), said("model", "yes"), said("user", "be brief", "go")]}, [("turns[2]", "role")]),
    ("nothing but instructions is the user's",
     (Turn("system", (Text("a"),)),), {"contents": [said("user", "a")]}, [("turns[0]", "role")]),
    ("turns of one role are one content",
     (user(Text("a")), user(Text("b"))), {"contents": [said("user", "a", "b")]}, []),
    ("empty texts are left out",
     (user(Text("hi"), Text("")), model(Text(""), CALL), user(ToolResult("c1", (Text(""),)))),
     {"contents": [said("user", "hi"), said("model", CALLED), said("user", answered("c1", {"result": ""}))]}, []),
    ("results of one round are one content, first in it",
     (user(Text("hi")), model(CALL, OTHER),
      user(ToolResult("c1", (Text("1"),)), Text("and"), ToolResult("c2", (Text("no"),), error=True))),
     {"contents": [said("user", "hi"), said("model", CALLED, ALSO_CALLED),
                   said("user", answered("c1", {"result": "1"}), answered("c2", {"error": "no"}), "and")]}, []),
    ("an instruction between call and result waits until after it",
     (user(Text("hi")), model(CALL), Turn("system", (Text("s"),)), user(ToolResult("c1", (Text('{"t": 1}'),)))),
     {"contents": [said("user", "hi"), said("model", CALLED), said("user", answered("c1", {"t": 1}), "s")]},
     [("turns[2]", "role")]),
    ("what has no counterpart goes",
     (user(Text("hi")), model(CALL, OTHER), user(ToolResult("c1", (Text("1"),)), ToolResult("c9", (Text("?"),)))),
     {"contents": [said("user", "hi"), said("model", CALLED), said("user", answered("c1", {"result": "1"}))]},
     [("turns[1].blocks[1]", "orphan"), ("turns[2].blocks[1]", "orphan")]),
    ("thoughts, refusals and media",
     (user(Text("hi"), PNG), model(Reasoning("hm"), Refusal("no"))),
     {"contents": [said("user", "hi", PNG_PART), said("model", {"text": "hm", "thought": True}, "no")]},
     [("turns[1].blocks[1]", "refusal")]),
    ("another provider's file cannot be read",
     (user(Text("hi"), Document(Media(file_id="file-1"))),), {"contents": [said("user", "hi")]},
     [("turns[0].blocks[1]", "document")]),
    ("an address", (user(Image(Media(url="https://a/b.png"))),),
     {"contents": [said("user", {"fileData": {"mimeType": "image/png", "fileUri": "https://a/b.png"}})]}, []),
    ("arguments that are no object", (user(Text("hi")), model(replace(CALL, arguments="[1"))),
     {"contents": [said("user", "hi"), said("model", {"functionCall": {"id": "c1", "name": "f",
                                                                      "args": {"input": "[1"}}})]},
     [("turns[1].blocks[0].arguments", "tool_arguments")]),
    ("a seal of somebody else's", (user(Text("hi")), model(Text("a", seal=FOREIGN), Reasoning("", seal=FOREIGN))),
     {"contents": [said("user", "hi"), said("model", "a")]},
     [("turns[1].blocks[0].seal", "signature"), ("turns[1].blocks[1].seal", "signature")]),
    ("our own seal", (user(Text("hi")), model(replace(CALL, seal=Signature("c2ln", "openai-chat", NAME)))),
     {"contents": [said("user", "hi"), said("model", {**CALLED, "thoughtSignature": "c2ln"})]}, []),
    ("a sound whose type nobody named", (user(Audio(Media(data="UklGRiQA"))),),
     {"contents": [said("user", {"inlineData": {"mimeType": "audio/wav", "data": "UklGRiQA"}})]}, []),
    ("another provider's file in a result",
     (user(Text("hi")), model(CALL), user(ToolResult("c1", (Text("1"), Document(Media(file_id="file-1")))))),
     {"contents": [said("user", "hi"), said("model", CALLED), said("user", answered("c1", {"result": "1"}))]},
     [("turns[2].blocks[0].blocks[1]", "tool_result_media")]),
    ("media stand behind all results",
     (user(Text("hi")), model(CALL, OTHER), user(ToolResult("c1", (Text("1"), PNG)), ToolResult("c2", (Text("2"),)))),
     {"contents": [said("user", "hi"), said("model", CALLED, {"functionCall": {"id": "c2", "name": "f", "args": {}}}),
                   said("user", answered("c1", {"result": "1"}), answered("c2", {"result": "2"}), PNG_PART)]},
     [("turns[2].blocks[0]", "tool_result_media")]),
    ("media in a result stands beside it", (user(Text("hi")), model(CALL), user(ToolResult("c1", (Text("1"), PNG)))),
     {"contents": [said("user", "hi"), said("model", CALLED),
                   said("user", answered("c1", {"result": "1"}), PNG_PART)]},
     [("turns[2].blocks[0]", "tool_result_media")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "payload", "losses"), [row[1:] for row in CONVERSATIONS], ids=[row[0] for row in CONVERSATIONS]
)
def test_conversations(turns: tuple[Turn, ...], payload: dict[str, Any], losses: list[tuple[str, str]]) -> None:
    sent, lost = send(ask(*turns))
    assert sent == payload
    assert named(lost) == losses


ROUND = (user(Text("hi")), model(CALL, OTHER), user(ToolResult("c1", ()), ToolResult("c2", ())))
EARLIER = (user(Text("so")), model(replace(CALL, id="c0")), user(ToolResult("c0", ())), model(Text("well")))


def signatures(payload: dict[str, Any]) -> list[str | None]:
    parts = [part for content in payload["contents"] for part in content["parts"]]
    return [part.get("thoughtSignature") for part in parts if "functionCall" in part]


@pytest.mark.parametrize(
    ("to", "turns", "dialect", "signed", "losses"),
    [
        ("gemini-2.5-flash", ROUND, "openai-chat", [None, None], []),
        ("gemini-3-pro-preview", ROUND, "openai-chat", [BYPASS, None], ["turns[1].blocks[0].seal"]),
        ("gemini-flash-latest", ROUND, "openai-chat", [BYPASS, None], ["turns[1].blocks[0].seal"]),
        ("gemini-3-pro-preview", EARLIER + ROUND, "openai-chat", [None, BYPASS, None], ["turns[5].blocks[0].seal"]),
        # a Gemini client's calls are its own to sign, but for a seal that we could not give back
        ("gemini-3-pro-preview", ROUND, NAME, [None, None], []),
        ("gemini-3-pro-preview", (ROUND[0], model(replace(CALL, seal=FOREIGN), OTHER), ROUND[2]), NAME,
         [BYPASS, None], ["turns[1].blocks[0].seal"]),
        ("gemini-3-pro-preview", (ROUND[0], model(replace(CALL, seal=MINE), OTHER), ROUND[2]), NAME,
         ["c2ln", None], []),
    ],
)  # fmt: skip
def test_what_gemini_3_wants_signed(
    to: str, turns: tuple[Turn, ...], dialect: str, signed: list[str | None], losses: list[str]
) -> None:
    payload, lost = send(ask(*turns, dialect=dialect), to)
    assert signatures(payload) == signed
    assert named(lost) == [(path, "signature") for path in losses]


def test_gemini_3_takes_media_inside_a_result() -> None:
    turns = (user(Text("hi")), model(replace(CALL, seal=MINE)), user(ToolResult("c1", (PNG,))))
    payload, losses = send(ask(*turns, dialect=NAME), "gemini-3-flash-preview")
    assert payload["contents"][2]["parts"] == [answered("c1", {}, parts=[PNG_PART])]
    assert not losses


F, G = Tool("f", "d", {"type": "object", "properties": {"x": {"exclusiveMinimum": 0}}}), Tool("g", strict=True)
F_OUT = {"name": "f", "description": "d", "parametersJsonSchema": F.parameters}


def config(**fields: Any) -> dict[str, Any]:
    return {"generationConfig": fields}


def calling(**fields: Any) -> dict[str, Any]:
    return {"toolConfig": {"functionCallingConfig": fields}}


THINKS = "thinkingConfig"
INPUT = {"type": "string", "description": "The whole input of the tool, as plain text."}
ASKS: list[tuple[str, str, dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    ("schemas as they are", "", {"tools": (F, G)},
     {"tools": [{"functionDeclarations": [F_OUT, {"name": "g"}]}]}, [("tools[1].strict", "tool_strict")]),
    ("a free-text tool", "", {"tools": (Tool("p", kind="custom"),)},
     {"tools": [{"functionDeclarations": [{"name": "p", "parametersJsonSchema": {
         "type": "object", "required": ["input"], "properties": {"input": INPUT}}}]}]},
     [("tools[0]", "custom_tool")]),
    ("a name that Gemini forbids", "", {"tools": (Tool("1 f"),), "tool_choice": ToolChoice("named", ("1 f",))},
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
    ("a choice among nothing", "", {"tool_choice": ToolChoice("required")}, {}, [("tool_choice", "tool_choice")]),
    ("one call at a time", "", {"parallel": False}, {}, [("parallel", "parallel_tool_calls")]),
    ("several calls are the rule", "", {"parallel": True}, {}, []),
    ("sampling", "", {"sampling": Sampling(2.5, 0.9, 40, 7, 1, 2), "max_tokens": 9},
     config(temperature=2, topP=0.9, topK=40, seed=7, frequencyPenalty=1, presencePenalty=2, maxOutputTokens=9),
     [("sampling.temperature", "temperature")]),
    ("too many stops", "", {"stop": tuple("abcdef")}, config(stopSequences=list("abcde")), [("stop[5:]", "stop")]),
    ("the end user", "", {"user": "u"}, {}, [("user", "user")]),
    ("JSON", "", {"format": Format("json_object")}, config(responseMimeType="application/json"), []),
    ("a schema", "", {"format": Format("json_schema", {"type": "object"}, "n", "d", True)},
     config(responseMimeType="application/json", responseJsonSchema={"description": "d", "type": "object"}), []),
    ("a word as a budget", "", {"reasoning": Thinking("low")}, config(**{THINKS: {"thinkingBudget": 1024}}),
     [("reasoning", "reasoning")]),
    ("no thinking", "", {"reasoning": Thinking("none")}, config(**{THINKS: {"thinkingBudget": 0}}), []),
    ("no thinking where that cannot be", "gemini-2.5-pro", {"reasoning": Thinking(enabled=False)},
     config(**{THINKS: {"thinkingBudget": 128}}), [("reasoning", "reasoning")]),
    ("a budget, and its thoughts shown", "", {"reasoning": Thinking(budget=4096, enabled=True)},
     config(**{THINKS: {"thinkingBudget": 4096, "includeThoughts": True}}), []),
    ("more than the model takes", "", {"reasoning": Thinking(budget=99999, summary="none")},
     config(**{THINKS: {"thinkingBudget": 24576}}), [("reasoning", "reasoning")]),
    ("on", "", {"reasoning": Thinking(enabled=True)},
     config(**{THINKS: {"thinkingBudget": -1, "includeThoughts": True}}), []),
    ("a word is a level from Gemini 3 on", "gemini-3-flash-preview", {"reasoning": Thinking("minimal", summary="auto")},
     config(**{THINKS: {"thinkingLevel": "minimal", "includeThoughts": True}}), []),
    ("a level that Gemini 3 Pro lacks", "gemini-3-pro-preview", {"reasoning": Thinking("none")},
     config(**{THINKS: {"thinkingLevel": "low"}}), [("reasoning", "reasoning")]),
    ("a model that cannot think", "gemini-2.0-flash", {"reasoning": Thinking("high")}, {},
     [("reasoning", "reasoning")]),
    ("a model that cannot think need not be told", "gemini-2.0-flash", {"reasoning": Thinking("none")}, {}, []),
    ("fields of another dialect", "", {"own": {"n": 2, "logit_bias": {"1": 1}, "store": False}}, {},
     [("n", "n"), ("logit_bias", "logprobs")]),
]  # fmt: skip


@pytest.mark.parametrize(("to", "fields", "payload", "losses"), [row[1:] for row in ASKS], ids=[row[0] for row in ASKS])
def test_asks(to: str, fields: dict[str, Any], payload: dict[str, Any], losses: list[tuple[str, str]]) -> None:
    sent, lost = send(ask(**fields), to or "gemini-2.5-flash")
    assert sent == {"contents": [said("user", "hi")], **payload}
    assert named(lost) == losses


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


# ---- the vendor's own words ------------------------------------------------------------------------------------------

SIGNED = Signature("PFNpZ25hdHVyZSBBPg==", NAME, NAME)
FLIGHT = ToolCall("call_1", "check_flight", '{"flight":"AA100"}', seal=SIGNED)
ANSWER = Text("AI learns patterns from data to make predictions.")

MEANINGS: dict[str, dict[str, Any]] = {
    "text-reply": {"blocks": (ANSWER,), "stop": "end", "native": "STOP", "usage": Usage(8, 37, reasoning=27),
                   "id": "mAitaLmkHPPlz7IPvtfUqQ4", "model": "gemini-2.5-flash"},
    "text-stream": {"blocks": (ANSWER,), "stop": "end", "native": "STOP", "usage": Usage(8, 37, reasoning=27),
                    "id": "mAitaLmkHPPlz7IPvtfUqQ4", "model": "gemini-2.5-flash", "own": {"candidates[0].index": 0}},
    "tool-reply": {"blocks": (FLIGHT,), "stop": "tool", "native": "STOP", "usage": Usage(60, 58, reasoning=40)},
    "parallel-reply": {"blocks": (ToolCall("call_1", "get_current_temperature", '{"location":"Paris"}', seal=SIGNED),
                                  ToolCall("call_2", "get_current_temperature", '{"location":"London"}')),
                       "stop": "tool", "usage": None},
    "tool-stream": {"blocks": (Reasoning("I should look up the flight.", summary=True), FLIGHT), "stop": "tool",
                    "usage": Usage(60, 58, reasoning=40)},
    "signed-text-stream": {"blocks": (Text("The risk is low.", seal=Signature("PFNpZ25hdHVyZSBCPg==", NAME, NAME)),),
                           "stop": "end"},
    "partial-arguments-stream": {
        "blocks": (ToolCall("call_1", "get_current_weather",
                            '{"location":"New Delhi","days":[null,{"hour":12}],"exact":true,"unit":null}'),),
        "stop": "tool"},
    "blocked-reply": {"blocks": (), "stop": "filter", "native": "SAFETY", "usage": Usage(12),
                      "own": {"promptFeedback.blockReason": "SAFETY", "promptFeedback.safetyRatings": [
                          {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH"}]}},
    "blocked-stream": {"blocks": (), "stop": "filter", "native": "PROHIBITED_CONTENT", "usage": Usage(12),
                       "own": {"promptFeedback.blockReason": "PROHIBITED_CONTENT"}},
    "stopped-reply": {"blocks": (), "stop": "length", "native": "MAX_TOKENS", "usage": Usage(9, 30, reasoning=30)},
    "grounded-reply": {
        "blocks": (Text("España won Euro 2024. It beat England 2-1.", citations=(
            Citation("https://vertexaisearch.cloud.google.com/1", "aljazeera.com", None, 0, 21),
            Citation("https://vertexaisearch.cloud.google.com/1", "aljazeera.com", None, 22, 42),
            Citation("https://vertexaisearch.cloud.google.com/2", "uefa.com", None, 22, 42))),),
        "own": {"candidates[0].groundingMetadata.webSearchQueries": ["who won euro 2024"]}},
    "error": {"kind": "overloaded", "status": 503, "message": "The backend is overloaded; try again later."},
    "error-quota": {"kind": "rate_limit", "status": 429, "retry_after": 34.5,
                    "message": "You exceeded your current quota."},
    "error-key": {"kind": "upstream_auth", "status": 502},
    "error-model": {"kind": "model_not_found", "status": 404},
    "error-stream": {"kind": "upstream_error", "status": 502},
    "tools-request": {
        "turns": (Turn("system", (Text("You are a helpful home assistant."),)),
                  user(Text("Turn this place into a party!")),
                  model(ToolCall("call_1", "power_disco_ball", '{"power":true}',
                                 seal=Signature("PFNpZ25hdHVyZSBBPg==", NAME)),
                        ToolCall("call_2", "start_music", '{"energetic":true}')),
                  user(ToolResult("call_1", (Text("Disco ball is now on"),), name="power_disco_ball"),
                       ToolResult("call_2", (Text('{"playing":true,"volume":7}'),), name="start_music"))),
        "tools": (Tool("power_disco_ball", "Powers the spinning disco ball.", {
                      "type": "object", "required": ["power"],
                      "properties": {"power": {"type": "boolean", "description": "Whether to turn it on."}}}),
                  Tool("start_music", None, {"type": "object", "properties": {"energetic": {"type": "boolean"}}}),
                  Opaque(NAME, "googleSearch", {"googleSearch": {}})),
        "tool_choice": ToolChoice("required", ("power_disco_ball", "start_music")),
        "sampling": Sampling(0.2), "max_tokens": 200, "stop": ("END",),
        "reasoning": Thinking(budget=1024, summary="auto"), "stream": False,
        "own": {"safetySettings": [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "threshold": "BLOCK_ONLY_HIGH"}]}},
    "image-request": {
        "turns": (user(Image(Media("image/jpeg", "/9j/4A==")),
                       Document(Media("application/pdf", file_id=FILE)), Text("Caption this image.")),),
        "format": Format("json_schema", {"type": "array", "minItems": 1, "items": {"type": ["string", "null"]}}),
        "stream": True, "own": None},
}  # fmt: skip


def test_all_evidence_is_asked() -> None:
    assert {path.stem for path in EVIDENCE.glob("*.json")} == set(MEANINGS)


@pytest.mark.parametrize("name", MEANINGS)
def test_evidence(name: str) -> None:
    case = json.loads((EVIDENCE / f"{name}.json").read_text())
    assert case["source"].startswith("https://")
    heard: Request | Reply | Failure
    match case["kind"]:
        case "request":
            heard = decode(case["body"], Where("m", case["method"]))
        case "reply":
            heard = hear(case["body"])
        case "error":
            heard = PROTOCOL.decode_failure(case["status"], json.dumps(case["body"]).encode(), None)
        case _:
            heard = fold(listen([case["stream"].encode()]))
    assert {key: getattr(heard, key) for key in MEANINGS[name]} == MEANINGS[name]


# ---- the backend's reply ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "called", "stop"),
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
def test_stops(word: str | int, called: bool, stop: str) -> None:
    parts = [{"functionCall": {"name": "f"}}] if called else [{"text": "a"}]
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": word}]}
    assert hear(body).stop == stop
    streamed = fold(listen([sse(body)]))
    assert isinstance(streamed, Reply)
    assert streamed.stop == stop
    told, _ = say(hear(body))  # an unknown word, or a number, would break google-genai
    assert type(told["candidates"][0]["finishReason"]) is str


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"promptTokenCount": 100, "cachedContentTokenCount": 80, "candidatesTokenCount": 5}, Usage(20, 5, 80)),
        ({"promptTokenCount": 10, "toolUsePromptTokenCount": 7, "candidatesTokenCount": 5}, Usage(17, 5)),
        ({"promptTokenCount": 10, "thoughtsTokenCount": 7}, Usage(10, 7, reasoning=7)),
        ({"promptTokenCount": 1, "cachedContentTokenCount": 3}, Usage(0, None, 3)),
        ({"trafficType": "ON_DEMAND"}, None),
    ],
)
def test_usage(counts: dict[str, Any], usage: Usage | None) -> None:
    whole = chunk({"text": "a"}, finish="STOP", usageMetadata=counts)
    assert hear(whole).usage == usage
    streamed = fold(listen([sse(chunk({"text": "a"}, usageMetadata={"promptTokenCount": 1}), whole)]))
    assert isinstance(streamed, Reply)
    assert streamed.usage == (usage or Usage(1))


def test_tool_names_and_free_text_come_back() -> None:
    tools = (Tool("run", kind="custom"), Tool("f", namespace="ns"))
    sent = PROTOCOL.encode_request(ask(tools=tools), Target("m", NAME))
    parts = [{"functionCall": {"id": "a", "name": "run", "args": {"input": "ls -l"}}},
             {"functionCall": {"id": "b", "name": "ns__f", "args": {}}}]  # fmt: skip
    blocks = (ToolCall("a", "run", "ls -l", "custom"), ToolCall("b", "f", "{}", namespace="ns"))
    assert hear(chunk(*parts, finish="STOP"), sent).blocks == blocks
    heard = fold(listen([sse(chunk(*parts, finish="STOP"))], sent))
    assert isinstance(heard, Reply)
    assert heard.blocks == blocks


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
def test_what_is_no_reply(body: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        hear(body)


# ---- the backend's stream --------------------------------------------------------------------------------------------


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
    heard = fold(listen([raw]))
    assert isinstance(heard, Failure)
    assert heard.kind == kind


@pytest.mark.parametrize("raw", [b"data: <html>\n\n", b'data: {"choices":[]}\n\n', b"data: 7\n\n"])
def test_what_is_no_stream(raw: bytes) -> None:
    with pytest.raises(Malformed):
        listen([raw])


def test_text_may_go_on_after_a_finish_reason() -> None:
    heard = fold(listen([sse(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, finish="RECITATION"))]))
    assert isinstance(heard, Reply)
    assert (heard.blocks, heard.stop) == ((Text("ab"),), "filter")


def test_nothing_said_in_a_stream_vanishes() -> None:
    """Code and its result, a second candidate, and metadata all have a place."""
    code = {"executableCode": {"code": "1", "language": "PYTHON"}}
    events = listen([
        sse(chunk({"text": "a"}, code, {"text": "b"})),
        sse({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]}),
        sse({"candidates": [{"finishReason": "STOP", "finishMessage": "why", "safetyRatings": [{"category": 7}]}]}),
    ])  # fmt: skip
    heard = fold(events)
    assert isinstance(heard, Reply)
    assert heard.blocks == (Text("a"), Opaque(NAME, "executableCode", code), Text("b"))
    assert heard.own is not None
    assert heard.own["n"] == [{"index": 1, "content": {"parts": [{"text": "other"}]}}]
    assert heard.own["candidates[0].finishMessage"] == "why"
    assert heard.own["candidates[0].safetyRatings"] == [{"category": "HARM_CATEGORY_HARASSMENT"}]


def test_a_stream_as_one_array() -> None:
    raw = json.dumps([chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP")], indent=1).encode()
    heard = fold(listen([raw], array=True))
    assert isinstance(heard, Reply)
    assert heard.blocks == (Text("ab"),)


# ---- the client's reply ----------------------------------------------------------------------------------------------


REPLIES: list[tuple[str, Reply, list[dict[str, Any]], str, list[tuple[str, str]]]] = [
    ("text", reply(Text("hi")), [{"text": "hi"}], "STOP", []),
    ("a call, and its text", reply(Text("hm"), CALL, stop="tool"), [{"text": "hm"}, CALLED], "STOP", []),
    ("no empty text", reply(Text(""), OTHER, stop="tool"), [ALSO_CALLED], "STOP", []),
    ("a thought with its seal", reply(Reasoning("hm", Signature("s", "openai-chat", NAME)), Text("hi")),
     [{"text": "hm", "thought": True, "thoughtSignature": seals.for_client(Signature("s", "openai-chat", NAME), NAME)},
      {"text": "hi"}], "STOP", []),
    ("redacted thought", reply(Reasoning("", Signature("tide", "anthropic", "anthropic"), redacted=True), Text("hi")),
     [{"text": "", "thought": True, "thoughtSignature": TOKEN, "partMetadata": {"redacted": True}}, {"text": "hi"}],
     "STOP", []),
    ("a sealed call", reply(replace(CALL, seal=Signature("tide", "anthropic", "anthropic")), stop="tool"),
     [{**CALLED, "thoughtSignature": TOKEN}], "STOP", []),
    ("a refusal", reply(Refusal("no"), stop="filter"), [{"text": "no"}], "SAFETY", [("blocks[0]", "refusal")]),
    ("the bound", reply(Text("hi"), stop="length"), [{"text": "hi"}], "MAX_TOKENS", []),
    ("a matched stop", reply(Text("hi"), stop="stop_sequence", matched="x"), [{"text": "hi"}], "STOP",
     [("matched", "matched_stop")]),
    ("a pause", reply(Text("hi"), stop="pause"), [{"text": "hi"}], "OTHER", [("stop", "stop_reason")]),
    ("a picture", reply(PNG), [PNG_PART], "STOP", []),
    ("another's hosted tool", reply(Opaque("anthropic", "server_tool_use", {}), Text("hi")), [{"text": "hi"}], "STOP",
     [("blocks[0].server_tool_use", "hosted_output")]),
    ("arguments that are no object", reply(replace(CALL, arguments="x"), stop="tool"),
     [{"functionCall": {"id": "c1", "name": "f", "args": {"input": "x"}}}], "STOP",
     [("blocks[0].arguments", "tool_arguments")]),
    ("a native word of its own", reply(Text("hi"), dialect=NAME, stop="filter", native="RECITATION"),
     [{"text": "hi"}], "RECITATION", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "parts", "finish", "losses"), [row[1:] for row in REPLIES], ids=[row[0] for row in REPLIES]
)
def test_replies(answer: Reply, parts: list[Any], finish: str, losses: list[tuple[str, str]]) -> None:
    body, lost = say(answer)
    assert body["candidates"] == [{"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}]
    assert body["modelVersion"] == "m"
    assert body["responseId"] == ("up-1" if answer.dialect == NAME else "req-1")
    assert named(lost) == losses
    for array, at_once in itertools.product((False, True), repeat=2):
        told, lost, _ = tell(list(unfold(answer)), array=array, at_once=at_once)
        assert [part for piece in told for part in piece["candidates"][0]["content"]["parts"]] == (
            parts if "thoughtSignature" not in parts[0] or not parts[0].get("text") else
            [{"text": "hm", "thought": True},
             {"text": "", "thought": True, "thoughtSignature": parts[0]["thoughtSignature"]}, *parts[1:]]
        )  # fmt: skip
        assert [piece["candidates"][0].get("finishReason") for piece in told] == [None] * (len(told) - 1) + [finish]
        assert all(_validate_response(types.GenerateContentResponse.model_validate(piece)) for piece in told)
        assert named(lost) == losses


def test_usage_as_gemini_counts() -> None:
    body, _ = say(reply(Text("hi"), usage=Usage(20, 12, 80, 5, 7)))
    assert body["usageMetadata"] == {
        "promptTokenCount": 105,
        "cachedContentTokenCount": 80,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 117,
    }
    begun, *middle, _ = unfold(reply(Text("hi"), Text("ho")))
    ended = Finish("end", None, "end_turn", Usage(output=12, reasoning=7))
    told, _, _ = tell([replace(begun, usage=Usage(20, 0, 80, 5)), *middle, ended])
    assert [piece.get("usageMetadata") for piece in told] == [None, body["usageMetadata"]]


def test_an_empty_answer_has_no_parts() -> None:
    body, _ = say(reply(stop="length"))
    assert body["candidates"][0]["content"] == {"role": "model"}
    told, _, _ = tell(list(unfold(reply(stop="length"))))
    assert [piece["candidates"][0]["content"] for piece in told] == [{"role": "model"}]


def test_a_blocked_prompt_stays_one() -> None:
    heard = hear(json.loads((EVIDENCE / "blocked-reply.json").read_text())["body"])
    body, losses = say(heard)
    told, _, _ = tell(list(unfold(heard)))
    for answer in (body, *told):
        assert "candidates" not in answer
        assert answer["promptFeedback"]["blockReason"] == "SAFETY"
    assert not losses


CITED = Text("Süd und Nord", (Citation("https://a", "A", None, 0, 3), Citation("https://b", None, "quote", 8, 12)))


def test_sources_are_counted_in_bytes() -> None:
    body, losses = say(reply(CITED))
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 4, "text": "Süd"}, "groundingChunkIndices": [0]},
            {"segment": {"startIndex": 9, "endIndex": 13, "text": "Nord"}, "groundingChunkIndices": [1]},
        ],
    }
    assert body["candidates"][0]["groundingMetadata"] == metadata
    assert named(losses) == [("blocks[0].citations[1].text", "citations")]
    told, lost, _ = tell(list(unfold(reply(CITED))))
    assert told[-1]["candidates"][0]["groundingMetadata"] == metadata
    assert lost == losses
    heard = hear(body).blocks
    assert heard == (replace(CITED, citations=(CITED.citations[0], replace(CITED.citations[1], text=None))),)
    assert fold(listen([sse(*told)])) == replace(hear(body), own={"candidates[0].index": 0})


def test_calls_of_a_stream_that_overlap_come_whole_and_in_order() -> None:
    events: list[Event] = [
        Start("openai-chat", "a", "b"),
        Open(0, Text("")), Delta(0, "hm"), Close(0),
        Open(1, ToolCall("c1", "f")), Delta(1, '{"a"'),
        Open(2, ToolCall("c2", "f")), Delta(2, "{}"), Delta(1, ": 1}"),
        Seal(1, Signature("tide", "anthropic", "anthropic")),
        Close(1), Close(2),
        Finish("tool", None, "tool_calls"),
    ]  # fmt: skip
    told, losses, _ = tell(events, at_once=False)
    parts = [piece["candidates"][0]["content"]["parts"] for piece in told]
    assert parts == [[{"text": "hm"}], [{**CALLED, "thoughtSignature": TOKEN}], [ALSO_CALLED]]
    assert not losses


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_failure_is_the_last_word(array: bool, begun: bool) -> None:
    broken = Failure("overloaded", "x", 503, retry_after=7)
    events: list[Event] = [Start("openai-chat", "a", "b"), Open(0, Text("")), Delta(0, "hm")] if begun else []
    told, _, raw = tell([*events, broken], array=array)
    error = {"code": 503, "message": "x", "status": "UNAVAILABLE",
             "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]}  # fmt: skip
    assert told[-1] == {"error": error}
    assert [piece["candidates"][0]["content"]["parts"] for piece in told[:-1]] == [[{"text": "hm"}]] * begun
    assert b"finishReason" not in raw


@pytest.mark.parametrize("kind", sorted(STATUS))
def test_every_failure_has_a_word(kind: str) -> None:
    error = PROTOCOL.encode_failure(failure(kind, "why"), "req-1")["error"]
    assert error["code"] == STATUS[kind]
    assert error["message"] == "why"
    assert error["status"].isupper()


# ---- laws ------------------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
minted = st.none() | st.builds(Signature, st.from_regex(r"[a-z0-9]{4}", fullmatch=True), st.just(NAME), st.just(NAME))
blocks = (
    st.builds(Text, words, seal=minted)
    | st.builds(Reasoning, words, minted, summary=st.just(True))
    | st.builds(
        lambda name, args, seal: ToolCall("", name, wire.encode(args).decode(), seal=seal),
        st.sampled_from(("f", "g")),
        st.dictionaries(words, st.integers() | words | st.none(), max_size=3),
        minted,
    )
    | st.just(Opaque(NAME, "executableCode", {"executableCode": {"code": "1", "language": "PYTHON"}}))
)


def settle(found: list[Any]) -> tuple[Any, ...]:
    """The blocks as one answer would have them: ids of their own, no two pieces of one text."""
    out: list[Any] = []
    for block in found:
        if out and type(out[-1]) is type(block) and isinstance(block, Text | Reasoning) and out[-1].seal is None:
            continue
        out.append(replace(block, id=f"c{len(out)}") if isinstance(block, ToolCall) else block)
    return tuple(out)


replies = st.builds(
    lambda found, usage, stop: Reply(
        dialect=NAME,
        id="r",
        model="m",
        blocks=found,
        stop="tool" if stop == "end" and any(isinstance(block, ToolCall) for block in found) else stop,
        native={"end": "STOP", "length": "MAX_TOKENS", "filter": "SPII"}[stop],
        usage=usage,
    ),
    st.lists(blocks, max_size=5).map(settle),
    st.none() | st.builds(Usage, st.integers(0, 9), st.integers(9, 99), st.none() | st.integers(0, 9), st.none(),
                          st.none() | st.integers(0, 9)),
    st.sampled_from(("end", "length", "filter")),
)  # fmt: skip


@given(replies, st.booleans(), st.data())
def test_what_is_said_is_heard(answer: Reply, array: bool, data: st.DataObject) -> None:
    """Body and stream mean the same, however the bytes are cut."""
    body, losses = say(answer)
    assert not losses
    assert replace(hear(body), own=None) == answer
    _, losses, raw = tell(list(unfold(answer)), array=array)
    assert not losses
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    chunks = [raw[a:b] for a, b in itertools.pairwise([0, *cuts, len(raw)])]
    heard = fold(listen(chunks, array=array))
    assert isinstance(heard, Reply)
    assert replace(heard, own=None) == answer
    assert listen([raw], array=array) == listen(chunks, array=array)


@given(st.lists(blocks, max_size=5).map(settle))
def test_an_answer_comes_back_in_the_next_request(found: tuple[Any, ...]) -> None:
    """A client that echoes what it got, body or chunks, says the same blocks; the seals are then its own, bare."""
    answer = reply(*found, dialect=NAME)
    bare = tuple(
        replace(block, seal=Signature(block.seal.value, NAME)) if getattr(block, "seal", None) else block
        for block in found
    )
    body, _ = say(answer)
    told, _, _ = tell(list(unfold(answer)))
    ask_ = {"role": "user", "parts": [{"text": "hi"}]}
    for contents in ([body["candidates"][0]["content"]], [piece["candidates"][0]["content"] for piece in told]):
        turns = decode({"contents": [ask_, *contents, ask_]}).turns
        assert turns[1].blocks == bare


@given(st.binary(max_size=60))
def test_garbage_is_never_more_than_malformed(raw: bytes) -> None:
    with contextlib.suppress(Malformed):
        listen([b"data: " + raw + b"\n\n"])
