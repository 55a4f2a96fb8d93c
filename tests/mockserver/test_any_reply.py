"""Replies to any request, in every protocol, and the conditions under which replies are sent."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import ParsedReply
from crosswire.mockserver.any_reply import CANNED_TEXT
from crosswire.mockserver.conditions import (
    Conditions,
    FaultShare,
    Latency,
    drawn_fault,
    parse_faults,
    parse_latency,
    with_latency,
)
from crosswire.mockserver.example_value import example_value
from crosswire.mockserver.framing import JSON, SSE
from crosswire.mockserver.protocols.names import NAMES
from crosswire.mockserver.protocols.reply_context import RenderedReply
from crosswire.mockserver.scenarios.loader import Scenarios
from crosswire.mockserver.scenarios.model import (
    Ask,
    NamedTool,
    Pause,
    ResponseFormat,
    Text,
    Tool,
    ToolResult,
)
from crosswire.mockserver.server import MockProvider

from .in_process_mock import scenarios, send

PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = (Tool("clock", parameters={"type": "object", "properties": {}}), Tool("weather", parameters=PLACE))
USER = (Text("Nobody wrote a story about this."),)


def mock_with(**conditions: Any) -> MockProvider:
    return MockProvider(Scenarios(scenarios().providers, {}), Conditions(**conditions))


def ask(mock: MockProvider, protocol: str, *exchanges: Any, stream: bool, model: str = "") -> ParsedReply:
    """Sends the last request of a conversation to the provider that owns the protocol."""
    name = "openai" if protocol == "openai-chat" else protocol
    provider = mock.scenarios.providers[name]
    request = CLIENTS[protocol].build_request(
        list(exchanges), model=model or provider.default_model or provider.upstream_models[0], stream=stream, key="any"
    )
    return send(mock, provider, request, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("protocol", NAMES)
@pytest.mark.parametrize(("way", "said"), [("echo", USER[0].text), ("canned", CANNED_TEXT), ("schema", USER[0].text)])
def test_a_request_without_a_story_is_answered(protocol: str, stream: bool, way: str, said: str) -> None:
    reply = ask(mock_with(any=way), protocol, (Ask(user=USER), None), stream=stream, model="a-model-of-tomorrow")
    assert (reply.error, reply.complaints, reply.text, reply.stop) == (None, (), said, "end")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("protocol", NAMES)
def test_a_tool_is_called_and_its_result_is_text(protocol: str, stream: bool) -> None:
    mock = mock_with(any="schema")
    first = Ask(user=USER, tools=TOOLS[1:])
    called = ask(mock, protocol, (first, None), stream=stream)
    (call,) = called.calls
    assert (called.complaints, called.stop, call.name) == ((), "tool", "weather")
    assert list(Draft202012Validator(PLACE).iter_errors(json.loads(call.arguments))) == []
    result = Ask(results=(ToolResult(call.id, (Text("rain"),), name="weather", at=0),), tools=TOOLS[1:])
    told = ask(mock, protocol, (first, called), (result, None), stream=stream)
    assert (told.calls, told.complaints) == ((), ())
    assert "rain" in told.text


@pytest.mark.parametrize("way", ["echo", "canned", "schema"])
@pytest.mark.parametrize("protocol", [name for name in NAMES if name != "ollama"])  # Ollama has no tool choice
def test_a_call_that_must_be_is_there(protocol: str, way: str) -> None:
    asked = Ask(user=USER, tools=TOOLS, tool_choice=NamedTool("weather"))
    (call,) = ask(mock_with(any=way), protocol, (asked, None), stream=False).calls
    assert call.name == "weather"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("protocol", NAMES)
def test_json_fits_its_schema(protocol: str, stream: bool) -> None:
    schema = {**PLACE, "properties": {"city": {"enum": ["Brest"]}, "days": {"type": "integer"}}}
    asked = Ask(user=USER, format=ResponseFormat(schema=schema, strict=True))
    reply = ask(mock_with(any="echo"), protocol, (asked, None), stream=stream)
    assert list(Draft202012Validator(schema).iter_errors(json.loads(reply.text))) == []


def test_two_replies_have_ids_of_their_own() -> None:
    mock = mock_with(any="schema")
    replies = [ask(mock, "openai-chat", (Ask(user=USER, tools=TOOLS), None), stream=False) for _ in range(2)]
    assert replies[0].id != replies[1].id
    assert replies[0].calls[0].id != replies[1].calls[0].id


def test_a_request_that_the_provider_would_refuse_is_refused() -> None:
    mock = mock_with(any="echo")
    provider = mock.scenarios.providers["anthropic"]
    request = CLIENTS["anthropic"].build_request([(Ask(user=USER), None)], model="m", stream=False, key="any")
    del request.body["max_tokens"]
    assert send(mock, provider, request, stream=False).error is not None


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "array", "items": {"type": "integer", "minimum": 7, "multipleOf": 5}, "minItems": 2, "maxItems": 3},
    {"type": ["null", "string"], "minLength": 9},
    {"type": "string", "maxLength": 2},
    {"type": "number", "exclusiveMinimum": 3, "maximum": 3.6},
    {"type": "integer", "maximum": -4},
    {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    {"oneOf": [{"const": 4}, {"type": "string"}]},
    {"enum": ["a", "b"]},
    {"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}}]},
    {"$defs": {"n": {"type": "integer", "minimum": 2}}, "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]},
    {"prefixItems": [{"const": 1}, {"const": "b"}], "items": False, "type": "array"},
    {"type": "array", "uniqueItems": True, "minItems": 2, "items": {"enum": [3, 4, 5]}},
    {"type": "array", "uniqueItems": True, "minItems": 3, "items": {"type": "string"}},
    {
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"value": {}, "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
                "required": ["value", "left"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/tree",
    },
    {"type": "string", "format": "date-time"},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_an_example_fits_its_schema(schema: dict[str, Any]) -> None:
    assert list(Draft202012Validator(schema).iter_errors(example_value(schema))) == []


# ---- conditions ------------------------------------------------------------------------------------------------------


def test_latency_is_before_the_first_frame_and_between_the_others() -> None:
    latency = parse_latency("ttft=300ms,tps=50")
    assert latency == Latency(0.3, 50)
    stream = with_latency(RenderedReply(200, {}, (b"a", b"b", b"c"), SSE), latency, 9)
    assert stream.parts == (Pause(0.3), b"a", Pause(0.02), b"b", Pause(0.02), b"c")
    unary = with_latency(RenderedReply(200, {}, (b"a",), JSON), latency, 10)
    assert unary.parts == (Pause(0.5), b"a")


def test_faults_befall_their_share_and_the_same_replies_each_time() -> None:
    faults = parse_faults("20%:429, 5%:cut,1%:slow=3s")
    assert faults == (FaultShare(20, "429"), FaultShare(5, "cut"), FaultShare(1, "slow", 3.0))
    drawn = [drawn_fault(faults, random) for random in [Random(7)] for _ in range(2000)]
    assert 350 < sum(each is faults[0] for each in drawn) < 450
    assert 60 < sum(each is faults[1] for each in drawn) < 140
    assert drawn == [drawn_fault(faults, random) for random in [Random(7)] for _ in range(2000)]


@pytest.mark.parametrize("text", ["", "ttft", "ttft=3", "tps=0", "tps=-1", "ttft=1s,speed=3", "ttft=1h"])
def test_what_is_no_latency_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        parse_latency(text)


@pytest.mark.parametrize("text", ["", "429", "5%", "5%:200", "5%:party", "5%:cut=1s", "5%:slow", "90%:cut,20%:429"])
def test_what_is_no_fault_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|more than 100%"):
        parse_faults(text)


@pytest.mark.parametrize("protocol", NAMES)
@pytest.mark.parametrize("kind", ["429", "500", "400"])
def test_a_status_is_the_providers_own_error(protocol: str, kind: str) -> None:
    mock = mock_with(any="echo", faults=(FaultShare(100, kind),))
    reply = ask(mock, protocol, (Ask(user=USER), None), stream=True)
    assert reply.error is not None
    assert (reply.error.status, reply.complaints) == (int(kind), ())
    assert mock.journal.entries[-1].to_json()["fault"] == kind


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("protocol", NAMES)
@pytest.mark.parametrize("kind", ["cut", "garble"])
def test_a_reply_that_breaks_is_no_whole_reply(protocol: str, stream: bool, kind: str) -> None:
    mock = mock_with(any="echo", faults=(FaultShare(100, kind),))
    reply = ask(mock, protocol, (Ask(user=USER), None), stream=stream)
    # a line of a stream that is no field is passed over, and what it stood for is missing
    assert reply.complaints or reply.error or reply.text != USER[0].text


def test_without_a_share_nothing_befalls() -> None:
    reply = ask(
        mock_with(any="echo", faults=(FaultShare(0, "cut"),)), "openai-chat", (Ask(user=USER), None), stream=True
    )
    assert reply.text == USER[0].text
