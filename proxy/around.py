"""What stands around the chat: which addresses there are beside it, whose they are, and what each does.

One table, from which the server takes its routes. It knows no socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from . import models, wire
from .counting import count
from .embeddings import embed
from .errand import Asking, Errand
from .errors import ClientError, Malformed, RequestError, failure
from .forward import compact, stored
from .gateway import Gateway
from .protocols.contract import Where
from .routing import Plan
from .told import Whole

_SIGNS = {"x-goog-api-key": "gemini", "anthropic-version": "anthropic", "x-api-key": "anthropic"}

Look = Callable[[Plan, Asking], dict[str, Any]]
"""What the plan alone can answer."""

Work = Callable[[Errand], Awaitable[Whole]]
"""What a backend is asked for."""


class Place(Struct, frozen=True):
    """An address and what it does. `frontend` None is the client's protocol by what it sends; `{tail}` is a model,
    `{name}` the id of a response, `method` what is asked of it."""

    verb: str
    paths: tuple[str, ...]
    frontend: str | None
    looks: Mapping[str, Look] = {}
    work: Work | None = None
    what: str = ""
    method: str | None = None
    has_body: bool = True


def by_signs(headers: Mapping[str, str], fields: Iterable[str]) -> str:
    """Whose client this is, by the credentials and the version that only one protocol's clients send."""
    for header, name in _SIGNS.items():
        if header in headers:
            return name
    return "gemini" if "key" in fields else "openai-chat"


def _both(path: str) -> tuple[str, str]:
    """With and without the version: clients' base URLs have it or not."""
    return f"/v1{path}", path


_LISTS: dict[str, Look] = {
    "openai-chat": models.list_openai,
    "anthropic": models.list_anthropic,
    "gemini": models.list_gemini,
    "ollama": models.list_ollama,
}
_SHOWN: dict[str, Look] = {
    "openai-chat": models.show_openai,
    "anthropic": models.show_anthropic,
    "gemini": models.show_gemini,
    "ollama": models.show_ollama,
}

PLACES: tuple[Place, ...] = (
    # models, by the caller where three protocols have one address
    Place("GET", _both("/models"), None, _LISTS, has_body=False),
    Place("GET", _both("/models/{tail}"), None, _SHOWN, has_body=False),
    Place("GET", ("/v1beta/models",), "gemini", _LISTS, has_body=False),
    Place("GET", ("/v1beta/models/{tail}",), "gemini", _SHOWN, has_body=False),
    Place("GET", ("/api/tags",), "ollama", _LISTS, has_body=False),
    Place("POST", ("/api/show",), "ollama", _SHOWN),
    Place("GET", ("/api/version",), "ollama", {"ollama": models.version_ollama}, has_body=False),
    # tokens
    Place("POST", _both("/messages/count_tokens"), "anthropic", work=count, what="count"),
    Place("POST", _both("/responses/input_tokens"), "openai-responses", work=count, what="count"),
    # embeddings
    Place("POST", _both("/embeddings"), "openai-chat", work=embed, what="embeddings"),
    Place("POST", ("/api/embed",), "ollama", work=embed, what="embeddings", method="embed"),
    Place("POST", ("/api/embeddings",), "ollama", work=embed, what="embeddings", method="embeddings"),
    # what a Responses backend's store holds
    Place("POST", _both("/responses/compact"), "openai-responses", work=compact, what="compact"),
    Place("GET", _both("/responses/{name}"), "openai-responses", work=stored, what="stored", has_body=False),
    Place("DELETE", _both("/responses/{name}"), "openai-responses", work=stored, what="stored", has_body=False),
    Place(
        *("POST", _both("/responses/{name}/cancel"), "openai-responses"),
        work=stored,
        what="stored",
        method="cancel",
        has_body=False,
    ),
    Place(
        *("GET", _both("/responses/{name}/input_items"), "openai-responses"),
        work=stored,
        what="stored",
        method="input_items",
        has_body=False,
    ),
)

METHODS: dict[str, Place] = {
    "countTokens": Place("POST", (), "gemini", work=count, what="count"),
    "embedContent": Place("POST", (), "gemini", work=embed, what="embeddings", method="embedContent"),
    "batchEmbedContents": Place("POST", (), "gemini", work=embed, what="embeddings", method="batchEmbedContents"),
}
"""What a Gemini client may ask of a model beside its answers, by the last word of the chat's own address."""


async def answer(gateway: Gateway, place: Place, asking: Asking) -> Whole:
    """What this place does."""
    if place.work is not None:
        return await Errand(gateway, asking, place.what).run(place.work)
    try:
        if place.has_body:
            asking = _shown(asking)
        found = place.looks[asking.frontend.name](gateway.config.plan, asking)
    except RequestError as fault:
        return gateway.reject(asking.frontend, fault.failure)
    return Whole(200, {"content-type": "application/json"}, wire.encode(found))


def _shown(asking: Asking) -> Asking:
    """Ollama names in the body what it wants to be shown: `model`, or `name` as older clients do."""
    try:
        body = wire.parse_object(asking.body)
        name = wire.take(body, "model", str) or wire.take(body, "name", str)
        if not name:
            raise Malformed("model", "is required and must be a string")
    except Malformed as fault:
        raise ClientError(failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)) from None
    return replace(asking, where=Where(name))
