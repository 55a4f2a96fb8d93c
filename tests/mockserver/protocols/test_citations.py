"""Reply content beside text: citations, images, blocked prompts, several choices and log probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.reply_context import ReplyContext
from crosswire.mockserver.scenarios.model import Citation, Image, SayImage, SayStop, SayText, Usage
from crosswire.mockserver.scenarios.provider import Auth, Provider

CITING = ("openai-chat", "openai-responses", "anthropic", "gemini")

ITEMS = (
    SayText(("It is – ", "they say – ")),
    SayText(
        ("a hundred ", "metres tall"), cites=(Citation("https://a.example", "A"), Citation("https://b.example", "B"))
    ),
    SayText((".",)),
)

SPAN = "a hundred metres tall"

PATHS = {"gemini": "/v1beta/models/m:generateContent"}
STREAMS = {"gemini": "/v1beta/models/m:streamGenerateContent?alt=sse"}
TYPES = {True: {"content-type": "text/event-stream"}, False: {"content-type": "application/json"}}


def context(name: str, items: tuple[Any, ...], *, stream: bool, **body: Any) -> ReplyContext:
    options = {"stream_options": {"include_usage": True}} if name == "openai-chat" and stream else {}
    return ReplyContext(
        provider=Provider(name="p", protocol=name, auth=Auth("authorization", "k")),
        story="s",
        step=0,
        model="m",
        stream=stream,
        items=items,
        stop=SayStop("end"),
        usage=Usage(10, 5),
        path=(STREAMS if stream else PATHS).get(name, "/"),
        body={**options, **body},
    )


def reply(name: str, reply_context: ReplyContext, mutate: Callable[[str], str] = lambda text: text) -> ParsedReply:
    body = mutate(MOCK_PROTOCOLS[name].render_reply(reply_context).body.decode())
    http_request = HttpRequest("POST", reply_context.path, {}, reply_context.body)
    return CLIENTS[name].parse_reply(
        200, TYPES[reply_context.stream], body.encode(), stream=reply_context.stream, request=http_request
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CITING)
def test_citation_is_parsed_with_its_span(name: str, stream: bool) -> None:
    found = reply(name, context(name, ITEMS, stream=stream))
    assert found.complaints == ()
    assert found.cites == (
        Citation("https://a.example", "A", None, SPAN),
        Citation("https://b.example", "B", None, SPAN),
    )


@pytest.mark.parametrize("stream", [False, True])
def test_citation_quote_is_parsed(stream: bool) -> None:
    items = (SayText(("wide",), cites=(Citation("https://a.example", "A", "a wide bay"),)),)
    assert reply("anthropic", context("anthropic", items, stream=stream)).cites[0].quote == "a wide bay"


INVALID: list[tuple[str, bool, str, str, str]] = [
    ("openai-chat", False, '"end_index":40', '"end_index":4000', "is no stretch of a text"),
    ("openai-chat", True, '"title":"A",', "", "`title` is missing"),
    ("openai-responses", False, '"end_index":21', '"end_index":4000', "is no stretch of a text"),
    ("anthropic", False, '"encrypted_index":', '"index":', "`encrypted_index` is missing"),
    ("gemini", False, '"endIndex": 44', '"endIndex": 30', "the segment says"),
    ("gemini", True, '"groundingChunkIndices": [0,1]', '"groundingChunkIndices": [7]', "there is no chunk 7"),
]


@pytest.mark.parametrize(("name", "stream", "one", "other", "words"), INVALID)
def test_invalid_citation_offsets_are_complaints(name: str, stream: bool, one: str, other: str, words: str) -> None:
    def mutate(text: str) -> str:
        assert one in text
        return text.replace(one, other)

    found = reply(name, context(name, ITEMS, stream=stream), mutate)
    assert any(words in complaint for complaint in found.complaints)


def test_annotations_of_the_done_event_must_match_those_streamed() -> None:
    def mutate(text: str) -> str:
        kept = [event for event in text.split("\n\n") if "annotation.added" not in event or '"title":"A"' not in event]
        return "\n\n".join(kept)

    found = reply("openai-responses", context("openai-responses", ITEMS, stream=True), mutate)
    assert any("the annotations of the part are not those that were added" in one for one in found.complaints)


# ---- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_image_reply_is_parsed(stream: bool) -> None:
    items = (SayText(("here: ",)), SayImage("image/png", "iVBORw0KGgo="))
    found = reply("gemini", context("gemini", items, stream=stream))
    assert found.complaints == ()
    assert [block for block in found.blocks if isinstance(block, Image)] == [Image("image/png", "iVBORw0KGgo=")]


# ---- blocked prompts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CITING)
def test_content_filter_without_content(name: str, stream: bool) -> None:
    blocked = replace(context(name, (), stream=stream), stop=SayStop("content_filter"))
    found = reply(name, blocked)
    assert (found.stop, found.text, found.error, found.complaints) == ("content_filter", "", None, ())
    if name == "gemini":
        said = MOCK_PROTOCOLS[name].render_reply(blocked).body
        assert b'"promptFeedback"' in said
        assert b'"candidates"' not in said


# ---- several choices and log probabilities ---------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_with_logprobs(stream: bool) -> None:
    reply_context = context("openai-chat", (SayText(("a", "b")),), stream=stream, n=3, logprobs=True, top_logprobs=2)
    found = reply("openai-chat", reply_context)
    assert found.complaints == ()
    assert (found.text, found.other_choices, [token for token, _, _ in found.logprobs]) == ("ab", 2, ["a", "b"])


def test_logprob_bytes_must_match_the_token() -> None:
    reply_context = context("openai-chat", (SayText(("–",)),), stream=False, logprobs=True)
    (token,) = json.loads(MOCK_PROTOCOLS["openai-chat"].render_reply(reply_context).body)["choices"][0]["logprobs"][
        "content"
    ]
    assert (token["token"], token["bytes"], token["top_logprobs"]) == ("–", [226, 128, 147], [])


def test_logprobs_are_only_sent_on_request() -> None:
    found = reply("openai-chat", context("openai-chat", (SayText(("a",)),), stream=False))
    assert (found.other_choices, found.logprobs) == (0, ())
