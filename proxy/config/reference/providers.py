"""Reference of the keys of custom providers and of the smart model that the `llm_…` keys define."""

from __future__ import annotations

from .key_info import REQUIRED, KeyInfo

PROVIDERS_KEYS: tuple[KeyInfo, ...] = (
    KeyInfo(
        path="llm_backend",
        type="provider or backend",
        example="anthropic/claude-opus-4-6",
        meaning="Primary target of the smart model `auto`, with the model after a slash or in `llm_model`.",
    ),
    KeyInfo(
        path="llm_model",
        type="name",
        example="claude-opus-4-6",
        meaning="Model of the primary target of the smart model `auto`.",
    ),
    KeyInfo(
        path="llm_cheap_backend",
        type="provider or backend",
        without="the primary backend",
        example="home",
        meaning="Cheap target of the smart model `auto`.",
    ),
    KeyInfo(
        path="llm_cheap_model",
        type="name",
        example="hermes3",
        meaning="Model of the cheap target of the smart model `auto`.",
    ),
    KeyInfo(
        path="llm_custom_providers",
        type="mapping",
        example='{lab: {protocol: ollama, base_url: "http://127.0.0.1:11434"}}',
        meaning="Providers by name, beside the built-in ones; one of the same name replaces a built-in one.",
    ),
    KeyInfo(
        path="nearai",
        type="mapping",
        example="{default_model: deepseek-ai/DeepSeek-V3.1}",
        meaning="Changes of the built-in provider NEAR AI.",
    ),
    KeyInfo(
        path="llm_custom_providers.*.protocol",
        type="protocol",
        without=REQUIRED,
        example="openai-chat",
        meaning="Wire protocol.",
    ),
    KeyInfo(
        path="llm_custom_providers.*.base_url",
        type="URL",
        without=REQUIRED,
        example="http://127.0.0.1:8000/v1",
        meaning="Address that the protocol's official SDK takes.",
    ),
    KeyInfo(
        path="llm_custom_providers.*.api_key",
        type="secret",
        example="${LAB_KEY:-}",
        meaning="The provider's key.",
    ),
    KeyInfo(
        path="llm_custom_providers.*.default_model",
        type="name",
        example="hermes3",
        meaning="Model of requests and targets that name none.",
    ),
    KeyInfo(
        path="llm_custom_providers.*.capabilities",
        type="auto, or a list",
        default="auto",
        example="[text, tools]",
        meaning="What its backends can do; `auto` is all that the protocol can express.",
    ),
    KeyInfo(
        path="llm_custom_providers.*.quirks",
        type="list of quirks",
        default="[]",
        example="[no_developer]",
        meaning="How it deviates from its protocol.",
    ),
    KeyInfo(
        path="nearai.protocol",
        type="protocol",
        default="openai-chat",
        example="openai-chat",
        meaning="Wire protocol.",
    ),
    KeyInfo(
        path="nearai.base_url",
        type="URL",
        default="https://cloud-api.near.ai/v1",
        example="https://near.example/v1",
        meaning="Its address.",
    ),
    KeyInfo(
        path="nearai.api_key",
        type="secret",
        without="NEARAI_API_KEY",
        example="${NEARAI_API_KEY:-}",
        meaning="Its key.",
    ),
    KeyInfo(
        path="nearai.default_model",
        type="name",
        example="deepseek-ai/DeepSeek-V3.1",
        meaning="Model of requests and targets that name none.",
    ),
    KeyInfo(
        path="nearai.capabilities",
        type="auto, or a list",
        without="those of the built-in provider",
        example="[text, tools]",
        meaning="What it can do.",
    ),
    KeyInfo(
        path="nearai.quirks",
        type="list of quirks",
        without="what is known of the built-in provider",
        example="[]",
        meaning="How it deviates from its protocol.",
    ),
)
