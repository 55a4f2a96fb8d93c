"""Each SDK takes the key by which a stream's last event tells of losses, and shows it to its users where it can."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import errors, types

from crosswire.proxy.ir.stream_losses import EXTENSION

from .drivers.session import SdkSession
from .sdk_stories import SCENARIOS, user_turn_of

MATCHED_STOP = [{"word": "matched_stop", "path": "matched", "how": "dropped"}]
STRICT = {"x-crosswire-strict": "1"}


def asked(story: str) -> str:
    """Returns the text that chooses a story."""
    text = user_turn_of(SCENARIOS.stories[story].exchanges[0]).text
    assert text is not None
    return text


COUNT, STRICTLY = asked("stream-late-stop"), asked("strict-reply")
MODEL = next(iter(SCENARIOS.providers["anthropic"].models))
CHAT_MODEL = next(iter(SCENARIOS.providers["openai"].models))


def raw_events(session: SdkSession) -> str:
    return session.recording.last.body.decode()


@pytest.mark.parametrize("frontend", ["openai-chat"])
@pytest.mark.parametrize("with_usage", [True, False])
def test_openai_shows_them_in_the_usage_of_a_chat_or_on_its_last_chunk(session: SdkSession, with_usage: bool) -> None:
    client: openai.OpenAI = session.client
    request: dict[str, Any] = {"stream_options": {"include_usage": True}} if with_usage else {}
    messages: Any = [{"role": "user", "content": COUNT}]
    chunks = list(client.chat.completions.create(model=MODEL, messages=messages, stop=["END"], stream=True, **request))
    holder = chunks[-1].usage if with_usage else chunks[-1]
    assert holder is not None
    assert (holder.model_extra or {})[EXTENSION] == MATCHED_STOP
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


@pytest.mark.parametrize("frontend", ["openai-chat"])
def test_openais_helper_for_a_chat_keeps_them_in_the_usage(session: SdkSession) -> None:
    client: openai.OpenAI = session.client
    with client.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": COUNT}],
        stop=["END"],
        stream_options={"include_usage": True},
    ) as stream:
        found = stream.get_final_completion()
    assert found.choices[0].message.content == "one two "
    assert found.usage is not None
    assert (found.usage.model_extra or {})[EXTENSION] == MATCHED_STOP


@pytest.mark.parametrize("frontend", ["openai-responses"])
def test_openais_helper_keeps_them_in_the_response(session: SdkSession) -> None:
    client: openai.OpenAI = session.client
    with client.responses.stream(model=MODEL, input=COUNT) as stream:
        found = stream.get_final_response()
    assert found.output_text == "one two "
    assert (found.model_extra or {})[EXTENSION] == MATCHED_STOP


@pytest.mark.parametrize("frontend", ["anthropic"])
def test_anthropic_shows_them_on_the_raw_event(session: SdkSession) -> None:
    client: anthropic.Anthropic = session.client
    messages: Any = [{"role": "user", "content": asked("stream-late-citations")}]
    with client.messages.stream(model=CHAT_MODEL, max_tokens=99, messages=messages) as stream:
        events = list(stream)
        found = stream.get_final_message()
    (event,) = [event for event in events if event.type == "message_delta"]
    (losses,) = [(event.model_extra or {})[EXTENSION]]
    assert {loss["word"] for loss in losses} == {"citations"}
    assert EXTENSION not in found.model_dump_json()
    assert found.stop_reason == "end_turn"


@pytest.mark.parametrize("frontend", ["gemini"])
def test_google_genai_takes_them_and_shows_nothing(session: SdkSession) -> None:
    client: genai.Client = session.client
    chat = client.chats.create(model=MODEL, config=types.GenerateContentConfig(stop_sequences=["END"]))
    chunks = list(chat.send_message_stream(COUNT))
    assert "".join(chunk.text or "" for chunk in chunks) == "one two "
    said = [part.text for content in chat.get_history()[1:] for part in content.parts or ()]
    assert "".join(map(str, said)) == "one two "
    assert EXTENSION not in "".join(chunk.model_dump_json() for chunk in chunks)
    assert json.loads(raw_events(session).split("data:")[-1])["usageMetadata"][EXTENSION] == MATCHED_STOP


@pytest.mark.parametrize("frontend", ["ollama"])
def test_ollama_takes_them_and_shows_nothing(session: SdkSession) -> None:
    client: ollama.Client = session.client
    messages = [ollama.Message(role="user", content=COUNT)]
    parts = list(client.chat(MODEL, messages, stream=True, options=ollama.Options(stop=["END"])))
    assert "".join(part.message.content or "" for part in parts) == "one two "
    assert parts[-1].done
    assert EXTENSION not in "".join(part.model_dump_json() for part in parts)
    assert json.loads(raw_events(session).splitlines()[-1])[EXTENSION] == MATCHED_STOP


# ---- errors ----------------------------------------------------------------------------------------------------------


def fail_chat(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": STRICTLY}]
    list(
        client.chat.completions.create(model=MODEL, messages=messages, stop=["HALT"], stream=True, extra_headers=STRICT)
    )


def fail_gemini(client: genai.Client) -> None:
    options = types.HttpOptions(headers=STRICT)
    config = types.GenerateContentConfig(stop_sequences=["HALT"], http_options=options)
    list(client.models.generate_content_stream(model=MODEL, contents=STRICTLY, config=config))


FAILING: dict[str, tuple[Callable[[Any], None], type[Exception], Callable[[Any], Any]]] = {
    "openai-chat": (fail_chat, openai.APIError, lambda error: error.body[EXTENSION]),
    "gemini": (fail_gemini, errors.APIError, lambda error: error.details[EXTENSION]),
}
"""Frontend -> a stream that fails for a loss, the SDK's exception, and what it shows of the losses."""


@pytest.mark.parametrize("frontend", FAILING)
def test_the_exception_shows_them(session: SdkSession, frontend: str) -> None:
    fail, kind, shown = FAILING[frontend]
    with pytest.raises(kind) as raised:
        fail(session.client)
    assert shown(raised.value) == MATCHED_STOP


@pytest.mark.parametrize("frontend", ["openai-responses"])
def test_a_response_that_failed_shows_them(session: SdkSession) -> None:
    client: openai.OpenAI = session.client
    events: list[Any] = []
    with pytest.raises(openai.APIConnectionError):  # the connection breaks after the last event
        events.extend(client.responses.create(model=MODEL, input=STRICTLY, stream=True, extra_headers=STRICT))
    last = events[-1]
    assert last.type == "response.failed"
    assert (last.response.model_extra or {})[EXTENSION] == MATCHED_STOP
