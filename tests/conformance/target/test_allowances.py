"""Allowances of the judge: ways that no vendor forbids, and what counts as left out instead of wrong."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import ParsedError, ParsedReply
from crosswire.conformance.comparison import WRONG, Difference
from crosswire.conformance.target.allowances import (
    RequestWays,
    echoed_places,
    is_free_in_reply,
    is_free_shape,
    lacks_only_its_last_event,
    left_out,
    same_results,
)
from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Image, Text, ToolCall, ToolResult, Turn, Usage


def history(*results: tuple[str, str], calls: tuple[str, ...] = ("a", "b")) -> ParsedRequest:
    """A conversation with two calls of two tools, and results with these ids and texts."""
    asked = Turn("user", (Text("Where is the wind?"),))
    called = Turn(
        "assistant", tuple(ToolCall(id, name, "{}") for id, name in zip(calls, ("tide", "wind"), strict=True))
    )
    answered = tuple(ToolResult(id, (Text(text),)) for id, text in results)
    return ParsedRequest(turns=(asked, called, Turn("user", answered)))


SENT = history(("a", "6.2 metres"), ("b", "north by east"))


@pytest.mark.parametrize(
    ("received", "same"),
    [
        (history(("b", "north by east"), ("a", "6.2 metres")), True),
        (history(("x1", "6.2 metres"), ("x2", "north by east"), calls=("x1", "x2")), True),
        (history(("", "6.2 metres"), ("", "north by east"), calls=("", "")), True),
        (history(("a", '{"content": "6.2 metres"}'), ("b", '{"result": {"output": "north by east"}}')), True),
        (history(("a", "Error: 6.2 metres"), ("b", "north by east")), True),
        (history(("a", "north by east"), ("b", "6.2 metres")), False),
        (history(("b", "6.2 metres"), ("a", "north by east")), False),
        (history(("a", "6.2 metres")), False),
        (history(("a", "6.2"), ("b", "north by east")), False),
        (history(("a", ""), ("b", "north by east")), False),
    ],
    ids=[
        *("another order", "other ids", "no ids", "within objects", "an error in words"),
        *("swapped texts", "swapped ids", "one is missing", "a part is missing", "an empty one"),
    ],
)
def test_results_are_the_same_in_any_order_under_any_ids(received: ParsedRequest, same: bool) -> None:
    assert same_results(SENT, received) is same
    difference = Difference(WRONG, "turns[2].results[0].text", "6.2 metres", "?")
    assert ways(received).is_free(difference) is same


def ways(received: ParsedRequest = SENT, client: str = "anthropic", sent: ParsedRequest = SENT) -> RequestWays:
    return RequestWays(sent, received, CLIENTS[client], CLIENTS["openai-chat"])


CALLS = [("call_1", "wind", None, "function", {"at": "sea"})]
OTHER_IDS = [("made-up", "wind", None, "function", {"at": "sea"})]
OTHER_ARGUMENTS = [("call_1", "wind", None, "function", {"at": "see"})]
TEXT_SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}


@pytest.mark.parametrize(
    ("difference", "client", "is_free"),
    [
        (Difference(WRONG, "turns[1].calls", CALLS, OTHER_IDS), "anthropic", True),
        (Difference(WRONG, "turns[1].calls", CALLS, OTHER_ARGUMENTS), "anthropic", False),
        (Difference("signature", "signatures", [], ["skip_thought_signature_validator"]), "anthropic", True),
        (Difference("signature", "signatures", ["s"], []), "anthropic", False),
        (Difference(WRONG, "format.strict", False, True), "anthropic", True),
        (Difference(WRONG, "format.strict", False, True), "openai-responses", False),
        (
            Difference(
                *("json_schema", "tools.wind.parameters", TEXT_SCHEMA),
                {"type": "OBJECT", "properties": {"at": {"type": "STRING", "description": ""}}},
            ),
            *("anthropic", True),
        ),
        (
            Difference("json_schema", "tools.wind.parameters", TEXT_SCHEMA, {**TEXT_SCHEMA, "required": []}),
            *("anthropic", True),
        ),
        (Difference("json_schema", "tools.wind.parameters", TEXT_SCHEMA, {"type": "object"}), "anthropic", False),
        (Difference(WRONG, "turns[0].text", "Look.", "<image>\nLook."), "anthropic", False),
        (Difference(WRONG, "turns[0].text", "Look.\0There.", "Look. There."), "anthropic", True),
        (Difference(WRONG, "turns[0].text", "Look.\0There.", "Look.There"), "anthropic", False),
        (Difference("top_k", "sampling.top_k", 4, None), "anthropic", False),
    ],
    ids=str,
)
def test_what_no_vendor_forbids_in_a_request_is_free(difference: Difference, client: str, is_free: bool) -> None:
    assert ways(client=client).is_free(difference) is is_free


def test_words_beside_a_picture_that_a_result_cannot_hold_are_free() -> None:
    picture = ToolResult("a", (Image("image/png", "aaaa"),))
    sent = ParsedRequest(turns=(Turn("assistant", (ToolCall("a", "camera", "{}"),)), Turn("user", (picture,))))
    told = Difference(WRONG, "turns[1].text", "Look.", "The camera returned:\nLook.")
    lost = Difference(WRONG, "turns[1].text", "Look.", "The camera returned:")
    assert [ways(sent=sent).is_free(each) for each in (told, lost)] == [True, False]


def test_a_picture_of_a_result_that_stands_elsewhere_has_arrived() -> None:
    pictures = [Image("image/png", "aaaa")]
    received = replace(SENT, turns=(*SENT.turns, Turn("user", tuple(pictures))))
    lost = Difference("tool_result_media", "turns[2].results[0].media", pictures, [])
    assert [ways(each).is_free(lost) for each in (received, SENT)] == [True, False]


@pytest.mark.parametrize(
    ("place", "is_free"), [("$.messages[1]", True), ("$.messages[0]", False)], ids=["own", "asked"]
)
def test_a_field_that_the_gateway_made_up_need_not_go_on(place: str, is_free: bool) -> None:
    ask, answer = {"role": "user", "mood": "calm"}, {"role": "assistant", "mood": "calm"}
    echoes = echoed_places({"messages": [ask, answer]}, [ParsedReply(echo=(answer,))])
    made = RequestWays(SENT, SENT, CLIENTS["anthropic"], CLIENTS["openai-chat"], echoes)
    assert made.is_free(Difference("unknown_field", f"{place}.mood", "calm", None)) is is_free


def test_a_late_instruction_may_stand_elsewhere_in_any_words() -> None:
    sent = ParsedRequest(turns=(Turn("user", (Text("Hello."),)), Turn("system", (Text("Be brief."),))))
    kept = Difference(WRONG, "turns", ["Hello.", "Be brief."], ["The operator says: Be brief.", "Hello."])
    lost = Difference(WRONG, "turns", ["Hello.", "Be brief."], ["Hello."])
    assert [ways(sent=sent).is_free(each) for each in (kept, lost)] == [True, False]


@pytest.mark.parametrize(
    ("difference", "usage", "is_free"),
    [
        (Difference(WRONG, "reply.calls", CALLS, OTHER_IDS), None, True),
        (Difference(WRONG, "reply.calls", CALLS, OTHER_ARGUMENTS), None, False),
        (Difference(WRONG, "signatures", (), ("made-up",)), None, True),
        (Difference(WRONG, "signatures", ("s",), ()), None, False),
        (Difference(WRONG, "order of blocks", ["text", "toolcall"], ["toolcall", "text"]), None, False),
        (Difference(WRONG, "usage.reasoning", 0, 7), Usage(9, 9), True),
        (Difference(WRONG, "usage.reasoning", 0, 7), Usage(9, 9, reasoning=0), False),
        (Difference(WRONG, "usage.output", 9, 7), Usage(9, 9), False),
        (Difference(WRONG, "text", "Ahoy.", ""), None, False),
    ],
    ids=str,
)
def test_what_no_vendor_forbids_in_a_reply_is_free(difference: Difference, usage: Usage | None, is_free: bool) -> None:
    sent = ParsedReply(usage=usage)
    assert is_free_in_reply(difference, sent) is is_free


@pytest.mark.parametrize(
    ("path", "sent", "received", "feature"),
    [
        ("max_tokens", 64, None, "max_tokens"),
        ("max_tokens", 64, 32, None),
        ("stop", ("END",), (), "stop"),
        ("thinking", "Hm.", "", "reasoning_text"),
        ("thinking", "Hm.", "H", None),
        ("signatures", ("a", "b"), ("a",), "signature"),
        ("usage", Usage(9, 9), None, "usage"),
        ("usage.cache_read", 80, None, "usage"),
        ("usage.prompt", 21, 0, None),
        ("$.metadata", {"a": "b"}, None, "unknown_field"),
        ("text", "Ahoy.", "", None),
        ("turns[0].text", "Ahoy.", "", None),
        ("reply.calls", CALLS, [], None),
    ],
)
def test_what_did_not_arrive_is_left_out_unless_it_is_the_conversation(
    path: str, sent: Any, received: Any, feature: str | None
) -> None:
    assert left_out(Difference(WRONG, path, sent, received)) == feature


@pytest.mark.parametrize(
    ("client", "complaint", "is_free"),
    [
        ("openai-responses", "stream: [DONE]; this protocol has none", True),
        ("openai-responses", "response.created: `previous_response_id` is missing", True),
        ("openai-responses", "response.created: `instructions` is missing", False),
        ("openai-responses", "stream: response.created has no `event:` line", False),
        ("openai-chat", "usage: comes though not asked for", True),
        ("openai-chat", "message: `refusal` is missing", False),
        ("gemini", "response: `responseId` is missing", True),
        ("gemini", "candidate: there is no field `provider`", True),
        ("gemini", "error: `status` is None, not a string", False),
        ("anthropic", "stream: 'compaction_hint' is no event of this protocol", True),
        ("anthropic", 'error: `type` is not "error"', False),
        ("ollama", "anything", False),
    ],
)
def test_a_shape_that_the_owner_leaves_open_is_free(client: str, complaint: str, is_free: bool) -> None:
    assert is_free_shape(client, complaint) is is_free


@pytest.mark.parametrize(
    ("client", "stop", "kind", "whole"),
    [
        ("openai-chat", "end", "cut", True),
        ("openai-chat", None, "cut", False),
        ("openai-chat", "end", "internal", False),
        ("anthropic", "end", "cut", True),
        ("openai-responses", "end", "cut", False),
    ],
)
def test_a_stream_without_its_last_event_is_whole_where_the_sdk_takes_it(
    client: str, stop: str | None, kind: str, whole: bool
) -> None:
    reply = ParsedReply(stop=stop, error=ParsedError(200, kind, ""))
    assert lacks_only_its_last_event(CLIENTS[client], reply) is whole
