"""Compares the kind of an error that a client receives with the kind that the provider sent."""

from __future__ import annotations

import json
import re

from ..client.protocol import ParsedError

MORE_SPECIFIC_KINDS: dict[str, tuple[str, ...]] = {
    "bad_request": ("not_found",),
    "internal": ("bad_request", "rate_limit"),
}
"""Kind of an error by status -> more specific kinds that its code may give."""

PROXY_AUTH_KINDS = ("authentication", "permission")
"""Kinds of errors about the proxy's own key, which the client receives as `internal`."""


OF_THE_ACCOUNT = re.compile(
    # https://platform.openai.com/docs/guides/error-codes/api-errors, https://console.x.ai
    r"insufficient_quota|credit_balance_exhausted|billing_\w+|Incorrect API key provided"
    # the quota of a day, which no client can wait for: https://ai.google.dev/gemini-api/docs/rate-limits
    r"|\"quotaId\": \"\w*PerDay"
)
"""Words of an error about the key or the credit of whoever runs the proxy, whatever its status is."""


def kind_errors(sent: ParsedError, received: ParsedError) -> list[str]:
    """Returns an error if the client receives another kind of error than the provider's is to a client."""
    told = json.dumps([sent.message, sent.code, sent.native], ensure_ascii=False, default=str)
    is_own = sent.kind in PROXY_AUTH_KINDS or OF_THE_ACCOUNT.search(told) is not None
    expected = "internal" if is_own else sent.kind
    if received.kind == expected or received.kind in MORE_SPECIFIC_KINDS.get(sent.kind, ()):
        return []
    return [f"error: the provider sent {sent.kind}, the client receives {received.kind}"]
