"""The wire habits of chat completions and messages that their owners' real traffic shows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from mock_stage import converse, scenarios, send
from msgspec.structs import replace

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Auth, Heard, Provider, Scene
from mockserver.frames import CONTENT_TYPES, parse_sse
from mockserver.server import Mock
from mockserver.speech import (
    Call,
    Interleave,
    Item,
    Result,
    SayCall,
    SayError,
    SayRefusal,
    SayStop,
    SayText,
    SayThink,
    Usage,
)


def scene(protocol: str, *items: Item, stream: bool = True, habits: tuple[str, ...] = (), **body: Any) -> Scene:
    return Scene(
        provider=Provider(name="p", protocol=protocol, auth=Auth("authorization", "k"), habits=habits),
        story="s",
        step=0,
        model="m",
        stream=stream,
        items=items,
        stop=SayStop("end"),
        usage=Usage(10, 5, cache_read=3, cache_write=2, reasoning=1),
        body=body,
    )


def events(protocol: str, *items: Item, **more: Any) -> list[Any]:
    body = DIALECTS[protocol].say(scene(protocol, *items, **more)).body
    return [json.loads(event.data) for event in parse_sse(body).events if event.data != "[DONE]"]


# ---- chat completions ------------------------------------------------------------------------------------------------


def test_chat_sends_usage_only_when_it_is_asked_for() -> None:
    unasked = events("openai-chat", SayText(("a",)))
    assert all("usage" not in chunk for chunk in unasked)
    *earlier, last = events("openai-chat", SayText(("a",)), stream_options={"include_usage": True})
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in earlier)
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == 15
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] == 3


def test_chat_pads_its_chunks_unless_told_not_to() -> None:
    assert all(chunk["obfuscation"] for chunk in events("openai-chat", SayText(("a",))))
    plain = events("openai-chat", SayText(("a",)), stream_options={"include_obfuscation": False})
    assert all("obfuscation" not in chunk for chunk in plain)


@pytest.mark.parametrize(
    ("model", "marked"),
    [("gpt-4o-mini", True), ("gpt-4.1", True), ("o3-mini", True), ("gpt-4", False), ("gpt-5-nano", False)],
)
def test_chat_marks_the_answers_of_some_models_with_a_fingerprint(model: str, marked: bool) -> None:
    asked = replace(scene("openai-chat", SayText(("a",)), stream=False), model=model)
    found = json.loads(DIALECTS["openai-chat"].say(asked).body)["system_fingerprint"]
    assert (found is not None and found.startswith("fp_")) is marked


def test_chat_interleaves_calls() -> None:
    calls = Interleave((SayCall("a", "f", ("1", "2", "3")), SayCall("b", "g", ("4", "5"))))
    deltas = [chunk["choices"][0]["delta"] for chunk in events("openai-chat", calls)]
    pieces = [(call["index"], call["function"]["arguments"]) for d in deltas for call in d.get("tool_calls", ())]
    assert pieces == [(0, ""), (1, ""), (0, "1"), (1, "4"), (0, "2"), (1, "5"), (0, "3")]


REDACTED: list[tuple[str, tuple[str, ...], dict[str, Any], str]] = [
    ("anthropic", (), {}, "sig:p:s:0.0:redacted"),
    ("openai-chat", ("reasoning",), {}, "sig:p:s:0.0"),
    ("openai-responses", (), {"include": ["reasoning.encrypted_content"]}, "sig:p:s:0.0"),
    ("gemini", (), {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, "c2lnOnA6czowLjA="),
]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("protocol", "habits", "body", "seal"), REDACTED, ids=[row[0] for row in REDACTED])
def test_redacted_thinking_is_a_seal_without_words(
    protocol: str, habits: tuple[str, ...], body: dict[str, Any], seal: str, stream: bool
) -> None:
    played = scene(protocol, SayThink((), True, True), SayText(("a",)), stream=stream, habits=habits, **body)
    spoken = DIALECTS[protocol].say(replace(played, path="?alt=sse" if stream else ""))
    headers = {"content-type": CONTENT_TYPES[spoken.framing]} | spoken.headers
    heard = DIALECTS[protocol].hear(200, headers, spoken.body, stream=stream)
    assert (heard.thinking, heard.seals, heard.text) == ("", (seal,), "a")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_gemini_signs_a_text_at_its_end(stream: bool) -> None:
    played = scene("gemini", SayText(("a", "b"), True), stream=stream)
    spoken = DIALECTS["gemini"].say(replace(played, path="?alt=sse" if stream else ""))
    headers = {"content-type": CONTENT_TYPES[spoken.framing]} | spoken.headers
    heard = DIALECTS["gemini"].hear(200, headers, spoken.body, stream=stream)
    assert (heard.text, heard.seals) == ("ab", ("c2lnOnA6czowLjA=",))
    signed = [part["text"] for part in heard.echo[0]["parts"] if "thoughtSignature" in part]
    assert signed == ([""] if stream else ["ab"])


def test_chat_shows_no_thinking_but_a_host_may() -> None:
    thinking = SayThink(("Hm", "m"), True)
    assert "Hm" not in str(events("openai-chat", thinking))
    body = DIALECTS["openai-chat"].say(scene("openai-chat", thinking, habits=("reasoning",))).body
    heard = DIALECTS["openai-chat"].hear(200, {}, body, stream=True)
    assert (heard.thinking, heard.seals) == ("Hmm", ("sig:p:s:0.0",))
    (message,) = heard.echo
    assert message["reasoning_details"][0]["signature"] == "sig:p:s:0.0"


def test_a_host_may_send_comments_first() -> None:
    body = DIALECTS["openai-chat"].say(scene("openai-chat", SayText(("a",)), habits=("sse_comments",))).body
    assert body.startswith(b": OPENROUTER PROCESSING\n\n")


def test_a_host_may_leave_empty_arguments_out() -> None:
    for habits, arguments in (((), "{}"), (("empty_arguments",), "")):
        spoken = DIALECTS["openai-chat"].say(
            scene("openai-chat", SayCall("a", "f"), stream=False, habits=habits)
        )  # fmt: skip
        (call,) = json.loads(spoken.body)["choices"][0]["message"]["tool_calls"]
        assert call["function"]["arguments"] == arguments


# ---- messages --------------------------------------------------------------------------------------------------------


def test_anthropic_pads_its_json_and_pings_third() -> None:
    body = DIALECTS["anthropic"].say(scene("anthropic", SayText(("a", "b")))).body
    assert re.search(rb" +}\n\n", body)
    assert [event.event for event in parse_sse(body).events] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_anthropic_counts_input_first_and_output_last() -> None:
    found = events("anthropic", SayText(("a",)))
    start = found[0]["message"]["usage"]
    assert (start["input_tokens"], start["output_tokens"]) == (10, 1)
    assert (start["cache_read_input_tokens"], start["cache_creation_input_tokens"]) == (3, 2)
    assert found[-2]["usage"]["output_tokens"] == 5
    assert found[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": 1}


def test_anthropic_says_interleaved_calls_one_after_the_other() -> None:
    calls = Interleave((SayCall("a", "f", ("{", "}")), SayCall("b", "g", ('{"x":', "1}"))))
    indices = [event["index"] for event in events("anthropic", calls) if "index" in event]
    assert indices == sorted(indices)


def test_anthropic_refuses_in_its_stop_details() -> None:
    for stream in (False, True):
        spoken = DIALECTS["anthropic"].say(scene("anthropic", SayRefusal(("No, ", "sorry.")), stream=stream))
        headers = {"content-type": "text/event-stream" if stream else "application/json"}
        heard = DIALECTS["anthropic"].hear(200, headers, spoken.body, stream=stream)
        assert (heard.refusal, heard.stop, heard.complaints) == ("No, sorry.", "content_filter", ())


def test_anthropic_may_fail_before_its_first_event() -> None:
    (only,) = events("anthropic", SayError("overloaded", in_stream=True))
    assert only["error"]["type"] == "overloaded_error"


# ---- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_the_same_each_time(protocol: str, stream: bool) -> None:
    said = scene(protocol, SayText(("a", "b")), SayCall("call_1", "f", ("{}",)), stream=stream)
    assert DIALECTS[protocol].say(said).steps == DIALECTS[protocol].say(said).steps


@pytest.mark.parametrize("name", [p.name for p in scenarios().providers.values() if DIALECTS[p.protocol].call_ids])
def test_results_go_back_under_the_ids_that_were_heard(name: str) -> None:
    provider = scenarios().providers[name]
    dialect = DIALECTS[provider.protocol]
    story = scenarios().stories["tools-loop"]
    mock = Mock(scenarios())
    model = provider.default_model
    first = dialect.ask([(story.exchanges[0].ask, None)], model=model, stream=False, key=provider.auth.key)
    send(mock, provider, first, stream=False)
    rewritten = re.sub(rb"call_([12])\b", rb"other_\1", bytes(mock.journal.entries[-1].sent))
    heard = dialect.hear(200, {"content-type": "application/json"}, rewritten, stream=False)
    asked = dialect.ask(
        [(story.exchanges[0].ask, heard), (story.exchanges[1].ask, None)], model=model, stream=False, key=""
    )
    turns = dialect.read(asked.path, asked.headers, asked.body).turns
    ids = [block.id for turn in turns for block in turn.blocks if isinstance(block, Call)]
    answered = [block.id for turn in turns for block in turn.blocks if isinstance(block, Result)]
    assert ids == answered == ["other_1", "other_2"]


@pytest.mark.parametrize("name", sorted(scenarios().providers))
def test_a_result_for_a_call_that_never_came_keeps_the_storys_id(name: str) -> None:
    provider = scenarios().providers[name]
    dialect = DIALECTS[provider.protocol]
    exchanges = scenarios().stories["tools-loop"].exchanges
    asked = dialect.ask([(exchanges[0].ask, Heard()), (exchanges[1].ask, None)], model="m", stream=False, key="")
    results = [b for turn in dialect.read(asked.path, asked.headers, asked.body).turns for b in turn.blocks]
    assert [block.text for block in results if isinstance(block, Result)]


def test_a_conversation_grows_by_what_was_heard() -> None:
    story, provider = scenarios().stories["text-multi-turn"], scenarios().providers["anthropic"]
    assert [heard.text for _, heard in converse(story, provider, stream=True)] == ["Petrel.", "Green."]
