"""What only a Responses backend has beside its answers, passed on byte for byte: compaction, and what its store holds.

It knows these addresses, and nothing of what their bodies say but the model's name.
Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from . import wire
from .backends.door import Door
from .errand import Errand, Job
from .errors import ClientError, Refused, failure
from .protocols.contract import Target
from .relay import Relay
from .told import Whole
from .way import PIN_HEADER

KIND = "openai-responses"
"""The protocol of who is asked and of who asks."""

PASSED = ("include", "include[]", "include_obfuscation", "limit", "order", "after", "before", "starting_after")
"""The address's fields that go on; a credential among the others stays here."""


async def compact(errand: Errand) -> Whole:
    """A conversation made shorter by its provider. https://platform.openai.com/docs/api-reference/responses/compact"""
    asking = errand.asking
    model = errand.understood(_model)

    def job(door: Door, target: Target) -> Job[bytes] | str:
        if door.backend.protocol != KIND:
            return "has no such address"
        body = Relay(asking.frontend, model, target.model).request(asking.body)
        return Job(_same, "/responses/compact", body, relayed=True)

    try:
        return errand.answer(await errand.ask(model, frozenset(("text",)), job))
    except Refused as fault:
        if fault.failure.kind != "loss":
            raise
        text = "Only a backend of OpenAI Responses compacts, and none here serves this model; compact it by a request."
        raise Refused(failure("not_found", text, param="model")) from None


def _model(body: dict[str, Any]) -> str:
    return wire.need(body, "model", str)


def _same(raw: bytes) -> bytes:
    wire.parse_object(raw)
    return raw


async def stored(errand: Errand) -> Whole:
    """A response that a provider's store holds, or what it was made from; or its end, by DELETE or `cancel`.

    Nothing here remembers whose an id is, so each Responses backend is asked in the order of priority until one knows
    it; the header that pins a backend asks that one alone.
    """
    asking = errand.asking
    if asking.field("stream") == "true":
        text = "A stored response is not streamed here; leave stream out, and ask again until its status is final."
        raise ClientError(failure("bad_request", text, param="stream"))
    plan = errand.plan
    names = [backend.name for backend in plan.ordered if backend.protocol == KIND and backend.keyless is None]
    pin = asking.headers.get(PIN_HEADER)
    if pin is not None and plan.pins:
        if pin not in names:
            raise Refused(failure("not_found", f"The pinned backend {pin[:200]!r} keeps no responses; pin another."))
        names = [pin]
    if not names:
        text = "No backend here keeps responses: only those of OpenAI Responses do. Send the conversation itself."
        raise Refused(failure("not_found", text))
    ident, slash, below = asking.where.model or "", "/" if asking.where.method else "", asking.where.method or ""
    query = urlencode([(key, value) for key, value in asking.query if key in PASSED])
    path = f"/responses/{quote(ident, safe='')}{slash}{below}" + (f"?{query}" if query else "")
    body = b"" if asking.method == "POST" else None
    return errand.answer(await errand.ask_in_turn(names, Job(_same, path, body, asking.method, relayed=True)))
