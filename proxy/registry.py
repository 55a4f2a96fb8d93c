"""The providers that need no description: where each is, what it speaks, which variable holds its key.

Rows are data; a new provider is a row. It knows no config and opens no socket: it reads the mapping it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct


class Row(Struct, frozen=True, kw_only=True):
    """A provider. `base_url` is what its protocol's official SDK takes; None where each account has its own.

    `capabilities` None means all that the protocol can say. `families` are the shell patterns of the model names that
    are its own, for a proxy without a config file; a provider without any is reached by its prefix alone.
    """

    name: str
    aliases: tuple[str, ...] = ()
    protocol: str
    base_url: str | None
    base_url_variable: str | None = None
    key_variable: str | None = None
    needs_key: bool = True
    capabilities: frozenset[str] | None = None
    quirks: frozenset[str] = frozenset()
    families: tuple[str, ...] = ()
    default_model: str | None = None
    own_key: str | None = None
    source: str = ""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The fields as they may be shown: without the key of a row that a config wrote."""
        shown = {field: getattr(self, field) for field in self.__struct_fields__}
        shown["own_key"] = None if self.own_key is None else "…"
        return list(shown.items())

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"

    def address(self, env: Mapping[str, str]) -> tuple[str | None, str]:
        """Its base URL, and the variable that says so, empty where it is the row's own."""
        given = env.get(self.base_url_variable or "")
        if not given:
            return self.base_url, ""
        return (ollama_address(given) if self.protocol == "ollama" else given), str(self.base_url_variable)

    def at_home(self, url: str, env: Mapping[str, str]) -> bool:
        """Whether this is its own address, where its key may go; one that has none of its own is where it is said."""
        homes = (self.base_url, self.address(env)[0])
        return self.base_url is None or url.rstrip("/") in [home.rstrip("/") for home in homes if home]

    @property
    def trigger(self) -> str | None:
        """The variable that, set, makes a backend of it where there is no config file."""
        if self.base_url is None:
            return None
        return self.key_variable if self.needs_key else self.base_url_variable

    def key(self, env: Mapping[str, str]) -> str | None:
        """The key that its variable holds, else its own; an empty variable counts as unset."""
        return env.get(self.key_variable or "") or self.own_key


_OPEN = frozenset(("text", "tools", "tools.parallel", "vision", "reasoning", "json_object", "json_schema"))
"""What hosts of open models can: the protocol's words without audio and documents, which none of them takes."""

_TEXT = _OPEN - {"vision"}
"""The same of hosts whose models see no images."""


