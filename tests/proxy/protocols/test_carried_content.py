"""Content that a protocol has in a form of its own reaches the others: pictures, parts of thinking, tools, searches."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from crosswire.proxy.ir import Citation, HostedCall, Image, Media, Opaque, Reasoning, Reply, Request, Text, Turn, unfold
from crosswire.proxy.ir.capabilities import required_capabilities
from crosswire.proxy.ir.media_type import standard_base64
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import ReplyContext, UpstreamTarget, UrlParams

NUMBERS = count()
ASKED = Request(protocol="gemini", model="m", turns=(Turn("user", (Text("hi"),)),))
PIXEL = Image(Media("image/png", "iVBO"))
PARTS = (Reasoning("**One**", summary=True, group=0), Reasoning("**Two**", summary=True, group=0), Text("done"))


def reply(*blocks: Any, protocol: str = "gemini") -> Reply:
    return Reply(protocol=protocol, id=None, model=None, blocks=blocks, stop="end")


def context(protocol: str) -> ReplyContext:
    asked = Request(protocol=protocol, model="m", turns=ASKED.turns, stream=True)
    return ReplyContext(asked, "0" * 24, 1, lambda prefix: f"{prefix}{next(NUMBERS)}")


def body_of(answer: Reply, protocol: str) -> tuple[Any, list[str]]:
    body, losses = PROTOCOLS[protocol].encode_reply(answer, context(protocol))
    return json.loads(json.dumps(body, default=lambda raw: json.loads(bytes(raw)))), [loss.feature for loss in losses]


def stream_of(answer: Reply, protocol: str) -> tuple[str, list[str]]:
    encoder = PROTOCOLS[protocol].stream_encoder(context(protocol))
    text = b"".join(encoder.encode([event]) for event in unfold(answer)).decode()
    return text, [loss.feature for loss in encoder.losses]


def sent(body: dict[str, Any], protocol: str, target: str, model: str = "m") -> tuple[dict[str, Any], list[str]]:
    """Returns the request of a client as a backend of another protocol is sent it, and the features of the losses."""
    request = PROTOCOLS[protocol].decode_request(json.loads(json.dumps(body)), UrlParams("m", "generateContent"))
    out = PROTOCOLS[target].encode_request(request, UpstreamTarget(model, target))
    payload = json.loads(json.dumps(out.payload, default=lambda raw: json.loads(bytes(raw))))
    return payload, [loss.feature for loss in out.losses]


# ---- pictures --------------------------------------------------------------------------------------------------------

PICTURES: dict[str, tuple[str, str | None]] = {
    "openai-chat": ('"image_url":{"url":"data:image/png;base64,iVBO"}', None),
    "openai-responses": ('"result":"iVBO"', None),
    "gemini": ('"data":"iVBO"', None),
    "anthropic": ("", "media_out"),
    "ollama": ("", "media_out"),
}


@pytest.mark.parametrize("protocol", PICTURES)
def test_a_picture_of_an_answer_is_carried_or_declared(protocol: str) -> None:
    answer = reply(Text("Here:"), PIXEL, protocol="test")
    shown, word = PICTURES[protocol]
    body, losses = body_of(answer, protocol)
    text, streamed = stream_of(answer, protocol)
    assert shown in json.dumps(body, separators=(",", ":"))
    assert shown in text
    assert losses == streamed == ([word] if word else [])


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (
            "openai-chat",
            {
                "choices": [
                    {
                        "finish_reason": "stop",
                        "message": {
                            "role": "assistant",
                            "content": "Here:",
                            "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}],
                        },
                    }
                ]
            },
        ),
        (
            "openai-responses",
            {
                "status": "completed",
                "output": [
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here:"}]},
                    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBO"},
                ],
            },
        ),
    ],
)
def test_a_backend_s_picture_is_one_for_every_protocol(protocol: str, body: dict[str, Any]) -> None:
    asked = PROTOCOLS[protocol].encode_request(ASKED, UpstreamTarget("m", protocol))
    answer = PROTOCOLS[protocol].decode_reply(body, asked, lambda prefix: prefix)
    assert [block.media for block in answer.blocks if isinstance(block, Image)] == [PIXEL.media]


def test_a_compaction_of_an_answer_is_no_failure() -> None:
    block = Opaque("openai-responses", "compaction", {"encrypted_content": "x"}, feature="compaction")
    _, losses = body_of(reply(block, Text("a"), protocol="openai-responses"), "openai-chat")
    assert losses == ["context_management"]


# ---- thinking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["openai-chat", "ollama", "gemini"])
def test_parts_of_thinking_do_not_run_together(protocol: str) -> None:
    answer = reply(*PARTS, protocol="openai-responses")
    body, _ = body_of(answer, protocol)
    text, _ = stream_of(answer, protocol)
    told = json.dumps(body)
    assert r"\n\n**Two**" in told
    assert r"\n\n**Two**" in text
    assert r"\n\n**One**" not in told + text


def test_parts_of_thinking_in_a_history_do_not_run_together() -> None:
    body = {
        "model": "m",
        "input": [
            {"role": "user", "content": "hi"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": text} for text in ("One", "Two")],
            },
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "go on"},
        ],
    }
    payload, _ = sent(body, "openai-responses", "ollama")
    assert payload["messages"][1]["thinking"] == "One\n\nTwo"


# ---- tools -----------------------------------------------------------------------------------------------------------

ADDED = {"name": "get_time", "description": "Gets the time.", "input_schema": {"type": "object", "properties": {}}}
ADDING: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [
        {"role": "user", "content": "What time is it?"},
        {
            "role": "system",
            "content": [{"type": "tool_addition", "tool": {"type": "tool_definition", "definition": ADDED}}],
        },
    ],
}
FOUND: dict[str, Any] = {
    "model": "m",
    "input": [
        {"role": "user", "content": "Weather?"},
        {"type": "tool_search_call", "call_id": "c1", "execution": "client", "arguments": {"goal": "weather"}},
        {
            "type": "tool_search_output",
            "call_id": "c1",
            "execution": "client",
            "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}],
        },
    ],
    "tools": [{"type": "tool_search", "execution": "client", "parameters": {"type": "object", "properties": {}}}],
}


@pytest.mark.parametrize(
    ("body", "protocol", "name"),
    [(ADDING, "anthropic", "get_time"), (FOUND, "openai-responses", "get_weather")],
    ids=["a tool that a message adds", "a tool that a search found"],
)
def test_a_tool_of_the_conversation_is_offered(body: dict[str, Any], protocol: str, name: str) -> None:
    payload, losses = sent(body, protocol, "openai-chat")
    assert name in [tool["function"]["name"] for tool in payload["tools"]]
    assert "content" not in losses
    own, _ = sent(body, protocol, protocol)
    assert name not in [tool.get("name") for tool in own.get("tools", [])]


def test_every_setting_of_a_search_is_carried_or_declared() -> None:
    parameters = {
        "allowed_domains": ["a.example"],
        "excluded_domains": ["b.example"],
        "max_uses": 2,
        "search_context_size": "low",
        "user_location": {"type": "approximate", "city": "London"},
        "engine": "exa",
    }
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "openrouter:web_search", "parameters": parameters}],
    }
    payload, losses = sent(body, "openai-chat", "openai-responses")
    assert payload["tools"] == [
        {
            "type": "web_search",
            "filters": {"allowed_domains": ["a.example"]},
            "user_location": {"type": "approximate", "city": "London"},
            "search_context_size": "low",
        }
    ]
    assert losses == ["hosted_tools"] * 3  # the excluded domains, the number of uses, the engine


def test_a_mark_on_a_server_tool_is_declared() -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "cache_control": {"type": "ephemeral"}}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
    assert "cache_control" in sent(body, "anthropic", "openai-responses")[1]


def test_search_beside_functions_is_announced_to_gemini_3() -> None:
    body = {
        "model": "m",
        "input": "hi",
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}},
            {"type": "web_search"},
        ],
    }
    payload, _ = sent(body, "openai-responses", "gemini", "gemini-3-pro-preview")
    assert payload["toolConfig"]["includeServerSideToolInvocations"] is True
    assert "toolConfig" not in sent(body, "openai-responses", "gemini", "gemini-2.5-flash")[0]


def test_all_queries_and_pages_of_a_search_are_told() -> None:
    call = HostedCall("web_search", "1", "one", sources=(("https://a.example", None),), queries=("two",))
    answer = reply(Opaque("test", "search", {}, call=call), Text("a"), protocol="test")
    body, losses = body_of(answer, "gemini")
    grounding = body["candidates"][0]["groundingMetadata"]
    assert grounding["webSearchQueries"] == ["one", "two"]
    assert grounding["groundingChunks"] == [{"web": {"uri": "https://a.example"}}]
    assert losses == []
    told = body_of(answer, "anthropic")[0]
    assert told["content"][0]["input"] == {"query": "one\ntwo"}


def test_a_host_s_list_of_sources_adds_to_those_of_the_text() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A"}}
    message = {"role": "assistant", "content": "a", "annotations": [cited]}
    body = {
        "choices": [{"finish_reason": "stop", "message": message}],
        "citations": ["https://a.example", "https://b.example"],
    }
    asked = PROTOCOLS["openai-chat"].encode_request(ASKED, UpstreamTarget("m", "openai-chat"))
    answer = PROTOCOLS["openai-chat"].decode_reply(body, asked, lambda prefix: prefix)
    (text,) = answer.blocks
    assert isinstance(text, Text)
    assert [citation.url for citation in text.citations] == ["https://a.example", "https://b.example"]


def test_annotations_of_every_kind_are_announced_in_a_stream() -> None:
    file = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 1}
    text = Text("abc", (Citation("https://a.example"),), extra={"annotations": [file]})
    stream, _ = stream_of(reply(text, protocol="openai-responses"), "openai-responses")
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    added = [event["annotation"] for event in events if event["type"] == "response.output_text.annotation.added"]
    done = next(event["part"] for event in events if event["type"] == "response.content_part.done")
    assert added == done["annotations"]
    assert file in added


# ---- requests --------------------------------------------------------------------------------------------------------


def test_a_mark_on_a_whole_message_is_one_on_its_end() -> None:
    mark = {"type": "ephemeral"}
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief.", "cache_control": mark},
            {"role": "user", "content": "hi", "cache_control": mark},
        ],
    }
    payload, losses = sent(body, "openai-chat", "anthropic")
    assert payload["system"][-1]["cache_control"] == mark
    assert payload["messages"][0]["content"][-1]["cache_control"] == mark
    assert losses == []


def test_a_call_that_a_history_begins_with_is_signed_for_gemini_3() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {
        "model": "m",
        "messages": [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
        ],
    }
    payload, _ = sent(body, "openai-chat", "gemini", "gemini-3-pro-preview")
    assert [content["role"] for content in payload["contents"]] == ["user", "model", "user"]
    assert "thoughtSignature" in payload["contents"][1]["parts"][0]


@pytest.mark.parametrize(
    ("model", "is_taken"),
    [("o3-mini", True), ("o1", True), ("o3", False), ("o4-mini", False), ("o1-mini", False), ("gpt-5-nano", False)],
)
def test_models_that_take_stop_sequences_are_sent_them(model: str, is_taken: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stop": ["END"]}
    assert ("stop" in sent(body, "openai-chat", "openai-chat", model)[0]) is is_taken


@pytest.mark.parametrize(
    ("source", "needs"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "Facts."}, False),
        ({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, True),
    ],
)
def test_a_text_needs_no_backend_that_takes_documents(source: dict[str, Any], needs: bool) -> None:
    content = [{"type": "document", "source": source}]
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    request = PROTOCOLS["anthropic"].decode_request(body, UrlParams())
    assert ("documents" in required_capabilities(request)) is needs


@pytest.mark.parametrize(
    ("given", "standard"),
    [("iVBO", "iVBO"), ("-_-_", "+/+/"), ("iVA", "iVA="), ("iV\nBO", "iVBO"), ("", "")],
)
def test_base64_is_sent_in_the_standard_alphabet(given: str, standard: str) -> None:
    assert standard_base64(given) == standard
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    url = f"data:image/png;base64,{given}"
    body["messages"] = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    if given:
        assert sent(body, "openai-chat", "ollama")[0]["messages"][0]["images"] == [standard]
