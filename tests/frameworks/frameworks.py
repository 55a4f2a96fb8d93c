"""Table of the frameworks: what must be installed, what each speaks, and how it asks for structured output."""

from __future__ import annotations

from msgspec import Struct

from .drivers.driver import AS_TEXT, BY_RESULT, BY_SHIP, Shape


class Framework(Struct, frozen=True):
    """A framework by one of the protocols that it speaks; `chats` is false where it has structured output alone."""

    driver: str
    protocol: str
    packages: tuple[str, ...]
    shapes: tuple[Shape, ...]
    chats: bool = True

    @property
    def name(self) -> str:
        return f"{self.driver}-by-{self.protocol}"


_AGENTS = (Shape("output_type", AS_TEXT),)
_PYDANTIC = (Shape("tool", BY_RESULT), Shape("native", AS_TEXT))
_LANGCHAIN = (Shape("json_schema", AS_TEXT), Shape("function_calling", BY_SHIP))
_LITELLM = (Shape("response_format", AS_TEXT),)

FRAMEWORKS: tuple[Framework, ...] = (
    Framework("openai_agents", "openai-chat", ("openai-agents",), _AGENTS),
    Framework("openai_agents", "openai-responses", ("openai-agents",), _AGENTS),
    Framework("pydantic_ai", "openai-chat", ("pydantic-ai-slim", "openai"), _PYDANTIC),
    Framework("pydantic_ai", "openai-responses", ("pydantic-ai-slim", "openai"), _PYDANTIC),
    Framework("pydantic_ai", "anthropic", ("pydantic-ai-slim", "anthropic"), _PYDANTIC[:1]),  # native: by Claude's name
    Framework("pydantic_ai", "gemini", ("pydantic-ai-slim", "google-genai"), _PYDANTIC),
    Framework("langchain", "openai-chat", ("langchain-openai",), _LANGCHAIN),
    Framework("langchain", "openai-responses", ("langchain-openai",), _LANGCHAIN),
    Framework("langchain", "anthropic", ("langchain-anthropic",), _LANGCHAIN),
    Framework("langchain", "gemini", ("langchain-google-genai",), _LANGCHAIN),
    Framework("langchain", "ollama", ("langchain-ollama",), _LANGCHAIN),
    Framework(
        "instructor",
        "openai-chat",
        ("instructor",),
        (Shape("TOOLS", BY_SHIP), Shape("JSON_SCHEMA", AS_TEXT), Shape("PARTIAL_TOOLS", BY_SHIP)),
        chats=False,
    ),
    Framework(
        "instructor",
        "anthropic",
        ("instructor",),
        (Shape("ANTHROPIC_TOOLS", BY_SHIP), Shape("PARTIAL_ANTHROPIC_TOOLS", BY_SHIP)),
        chats=False,
    ),
    Framework("litellm", "openai-chat", ("litellm",), _LITELLM),
    Framework("litellm", "anthropic", ("litellm",), (Shape("response_format", BY_SHIP),)),
    Framework("litellm", "gemini", ("litellm",), _LITELLM),
    Framework("litellm", "ollama", ("litellm",), _LITELLM),
)
