"""Strict client of Responses: each violation in a valid stream or body has its complaint."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from crosswire.conformance.client.openai_responses import CLIENT
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.mockserver.framing import parse_sse, sse
from crosswire.mockserver.protocols.openai_responses import PROTOCOL
from crosswire.mockserver.scenarios.model import SayCall, SayText, SayThink

from ....mockserver.protocols.responses_fixture import CALLS, Body, context, exchange, put, remove

Events = list[Body]
STREAM_ITEMS = (SayThink(("Hm", "."), True), SayText(("Hi", " you")), CALLS[0])
STREAM_REQUEST = HttpRequest("POST", "/v1/responses", {}, {"reasoning": {"summary": "auto"}, "stream": True})


def events() -> Events:
    rendered = PROTOCOL.render_reply(context(STREAM_ITEMS, stream=True, body=STREAM_REQUEST.body))
    return [json.loads(event.data) for event in parse_sse(rendered.body).events]


def reply_of(values: Events, *, renumber: bool = False, request: HttpRequest = STREAM_REQUEST) -> ParsedReply:
    if renumber:
        values = [value | {"sequence_number": n} for n, value in enumerate(values)]
    body = b"".join(sse(value, value.get("type")) for value in values)
    return CLIENT.parse_reply(200, {"content-type": "text/event-stream"}, body, stream=True, request=request)


def at(values: Events, kind: str, nth: int = 0) -> int:
    return [n for n, value in enumerate(values) if value["type"] == f"response.{kind}"][nth]


def drop(kind: str, nth: int = 0) -> Callable[[Events], Any]:
    return lambda values: values.pop(at(values, kind, nth))


def change(kind: str, nth: int = 0, **fields: Any) -> Callable[[Events], Any]:
    return lambda values: values[at(values, kind, nth)].update(fields)


def deep(kind: str, path: str, value: Any, nth: int = 0) -> Callable[[Events], Any]:
    return lambda values: put(path, value)(values[at(values, kind, nth)])


def lose(kind: str, path: str, nth: int = 0) -> Callable[[Events], Any]:
    return lambda values: remove(path)(values[at(values, kind, nth)])


def again(kind: str, nth: int = 0) -> Callable[[Events], Any]:
    return lambda values: values.insert(at(values, kind, nth), values[at(values, kind, nth)])


def swap(kind: str, nth: int = 0) -> Callable[[Events], Any]:
    """Swaps an event with the one before it."""

    def mutate(values: Events) -> None:
        n = at(values, kind, nth)
        values[n - 1 : n + 1] = [values[n], values[n - 1]]

    return mutate


def end_with(last: Callable[[Events], Body]) -> Callable[[Events], Any]:
    """Ends the stream early with this event."""
    return lambda values: values.__setitem__(slice(2, None), [last(values)])


ERROR = {"type": "server_error", "code": None, "message": "x", "param": None}
FAILED = {"status": "failed", "error": {"message": "x"}}

COMPLAINTS: dict[str, tuple[Callable[[Events], Any], str]] = {
    "no-created": (drop("created"), "stream: begins with response.in_progress"),
    "created-twice": (again("created"), "response.created comes again"),
    "late-in-progress": (lambda v: v.insert(4, v[1]), "response.in_progress after the first item"),
    "snapshot-with-output": (deep("created", "response.output", [{}]), "response.created: `output` is not empty yet"),
    "bare-response": (
        lambda v: v.__setitem__(0, v[0]["response"] | {"type": "response.created"}),
        "response.created: `response` is missing",
    ),
    "changing-id": (deep("completed", "response.id", "resp_other"), "the id of the response changes"),
    "no-item-added": (drop("output_item.added", 1), "output_index 1 has had no response.output_item.added"),
    "index-gap": (change("output_item.added", 1, output_index=2), "output_index is 2, 1 was due"),
    "item-without-id": (lose("output_item.added", "item.id"), "the item has no `id`"),
    "item-without-type": (lose("output_item.added", "item.type"), "the item has no `type`"),
    "same-ids": (
        lambda v: put("item.id", v[at(v, "output_item.added")]["item"]["id"])(v[at(v, "output_item.added", 1)]),
        "two items have the id",
    ),
    "begun-with-content": (
        deep("output_item.added", "item.content", [{"type": "output_text", "text": "x"}], 1),
        "`content` of a message is not empty yet",
    ),
    "begun-without-content": (lose("output_item.added", "item.content", 1), "a message without `content`"),
    "begun-with-arguments": (
        deep("output_item.added", "item.arguments", "{}", 2), "`arguments` of a function_call is not empty yet",
    ),
    "call-without-name": (lose("output_item.added", "item.name", 2), "a function_call without `name`"),
    "other-item-id": (change("output_text.delta", item_id="msg_other"), "item_id 'msg_other' is not that of item 1"),
    "wrong-item": (change("output_text.delta", output_index=0), "item 0 is a reasoning, not a message"),
    "no-part-added": (drop("content_part.added"), "content_index 0 has had no response.content_part.added"),
    "part-index": (change("content_part.added", content_index=1), "content_index is 1, 0 was due"),
    "part-with-text": (deep("content_part.added", "part.text", "x"), "the text of the part is not empty yet"),
    "part-over-part": (again("content_part.added"), "the part before is still open"),
    "part-of-another-kind": (
        deep("content_part.added", "part.type", "reasoning_text"), "a message cannot hold reasoning_text",
    ),
    "wrong-text-kind": (deep("content_part.added", "part.type", "refusal"), "the part is refusal, not output_text"),
    "no-text-done": (drop("output_text.done"), "the text of the part has had no done event"),
    "no-part-done": (drop("content_part.done"), "a part of item 1 has had no done event"),
    "text-done-differs": (
        change("output_text.done", text="Ho"), "response.output_text.done: 'Ho' is not what the deltas say, 'Hi you'",
    ),
    "part-done-differs": (
        deep("content_part.done", "part.text", "Ho"), "response.content_part.done: the part is not what the deltas say",
    ),
    "delta-after-done": (swap("output_text.done"), "response.output_text.delta: after its done event"),
    "delta-after-part": (
        lambda v: v.insert(at(v, "content_part.done") + 1, v[at(v, "output_text.delta")]), "the part is already done",
    ),
    "event-after-item": (
        lambda v: v.insert(at(v, "output_item.done", 1) + 1, v[at(v, "output_text.delta")]), "item 1 is already done",
    ),
    "item-done-differs": (
        deep("output_item.done", "item.content.0.text", "Ho", 1), "the content of item 1 is not what was streamed",
    ),
    "item-done-renamed": (deep("output_item.done", "item.id", "msg_other", 1), "`id` of item 1 was"),
    "call-id-changes": (deep("output_item.done", "item.call_id", "call_other", 2), "`call_id` of item 2 was 'call_1'"),
    "no-item-done": (drop("output_item.done", 2), "item 2 has had no response.output_item.done"),
    "no-arguments-done": (drop("function_call_arguments.done"), "the arguments of item 2 have had no done event"),
    "arguments-differ": (
        change("function_call_arguments.done", arguments="{}"),
        "response.function_call_arguments.done: '{}' is not what the deltas say",
    ),
    "arguments-named-otherwise": (
        change("function_call_arguments.done", name="other"), "`name` is 'other', the item's is 'weather'",
    ),
    "arguments-after-done": (
        swap("function_call_arguments.done"), "response.function_call_arguments.delta: after its done event",
    ),
    "item-arguments-differ": (
        deep("output_item.done", "item.arguments", "{}", 2), "the arguments of item 2 is not what was streamed",
    ),
    "no-summary-part": (
        drop("reasoning_summary_part.added"), "summary_index 0 has had no response.reasoning_summary_part.added",
    ),
    "misspelt-summary-part": (
        change("reasoning_summary_part.added", type="response.reasoning_summary.part.added"),
        "no such event: response.reasoning_summary.part.added",
    ),
    "summary-differs": (
        change("reasoning_summary_text.done", text="x"),
        "response.reasoning_summary_text.done: 'x' is not what the deltas say",
    ),
    "no-summary-done": (drop("reasoning_summary_part.done"), "a part of item 0 has had no done event"),
    "no-logprobs": (lose("output_text.delta", "logprobs"), "response.output_text.delta: `logprobs` is missing"),
    "no-content-index": (
        lose("output_text.delta", "content_index"), "response.output_text.delta: `content_index` is missing",
    ),
    "wrong-delta": (change("output_text.delta", delta=None), "response.output_text.delta: `delta` is not str: None"),
    "empty-output": (deep("completed", "response.output", []), "`response.output` is not what was streamed"),
    "output-differs": (
        deep("completed", "response.output.1.content.0.text", "Ho"), "`response.output` is not what was streamed",
    ),
    "signature-lost": (
        deep("output_item.done", "item.encrypted_content", "s"), "`response.output` is not what was streamed",
    ),
    "after-the-end": (lambda v: v.append(v[3]), "after response.completed"),
    "wrong-type": (deep("completed", "response.tools", None), "response.completed: `tools` is of the wrong type: None"),
    "item-done-without-added": (
        lambda v: v.__delitem__(slice(at(v, "output_item.added", 2), at(v, "output_item.done", 2))),
        "response.output_item.done: output_index 2 has had no response.output_item.added",
    ),
    "status": (deep("completed", "response.status", "incomplete"), "response.completed: its status is 'incomplete'"),
    "unfinished-item": (
        deep("completed", "response.output.1.status", "in_progress"), "status is 'in_progress' in a completed response",
    ),
    "no-completed-at": (deep("completed", "response.completed_at", None), "`completed_at` is missing"),
    "no-required-null": (
        lose("completed", "response.incomplete_details"), "response.completed: `incomplete_details` is missing",
    ),
    "no-truncation": (lose("created", "response.truncation"), "response.created: `truncation` is missing"),
    "no-text-format": (lose("completed", "response.text.format"), "`text.format` is missing"),
    "wrong-object": (deep("completed", "response.object", "chat.completion"), "`object` is 'chat.completion'"),
    "an-error-too": (
        deep("completed", "response.error", {"code": "x", "message": "y"}), "status is 'completed', but `error` is",
    ),
    "details-too": (
        deep("completed", "response.incomplete_details", {}), "status is 'completed', but `incomplete_details`",
    ),
    "no-usage": (deep("completed", "response.usage", None), "usage: is missing"),
    "usage-sum": (deep("completed", "response.usage.total_tokens", 1), "usage: total_tokens 1 is not"),
    "usage-details": (
        lose("completed", "response.usage.output_tokens_details"), "usage: `output_tokens_details` is missing",
    ),
    "usage-without-reasoning": (
        lose("completed", "response.usage.output_tokens_details.reasoning_tokens"),
        "usage: `reasoning_tokens` is missing",
    ),
    "usage-cached": (
        deep("completed", "response.usage.input_tokens_details.cached_tokens", 999), "usage: cached tokens 999",
    ),
    "usage-reasoning": (
        deep("completed", "response.usage.output_tokens_details.reasoning_tokens", 999),
        "usage: reasoning_tokens 999 exceed",
    ),
    "no-annotations": (
        lose("completed", "response.output.1.content.0.annotations"),
        "response.completed.output[1].content[0]: `annotations` is missing",
    ),
    "no-such-part": (deep("completed", "response.output.1.content.0.type", "text"), "no such part: 'text'"),
    "wrong-role": (deep("completed", "response.output.1.role", "user"), "role is 'user'"),
    "empty-arguments": (
        deep("completed", "response.output.2.arguments", ""), "`arguments` is empty; no arguments are '{}'",
    ),
    "item-without-type-at-the-end": (
        lose("completed", "response.output.1.type"), "response.completed.output[1]: `type` is missing",
    ),
    "no-type": (lambda v: v[3].pop("type"), "an event without a `type`"),
    "event-after-error": (
        lambda v: v.insert(4, {"type": "error", "error": ERROR}),
        "after an error",
    ),
    "error-without-param": (
        end_with(lambda v: {"type": "error", "error": {k: ERROR[k] for k in ("type", "code", "message")}}),
        "error: `param` is missing",
    ),
    "error-not-an-object": (
        end_with(lambda v: {"type": "error", "error": "x"}), "error: `error` is not an object",
    ),
    "error-without-message": (
        end_with(lambda v: {"type": "error", "code": "x", "param": None}),
        "error: `message` is missing",
    ),
    "failed-without-code": (
        end_with(lambda v: {"type": "response.failed", "response": v[0]["response"] | FAILED}),
        "response.error: `code` is missing",
    ),
}  # fmt: skip


def test_a_valid_stream_has_no_complaint() -> None:
    assert reply_of(events()).complaints == ()
    assert reply_of([value | {"sequence_number": n + 1} for n, value in enumerate(events())]).complaints == ()


@pytest.mark.parametrize("name", COMPLAINTS)
def test_each_violation_of_the_event_sequence_has_a_complaint(name: str) -> None:
    mutate, complaint = COMPLAINTS[name]
    values = copy.deepcopy(events())
    mutate(values)
    assert any(complaint in found for found in reply_of(values, renumber=True).complaints)


NUMBERS: dict[str, tuple[Callable[[Events], Any], str]] = {
    "gap": (drop("in_progress"), "response.output_item.added: sequence_number 2 follows 0"),
    "missing": (
        lose("output_text.delta", "sequence_number"), "response.output_text.delta: `sequence_number` is missing",
    ),
    "late-start": (
        lambda v: [e.update(sequence_number=e["sequence_number"] + 5) for e in v], "sequence_number begins with 5",
    ),
    "repeated": (again("output_text.delta"), "follows"),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_wrong_sequence_numbers_have_a_complaint(name: str) -> None:
    mutate, complaint = NUMBERS[name]
    values = copy.deepcopy(events())
    mutate(values)
    assert any(complaint in found for found in reply_of(values).complaints)


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        pytest.param(b"data: [DONE]\n\n", "[DONE]; this protocol has none", id="done"),
        pytest.param(b'data: {"type":"response.in_progress"}\n\n', "has no `event:` line", id="no-event-line"),
        pytest.param(b'event: x\ndata: {"type":"response.in_progress"}\n\n', "comes as `event: x`", id="event-line"),
        pytest.param(b"data: <html>\n\n", "an event without a `type`", id="not-json"),
        pytest.param(b'event: x\ndata: {"ty', "an unfinished event at the end", id="unfinished"),
    ],
)
def test_invalid_frames_have_a_complaint(frames: bytes, complaint: str) -> None:
    whole = PROTOCOL.render_reply(context(STREAM_ITEMS, stream=True)).body
    reply = CLIENT.parse_reply(200, {"content-type": "text/event-stream"}, whole + frames, stream=True)
    assert any(complaint in found for found in reply.complaints)


def test_events_of_hosted_and_custom_tools_are_accepted() -> None:
    values = copy.deepcopy(events())
    end = values.pop()
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    patch = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_9", "name": "apply_patch"}
    cited = {"item_id": values[at(values, "output_text.done")]["item_id"], "output_index": 1, "content_index": 0}
    note = {"annotation_index": 0, "annotation": {"type": "url_citation", "url": "https://example.com"}}
    values[at(values, "content_part.done")]["part"]["annotations"] = [note["annotation"]]
    values.insert(at(values, "output_text.done"), {"type": "response.output_text.annotation.added"} | cited | note)
    values += [
        {"type": "response.output_item.added", "output_index": 3, "item": search | {"status": "in_progress"}},
        {"type": "response.web_search_call.searching", "output_index": 3, "item_id": "ws_1"},
        {"type": "response.output_item.done", "output_index": 3, "item": search},
        {"type": "response.output_item.added", "output_index": 4, "item": patch | {"input": ""}},
        {"type": "response.custom_tool_call_input.delta", "output_index": 4, "item_id": "ctc_1", "delta": "*** Begin"},
        {"type": "response.custom_tool_call_input.done", "output_index": 4, "item_id": "ctc_1", "input": "*** Begin"},
        {"type": "response.output_item.done", "output_index": 4, "item": patch | {"input": "*** Begin"}},
        end,
    ]
    end["response"]["output"] += [search, patch | {"input": "*** Begin"}]
    reply = reply_of(values, renumber=True)
    assert reply.complaints == ()
    assert [item["type"] for item in reply.echo[3:]] == ["web_search_call", "custom_tool_call"]


def test_comments_are_accepted() -> None:
    whole = PROTOCOL.render_reply(context(STREAM_ITEMS, stream=True)).body.replace(b"event:", b": still here\n\nevent:")
    assert CLIENT.parse_reply(200, {"content-type": "text/event-stream"}, whole, stream=True).complaints == ()


@pytest.mark.parametrize("at", range(1, 21))
def test_a_cut_stream_is_an_error_without_stop_reason(at: int) -> None:
    reply = reply_of(events()[:at])
    assert reply.error is not None
    assert reply.error.kind == "cut"
    assert reply.stop is None
    assert reply.complaints == ()
    assert "Hi you".startswith(reply.text)


UNARY: dict[str, tuple[int, str, bytes, str]] = {
    "not-json": (200, "application/json", b"<html>", "not JSON"),
    "content-type": (200, "text/html", b"{}", "content-type is text/html"),
    "error-with-200": (200, "application/json", b'{"error":{"message":"x"}}', "an error with status 200"),
    "error-without-error": (500, "application/json", b'{"detail":"x"}', "the body has no `error`"),
    "error-as-string": (400, "application/json", b'{"error":"x"}', "`error` is not an object"),
    "error-without-code": (
        400, "application/json", b'{"error":{"message":"x","type":"t","param":null}}', "error: `code` is missing",
    ),
    "error-with-a-number": (
        400, "application/json", b'{"error":{"message":"x","type":"t","param":null,"code":5}}',
        "error: `code` is not a string: 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_each_violation_of_a_body_has_a_complaint(name: str) -> None:
    status, kind, body, complaint = UNARY[name]
    reply = CLIENT.parse_reply(status, {"content-type": kind}, body, stream=False)
    assert any(complaint in found for found in reply.complaints)


MIRRORED: dict[str, tuple[Body, str]] = {
    "instructions": ({"instructions": "Be brief."}, "`instructions` is None, asked was 'Be brief.'"),
    "tools": ({"tools": [{"type": "function", "name": "f"}]}, "`tools` names [], asked were ['f']"),
    "tools-in-input": (
        {"input": [{"type": "additional_tools", "tools": [{"type": "function", "name": "f"}]}]}, "asked were ['f']",
    ),
    "max": ({"max_output_tokens": 20}, "`max_output_tokens` is None, asked was 20"),
    "parallel": ({"parallel_tool_calls": False}, "`parallel_tool_calls` is True, asked was False"),
}  # fmt: skip


@pytest.mark.parametrize("name", MIRRORED)
def test_a_response_repeats_request_fields(name: str) -> None:
    body, complaint = MIRRORED[name]
    reply = reply_of(events(), request=HttpRequest("POST", "/", {}, body))
    assert any(complaint in found for found in reply.complaints)


def test_duplicate_call_ids_have_a_complaint() -> None:
    reply = exchange([CALLS[0], CALLS[0]], stream=True)
    assert any("two have the same id" in found for found in reply.complaints)


def test_arguments_that_are_not_an_object_have_a_complaint() -> None:
    reply = exchange([SayCall("call_1", "weather", ("[1]",))], stream=True)
    assert any("are no JSON object" in found for found in reply.complaints)
