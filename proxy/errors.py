"""Exceptions of the proxy, and the kinds of failure with their HTTP statuses; protocols add their own error shapes.

CrosswireError
├── ConfigError          the config is invalid: all errors at once, raised before anything is served
│   └── StoreError       the store's database cannot be used, or rejected a change
│       └── MissingStoreError  there is no store in it yet
├── Malformed            a JSON value violates its protocol; the caller knows whether client or backend sent it
└── RequestError         ends one request; carries the Failure for the client
    ├── ClientError      the client's request is invalid: 4xx
    ├── UpstreamError    the backend failed or broke its protocol: 5xx, or its own 4xx passed on
    └── Refused          no backend may serve this request, by config, capability or loss rule
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .ir import Failure

STATUS: dict[str, int] = {
    "bad_request": 400,
    "context_length": 400,
    "content_filter": 400,
    "capability": 400,
    "loss": 400,
    "authentication": 401,
    "budget": 402,
    "permission": 403,
    "not_found": 404,
    "model_not_found": 404,
    "method_not_allowed": 405,
    "too_slow": 408,
    "too_large": 413,
    "media_type": 415,
    "misdirected": 421,
    "content_coding": 415,
    "unprocessable": 422,
    "expectation": 417,
    "upgrade_required": 426,
    "rate_limit": 429,
    "over_limit": 429,
    "header_too_large": 431,
    "internal": 500,
    "upstream_auth": 502,
    "upstream_quota": 502,
    "upstream_region": 502,
    "upstream_moderation": 502,
    "upstream_forbidden": 502,
    "upstream_dns": 502,
    "no_credentials": 502,
    "upstream_error": 502,
    "upstream_cut": 502,
    "upstream_garbage": 502,
    "upstream_unreachable": 502,
    "overloaded": 503,
    "draining": 503,
    "out_of_resources": 503,
    "upstream_timeout": 504,
    "loop": 508,
    "stream_limit": 504,
}
"""Every kind of failure and its HTTP status for the client; protocols map the kinds to their own error types.

401, 402 and 403 are for the client's own key, budget and permission; what a backend refuses the proxy is a 502. An
`upstream_quota` that ends at a known time is a 503 with that time in `retry-after`.
"""

MESSAGE_LIMIT = 2000
"""Maximum length in characters of an upstream error message that is passed on."""

CONNECTION_BROKE = "Server error: the backend's connection broke before its answer ended."
STREAM_ENDED = "Server error: the backend's stream ended before its answer did."
BODY_ENDED = "Server error: the backend's answer ended before its JSON did."
"""Several agents try a broken stream again only where its text has the words "server error", for it has no status.

https://github.com/badlogic/pi-mono (isRetryableError)
"""

_FIXED_MESSAGES = {
    "upstream_auth": "The backend refused the proxy's own credentials; check the api_key of this backend.",
    "upstream_quota": "The backend's credit or quota for the proxy's own key is used up (upstream_quota).",
    "upstream_region": "The backend does not serve the region that the proxy is in (upstream_region).",
    "upstream_timeout": "The backend took too long to answer.",
    "upstream_garbage": "The backend's answer is not of its protocol.",
    "loop": "The backend found this request in a loop of proxies; check the base_url of this backend.",
}
"""Kinds whose message never comes from the upstream."""

_DEFAULT_MESSAGES = {
    "upstream_error": "The backend failed to answer.",
    "overloaded": "The backend is overloaded; try again later.",
}
"""The message of a kind where the upstream gave none."""

_TRACE = re.compile(r"Traceback \(most recent call last\)|\n\s+(?:at|File) ")
"""Matches a program's traceback, which some hosts send for a message."""

_INTRODUCTIONS = {
    "upstream_moderation": "The backend's moderation refused the request (upstream_moderation)",
    "upstream_forbidden": "The backend does not allow the proxy's own key this model (upstream_forbidden)",
}
"""Kinds whose message is introduced, because the client must not take it for a failure of its own key."""


