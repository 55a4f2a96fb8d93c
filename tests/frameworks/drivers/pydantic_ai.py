"""Pydantic AI."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from .driver import KEY, Tool

MODELS = {
    "openai-chat": (OpenAIChatModel, OpenAIProvider, "/v1"),
    "openai-responses": (OpenAIResponsesModel, OpenAIProvider, "/v1"),
    "anthropic": (AnthropicModel, AnthropicProvider, ""),
    "gemini": (GoogleModel, GoogleProvider, ""),
}


class Client:
    def __init__(self, protocol: str, url: str, model: str) -> None:
        self._protocol, self._url, self._model = protocol, url, model

    def _agent(self, **settings: Any) -> Agent[Any, Any]:
        model, provider, path = MODELS[self._protocol]
        made = model(self._model, provider=provider(base_url=self._url + path, api_key=KEY))
        return Agent(made, instructions="Be brief.", **settings)

    def text(self, prompt: str) -> str:
        return asyncio.run(self._agent().run(prompt)).output

    def stream(self, prompt: str) -> list[str]:
        async def run() -> list[str]:
            async with self._agent().run_stream(prompt) as result:
                return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

        return asyncio.run(run())

    def tools(self, prompt: str, tool: Tool) -> str:
        return asyncio.run(self._agent(tools=[tool]).run(prompt)).output

    def structured(self, prompt: str, mode: str, model: type[Any]) -> Any:
        wanted = NativeOutput(model) if mode == "native" else model
        return asyncio.run(self._agent(output_type=wanted).run(prompt)).output
