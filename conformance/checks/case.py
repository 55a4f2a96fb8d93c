"""Inputs of the checks of one exchange: story, provider, both protocols, and the matrix's expectations."""

from __future__ import annotations

from msgspec import Struct

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import Exchange, Story

from ..client.protocol import ClientProtocol
from ..matrix.expectations import Expectations, SideLimits

CLIENT_KEY = "client-key-that-must-stay-here"
"""The client's credential, which must never reach a provider."""


class Case(Struct, frozen=True):
    """Everything that an exchange is checked against; `expected` is the request that the story describes."""

    story: Story
    step_index: int
    exchange: Exchange
    provider: Provider
    client: ClientProtocol
    upstream: ClientProtocol
    matrix: Expectations
    expected: ParsedRequest
    model: str
    backend: str = ""
    """The backend of the story's own proxy that received the last request."""

    @property
    def same_protocol(self) -> bool:
        return self.client.name == self.upstream.name

    @property
    def upstream_side(self) -> SideLimits:
        return self.matrix.protocols[self.upstream.name].backend

    @property
    def client_side(self) -> SideLimits:
        return self.matrix.protocols[self.client.name].frontend

    @property
    def unreportable(self) -> list[str]:
        """Content of the story that the client's protocol cannot carry, so that the reply must be refused."""
        features = self.client_side.refuses.keys() | (self.client_side.losses.keys() if self.story.is_strict else set())
        return [feature for feature in self.story.refused if feature in features]