# In the order in which name families are tried: the first that fits a name has it. The variables and addresses are what
# each provider's official SDK or documentation names.
ROWS: tuple[Row, ...] = (
    Row(
        name="openai",
        protocol="openai-chat",
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        key_variable="OPENAI_API_KEY",
        families=("gpt-*", "o[0-9]*", "chatgpt-*"),
        source="https://github.com/openai/openai-python#usage",
    ),
    Row(
        name="openai-responses",
        aliases=("openai_responses",),
        protocol="openai-responses",
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        key_variable="OPENAI_API_KEY",
        source="https://platform.openai.com/docs/api-reference/responses",
    ),
    Row(
        name="anthropic",
        aliases=("claude",),
        protocol="anthropic",
        base_url="https://api.anthropic.com",
        base_url_variable="ANTHROPIC_BASE_URL",
        key_variable="ANTHROPIC_API_KEY",
        families=("claude-*",),
        source="https://github.com/anthropics/anthropic-sdk-python#usage",
    ),
    Row(
        name="gemini",
        aliases=("google", "google-genai"),
        protocol="gemini",
        base_url="https://generativelanguage.googleapis.com",
        base_url_variable="GOOGLE_GEMINI_BASE_URL",
        key_variable="GEMINI_API_KEY",
        families=("gemini-*",),
        source="https://ai.google.dev/gemini-api/docs/api-key",
    ),
    Row(
        name="openrouter",
        aliases=("open_router", "open-router"),
        protocol="openai-chat",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        # "top_k", "reasoning_details": https://openrouter.ai/docs/api-reference/parameters and
        # https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks
        quirks=frozenset(("top_k", "reasoning_details")),
        families=("*/*",),
        source="https://openrouter.ai/docs/quickstart",
    ),
    Row(
        name="nearai",
        aliases=("near_ai", "near-ai", "near"),
        protocol="openai-chat",
        base_url="https://cloud-api.near.ai/v1",
        base_url_variable="NEARAI_BASE_URL",
        key_variable="NEARAI_API_KEY",
        capabilities=_OPEN,
        # "const { reasoning_effort, ...rest } = body; return rest;"
        quirks=frozenset(("no_reasoning_effort",)),
        source="https://ai-sdk.dev/providers/openai-compatible-providers/nearai",
    ),
    Row(
        name="groq",
        protocol="openai-chat",
        base_url="https://api.groq.com/openai/v1",
        base_url_variable="GROQ_BASE_URL",
        key_variable="GROQ_API_KEY",
        capabilities=_OPEN,
        # "for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning_content' is
        # unsupported)]": https://github.com/janhq/jan/issues/8136
        quirks=frozenset(("no_reasoning_content",)),
        source="https://console.groq.com/docs/openai",
    ),
    Row(
        name="deepseek",
        aliases=("deep_seek", "deep-seek"),
        protocol="openai-chat",
        base_url="https://api.deepseek.com",
        key_variable="DEEPSEEK_API_KEY",
        capabilities=frozenset(("text", "tools", "tools.parallel", "reasoning", "json_object")),
        # the request knows `max_tokens` and the roles system, user, assistant and tool, and of a turn with tool calls
        # "the reasoning_content must be fully passed back to the API in all subsequent requests":
        # https://api-docs.deepseek.com/api/create-chat-completion
        # https://api-docs.deepseek.com/guides/thinking_mode#tool-calls
        quirks=frozenset(("max_tokens", "no_developer", "no_parallel_tool_calls", "reasoning_content")),
        source="https://api-docs.deepseek.com/",
    ),
    Row(
        name="mistral",
        aliases=("mistral_ai", "mistral-ai"),
        protocol="openai-chat",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        capabilities=_OPEN,
        # the request's schema has `max_tokens` and no `stream_options`, takes no further fields, and its roles are
        # system, user, assistant and tool: https://docs.mistral.ai/api/endpoint/chat
        quirks=frozenset(("max_tokens", "no_developer", "no_stream_options")),
        source="https://docs.mistral.ai/api/endpoint/chat",
    ),
    Row(
        name="together",
        aliases=("togetherai", "together_ai", "together-ai"),
        protocol="openai-chat",
        base_url="https://api.together.ai/v1",
        base_url_variable="TOGETHER_BASE_URL",
        key_variable="TOGETHER_API_KEY",
        capabilities=_OPEN,
        # https://docs.together.ai/reference/chat-completions-1 has `max_tokens` and `top_k`
        quirks=frozenset(("max_tokens", "no_developer", "top_k")),
        source="https://docs.together.ai/docs/inference/openai-compatibility",
    ),
    Row(
        name="fireworks",
        aliases=("fireworksai", "fireworks_ai", "fireworks-ai"),
        protocol="openai-chat",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        capabilities=_OPEN,
        # https://docs.fireworks.ai/api-reference/post-chatcompletions has `top_k`
        quirks=frozenset(("top_k",)),
        source="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ),
    Row(
        name="xai",
        aliases=("x_ai", "grok"),
        protocol="openai-chat",
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        capabilities=_OPEN,
        source="https://docs.x.ai/docs/api-reference",
    ),
    Row(
        name="cerebras",
        protocol="openai-chat",
        base_url="https://api.cerebras.ai/v1",
        base_url_variable="CEREBRAS_BASE_URL",
        key_variable="CEREBRAS_API_KEY",
        capabilities=_TEXT,
        # "Our implementation does not expose developer directly."
        # https://inference-docs.cerebras.ai/resources/openai
        quirks=frozenset(("no_developer",)),
        source="https://inference-docs.cerebras.ai/resources/openai",
    ),
    Row(
        name="nvidia",
        aliases=("nvidia_nim", "nvidia-nim", "nim"),
        protocol="openai-chat",
        base_url="https://integrate.api.nvidia.com/v1",
        key_variable="NVIDIA_API_KEY",
        capabilities=_OPEN,
        # https://docs.api.nvidia.com/nim/reference/llm-apis has `max_tokens`
        quirks=frozenset(("max_tokens", "no_developer")),
        source="https://docs.api.nvidia.com/nim/reference/llm-apis",
    ),
    Row(
        name="azure-openai",
        aliases=("azure_openai", "azure openai", "azureopenai", "azure"),
        protocol="openai-chat",
        base_url=None,  # https://YOUR-RESOURCE-NAME.openai.azure.com/openai/v1
        key_variable="AZURE_OPENAI_API_KEY",
        source="https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
    ),
    Row(
        name="vllm",
        protocol="openai-chat",
        base_url="http://localhost:8000/v1",
        key_variable="VLLM_API_KEY",
        needs_key=False,
        capabilities=_OPEN,
        quirks=frozenset(("top_k",)),
        source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",
    ),
    Row(
        name="lmstudio",
        aliases=("lm_studio", "lm-studio"),
        protocol="openai-chat",
        base_url="http://localhost:1234/v1",
        needs_key=False,
        capabilities=_OPEN,
        # https://lmstudio.ai/docs/developer/openai-compat/chat-completions lists max_tokens and top_k
        quirks=frozenset(("max_tokens", "no_developer", "top_k")),
        source="https://lmstudio.ai/docs/developer/openai-compat",
    ),
    Row(
        name="llama.cpp",
        aliases=("llamacpp", "llama_cpp", "llama-cpp", "llama-server"),
        protocol="openai-chat",
        base_url="http://localhost:8080/v1",
        base_url_variable="LLAMA_BASE_URL",
        key_variable="LLAMA_API_KEY",
        needs_key=False,
        capabilities=_OPEN,
        quirks=frozenset(("top_k",)),
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    ),
    Row(
        name="ollama",
        protocol="ollama",
        base_url="http://localhost:11434",
        base_url_variable="OLLAMA_HOST",
        key_variable="OLLAMA_API_KEY",
        needs_key=False,
        families=("*",),
        source="https://github.com/ollama/ollama-python/blob/main/ollama/_client.py",
    ),
)


def index(custom: Iterable[Row] = ()) -> dict[str, Row]:
    """Every row by its name and its aliases in lower case; a custom row beats a built-in one, a name an alias."""
    found: dict[str, Row] = {}
    for rows in (ROWS, tuple(custom)):
        for row in rows:
            found.update((alias.lower(), row) for alias in row.aliases)
        for row in rows:
            found[row.name.lower()] = row
    return found


_BUILT_IN = index()


def find(name: str, custom: Iterable[Row] = ()) -> Row | None:
    """The row of this name or alias, in any case."""
    custom = tuple(custom)
    return (index(custom) if custom else _BUILT_IN).get(name.strip().lower())


def canonical(name: str, custom: Iterable[Row] = ()) -> str:
    """The one name of a provider that has several; a name that no row has stays what it is, in lower case."""
    row = find(name, custom)
    return name.strip().lower() if row is None else row.name


def ollama_address(text: str) -> str:
    """The URL that OLLAMA_HOST means: a host, `:port`, host:port or a URL, as ollama's own client reads it.

    A bare host has port 11434, a URL its scheme's own. An address to bind to is, for who calls it, this machine.
    Source: https://github.com/ollama/ollama-python/blob/main/ollama/_client.py (_parse_host)
    """
    scheme, mark, rest = text.strip(" \"'").partition("://")
    if not mark:
        scheme, rest = "http", scheme
    place, slash, path = rest.partition("/")
    if place.startswith(":") or not place:
        place = f"127.0.0.1{place}"
    if not mark and not re.search(r":[0-9]+$", re.sub(r"\[.*\]", "", place)):
        place += ":11434"
    for bound, dialled in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")):  # noqa: S104 - read, not bound to
        if place == bound or place.startswith(f"{bound}:"):
            place = dialled + place[len(bound) :]
    return f"{scheme}://{place}{slash}{path}"
