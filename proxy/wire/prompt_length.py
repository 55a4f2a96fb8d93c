"""Recognises an error that tells of a prompt that is too long, in the words of whichever host wrote it.

Gateways and compatible addresses pass on the sentences of other vendors, so that no protocol has its own. Agents
compact their history at this error and at no other. Most sentences are listed, with their hosts, in
https://github.com/badlogic/pi-mono/blob/main/packages/ai/src/utils/overflow.ts
"""

from __future__ import annotations

import re

_SENTENCES = re.compile(
    "|".join(
        (
            r"prompt (?:is )?too long",  # Anthropic, Ollama
            r"input is too long for requested model",  # Bedrock
            r"exceeds? (?:the )?(?:model's )?(?:available )?context (?:window|limit|size|length)",  # OpenAI, llama.cpp
            r"context (?:length|size|window).{0,40}exceed",  # Ollama, MiniMax
            r"exceeds?.{0,40}context (?:length|size|window)",
            r"max(?:imum)? context length",  # vLLM, OpenRouter, DeepSeek, Mistral
            r"token count.{0,60}exceeds the maximum number of tokens",  # Google
            r"maximum prompt length is \d",  # xAI
            r"reduce the length of the messages",  # Groq
            r"greater than the context length",  # LM Studio
            r"longer than the model's context length",  # SGLang
            r"exceeded model token limit",  # Kimi
            # https://github.com/huggingface/text-generation-inference/blob/main/router/src/validation.rs
            r"`inputs` tokens \+ `max_new_tokens` must be <=",
        )
    ),
    re.IGNORECASE,
)

_STATUSES = (None, 400, 413, 422)
"""None is an error inside a 200 stream; with any other status the same words tell of something else."""


def is_too_long(message: str | None, status: int | None) -> bool:
    """Returns whether an error with this message and HTTP status says that the prompt is too long."""
    return status in _STATUSES and message is not None and _SENTENCES.search(message) is not None
