"""How the next token is drawn: greedily, or by temperature, top_k and top_p from dice of the request's own."""

from __future__ import annotations

from collections.abc import Callable
from random import getrandbits
from typing import Any

import mlx.core as mx

Sampler = Callable[[Any], Any]
"""Log-probabilities of shape (rows, vocabulary) to tokens of shape (rows,)."""


def greedy(banned: tuple[int, ...] = ()) -> Sampler:
    """Takes the likeliest token, never a banned one; a batch whose requests share one is drawn at once."""

    def take(logprobs: Any) -> Any:
        return mx.argmax(_without(logprobs, banned), axis=-1)

    return take


def sampler(temperature: float, top_p: float, top_k: int, seed: int | None, banned: tuple[int, ...]) -> Sampler | None:
    """The sampler of one request; None where it is greedy. The same seed draws the same tokens."""
    if temperature == 0 or top_p == 0 or top_k == 1:
        return None
    key = mx.random.key((getrandbits(64) if seed is None else seed) % 2**64)

    def draw(logprobs: Any) -> Any:
        nonlocal key
        key, this = mx.random.split(key)
        logits = _without(logprobs, banned) / temperature
        if 0 < top_k < logits.shape[-1]:
            logits = _of_the_likeliest(logits, top_k)
        if top_p < 1:
            logits = _of_the_nucleus(logits, top_p)
        return mx.random.categorical(logits, key=this)

    return draw


def _without(logprobs: Any, banned: tuple[int, ...]) -> Any:
    for token in banned:
        logprobs = mx.where(mx.arange(logprobs.shape[-1]) == token, -mx.inf, logprobs)
    return logprobs


def _of_the_likeliest(logits: Any, many: int) -> Any:
    least = mx.sort(logits, axis=-1)[..., -many][..., None]
    return mx.where(logits >= least, logits, -mx.inf)


def _of_the_nucleus(logits: Any, share: float) -> Any:
    """Of the likeliest tokens as many as together reach this share: https://arxiv.org/abs/1904.09751"""
    chances = mx.softmax(logits, axis=-1)
    order = mx.argsort(-chances, axis=-1)
    falling = mx.take_along_axis(chances, order, axis=-1)
    before = mx.cumsum(falling, axis=-1) - falling
    kept = mx.put_along_axis(mx.zeros(logits.shape, mx.bool_), order, before < share, axis=-1)
    return mx.where(kept, logits, -mx.inf)
