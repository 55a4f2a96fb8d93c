"""Compares the provider's reply with the client's, and a streamed reply with its unary twin.

It uses the mock's neutral types and the names of loss features, and shares no code with the proxy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.scenarios.model import Block, Image, Text, Tool, ToolCall, Usage

from ..checks.signatures import is_carried_before_calls, placed_signatures, reply_signature_errors
from ..checks.tool_names import ToolMatches, rename_for_client
from ..client.protocol import ClientProtocol, ParsedError, ParsedReply
from .blocks import call_differences, parse_arguments, without_blanks
from .difference import WRONG, Difference, shorten

ID_LIMIT = 40
"""Longest call id that every provider accepts."""

UNKNOWN_STOPS = ("pause", "other")
"""Stop reasons of one protocol for which others have no value."""


def reply_differences(
    sent: ParsedReply,
    upstream: ClientProtocol,
    received: ParsedReply,
    client: ClientProtocol,
    names: ToolMatches | None = None,
    tools: Iterable[Tool] = (),
    provider: str | None = None,
) -> list[Difference]:
    """Returns the differences between two replies, each parsed by its own protocol's strict client.

    `sent` is the provider's reply, `received` the client's. `names` matches the client's
    `tools` with the provider's. With `provider` signatures are checked by their origin.
    """
    if names:
        sent = rename_for_client(sent, names, tools)
    found = _error_differences(sent.error, received.error)
    if sent.error is not None:
        if not sent.text.startswith(received.text):
            found.append(Difference(WRONG, "text before the error", sent.text, received.text))
        return found
    texts = sent.text, received.text
    if texts[0] != texts[1]:
        feature = "refusal" if sent.refusal and texts[1] == texts[0] + sent.refusal else WRONG
        found.append(Difference(feature, "text", *texts))
    elif sent.refusal != received.refusal:  # one that is told as text is part of the text above
        found.append(Difference(WRONG, "refusal", sent.refusal, received.refusal))
    if without_blanks(sent.thinking) != without_blanks(received.thinking):  # every protocol shows it
        found.append(Difference(WRONG, "thinking", sent.thinking, received.thinking))
    if len(sent.signatures) != len(received.signatures):
        feature = WRONG if client.signatures else "signature"
        found.append(Difference(feature, "signatures", sent.signatures, received.signatures))
    if provider is not None:
        placed = placed_signatures(received.blocks, before_calls=is_carried_before_calls(client, upstream))
        errors = reply_signature_errors(
            placed_signatures(sent.blocks), placed, provider, same_protocol=client.name == upstream.name
        )
        found += [Difference(WRONG, "signatures", error, None) for error in errors]
    like = rf".{{1,{ID_LIMIT}}}" if upstream.call_ids and client.call_ids else None
    found += call_differences(list(sent.calls), list(received.calls), "reply", client, like=like, known=True)
    order = _block_order(sent.blocks), _block_order(received.blocks)
    if "text" in order[0] and "text" in order[1] and order[1].index("text") != order[0].index("text"):
        found.append(Difference(WRONG, "order of blocks", *order))
    # a stop sequence that the client's protocol reports as an ordinary end counts as lost with `matched_stop`
    is_merged_stop = sent.stop == "stop_sequence" and client.merged_stops.get("stop_sequence") == received.stop
    # some providers report an ordinary end after a forced call; a reply with calls stops to call
    stops = ["tool" if reply.stop == "end" and reply.calls else reply.stop for reply in (sent, received)]
    # where a refusal has its own place, its reason may be that of the filter
    is_refusal = bool(sent.refusal) and received.refusal == sent.refusal and {*stops} == {"end", "content_filter"}
    if stops[0] != stops[1] and not is_merged_stop and not is_refusal:
        is_unknown = sent.stop in UNKNOWN_STOPS or client.merged_stops.get(sent.stop or "") == received.stop
        found.append(Difference("stop_reason" if is_unknown else WRONG, "stop", sent.stop, received.stop))
    if sent.matched_stop != received.matched_stop:
        found.append(Difference("matched_stop", "matched", sent.matched_stop, received.matched_stop))
    images = [[block for block in reply.blocks if isinstance(block, Image)] for reply in (sent, received)]
    if images[0] != images[1]:
        found.append(Difference("media_out", "images", *images))
    found += _citation_differences(sent, received, client)
    if sent.other_choices != received.other_choices:
        found.append(Difference("n", "other choices", sent.other_choices, received.other_choices))
    if sent.logprobs != received.logprobs:
        found.append(Difference("logprobs", "tokens with logprobs", sent.logprobs, received.logprobs))
    found += _usage_differences(sent.usage, received.usage, client.usage_details)
    return found


def _block_order(blocks: Iterable[Block]) -> list[str]:
    """Returns the order of texts and calls, neighbours of one kind counted once."""
    kinds = [type(block).__name__.lower() for block in blocks if isinstance(block, Text | ToolCall)]
    return [kind for k, kind in enumerate(kinds) if k == 0 or kinds[k - 1] != kind]


def _citation_differences(sent: ParsedReply, received: ParsedReply, client: ClientProtocol) -> list[Difference]:
    """Compares citations: spans and quotes may be lost, and sources without a URL, but no source may be added."""
    # a citation of the complete text equals one without a span
    one, other = (
        [replace(cite, span=None) if cite.span == reply.text else cite for cite in reply.cites]
        for reply in (sent, received)
    )
    if one == other:
        return []
    addresses = [[(cite.url, cite.title) for cite in side] for side in (one, other)]
    invented = [address for address in addresses[1] if address not in addresses[0]]
    missing = [(url, title) for url, title in addresses[0] if url and (url, title) not in addresses[1]]
    is_wrong = invented or (missing and client.citations)
    return [Difference(WRONG if is_wrong else "citations", "citations", one, other)]


def _usage_differences(sent: Usage | None, received: Usage | None, details: frozenset[str]) -> list[Difference]:
    """Compares usage: totals must agree; a detail may be missing if the client's protocol has no field for it."""
    if sent is None:
        return (
            []
            if received is None or not any((received.input, received.output))
            else [Difference(WRONG, "usage", sent, received)]
        )
    if received is None:
        return [Difference(WRONG, "usage", sent, received)]
    found: list[Difference] = []
    totals = _prompt_tokens(sent), _prompt_tokens(received)
    if totals[0] is not None and totals[0] != totals[1]:
        found.append(Difference(WRONG, "usage.prompt", *totals))
    if sent.output is not None and sent.output != received.output:
        found.append(Difference(WRONG, "usage.output", sent.output, received.output))
    for detail in ("cache_read", "cache_write", "reasoning"):
        one, other = getattr(sent, detail) or 0, getattr(received, detail)
        if one != (other or 0) and (other is not None or detail in details):
            found.append(Difference(WRONG, f"usage.{detail}", one, other))
    return found


