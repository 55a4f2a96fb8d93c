"""OpenAI's Agents SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import agents
from openai import AsyncOpenAI

from .driver import KEY, Tool

agents.set_tracing_disabled(True)

MODELS = {"openai-chat": agents.OpenAIChatCompletionsModel, "openai-responses": agents.OpenAIResponsesModel}


class Client:
    def __init__(self, protocol: str, url: str, model: str) -> None:
        self._protocol, self._url, self._model = protocol, url, model

    def _run(self, prompt: str, streamed: bool = False, **settings: Any) -> Any:
        async def run() -> Any:
            async with AsyncOpenAI(base_url=f"{self._url}/v1", api_key=KEY, max_retries=0) as sdk:
                model = MODELS[self._protocol](self._model, openai_client=sdk)
                agent = agents.Agent(name="sailor", instructions="Be brief.", model=model, **settings)
                if not streamed:
                    return (await agents.Runner.run(agent, prompt)).final_output
                run = agents.Runner.run_streamed(agent, prompt)
                return [
                    event.data.delta
                    async for event in run.stream_events()
                    if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
                ]

        return asyncio.run(run())

    def text(self, prompt: str) -> str:
        return self._run(prompt)

    def stream(self, prompt: str) -> list[str]:
        return self._run(prompt, streamed=True)

    def tools(self, prompt: str, tool: Tool) -> str:
        return self._run(prompt, tools=[agents.function_tool(tool)])

    def structured(self, prompt: str, mode: str, model: type[Any]) -> Any:
        return self._run(prompt, output_type=model)
