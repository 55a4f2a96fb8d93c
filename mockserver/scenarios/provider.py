"""Types of a provider file: models, capabilities, API key, and deviations of a compatible host."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from .model import Item


class Auth(Struct, frozen=True):
    """The header that carries the API key, and the only key that the provider accepts."""

    header: str
    key: str


class Provider(Struct, frozen=True, kw_only=True):
    """One provider file. Keys that also exist in a backend of the proxy's config have the same meaning.

    `protocol` is the provider's own, `dialects` are further ones that it speaks on the same base path. `models` maps
    public names to upstream names. `replies` maps a story to this provider's own reply. `habits` are deviations of a
    compatible host from the protocol's owner.
    """

    name: str
    protocol: str
    dialects: tuple[str, ...] = ()
    base_path: str = ""
    models: dict[str, str] = {}
    default_model: str | None = None
    capabilities: tuple[str, ...] = ()
    limits: dict[str, Any] = {}
    quirks: tuple[str, ...] = ()
    priority: int | None = None
    max_tokens: int | None = None
    auth: Auth
    replies: dict[str, tuple[Item, ...]] = {}
    habits: tuple[str, ...] = ()
    file: str = ""

    @property
    def upstream_models(self) -> tuple[str, ...]:
        """The model names that the provider accepts in requests."""
        return tuple(dict.fromkeys(self.models.values()))

    @property
    def signature_maker(self) -> str:
        """The name of who reads its signatures: its protocol's owner on every platform, or the host itself.

        "signature values are compatible across platforms (Claude APIs, Amazon Bedrock, and Vertex AI)"
        https://platform.claude.com/docs/en/build-with-claude/extended-thinking#thinking-encryption
        Chat completions are spoken by many hosts, whose signatures are those of the models behind them.
        """
        return self.name if self.protocol == "openai-chat" else self.protocol

    def speaking(self, protocol: str) -> Provider:
        """Returns the provider as it speaks one of its dialects, or itself for its own protocol."""
        return self if protocol == self.protocol else replace(self, protocol=protocol)

    def account(self, backend: str) -> Provider:
        """Returns the provider as seen by one backend of a story: with a key for that backend, accepting any model."""
        return replace(self, models={}, default_model=None, auth=Auth(self.auth.header, f"{self.auth.key}-{backend}"))