def _prompt_tokens(usage: Usage) -> int | None:
    """Returns all input tokens, cached ones included."""
    if usage.input is None:
        return None
    return usage.input + (usage.cache_read or 0) + (usage.cache_write or 0)


def _error_differences(sent: ParsedError | None, received: ParsedError | None) -> list[Difference]:
    if (sent is None) != (received is None):
        return [Difference(WRONG, "error", sent, received)]
    return []


def _unwrap_arguments(arguments: str) -> Any:
    """Parses arguments; invalid JSON may be streamed as it is and be wrapped in an object in a unary reply."""
    match parse_arguments(arguments):
        case {"input": str(text), **rest} if not rest and not isinstance(parse_arguments(text), dict):
            return text
        case value:
            return value


def same_reply(one: ParsedReply, other: ParsedReply) -> list[str]:
    """Returns the differences in content between two replies to one client, e.g. a stream and its unary twin."""
    out = []
    for name in ("text", "thinking", "refusal", "stop", "matched_stop", "other_choices", "logprobs"):
        if getattr(one, name) != getattr(other, name):
            out.append(f"{name}: {shorten(getattr(one, name))} against {shorten(getattr(other, name))}")
    calls = [[(call.name, _unwrap_arguments(call.arguments)) for call in reply.calls] for reply in (one, other)]
    if calls[0] != calls[1]:
        out.append(f"calls: {shorten(calls[0])} against {shorten(calls[1])}")
    signatures = [sorted(placed_signatures(reply.blocks)) for reply in (one, other)]
    if signatures[0] != signatures[1]:
        out.append(f"signatures: {shorten(signatures[0])} against {shorten(signatures[1])}")
    if one.cites != other.cites:
        out.append(f"citations: {shorten(one.cites)} against {shorten(other.cites)}")
    if one.usage != other.usage:
        out.append(f"usage: {one.usage} against {other.usage}")
    if (one.error is None) != (other.error is None):
        out.append(f"error: {one.error} against {other.error}")
    return out
