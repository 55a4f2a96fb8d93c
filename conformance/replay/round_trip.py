"""The round trip of a recording in its own protocol: what the proxy encodes must decode to the same values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from crosswire.proxy.errors import Malformed
from crosswire.proxy.ir import Block, Citation, Failure, Opaque, Request, Text, Tool, fold

from .chunking import decode_stream, sequential_ids
from .decoding import DecodedRecording, url_params
from .difference import first_difference

ADDED_TO_REQUEST = ("*.extra.stream_options", "*.blocks[[]*[]].name")
"""Paths at which the proxy may add to a request: a stream's usage option, and the tool names of results."""

DEPRECATED = (".extra.functions",)
"""Paths that only deprecated requests have: they are sent in the current form."""

SET_BY_PROXY = (".extra.created", ".extra.created_at", ".extra.object", ".native", ".repaired", ".extra.usage")
"""Paths of a reply that the proxy sets itself: creation time, kind of object, native stop reason, what it repaired.

A host's usage beside the text is told once more where the client asked for it.
"""

WARM = ("openai-chat", "openai-responses", "anthropic")
"""Protocols whose default temperature is 1."""

ADDED_TO_REPLY = ("*.extra.*", "*.extra")
"""Paths at which the proxy may add to a reply: required keys, as null or zero."""


def request_round_trip(decoded: DecodedRecording, request: Request, payload: Any, address: str) -> str | None:
    """Decodes the request that the proxy encoded in its own protocol; returns where it differs, or None."""
    again = decoded.protocol.decode_request(payload, url_params(decoded.protocol.name, address))
    # the recorded path may name the model differently
    again = replace(again, model=request.model, tools=_in_order(again))
    request = replace(request, tools=_in_order(request))
    if decoded.protocol.name in WARM and again.sampling.temperature is None and request.sampling.temperature == 1:
        # some models refuse the field; what they have anyway need not be said
        request = replace(request, sampling=replace(request.sampling, temperature=None))
    place = first_difference(request, again, but=DEPRECATED, added=ADDED_TO_REQUEST)
    return None if place is None else f"differs after the round trip at {place}"


def _said(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Returns the blocks without empty texts, and with citations of a whole text as ones without a place.

    A source without a place says no more twice than once.
    """
    return tuple(
        replace(block, citations=_once(_without_whole_span(cited, len(block.text)) for cited in block.citations))
        if isinstance(block, Text)
        else block
        for block in blocks
        if not isinstance(block, Text) or block.text or block.citations or block.signature or block.extra
    )


def _once(citations: Iterable[Citation]) -> tuple[Citation, ...]:
    return tuple(dict.fromkeys(citations))


def _without_whole_span(citation: Citation, length: int) -> Citation:
    whole = not citation.start and citation.end in (None, 0, length)
    return replace(citation, start=None, end=None) if whole else citation


def _ids_contradict(values: Iterable[Any]) -> bool:
    """Returns True if a recorded stream gives one item several ids, as a recorder does that replaces each of them."""
    ids: dict[int, set[str]] = {}
    for value in values:
        item = value.get("item") if isinstance(value, dict) else None
        if isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(value.get("output_index"), int):
            ids.setdefault(value["output_index"], set()).add(item["id"])
    return any(len(found) > 1 for found in ids.values())


def _without_item_id(block: Block) -> Block:
    if isinstance(block, Opaque) or not block.extra or "item.id" not in block.extra:
        return block
    return replace(block, extra={key: value for key, value in block.extra.items() if key != "item.id"})


def _in_order(request: Request) -> tuple[Tool | Opaque, ...]:
    """Returns the functions before the provider's own tools, as their order among each other says nothing."""
    return tuple(sorted(request.tools, key=lambda tool: isinstance(tool, Opaque)))


def reply_round_trip(decoded: DecodedRecording, body: bytes, *, array: bool = False) -> str | None:
    """Decodes the reply that the proxy encoded in its own protocol; returns where it differs, or None.

    Model name and id are not compared.
    """
    protocol, sent = decoded.protocol, decoded.sent
    try:
        if decoded.recording.streamed:
            again = fold(event for batch in decode_stream(protocol, sent, [body], array=array) for event in batch)
        else:
            again = protocol.decode_reply(json.loads(body), sent, sequential_ids())
    except Malformed as fault:
        return f"reply: the protocol rejects its own encoding: {fault}"
    one, other = decoded.answer, again
    if isinstance(one, Failure) or isinstance(other, Failure):
        return None if type(one) is type(other) else f"reply: becomes {other} in the round trip"
    one, other = (replace(reply, id=None, model=None, blocks=_said(reply.blocks)) for reply in (one, other))
    if _ids_contradict(decoded.wire_values):
        one, other = (replace(reply, blocks=tuple(map(_without_item_id, reply.blocks))) for reply in (one, other))
    place = first_difference(one, other, but=SET_BY_PROXY, added=ADDED_TO_REPLY)
    return None if place is None else f"reply: differs after the round trip at {place}"