class CrosswireError(Exception):
    """Base class of this project's exceptions."""


class ConfigError(CrosswireError):
    """The config is invalid; `complaints` are the printable messages, each with file, line and path."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)


class StoreError(ConfigError):
    """The store cannot be used; the message says why and how to fix it, and contains no secret."""

    def __init__(self, complaint: str) -> None:
        super().__init__([complaint])


class MissingStoreError(StoreError):
    """There is no store in the database that is configured for one."""


class Malformed(CrosswireError):
    """A value violates its protocol; `path` is its position, extended by each container the error passes."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what

    def under(self, container: str) -> Malformed:
        """Returns this error with `container` prepended to its path."""
        joint = "" if self.path.startswith("[") or not self.path else "."
        return Malformed(f"{container}{joint}{self.path}", self.what)

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what


class RequestError(CrosswireError):
    """Ends one request with this failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ClientError(RequestError):
    """The client's request is invalid."""


class UpstreamError(RequestError):
    """The backend failed. `was_sent` is false where nothing of the request can have reached it."""

    def __init__(self, failure: Failure, *, was_sent: bool = True) -> None:
        super().__init__(failure)
        self.was_sent = was_sent


class Refused(RequestError):
    """No backend may serve this request."""


def failure(kind: str, message: str, *, code: str | None = None, param: str | None = None) -> Failure:
    """Builds a failure of this kind, with its status from STATUS and the kind as the default code."""
    return Failure(kind, message, STATUS[kind], code=code or kind, param=param)


def upstream_failure(
    status: int,
    message: str | None = None,
    *,
    kind: str | None = None,
    code: str | None = None,
    param: str | None = None,
    retry_after: float | None = None,
) -> Failure:
    """Maps a backend's error response to the failure for the client.

    The upstream's message is passed on, truncated, because agents act on such texts; where it would tell of the proxy's
    own account, or of nothing but a timeout, the message is fixed. `kind` overrides the kind of the status where the
    protocol's error type is more specific.
    """
    if status == 508:
        kind = "loop"  # another proxy says so, and no protocol has a more specific type for it
    if status < 400 or (message is not None and _TRACE.search(message)):
        message = None  # a redirect's text is about another address, a traceback's about the inside of a program
    kind = kind or _kind_of_status(status)
    fixed = _FIXED_MESSAGES.get(kind)
    default = _DEFAULT_MESSAGES.get(kind, "The backend refused the request without saying why.")
    text = fixed or message or default
    if (introduction := _INTRODUCTIONS.get(kind)) is not None:
        text, code = f"{introduction}: {text}", kind
    if fixed is not None or status < 400:
        code = kind
    told = 503 if kind == "upstream_quota" and retry_after is not None else STATUS[kind]
    return Failure(kind, text[:MESSAGE_LIMIT], told, code=code, param=param, retry_after=retry_after)


def upstream_cut() -> Failure:
    """The failure for a stream that ended before its reply was complete."""
    return upstream_failure(502, kind="upstream_cut", message=STREAM_ENDED)


def body_cut() -> Failure:
    """The failure for an answer of which only the beginning came, though the connection ended as it should."""
    return upstream_failure(502, kind="upstream_cut", message=BODY_ENDED)


def connection_cut() -> Failure:
    """The failure for a connection that broke within an answer."""
    return upstream_failure(502, kind="upstream_cut", message=CONNECTION_BROKE)


def _kind_of_status(status: int) -> str:
    match status:
        case 400:
            return "bad_request"
        case 401 | 403 | 407:
            return "upstream_auth"
        case 402:  # "402 - Insufficient Balance" https://api-docs.deepseek.com/quick_start/error_codes
            return "upstream_quota"
        case 404:
            return "not_found"
        case 408 | 504:
            return "upstream_timeout"
        case 413:
            return "too_large"
        case 422:
            return "unprocessable"
        case 429:
            return "rate_limit"
        case 503 | 529:
            return "overloaded"
        case _:
            return "upstream_error"
