"""Applies the mock's rules to requests, so that a request that a provider would refuse is seen to be wrong."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Thinking, ToolCall
from crosswire.mockserver.scenarios.provider import Auth, Provider

KEY = "recorded"
VENDOR = "vendor"

AUTH_HEADERS: dict[str, str] = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}
"""Protocol -> the header of the key, where it is not `authorization`."""

REQUEST_HEADERS: dict[str, str] = {
    "authorization": f"Bearer {KEY}",
    "x-api-key": KEY,
    "x-goog-api-key": KEY,
    "anthropic-version": "2023-06-01",
}

TAKES_UNKNOWN_FIELDS = ("ignores_unknown",)
"""Habits of a host that is compatible with a protocol without owning it."""

OWNERS: dict[str, tuple[str, ...]] = {
    "openai-chat": ("api.openai.com", "openai"),
    "openai-responses": ("api.openai.com", "openai", "api", "**REDACTED**"),
}
"""Protocol -> hosts of its owner as recordings name them; any other host of these protocols is a compatible one."""


def vendor_refusal(
    protocol: str,
    path: str,
    body: Any,
    *,
    known: Iterable[ParsedRequest] = (),
    headers: Mapping[str, str] | None = None,
    compatible: bool = False,
) -> str | None:
    """Returns the message with which a provider would refuse the request, or None if it takes it.

    The signatures in the `known` requests count as the provider's own, any other as foreign. `compatible` is a host
    that does not own the protocol.
    """
    habits = TAKES_UNKNOWN_FIELDS if compatible else ()
    auth = Auth(AUTH_HEADERS.get(protocol, "authorization"), KEY)
    provider = Provider(name=VENDOR, protocol=protocol, auth=auth, habits=habits)
    own = _own_signatures(provider, known)
    given = {name.lower(): value for name, value in (headers or {}).items()} | REQUEST_HEADERS
    failure = MOCK_PROTOCOLS[protocol].validate_request(path, given, _with_own(body, own) if own else body, provider)
    return None if failure is None else failure.message


def _own_signatures(provider: Provider, known: Iterable[ParsedRequest]) -> dict[str, str]:
    """Maps each signature to one that the mock would have issued as this vendor."""
    own: dict[str, str] = {}
    for request in known:
        for block in (block for turn in request.turns for block in turn.blocks):
            if isinstance(block, Thinking | ToolCall) and block.signature:
                redacted = isinstance(block, Thinking) and block.redacted
                value = f"sig:{provider.signature_maker}:recorded:{len(own)}" + (":redacted" if redacted else "")
                own[block.signature] = b64encode(value.encode()).decode() if provider.protocol == "gemini" else value
    return own


def _with_own(value: Any, own: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return own.get(value, value)
    if isinstance(value, list):
        return [_with_own(inner, own) for inner in value]
    if isinstance(value, dict):
        return {key: _with_own(inner, own) for key, inner in value.items()}
    return value
