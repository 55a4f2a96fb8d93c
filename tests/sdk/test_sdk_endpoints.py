"""The SDKs' other endpoints with every provider: model lists, token counts, embeddings, stored responses."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google.genai import errors as google_errors
from google.genai import types as google_types
from pydantic import TypeAdapter

from crosswire.conformance.harness.testbed import Testbed, proxy_config

from .drivers import DRIVERS
from .drivers.session import SdkSession, open_session
from .sdk_stories import SCENARIOS

MODELS = {name: next(iter(provider.models)) for name, provider in SCENARIOS.providers.items()}
"""One model of each provider."""

LISTED = sorted(model for provider in SCENARIOS.providers.values() for model in provider.models)

EMBEDDERS = [name for name, provider in SCENARIOS.providers.items() if provider.protocol != "anthropic"]
COUNTERS = ("anthropic", "gemini", "openai-responses")
"""Providers that can count tokens; for the others the proxy estimates."""

frontends = pytest.mark.parametrize("frontend", DRIVERS)


@pytest.fixture(scope="module")
def auto_url(bench: Testbed) -> str:
    """Starts a proxy whose backends have all capabilities of their protocols, embeddings too."""
    config = proxy_config(SCENARIOS, bench.mock_url)
    for backend in config["backends"].values():
        backend["capabilities"] = "auto"
    return bench.wait(bench.start_proxy(config))


@pytest.fixture
def client(frontend: str, auto_url: str) -> Iterator[Any]:
    session: SdkSession = open_session(frontend, auto_url)
    yield session.client
    session.client.close()


# ---- models ----------------------------------------------------------------------------------------------------------


@frontends
def test_the_list_of_models(frontend: str, client: Any) -> None:
    match frontend:
        case "anthropic":
            page = client.models.list(limit=3)
            found = [model.id for model in page]  # the iteration requests every page
            TypeAdapter(anthropic.types.ModelInfo).validate_json(json.dumps(page.data[0].to_dict(mode="json")))
        case "gemini":
            found = [str(model.name).removeprefix("models/") for model in client.models.list(config={"page_size": 3})]
        case "ollama":
            found = [model.model for model in client.list().models]
        case _:
            models = list(client.models.list())
            for model in models:
                openai.types.Model.model_validate(model.to_dict(), strict=True)
            found = [model.id for model in models]
    assert sorted(found) == LISTED


@frontends
@pytest.mark.parametrize("name", MODELS.values())
def test_one_model(frontend: str, name: str, client: Any) -> None:
    match frontend:
        case "gemini":
            assert client.models.get(model=name).name == f"models/{name}"
        case "ollama":
            assert "completion" in client.show(name).capabilities
        case _:
            assert client.models.retrieve(name).id == name


@frontends
def test_an_unknown_model(frontend: str, strict_session: SdkSession) -> None:
    client = strict_session.client
    match frontend:
        case "anthropic":
            with pytest.raises(anthropic.NotFoundError):
                client.models.retrieve("nobody")
        case "gemini":
            with pytest.raises(google_errors.ClientError, match="404 NOT_FOUND"):
                client.models.get(model="nobody")
        case "ollama":
            with pytest.raises(ollama.ResponseError, match="'nobody'"):
                client.show("nobody")
        case _:
            with pytest.raises(openai.NotFoundError):
                client.models.retrieve("nobody")


# ---- token counts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frontend", "provider"), list(itertools.product(COUNTERS, MODELS)))
def test_a_token_count(frontend: str, provider: str, client: Any, bench: Testbed) -> None:
    since, _ = bench.wait(bench.journal(2**62))
    model, text = MODELS[provider], "How many tokens are there in a harbour wall?"
    match frontend:
        case "anthropic":
            found = client.messages.count_tokens(
                model=model,
                system="Be brief.",
                messages=[{"role": "user", "content": text}],
                tools=[{"name": "dig", "input_schema": {"type": "object", "properties": {"deep": {"type": "number"}}}}],
            ).input_tokens
        case "gemini":
            found = client.models.count_tokens(model=model, contents=text).total_tokens
        case _:
            found = client.responses.input_tokens.count(model=model, input=text, instructions="Be brief.").input_tokens
    assert 10 <= found < 100
    _, entries = bench.wait(bench.journal(since))
    # only a provider that can count gets a request, one, and accepts it
    assert [entry["status"] for entry in entries] == [200] * (provider in COUNTERS)


# ---- embeddings ------------------------------------------------------------------------------------------------------

TEXTS = ["a wall", "a tide"]


def embed(frontend: str, client: Any, model: str, length: int | None) -> list[list[float]]:
    """Returns the vectors of TEXTS."""
    match frontend:
        case "gemini":
            config = google_types.EmbedContentConfig(output_dimensionality=length)
            # it would join plain texts into one input, as for a model of texts and images
            contents = [google_types.Content(parts=[google_types.Part(text=text)]) for text in TEXTS]
            answer = client.models.embed_content(model=model, contents=contents, config=config)
            return [each.values for each in answer.embeddings]
        case "ollama":
            return [list(each) for each in client.embed(model, TEXTS, dimensions=length).embeddings]
        case _:
            sized = {} if length is None else {"dimensions": length}
            answer = client.embeddings.create(model=model, input=TEXTS, encoding_format="float", **sized)
            openai.types.CreateEmbeddingResponse.model_validate(answer.to_dict(), strict=True)
            assert answer.usage.prompt_tokens > 0
            return [each.embedding for each in answer.data]


@pytest.mark.parametrize("length", [None, 8])
@pytest.mark.parametrize("provider", EMBEDDERS)
@pytest.mark.parametrize("frontend", [name for name in DRIVERS if name != "anthropic"])
def test_embeddings(frontend: str, provider: str, length: int | None, client: Any) -> None:
    found = embed(frontend, client, MODELS[provider], length)
    assert len(found) == 2
    assert found[0] != found[1]
    natural = {"gemini": 3072, "ollama": 768}.get(SCENARIOS.providers[provider].protocol, 1536)
    for vector in found:
        assert len(vector) == (length or natural)
        assert sum(number * number for number in vector) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("provider", EMBEDDERS)
def test_every_sdk_gets_the_same_vectors(provider: str, auto_url: str) -> None:
    found = []
    for name in ("openai-chat", "gemini", "ollama"):
        client = open_session(name, auto_url).client
        found.append(embed(name, client, MODELS[provider], 8))
        client.close()
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("provider", EMBEDDERS)
def test_the_openai_sdk_requests_base64(provider: str, auto_url: str) -> None:
    """It does so by default and decodes the vectors itself; its own type would reject them."""
    with openai.OpenAI(base_url=f"{auto_url}/v1", api_key="client-key", max_retries=0) as client:
        packed = client.embeddings.create(model=MODELS[provider], input=TEXTS).data
        plain = client.embeddings.create(model=MODELS[provider], input=TEXTS, encoding_format="float").data
    assert [each.embedding for each in packed] == [each.embedding for each in plain]


@pytest.mark.parametrize("frontend", ["ollama"])
def test_the_older_embeddings_endpoint_of_ollama(frontend: str, client: Any) -> None:
    assert len(client.embeddings(MODELS["openai"], "a wall").embedding) == 1536


@pytest.mark.parametrize("frontend", [name for name in DRIVERS if name != "anthropic"])
def test_embeddings_of_a_claude_model_are_refused(frontend: str, bench: Testbed) -> None:
    url = bench.wait(bench.proxy_for_provider(SCENARIOS.providers["anthropic"]))
    client = open_session(frontend, url).client
    with pytest.raises((openai.BadRequestError, google_errors.ClientError, ollama.ResponseError), match="embeddings"):
        embed(frontend, client, MODELS["anthropic"], None)
    client.close()


# ---- the store -------------------------------------------------------------------------------------------------------

STORY = SCENARIOS.stories["text"].exchanges[0].ask.user[0].text  # type: ignore[union-attr] - the story is of text


@pytest.mark.parametrize("frontend", ["openai-responses"])
def test_a_stored_response(frontend: str, client: Any) -> None:
    model = MODELS["openai-responses"]
    made = client.responses.create(model=model, input=STORY, store=True)
    assert client.responses.retrieve(made.id).output_text == made.output_text
    assert [item.content[0].text for item in client.responses.input_items.list(made.id)] == [STORY]
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(made.id)
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.responses.retrieve(made.id)


def test_compaction(auto_url: str) -> None:
    """The client does not validate: "a list of all user messages, followed by a single compaction item", says the
    SDK, whose type of a message in the output is an assistant's."""
    talk: Any = [{"role": "user", "content": "A wall?"}, {"role": "assistant", "content": "A wall."}]
    with openai.OpenAI(base_url=f"{auto_url}/v1", api_key="client-key", max_retries=0) as client:
        made = client.responses.compact(model=MODELS["openai-responses"], input=talk)
        assert (made.object, [item.type for item in made.output]) == ("response.compaction", ["message", "compaction"])


