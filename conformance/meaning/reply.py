"""What a provider answered against what its client heard, and a stream against its body; each difference has a word.

It knows the mock's nouns and the ledger's words as strings. It shares no code with the proxy: it is the referee.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from mockserver.dialects.contract import Dialect, Heard, HeardError
from mockserver.speech import Block, Call, Image, Text, Tool, Usage

from ..naming import Names, as_known
from ..seals import rides, sealed, told_wrongly
from .blocks import bare, call_differences, json_of
from .difference import WRONG, Difference, short

ID_LIMIT = 40
"""Characters that every provider takes in the id of a call."""


def reply_differences(
    said: Heard,
    back: Dialect,
    arrived: Heard,
    front: Dialect,
    names: Names | None = None,
    tools: Iterable[Tool] = (),
    provider: str | None = None,
) -> list[Difference]:
    """What a provider said against what its client heard, each as its own dialect's strict client understood it.

    `names` is what the provider was told of the client's `tools`.
    """
    if names:
        said = as_known(said, names, tools)
    found = _error_differences(said.error, arrived.error)
    if said.error is not None:
        if not said.text.startswith(arrived.text):
            found.append(Difference(WRONG, "text before the error", said.text, arrived.text))
        return found
    texts = said.text, arrived.text
    if texts[0] != texts[1]:
        word = "refusal" if said.refusal and texts[1] == texts[0] + said.refusal else WRONG
        found.append(Difference(word, "text", *texts))
    elif said.refusal != arrived.refusal:
        found.append(Difference("refusal", "refusal", said.refusal, arrived.refusal))
    if bare(said.thinking) != bare(arrived.thinking):
        found.append(Difference("reasoning_text", "thinking", said.thinking, arrived.thinking))
    if len(said.seals) != len(arrived.seals):
        found.append(Difference("signature", "seals", said.seals, arrived.seals))
    if provider is not None:
        heard = sealed(arrived.blocks, rides=rides(front, back))
        wrong = told_wrongly(sealed(said.blocks), heard, provider, bare=front.name == back.name)
        found += [Difference(WRONG, "seals", what, None) for what in wrong]
    like = rf".{{1,{ID_LIMIT}}}" if back.call_ids and front.call_ids else None
    found += call_differences(list(said.calls), list(arrived.calls), "reply", front, like=like, known=True)
    order = _order(said.blocks), _order(arrived.blocks)
    if "text" in order[0] and "text" in order[1] and order[1].index("text") != order[0].index("text"):
        found.append(Difference(WRONG, "order of blocks", *order))
    # a stop sequence that the client's protocol cannot tell from an end is told, or lost, with what it matched
    told = said.stop == "stop_sequence" and front.blurs.get("stop_sequence") == arrived.stop
    # some providers say a plain end after a call that was forced; who calls has stopped to call
    stops = ["tool" if heard.stop == "end" and heard.calls else heard.stop for heard in (said, arrived)]
    if stops[0] != stops[1] and not told:
        found.append(Difference("stop_reason", "stop", said.stop, arrived.stop))
    if said.matched != arrived.matched:
        found.append(Difference("matched_stop", "matched", said.matched, arrived.matched))
    pictures = [[block for block in heard.blocks if isinstance(block, Image)] for heard in (said, arrived)]
    if pictures[0] != pictures[1]:
        found.append(Difference("media_out", "pictures", *pictures))
    found += _cite_differences(said, arrived)
    if said.others != arrived.others:
        found.append(Difference("n", "answers beside this one", said.others, arrived.others))
    if said.tokens != arrived.tokens:
        found.append(Difference("logprobs", "tokens with their probability", said.tokens, arrived.tokens))
    found += _usage_differences(said.usage, arrived.usage, front.details)
    return found


def _order(blocks: Iterable[Block]) -> list[str]:
    kinds = [type(block).__name__.lower() for block in blocks if isinstance(block, Text | Call)]
    return [kind for k, kind in enumerate(kinds) if k == 0 or kinds[k - 1] != kind]


def _cite_differences(said: Heard, arrived: Heard) -> list[Difference]:
    """Sources, the stretches that they are for and their own words may be lost; nobody may make one up."""
    # a source of nothing in particular is one of the whole text
    one, other = (
        [replace(cite, stretch=None) if cite.stretch == heard.text else cite for cite in heard.cites]
        for heard in (said, arrived)
    )
    if one == other:
        return []
    addresses = [[(cite.url, cite.title) for cite in side] for side in (one, other)]
    invented = [address for address in addresses[1] if address not in addresses[0]]
    return [Difference(WRONG if invented else "citations", "citations", one, other)]


def _usage_differences(said: Usage | None, arrived: Usage | None, details: frozenset[str]) -> list[Difference]:
    """Totals must agree; a detail of a kept total may be missing where the client's protocol has no place for it."""
    if said is None:
        return (
            []
            if arrived is None or not any((arrived.input, arrived.output))
            else [Difference(WRONG, "usage", said, arrived)]
        )
    if arrived is None:
        return [Difference(WRONG, "usage", said, arrived)]
    found: list[Difference] = []
    totals = _prompt(said), _prompt(arrived)
    if totals[0] is not None and totals[0] != totals[1]:
        found.append(Difference(WRONG, "usage.prompt", *totals))
    if said.output is not None and said.output != arrived.output:
        found.append(Difference(WRONG, "usage.output", said.output, arrived.output))
    for detail in ("cache_read", "cache_write", "reasoning"):
        one, other = getattr(said, detail) or 0, getattr(arrived, detail)
        if one != (other or 0) and (other is not None or detail in details):
            found.append(Difference(WRONG, f"usage.{detail}", one, other))
    return found


def _prompt(usage: Usage) -> int | None:
    if usage.input is None:
        return None
    return usage.input + (usage.cache_read or 0) + (usage.cache_write or 0)


def _error_differences(said: HeardError | None, arrived: HeardError | None) -> list[Difference]:
    if (said is None) != (arrived is None):
        return [Difference(WRONG, "error", said, arrived)]
    return []


def _unwrapped(arguments: str) -> Any:
    """Arguments as a value; a text that is no JSON may be streamed as it is and stand in an object in a body."""
    match json_of(arguments):
        case {"input": str(text), **rest} if not rest and not isinstance(json_of(text), dict):
            return text
        case value:
            return value


def same_reply(one: Heard, other: Heard) -> list[str]:
    """Where two answers to one client differ in meaning: what a stream folds to against the unary body."""
    out = []
    for name in ("text", "thinking", "refusal", "stop", "matched", "others", "tokens"):
        if getattr(one, name) != getattr(other, name):
            out.append(f"{name}: {short(getattr(one, name))} against {short(getattr(other, name))}")
    calls = [[(call.name, _unwrapped(call.arguments)) for call in heard.calls] for heard in (one, other)]
    if calls[0] != calls[1]:
        out.append(f"calls: {short(calls[0])} against {short(calls[1])}")
    seals = [sorted(sealed(heard.blocks)) for heard in (one, other)]
    if seals[0] != seals[1]:
        out.append(f"seals: {short(seals[0])} against {short(seals[1])}")
    if one.cites != other.cites:
        out.append(f"citations: {short(one.cites)} against {short(other.cites)}")
    if one.usage != other.usage:
        out.append(f"usage: {one.usage} against {other.usage}")
    if (one.error is None) != (other.error is None):
        out.append(f"error: {one.error} against {other.error}")
    return out
