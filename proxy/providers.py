"""Table of the built-in providers: base URL, protocol, the environment variable of the key, capabilities, quirks.

A new provider is a new entry of PROVIDERS. The module does no I/O: functions take the environment as a mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct


class SpokenProtocol(Struct, frozen=True, kw_only=True):
    """A further protocol that a provider speaks with the same key, and where.

    Its base URL is the provider's without `ends_with`, and with `adds` behind it. With `bearer` the key goes into the
    header Authorization, whatever the protocol's own is. A `secondary` one reads less than its protocol has, so that it
    is used only where the provider's first one loses more. `host` is the name of its rows in the table of traits, where
    the provider's own do not hold for it.
    """

    protocol: str
    ends_with: str = ""
    adds: str = ""
    bearer: bool = False
    secondary: bool = False
    host: str = ""
    source: str = ""

    def base_url(self, url: str) -> str | None:
        """Returns the base URL of this protocol at a host with this one; None where it is not of the known form."""
        url = url.rstrip("/")
        return url.removesuffix(self.ends_with) + self.adds if url.endswith(self.ends_with) else None


class Provider(Struct, frozen=True, kw_only=True):
    """A provider. `base_url` is in the form that the protocol's official SDK takes; None if each account has its own.

    `capabilities` None means all that the protocol can express. `families` are shell patterns of the provider's
    model names, used where there is no config file; a provider without any is selected by prefix only.
    `host_traits` is false where a config's quirks stand in place of the provider's rows in the table of traits.
    `own_key` is a key that a config gave for it; `key_beginnings` are those of its keys, where no other provider's
    begin so; `source` is the documentation of its address and variables. `speaks` are the protocols that it has
    beside `protocol`.
    """

    name: str
    aliases: tuple[str, ...] = ()
    protocol: str
    speaks: tuple[SpokenProtocol, ...] = ()
    base_url: str | None
    base_url_variable: str | None = None
    key_variable: str | None = None
    needs_key: bool = True
    capabilities: frozenset[str] | None = None
    quirks: frozenset[str] = frozenset()
    families: tuple[str, ...] = ()
    default_model: str | None = None
    host_traits: bool = True
    key_beginnings: tuple[str, ...] = ()
    own_key: str | None = None
    source: str = ""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Returns the fields with the key of a config's provider masked."""
        quote_safely = {field: getattr(self, field) for field in self.__struct_fields__}
        quote_safely["own_key"] = None if self.own_key is None else "…"
        return list(quote_safely.items())

    def __repr__(self) -> str:
        return f"Provider({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"

    def host_of(self, protocol: str) -> str:
        """Returns the name of its rows in the table of traits in one of its protocols; empty where it has it not."""
        if protocol == self.protocol:
            return self.name
        return next((each.host or self.name for each in self.speaks if each.protocol == protocol), "")

    def address(self, env: Mapping[str, str]) -> tuple[str | None, str]:
        """Returns the base URL, and the name of the variable it is from (empty if it is the built-in one)."""
        given = env.get(self.base_url_variable or "")
        if not given:
            return self.base_url, ""
        return (ollama_address(given) if self.protocol == "ollama" else given), str(self.base_url_variable)

    def is_own_address(self, url: str, env: Mapping[str, str]) -> bool:
        """Returns true if the URL is the provider's own, so that its key may be sent there.

        A provider without a built-in base URL accepts any.
        """
        addresses = (self.base_url, self.address(env)[0])
        return self.base_url is None or url.rstrip("/") in [address.rstrip("/") for address in addresses if address]

    @property
    def enabling_variable(self) -> str | None:
        """Returns the variable whose presence creates a backend of this provider if there is no config file."""
        if self.base_url is None:
            return None
        return self.key_variable if self.needs_key else self.base_url_variable

    def key(self, env: Mapping[str, str]) -> str | None:
        """Returns the key in its variable, else its own; an empty variable counts as unset."""
        return env.get(self.key_variable or "") or self.own_key


_OPEN = frozenset(("text", "tools", "tools.parallel", "vision", "reasoning", "json_object", "json_schema"))
"""Capabilities of hosts of open models: those of the protocol without audio and documents, which none accepts."""

_TEXT = _OPEN - {"vision"}
"""The same for hosts whose models accept no images."""


