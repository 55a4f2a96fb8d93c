"""Reference of the keys of the shared state."""

from __future__ import annotations

from .key_info import REQUIRED, KeyInfo

SHARED_STATE_KEYS: tuple[KeyInfo, ...] = (
    KeyInfo(
        path="state.url",
        type="memory, or URL",
        without=REQUIRED,
        example="valkeys://:${STATE_PASSWORD:-}@state.internal:6379/0",
        meaning="The server's URL; a password in it is percent-encoded.",
    ),
    KeyInfo(
        path="state.ca_file",
        type="path",
        without="the system's authorities",
        example="~/certs/private-ca.pem",
        meaning="PEM file of the authorities that are trusted for a server with TLS, beside the system's.",
    ),
    KeyInfo(
        path="state.prefix",
        type="name",
        default="crosswire",
        example="team-a",
        meaning="Beginning of every key there; deployments with different ones can use one server.",
    ),
    KeyInfo(
        path="state.timeout_s",
        type="seconds",
        default="0.25",
        example="0.1",
        meaning="Time for which a request waits for the state at most; after it the rules of `fails` hold.",
    ),
    KeyInfo(
        path="state.lease_s",
        type="seconds, at least 1",
        default="15",
        example="30",
        meaning="Time after which what a replica that died had reserved is free again.",
    ),
    KeyInfo(
        path="state.fails",
        type="mapping",
        default="{}",
        example="{budgets: closed}",
        meaning="The rule for each kind of limit while the state does not answer.",
    ),
    KeyInfo(
        path="state.fails.limits",
        type="local, open or closed",
        default="local",
        example="open",
        meaning="For requests and tokens: `local` has each replica count alone, `open` lets all through, `closed` "
        "refuses with 503.",
    ),
    KeyInfo(
        path="state.fails.budgets",
        type="local, open or closed",
        default="local",
        example="closed",
        meaning="The same for budgets; `local` goes on from what was spent when the state answered last.",
    ),
    KeyInfo(
        path="state.fails.concurrency",
        type="local, open or closed",
        default="local",
        example="open",
        meaning="The same for requests at once.",
    ),
)
