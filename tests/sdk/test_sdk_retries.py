"""The SDKs' own retries do not multiply the proxy's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from ..proxy.proxy_fixture import config, one, stage
from ..proxy.scripted_upstream import http, upstream

ATTEMPTS = 3

MESSAGES: list[Any] = [{"role": "user", "content": "x"}]

CALLS: dict[str, Callable[[str], object]] = {
    "openai-chat": lambda url: openai.OpenAI(base_url=f"{url}/v1", api_key="k").chat.completions.create(
        model="m", messages=MESSAGES
    ),
    "openai-responses": lambda url: openai.OpenAI(base_url=f"{url}/v1", api_key="k").responses.create(
        model="m", input="x"
    ),
    "anthropic": lambda url: anthropic.Anthropic(base_url=url, api_key="k").messages.create(
        model="m", max_tokens=5, messages=MESSAGES
    ),
}
"""One call by frontend, with the retries that its SDK makes by default."""


@pytest.mark.parametrize("frontend", CALLS)
async def test_an_sdk_does_not_repeat_what_the_proxy_repeated(frontend: str) -> None:
    retry = {"attempts": ATTEMPTS, "base_s": 0.001}
    async with (
        upstream([http(b"{}", "503 Busy")]) as up,
        stage(config(one("openai-chat", up.url), retry=retry, breaker={"failures": 0})) as it,
    ):
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await asyncio.to_thread(CALLS[frontend], it.url)
    assert len(up.requests) == ATTEMPTS