def test_compaction_elsewhere_is_refused(bench: Testbed) -> None:
    url = bench.wait(bench.proxy_for_provider(SCENARIOS.providers["openai"]))
    refused = pytest.raises(openai.NotFoundError, match="Only a backend of OpenAI Responses compacts")
    with openai.OpenAI(base_url=f"{url}/v1", api_key="client-key", max_retries=0) as client, refused:
        client.responses.compact(model=MODELS["openai"], input="A wall?")


# ---- older forms of the chat -----------------------------------------------------------------------------------------

ANSWERS = {name: "Hello!" if name == "gemini" else "Hello! How can I help you today?" for name in MODELS}
"""The answer of each provider of the mock in that story."""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("frontend", ["ollama"])
def test_ollamas_generate(frontend: str, provider: str, streamed: bool, client: Any) -> None:
    if streamed:
        parts = list(client.generate(MODELS[provider], STORY, stream=True))
        found, last = "".join(part.response for part in parts), parts[-1]
    else:
        last = client.generate(MODELS[provider], STORY)
        found = last.response
    assert found == ANSWERS[provider]
    assert (last.done, last.done_reason) == (True, "stop")
    assert last.eval_count > 0


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("provider", MODELS)
def test_openais_completions(provider: str, streamed: bool, auto_url: str) -> None:
    with openai.OpenAI(base_url=f"{auto_url}/v1", api_key="client-key", max_retries=0) as client:
        if streamed:
            parts = list(client.completions.create(model=MODELS[provider], prompt=STORY, stream=True))
            found = "".join(part.choices[0].text for part in parts if part.choices)
            assert parts[-1].choices[0].finish_reason == "stop"
        else:
            whole = client.completions.create(model=MODELS[provider], prompt=STORY)
            openai.types.Completion.model_validate(whole.to_dict(), strict=True)
            found = whole.choices[0].text
    assert found == ANSWERS[provider]


@pytest.mark.parametrize("frontend", ["ollama"])
def test_what_ollamas_command_line_asks_first(frontend: str, client: Any) -> None:
    name = MODELS["openai"]
    assert client.ps().models == []
    assert client.pull(name).status == "success"
    assert [part.status for part in client.pull(name, stream=True)][-1] == "success"
    assert client.generate(name).done_reason == "load"
    assert client.generate(name, keep_alive=0).done_reason == "unload"


@pytest.mark.parametrize("provider", MODELS)
async def test_the_openai_sdk_over_a_websocket(provider: str, auto_url: str) -> None:
    client = openai.AsyncOpenAI(base_url=f"{auto_url}/v1", api_key="client-key", max_retries=0)
    async with client, client.responses.connect() as connection:
        await connection.response.create(model=MODELS[provider], input=STORY)
        async for event in connection:
            assert event.type not in ("error", "response.failed"), event
            if event.type == "response.completed":
                assert event.response.output_text == ANSWERS[provider]
                break
