"""Two clients with keys at one proxy, each by the five official SDKs: what they may use, and how they are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import errors as google_errors

from ..proxy.proxy_fixture import Stage, config, one, stage
from ..proxy.sample_messages import dumps, reply
from ..proxy.scripted_upstream import http, upstream

ADA, BOB, NOBODY = "cw-ada-0123456789abcdef", "cw-bob-0123456789abcdef", "cw-nobody-0123456789abcdef"
MESSAGES: list[Any] = [{"role": "user", "content": "x"}]

Call = Callable[[str, str, str], Any]


def _google(url: str, key: str) -> genai.Client:
    return genai.Client(api_key=key, http_options=genai.types.HttpOptions(base_url=url))


def _openai(url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def _anthropic(url: str, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)


def _ollama(url: str, key: str) -> ollama.Client:
    return ollama.Client(host=url, headers={"authorization": f"Bearer {key}"})


def _ask_openai_chat(url: str, key: str, model: str) -> Any:
    with _openai(url, key) as sdk:
        return sdk.chat.completions.create(model=model, messages=MESSAGES).choices[0].message.content


def _ask_openai_responses(url: str, key: str, model: str) -> Any:
    with _openai(url, key) as sdk:
        return sdk.responses.create(model=model, input="x").output_text


def _ask_anthropic(url: str, key: str, model: str) -> Any:
    with _anthropic(url, key) as sdk:
        message: Any = sdk.messages.create(model=model, max_tokens=5, messages=MESSAGES)
        return message.content[0].text


def _ask_gemini(url: str, key: str, model: str) -> Any:
    with _google(url, key) as sdk:
        return sdk.models.generate_content(model=model, contents="x").text


def _ask_ollama(url: str, key: str, model: str) -> Any:
    with _ollama(url, key) as sdk:
        return sdk.chat(model=model, messages=MESSAGES).message.content


def _list_openai(url: str, key: str) -> list[str]:
    with _openai(url, key) as sdk:
        return [each.id for each in sdk.models.list()]


def _list_anthropic(url: str, key: str) -> list[str]:
    with _anthropic(url, key) as sdk:
        return [each.id for each in sdk.models.list()]


def _list_gemini(url: str, key: str) -> list[str]:
    with _google(url, key) as sdk:
        return [(each.name or "").removeprefix("models/") for each in sdk.models.list()]


def _list_ollama(url: str, key: str) -> list[str]:
    with _ollama(url, key) as sdk:
        return [each.model or "" for each in sdk.list().models]


CALLS: dict[str, Call] = {
    "openai-chat": _ask_openai_chat,
    "openai-responses": _ask_openai_responses,
    "anthropic": _ask_anthropic,
    "gemini": _ask_gemini,
    "ollama": _ask_ollama,
}

LISTS: dict[str, Callable[[str, str], list[str]]] = {
    "openai-chat": _list_openai,
    "openai-responses": _list_openai,
    "anthropic": _list_anthropic,
    "gemini": _list_gemini,
    "ollama": _list_ollama,
}

ERRORS: tuple[type[Exception], ...] = (
    openai.APIStatusError,
    anthropic.APIStatusError,
    google_errors.APIError,
    ollama.ResponseError,
)


def status_of(error: Exception) -> int:
    """The HTTP status that an SDK's error tells of."""
    for name in ("status_code", "code"):
        if type(value := getattr(error, name, None)) is int:
            return value
    raise AssertionError(error)


async def outcome(it: Stage, frontend: str, key: str, model: str = "m") -> tuple[int, str]:
    """The status and the text, or the error's own words, that an SDK's user sees."""
    try:
        return 200, str(await asyncio.to_thread(CALLS[frontend], it.url, key, model))
    except ERRORS as error:
        return status_of(error), str(error)


@pytest.mark.parametrize("frontend", CALLS)
async def test_two_clients_by_every_sdk(frontend: str) -> None:
    clients = {
        "ada": {"key": ADA, "models": ["m"], "requests": "2/h"},
        "bob": {"key": BOB, "models": ["n"], "budgets": {"usd": 0.0001, "per": "day"}},
    }
    prices = [{"match": "n", "input": 1000, "output": 1000}]
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        backends = one("openai-chat", up.url, models=["m", "n"])
        async with stage(config(backends, clients=clients, prices=prices)) as it:
            assert await asyncio.to_thread(LISTS[frontend], it.url, ADA) == ["m"]
            assert await asyncio.to_thread(LISTS[frontend], it.url, BOB) == ["n"]
            assert await outcome(it, frontend, ADA) == (200, "Hello there.")
            for key, model, status, words in (
                (NOBODY, "m", 401, "key"),
                (ADA, "n", 403, "'n'"),
                (BOB, "m", 403, "'m'"),
                (BOB, "n", 402, "budget"),
            ):
                found, told = await outcome(it, frontend, key, model)
                assert (found, words in told) == (status, True), told
            assert (await outcome(it, frontend, ADA))[0] == 200
            found, told = await outcome(it, frontend, ADA)
            assert (found, "2 requests" in told) == (429, True), told
            assert len(up.requests) == 2


@pytest.mark.parametrize("frontend", ["openai-chat", "openai-responses", "anthropic"])
async def test_an_sdk_does_not_repeat_a_budget_that_is_spent(frontend: str) -> None:
    clients = {"bob": {"key": BOB, "budgets": {"usd": 0, "per": "day"}}}
    async with stage(config(one("openai-chat", "http://127.0.0.1:9"), clients=clients, unpriced="allow")) as it:
        counted = it.gateway.metrics
        if frontend == "anthropic":
            sdk: Any = anthropic.Anthropic(base_url=it.url, api_key=BOB)
            send = partial(sdk.messages.create, model="gpt-5", max_tokens=5, messages=MESSAGES)
        else:
            sdk = openai.OpenAI(base_url=f"{it.url}/v1", api_key=BOB)
            send = partial(sdk.chat.completions.create, model="gpt-5", messages=MESSAGES)
        with sdk, pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
            await asyncio.to_thread(send)
        assert status_of(caught.value) == 402
        assert counted.totals().requests == 1
