"""LangChain, by its four packages."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .driver import KEY, Tool

PACKAGES = {
    "openai-chat": ("langchain_openai", "ChatOpenAI", "/v1", {"api_key": KEY, "max_retries": 0}),
    "openai-responses": (
        "langchain_openai",
        "ChatOpenAI",
        "/v1",
        {"api_key": KEY, "max_retries": 0, "use_responses_api": True},
    ),
    "anthropic": ("langchain_anthropic", "ChatAnthropic", "", {"api_key": KEY, "max_retries": 0}),
    "gemini": ("langchain_google_genai", "ChatGoogleGenerativeAI", "", {"api_key": KEY, "max_retries": 1}),
    "ollama": ("langchain_ollama", "ChatOllama", "", {}),
}


class Client:
    def __init__(self, protocol: str, url: str, model: str) -> None:
        package, name, path, settings = PACKAGES[protocol]
        self._chat = getattr(import_module(package), name)(model=model, base_url=url + path, **settings)

    def text(self, prompt: str) -> str:
        return self._chat.invoke(prompt).text

    def stream(self, prompt: str) -> list[str]:
        return [piece.text for piece in self._chat.stream(prompt) if piece.text]

    def tools(self, prompt: str, tool: Tool) -> str:
        from langchain_core.messages import HumanMessage, ToolMessage

        chat = self._chat.bind_tools([tool])
        messages: list[Any] = [HumanMessage(prompt)]
        for _ in range(3):
            answer = chat.invoke(messages)
            messages.append(answer)
            if not answer.tool_calls:
                return answer.text
            messages += [ToolMessage(tool(**call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls]
        raise AssertionError(messages)

    def structured(self, prompt: str, mode: str, model: type[Any]) -> Any:
        return self._chat.with_structured_output(model, method=mode).invoke(prompt)
