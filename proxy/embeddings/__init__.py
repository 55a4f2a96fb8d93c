"""Embeddings: any client's request for vectors to any backend that makes them.

It knows who speaks which dialect, and no dialect's words. Both of OpenAI's protocols have the same embeddings.
"""

from __future__ import annotations

from typing import Any

from .. import wire
from ..backends.door import Door
from ..counting import of_text
from ..errand import Errand, Job
from ..errors import Malformed, UpstreamError
from ..ir import Failure, Usage
from ..protocols.contract import Target
from ..relay import Relay
from ..told import Whole
from . import gemini, ollama, openai
from .contract import Dialect, Embedded, EmbedRequest

__all__ = ["DIALECTS", "embed"]

DIALECTS: dict[str, Dialect] = {
    "openai-chat": openai.DIALECT,
    "openai-responses": openai.DIALECT,
    "gemini": gemini.DIALECT,
    "ollama": ollama.DIALECT,
}
"""By protocol; Anthropic has no embeddings: https://platform.claude.com/docs/en/build-with-claude/embeddings"""

NEEDED = frozenset(("embeddings",))


async def embed(errand: Errand) -> Whole:
    """The vectors of the texts in the body, from whichever backend makes them for this model."""
    asking = errand.asking
    dialect = DIALECTS[asking.frontend.name]
    request = errand.understood(lambda body: dialect.decode_request(body, asking.where))

    def job(door: Door, target: Target) -> Job[tuple[Embedded | None, bytes]] | str:
        backend = door.backend
        theirs = DIALECTS.get(backend.protocol)
        if theirs is None:
            return f"{backend.protocol} has no embeddings"
        if theirs is dialect and backend.relay != "never":
            relay = Relay(asking.frontend, request.model, target.model)
            body = asking.body
            if request.model != target.model:
                body = wire.encode(dialect.renamed(wire.parse_object(body), target.model))
            return Job(
                lambda raw: _relayed(raw, relay, dialect), theirs.path(target.model, request.single), body, relayed=True
            )
        payload, losses = theirs.encode_request(request, target.model)
        return Job(
            lambda raw: _converted(raw, request, theirs),
            theirs.path(target.model, False),
            wire.encode(payload),
            losses=tuple(losses),
        )

    embedded, raw = await errand.ask(request.model, NEEDED, job)
    if embedded is not None and embedded.tokens is not None:
        errand.record.usage = Usage(input=embedded.tokens)
    if raw or embedded is None:
        return errand.answer(raw)
    tokens = embedded.tokens
    guess = sum(of_text(item.content) if isinstance(item.content, str) else len(item.content) for item in request.items)
    try:
        answer = dialect.encode_reply(embedded, request, guess if tokens is None else tokens)
    except Malformed as fault:
        text = f"Backend '{errand.record.backend_used}' sent what cannot be told ({fault})."
        raise UpstreamError(Failure("upstream_garbage", text, 502, code="upstream_garbage")) from None
    return errand.answer(wire.encode(answer), is_estimate=tokens is None and "usage" in answer)


def _relayed(raw: bytes, relay: Relay, dialect: Dialect) -> tuple[Embedded | None, bytes]:
    """An equal backend's own bytes, and what could be read of them."""
    body: dict[str, Any] = wire.parse_object(raw)
    try:
        return dialect.decode_reply(body), relay.reply(raw)
    except Malformed:
        return None, relay.reply(raw)  # a host's own way of writing a vector is its client's affair


def _converted(raw: bytes, request: EmbedRequest, theirs: Dialect) -> tuple[Embedded | None, bytes]:
    found = theirs.decode_reply(wire.parse_object(raw))
    if len(found.vectors) != len(request.items):
        raise Malformed("", f"{len(found.vectors)} vectors for {len(request.items)} texts")
    return found, b""
