"""The HTTP headers of the proxy itself; names are lower case."""

from __future__ import annotations

# ---- what a client may send ------------------------------------------------------------------------------------------

BACKEND = "x-crosswire-backend"
"""In a request: the backend that it is pinned to. In a response: the backend that answered."""

MODE = "x-crosswire-mode"
"""The named mode of the config that a request is routed by."""

STRICT = "x-crosswire-strict"
"""`1`: any loss refuses a candidate, and an answer with a loss is an error."""

CONTROL = (STRICT, BACKEND, MODE)
"""Every header of a client that controls the gateway."""

VIA = "x-crosswire-via"
"""The ids of the proxies that a request came through, separated by commas; the sign of a loop."""

TRACE = ("traceparent", "tracestate")
"""The span that a request is part of, which its trace continues where there is `tracing`.

https://www.w3.org/TR/trace-context/
"""

USER_AGENT = "user-agent"
"""The client's program, by which the table of agents knows it."""

# ---- what a response carries -----------------------------------------------------------------------------------------

REQUEST_ID = "x-request-id"
MODEL = "x-crosswire-model"
ROUTE = "x-crosswire-route"
ATTEMPTS = "x-crosswire-attempts"
LOSS = "x-crosswire-loss"

ROUTING = (BACKEND, MODEL, ROUTE, ATTEMPTS, LOSS)
"""The response headers that the config's `response_headers` chooses from."""

COST = "x-crosswire-cost"
"""The cost of the answer in dollars, where the config asks for it and the price is known."""

ESTIMATE = "x-crosswire-estimate"
"""`1`: the number of tokens in this answer is an estimate."""

SHOULD_RETRY = "x-should-retry"
"""`false`: the official SDKs must not send this request again."""

SERVER = {"server": "crosswire"}
"""Replaces the HTTP server library's own name and version."""


def printable(text: str) -> str:
    """Text that may come from a client, made safe for a header: printable ASCII, one line, at most 256 characters."""
    text = text[:256]
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)
