"""LiteLLM as a client."""

from __future__ import annotations

import json
from typing import Any

import litellm

from .driver import KEY, Tool

PREFIXES = {
    "openai-chat": ("openai/", "/v1"),
    "anthropic": ("anthropic/", ""),
    "gemini": ("gemini/", "/v1beta"),
    "ollama": ("ollama_chat/", ""),
}

TIDE = {
    "type": "function",
    "function": {
        "name": "tide",
        "description": "Says when high water is.",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]},
    },
}


class Client:
    def __init__(self, protocol: str, url: str, model: str) -> None:
        prefix, path = PREFIXES[protocol]
        self._settings = {"model": prefix + model, "api_base": url + path, "api_key": KEY, "num_retries": 0}

    def _ask(self, messages: list[Any], **more: Any) -> Any:
        return litellm.completion(messages=messages, **self._settings, **more)

    def text(self, prompt: str) -> str:
        return self._ask([{"role": "user", "content": prompt}]).choices[0].message.content

    def stream(self, prompt: str) -> list[str]:
        chunks = self._ask([{"role": "user", "content": prompt}], stream=True)
        return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]

    def tools(self, prompt: str, tool: Tool) -> str:
        messages: list[Any] = [{"role": "user", "content": prompt}]
        for _ in range(3):
            message = self._ask(messages, tools=[TIDE]).choices[0].message
            messages.append(message)
            if not message.tool_calls:
                return message.content
            for call in message.tool_calls:
                said = tool(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": said})
        raise AssertionError(messages)

    def structured(self, prompt: str, mode: str, model: type[Any]) -> Any:
        answer = self._ask([{"role": "user", "content": prompt}], response_format=model)
        return model.model_validate_json(answer.choices[0].message.content)
