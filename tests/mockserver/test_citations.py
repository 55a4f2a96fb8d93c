"""What a provider says beside its text, such as sources, pictures or further answers, is heard or complained of."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Auth, Heard, HttpAsk, Provider, Scene
from mockserver.speech import Cite, Image, SayImage, SayStop, SayText, Usage

CITING = ("openai-chat", "openai-responses", "anthropic", "gemini")

ITEMS = (
    SayText(("It is – ", "they say – ")),
    SayText(("a hundred ", "metres tall"), cites=(Cite("https://a.example", "A"), Cite("https://b.example", "B"))),
    SayText((".",)),
)

STRETCH = "a hundred metres tall"

PATHS = {"gemini": "/v1beta/models/m:generateContent"}
STREAMS = {"gemini": "/v1beta/models/m:streamGenerateContent?alt=sse"}
TYPES = {True: {"content-type": "text/event-stream"}, False: {"content-type": "application/json"}}


def scene(name: str, items: tuple[Any, ...], *, stream: bool, **body: Any) -> Scene:
    options = {"stream_options": {"include_usage": True}} if name == "openai-chat" and stream else {}
    return Scene(
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


def heard(name: str, played: Scene, spoil: Callable[[str], str] = lambda text: text) -> Heard:
    body = spoil(DIALECTS[name].say(played).body.decode())
    asked = HttpAsk("POST", played.path, {}, played.body)
    return DIALECTS[name].hear(200, TYPES[played.stream], body.encode(), stream=played.stream, asked=asked)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CITING)
def test_a_source_is_heard_with_its_stretch(name: str, stream: bool) -> None:
    found = heard(name, scene(name, ITEMS, stream=stream))
    assert found.complaints == ()
    assert found.cites == (
        Cite("https://a.example", "A", None, STRETCH),
        Cite("https://b.example", "B", None, STRETCH),
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_source_may_be_quoted(stream: bool) -> None:
    items = (SayText(("wide",), cites=(Cite("https://a.example", "A", "a wide bay"),)),)
    assert heard("anthropic", scene("anthropic", items, stream=stream)).cites[0].quote == "a wide bay"


SPOILED: list[tuple[str, bool, str, str, str]] = [
    ("openai-chat", False, '"end_index":40', '"end_index":4000', "is no stretch of a text"),
    ("openai-chat", True, '"title":"A",', "", "`title` is missing"),
    ("openai-responses", False, '"end_index":21', '"end_index":4000', "is no stretch of a text"),
    ("anthropic", False, '"encrypted_index":', '"index":', "`encrypted_index` is missing"),
    ("gemini", False, '"endIndex": 44', '"endIndex": 30', "the segment says"),
    ("gemini", True, '"groundingChunkIndices": [0,1]', '"groundingChunkIndices": [7]', "there is no chunk 7"),
]


@pytest.mark.parametrize(("name", "stream", "one", "other", "words"), SPOILED)
def test_a_source_that_points_nowhere_is_complained_of(
    name: str, stream: bool, one: str, other: str, words: str
) -> None:
    def spoil(text: str) -> str:
        assert one in text
        return text.replace(one, other)

    found = heard(name, scene(name, ITEMS, stream=stream), spoil)
    assert any(words in complaint for complaint in found.complaints)


def test_a_part_must_end_with_the_sources_that_were_added() -> None:
    def spoil(text: str) -> str:
        kept = [event for event in text.split("\n\n") if "annotation.added" not in event or '"title":"A"' not in event]
        return "\n\n".join(kept)

    found = heard("openai-responses", scene("openai-responses", ITEMS, stream=True), spoil)
    assert any("the annotations of the part are not those that were added" in one for one in found.complaints)


# ---- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_picture_is_heard(stream: bool) -> None:
    items = (SayText(("here: ",)), SayImage("image/png", "iVBORw0KGgo="))
    found = heard("gemini", scene("gemini", items, stream=stream))
    assert found.complaints == ()
    assert [block for block in found.blocks if isinstance(block, Image)] == [Image("image/png", "iVBORw0KGgo=")]


# ---- a prompt that was blocked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CITING)
def test_an_answer_of_which_nothing_passed_the_filter(name: str, stream: bool) -> None:
    blocked = replace(scene(name, (), stream=stream), stop=SayStop("content_filter"))
    found = heard(name, blocked)
    assert (found.stop, found.text, found.error, found.complaints) == ("content_filter", "", None, ())
    if name == "gemini":
        said = DIALECTS[name].say(blocked).body
        assert b'"promptFeedback"' in said
        assert b'"candidates"' not in said


# ---- further answers and probabilities -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_with_their_probabilities(stream: bool) -> None:
    played = scene("openai-chat", (SayText(("a", "b")),), stream=stream, n=3, logprobs=True, top_logprobs=2)
    found = heard("openai-chat", played)
    assert found.complaints == ()
    assert (found.text, found.others, found.tokens) == ("ab", 2, 2)


def test_a_probability_has_the_bytes_of_its_token() -> None:
    played = scene("openai-chat", (SayText(("–",)),), stream=False, logprobs=True)
    (token,) = json.loads(DIALECTS["openai-chat"].say(played).body)["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["bytes"], token["top_logprobs"]) == ("–", [226, 128, 147], [])


def test_nobody_gets_probabilities_unasked() -> None:
    found = heard("openai-chat", scene("openai-chat", (SayText(("a",)),), stream=False))
    assert (found.others, found.tokens) == (0, 0)