_RESPONSES = SpokenProtocol(
    protocol="openai-responses", source="https://platform.openai.com/docs/api-reference/responses"
)
"""OpenAI's second protocol, at the address of its first."""


# Name families are tried in this order: the first that matches a name wins. Variables and addresses are those that each
# provider's official SDK or documentation names.
PROVIDERS: tuple[Provider, ...] = (
    Provider(
        name="openai",
        protocol="openai-chat",
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        key_variable="OPENAI_API_KEY",
        key_beginnings=("sk-proj-", "sk-svcacct-", "sk-admin-"),
        speaks=(_RESPONSES,),
        families=(
            *("gpt-*", "o[0-9]*", "chatgpt-*", "codex-*", "computer-use-*"),
            *("text-embedding-3-*", "text-embedding-ada-*", "davinci-*", "babbage-*"),
        ),
        source="https://github.com/openai/openai-python#usage",
    ),
    Provider(
        name="openai-responses",
        aliases=("openai_responses",),
        protocol="openai-responses",
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        key_variable="OPENAI_API_KEY",
        source="https://platform.openai.com/docs/api-reference/responses",
    ),
    Provider(
        name="anthropic",
        aliases=("claude",),
        protocol="anthropic",
        base_url="https://api.anthropic.com",
        base_url_variable="ANTHROPIC_BASE_URL",
        key_variable="ANTHROPIC_API_KEY",
        key_beginnings=("sk-ant-",),
        families=("claude-*",),
        source="https://github.com/anthropics/anthropic-sdk-python#usage",
    ),
    Provider(
        name="gemini",
        aliases=("google", "google-genai"),
        protocol="gemini",
        base_url="https://generativelanguage.googleapis.com",
        base_url_variable="GOOGLE_GEMINI_BASE_URL",
        key_variable="GEMINI_API_KEY",
        key_beginnings=("AIza",),
        families=("gemini-*", "gemma-*", "text-embedding-00[0-9]", "embedding-001"),
        source="https://ai.google.dev/gemini-api/docs/api-key",
    ),
    Provider(
        name="openrouter",
        aliases=("open_router", "open-router"),
        protocol="openai-chat",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        key_beginnings=("sk-or-",),
        speaks=(
            SpokenProtocol(
                protocol="anthropic",
                ends_with="/v1",
                bearer=True,
                source="https://openrouter.ai/docs/guides/guides/claude-code-integration",
            ),
            SpokenProtocol(
                protocol="openai-responses",
                source="https://openrouter.ai/docs/api/reference/responses/overview",
            ),
        ),
        families=("*/*",),
        source="https://openrouter.ai/docs/quickstart",
    ),
    Provider(
        name="nearai",
        aliases=("near_ai", "near-ai", "near"),
        protocol="openai-chat",
        base_url="https://cloud-api.near.ai/v1",
        base_url_variable="NEARAI_BASE_URL",
        key_variable="NEARAI_API_KEY",
        capabilities=_OPEN,
        source="https://ai-sdk.dev/providers/openai-compatible-providers/nearai",
    ),
    Provider(
        name="groq",
        protocol="openai-chat",
        base_url="https://api.groq.com/openai/v1",
        base_url_variable="GROQ_BASE_URL",
        key_variable="GROQ_API_KEY",
        key_beginnings=("gsk_",),
        capabilities=_OPEN,
        source="https://console.groq.com/docs/openai",
    ),
    Provider(
        name="deepseek",
        aliases=("deep_seek", "deep-seek"),
        protocol="openai-chat",
        base_url="https://api.deepseek.com",
        key_variable="DEEPSEEK_API_KEY",
        capabilities=frozenset(("text", "tools", "tools.parallel", "reasoning", "json_object")),
        families=("deepseek-*",),
        source="https://api-docs.deepseek.com/",
    ),
    Provider(
        name="mistral",
        aliases=("mistral_ai", "mistral-ai"),
        protocol="openai-chat",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        capabilities=_OPEN,
        families=("mistral-*", "ministral-*", "codestral-*", "devstral-*", "magistral-*", "pixtral-*"),
        source="https://docs.mistral.ai/api/endpoint/chat",
    ),
    Provider(
        name="together",
        aliases=("togetherai", "together_ai", "together-ai"),
        protocol="openai-chat",
        base_url="https://api.together.ai/v1",
        base_url_variable="TOGETHER_BASE_URL",
        key_variable="TOGETHER_API_KEY",
        capabilities=_OPEN,
        source="https://docs.together.ai/docs/inference/openai-compatibility",
    ),
    Provider(
        name="fireworks",
        aliases=("fireworksai", "fireworks_ai", "fireworks-ai"),
        protocol="openai-chat",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        key_beginnings=("fw_",),
        capabilities=_OPEN,
        source="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ),
    Provider(
        name="xai",
        aliases=("x_ai", "grok"),
        protocol="openai-chat",
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        key_beginnings=("xai-",),
        capabilities=_OPEN,
        families=("grok-*",),
        source="https://docs.x.ai/docs/api-reference",
    ),
    Provider(
        name="cerebras",
        protocol="openai-chat",
        base_url="https://api.cerebras.ai/v1",
        base_url_variable="CEREBRAS_BASE_URL",
        key_variable="CEREBRAS_API_KEY",
        key_beginnings=("csk-",),
        capabilities=_TEXT,
        source="https://inference-docs.cerebras.ai/resources/openai",
    ),
    Provider(
        name="nvidia",
        aliases=("nvidia_nim", "nvidia-nim", "nim"),
        protocol="openai-chat",
        base_url="https://integrate.api.nvidia.com/v1",
        key_variable="NVIDIA_API_KEY",
        key_beginnings=("nvapi-",),
        capabilities=_OPEN,
        source="https://docs.api.nvidia.com/nim/reference/llm-apis",
    ),
    Provider(
        name="azure-openai",
        aliases=("azure_openai", "azure openai", "azureopenai", "azure"),
        protocol="openai-chat",
        base_url=None,  # https://YOUR-RESOURCE-NAME.openai.azure.com/openai/v1
        key_variable="AZURE_OPENAI_API_KEY",
        speaks=(_RESPONSES,),
        source="https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
    ),
    Provider(
        name="vllm",
        protocol="openai-chat",
        base_url="http://localhost:8000/v1",
        key_variable="VLLM_API_KEY",
        needs_key=False,
        capabilities=_OPEN,
        source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",
    ),
    Provider(
        name="lmstudio",
        aliases=("lm_studio", "lm-studio"),
        protocol="openai-chat",
        base_url="http://localhost:1234/v1",
        needs_key=False,
        capabilities=_OPEN,
        source="https://lmstudio.ai/docs/developer/openai-compat",
    ),
    Provider(
        name="llama.cpp",
        aliases=("llamacpp", "llama_cpp", "llama-cpp", "llama-server"),
        protocol="openai-chat",
        base_url="http://localhost:8080/v1",
        base_url_variable="LLAMA_BASE_URL",
        key_variable="LLAMA_API_KEY",
        needs_key=False,
        capabilities=_OPEN,
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    ),
    Provider(
        name="ollama",
        protocol="ollama",
        base_url="http://localhost:11434",
        base_url_variable="OLLAMA_HOST",
        key_variable="OLLAMA_API_KEY",
        needs_key=False,
        speaks=(
            # "Ollama supports a subset of the OpenAI API": https://docs.ollama.com/api/openai-compatibility
            SpokenProtocol(
                protocol="openai-chat",
                adds="/v1",
                secondary=True,
                host="ollama-v1",
                source="https://docs.ollama.com/api/openai-compatibility",
            ),
        ),
        families=("*",),
        source="https://github.com/ollama/ollama-python/blob/main/ollama/_client.py",
    ),
)


def index(custom: Iterable[Provider] = ()) -> dict[str, Provider]:
    """Maps names and aliases in lower case to providers; a custom provider beats a built-in one, a name an alias."""
    found: dict[str, Provider] = {}
    for providers in (PROVIDERS, tuple(custom)):
        for provider in providers:
            found.update((alias.lower(), provider) for alias in provider.aliases)
        for provider in providers:
            found[provider.name.lower()] = provider
    return found


_BUILT_IN = index()


def find(name: str, custom: Iterable[Provider] = ()) -> Provider | None:
    """Returns the provider with this name or alias, case-insensitively."""
    custom = tuple(custom)
    return (index(custom) if custom else _BUILT_IN).get(name.strip().lower())


def canonical(name: str, custom: Iterable[Provider] = ()) -> str:
    """Returns the main name of the provider with this name or alias; an unknown name is returned in lower case."""
    provider = find(name, custom)
    return name.strip().lower() if provider is None else provider.name


def ollama_address(text: str) -> str:
    """Parses OLLAMA_HOST (a host, `:port`, host:port or a URL) as the official client does, and returns a URL.

    A bare host has port 11434, a URL the default port of its scheme. A wildcard bind address becomes loopback.
    Source: https://github.com/ollama/ollama-python/blob/main/ollama/_client.py (_parse_host)
    """
    scheme, mark, rest = text.strip(" \"'").partition("://")
    if not mark:
        scheme, rest = "http", scheme
    host, slash, path = rest.partition("/")
    if host.startswith(":") or not host:
        host = f"127.0.0.1{host}"
    if not mark and not re.search(r":[0-9]+$", re.sub(r"\[.*\]", "", host)):
        host += ":11434"
    for wildcard, loopback in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")):  # noqa: S104 - parsed, not bound to
        if host == wildcard or host.startswith(f"{wildcard}:"):
            host = loopback + host[len(wildcard) :]
    return f"{scheme}://{host}{slash}{path}"


class NameVendor(Struct, frozen=True, kw_only=True):
    """A vendor whose models have names of their own: the names that are its, and who serves them for it.

    `names` is a regular expression for a whole name in lower case. `providers` and `hosts` (ends of host names) are the
    vendor's own, and the clouds that serve its models by contract.
    """

    name: str
    names: str
    providers: frozenset[str]
    hosts: tuple[str, ...]


NAME_VENDORS: tuple[NameVendor, ...] = (
    # without gpt-oss, whose weights are open: https://openai.com/open-models/
    NameVendor(
        name="openai",
        names=r"(gpt-(?!oss)|chatgpt-|codex-|o[0-9]|text-embedding-(3|ada)|dall-e-|sora-).*",
        providers=frozenset(("openai", "openai-responses", "azure-openai")),
        hosts=(".openai.com", ".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"),
    ),
    NameVendor(
        name="anthropic",
        names=r"claude-.*",
        providers=frozenset(("anthropic",)),
        hosts=(
            ".anthropic.com",
            ".claude.com",
            ".amazonaws.com",
            "aiplatform.googleapis.com",
            ".services.ai.azure.com",
        ),
    ),
    NameVendor(
        name="gemini",
        names=r"(gemini|imagen|veo)-.*",
        providers=frozenset(("gemini",)),
        hosts=("generativelanguage.googleapis.com", "aiplatform.googleapis.com"),
    ),
    NameVendor(name="xai", names=r"grok-.*", providers=frozenset(("xai",)), hosts=(".x.ai",)),
)
"""The vendors of closed models, whose names mean nothing at any other."""


LOCAL_PROVIDERS = ("llama.cpp", "lmstudio", "ollama", "vllm")
"""Providers that run on the user's own machine, so that the prefix `local/` can stand for their backend."""

OPENROUTER_VENDORS = frozenset(
    (
        *(
            "ai21",
            "amazon",
            "anthropic",
            "baidu",
            "bytedance",
            "cohere",
            "deepseek",
            "google",
            "inception",
            "inflection",
        ),
        *(
            "liquid",
            "meta-llama",
            "microsoft",
            "minimax",
            "mistralai",
            "moonshotai",
            "nousresearch",
            "nvidia",
            "openai",
        ),
        *("perplexity", "qwen", "tencent", "x-ai", "z-ai"),
    )
)
"""First words of OpenRouter's model names, such as `openai/gpt-5`: https://openrouter.ai/models"""

TITLES = {
    "openai": "OpenAI",
    "openai-responses": "OpenAI Responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "ollama": "Ollama",
    "openrouter": "OpenRouter",
}
"""Names that are not written with one capital letter at their beginning."""


def title_of(provider: str) -> str:
    """The provider's name as people write it, for a log line."""
    return TITLES.get(provider, provider.capitalize())


TRACE_NAMES = {
    "openai": "openai",
    "openai-responses": "openai",
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
    "azure-openai": "azure.ai.openai",
    "deepseek": "deepseek",
    "groq": "groq",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Names of providers in the registry whose well-known name in the conventions is another, or the same for sure.

"If one of them applies, then the respective value MUST be used; otherwise, a custom value MAY be used."
https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md
"""
