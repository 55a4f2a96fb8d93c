"""Instructor, which is for structured output alone."""

from __future__ import annotations

from typing import Any

import anthropic
import instructor
import openai

from .driver import KEY


class Client:
    def __init__(self, protocol: str, url: str, model: str) -> None:
        self._protocol, self._url, self._model = protocol, url, model

    def structured(self, prompt: str, mode: str, model: type[Any]) -> Any:
        messages: Any = [{"role": "user", "content": prompt}]
        chosen = instructor.Mode[mode.removeprefix("PARTIAL_")]
        if self._protocol == "anthropic":
            sdk: Any = anthropic.Anthropic(base_url=self._url, api_key=KEY, max_retries=0)
            patched, settings = instructor.from_anthropic(sdk, mode=chosen), {"max_tokens": 500}
        else:
            sdk = openai.OpenAI(base_url=f"{self._url}/v1", api_key=KEY, max_retries=0)
            patched, settings = instructor.from_openai(sdk, mode=chosen), {}
        settings |= {"model": self._model, "messages": messages, "response_model": model, "max_retries": 0}
        with sdk:
            if mode.startswith("PARTIAL_"):
                *_, last = patched.create_partial(**settings)
                return model(**last.model_dump())
            return patched.create(**settings)
