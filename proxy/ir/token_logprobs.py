"""Log probabilities of tokens: the form in which several protocols write them alike, and their places in a reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ..wire.json_fields import take
from .model import Block, Text, TokenLogprob
from .stream import BlockDelta, Event

NATIVE = "nativeLogprobs"
"""Extra field of a reply with its log probabilities as their provider wrote them, for a client of the same protocol."""


def logprobs_in(fields: dict[str, Any]) -> int | None:
    """Takes `logprobs` and `top_logprobs` of a request: how many likeliest tokens are asked for at each place.

    None where no log probabilities are asked for.
    """
    if fields.get("logprobs") is not True:
        return None
    del fields["logprobs"]
    return take(fields, "top_logprobs", int) or 0


def logprobs_out(most: int | None) -> dict[str, Any]:
    """Returns `logprobs` and `top_logprobs` of a request."""
    if most is None:
        return {}
    return {"logprobs": True, "top_logprobs": most} if most else {"logprobs": True}


def tokens_in(entries: Any) -> tuple[TokenLogprob, ...]:
    """Decodes a list of `{token, logprob, bytes, top_logprobs}`; an entry without a token or a number is left out."""
    return tuple(_token_in(entry) for entry in entries if _is_token(entry)) if type(entries) is list else ()


def _is_token(entry: Any) -> bool:
    return type(entry) is dict and type(entry.get("token")) is str and type(entry.get("logprob")) in (int, float)


def _token_in(entry: dict[str, Any]) -> TokenLogprob:
    data = entry.get("bytes")
    octets = tuple(data) if type(data) is list and all(type(octet) is int for octet in data) else None
    return TokenLogprob(entry["token"], entry["logprob"], octets, tokens_in(entry.get("top_logprobs")))


def tokens_out(tokens: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """Encodes tokens as a list of `{token, logprob, bytes, top_logprobs}`."""
    return [{**_token_out(token), "top_logprobs": [_token_out(top) for top in token.top]} for token in tokens]


def _token_out(token: TokenLogprob) -> dict[str, Any]:
    octets = token.octets
    if octets is None and "\ufffd" not in token.token:  # which stands for octets that are no character
        octets = tuple(token.token.encode(errors="replace"))
    return {"token": token.token, "logprob": token.logprob, "bytes": None if octets is None else list(octets)}


def with_logprobs(blocks: tuple[Block, ...], tokens: Sequence[TokenLogprob]) -> tuple[Block, ...]:
    """Returns the blocks of a reply with the log probabilities of its whole text, each text with its own.

    There must be a text among the blocks; of several each takes the tokens up to its length, the last one the rest.
    """
    texts = [b for b, block in enumerate(blocks) if type(block) is Text]
    out = list(blocks)
    at = 0
    for b in texts:
        block = out[b]
        assert isinstance(block, Text)  # noqa: S101 - chosen above
        first, length = at, 0
        while at < len(tokens) and (b == texts[-1] or length < len(block.text)):
            length += len(tokens[at].token)
            at += 1
        out[b] = replace(block, logprobs=tuple(tokens[first:at]))
    return tuple(out)


def add_logprobs(out: list[Event], index: int, tokens: Sequence[TokenLogprob]) -> None:
    """Adds log probabilities to the last event, if that is a text of this block, else as an event of their own."""
    if out and type(last := out[-1]) is BlockDelta and last.index == index:
        out[-1] = replace(last, logprobs=(*last.logprobs, *tokens))
    else:
        out.append(BlockDelta(index, "", tuple(tokens)))
