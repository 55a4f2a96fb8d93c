"""What can go wrong, and whose fault it was. It knows kinds and statuses, no dialect's wording.

CrosswireError
├── ConfigError          the config is wrong: every complaint at once, before anything is served
│   └── StoreError       its database cannot be used, or a change of it was refused
├── Malformed            a JSON value is not what its dialect says; only this module's callers know whose it was
└── RequestError         one request ends; carries the Failure that the client hears
    ├── ClientError      the client broke a rule: 4xx
    ├── UpstreamError    the backend failed or did not speak its protocol: 5xx, or its own 4xx passed on
    └── Refused          nothing fits: no backend may serve this, by config, capability or ledger
"""

from __future__ import annotations

from collections.abc import Sequence

from .ir import Failure

STATUS: dict[str, int] = {
    "bad_request": 400,
    "context_length": 400,
    "content_filter": 400,
    "capability": 400,
    "loss": 400,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
    "model_not_found": 404,
    "method_not_allowed": 405,
    "too_slow": 408,
    "too_large": 413,
    "media_type": 415,
    "unprocessable": 422,
    "upgrade_required": 426,
    "rate_limit": 429,
    "internal": 500,
    "upstream_auth": 502,
    "no_credentials": 502,
    "upstream_error": 502,
    "upstream_cut": 502,
    "upstream_garbage": 502,
    "upstream_unreachable": 502,
    "overloaded": 503,
    "draining": 503,
    "upstream_timeout": 504,
}
"""Every kind of failure and the HTTP status that it has for a client; each dialect adds its own words for them."""

MESSAGE_LIMIT = 2000
"""Characters of an upstream's message that are passed on."""

_OWN_WORDS = {
    "upstream_auth": "The backend refused the proxy's own credentials; check the api_key of this backend.",
    "upstream_error": "The backend failed to answer.",
    "overloaded": "The backend is overloaded; try again later.",
    "upstream_timeout": "The backend took too long to answer.",
    "upstream_garbage": "The backend's answer is not of its protocol.",
}


class CrosswireError(Exception):
    """The root of all that this project raises on purpose."""


class ConfigError(CrosswireError):
    """The config cannot be used; `complaints` are ready to print, one a line, each with file, line and path."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)


class StoreError(ConfigError):
    """The store cannot be used as asked; says which, why and what to do, and never a secret."""

    def __init__(self, complaint: str) -> None:
        super().__init__([complaint])


class Malformed(CrosswireError):
    """A value is not what the dialect says; `path` grows outward as the error leaves each container."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what

    def under(self, container: str) -> Malformed:
        """The same complaint, one container further out."""
        joint = "" if self.path.startswith("[") or not self.path else "."
        return Malformed(f"{container}{joint}{self.path}", self.what)

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what


class RequestError(CrosswireError):
    """One request ends with this failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ClientError(RequestError):
    """The client broke a rule."""


class UpstreamError(RequestError):
    """The backend failed."""


class Refused(RequestError):
    """No backend may serve this request."""


def failure(kind: str, message: str, *, code: str | None = None, param: str | None = None) -> Failure:
    """A failure of this kind with the status that the table gives it."""
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
    """What a backend's error means to a client.

    Of 400, 404, 413, 422 and 429 the upstream's message is passed on, capped, because agents act on such texts; of the
    rest (our key, the backend's own trouble) the words are ours. `kind` overrides what the status says, when the
    dialect's own error type says more.
    """
    kind = kind or _kind_of_status(status)
    own = _OWN_WORDS.get(kind)
    text = own or (message or "The backend refused the request without saying why.")[:MESSAGE_LIMIT]
    return Failure(kind, text, STATUS[kind], code=code if own is None else kind, param=param, retry_after=retry_after)


def _kind_of_status(status: int) -> str:
    match status:
        case 400:
            return "bad_request"
        case 401 | 402 | 403 | 407:
            return "upstream_auth"
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
