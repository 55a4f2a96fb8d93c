"""Compares the kind of an error that a client receives with the kind that the provider sent."""

from __future__ import annotations

MORE_SPECIFIC_KINDS: dict[str, tuple[str, ...]] = {
    "bad_request": ("not_found",),
    "internal": ("bad_request", "rate_limit"),
}
"""Kind of an error by status -> more specific kinds that its code may give."""

PROXY_AUTH_KINDS = ("authentication", "permission")
"""Kinds of errors about the proxy's own key, which the client receives as `internal`."""


def kind_errors(sent: str, received: str) -> list[str]:
    """Returns an error if the client receives another kind of error than the provider's is to a client."""
    expected = "internal" if sent in PROXY_AUTH_KINDS else sent
    if received == expected or received in MORE_SPECIFIC_KINDS.get(sent, ()):
        return []
    return [f"error: the provider sent {sent}, the client receives {received}"]
