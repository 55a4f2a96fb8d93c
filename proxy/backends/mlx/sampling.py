"""Samplers for the next token: greedy, or by temperature, top_k and top_p with a random state for each request."""

from __future__ import annotations

from collections.abc import Callable
from random import getrandbits
from typing import Any

import mlx.core as mx

Sampler = Callable[[Any], Any]
"""Maps log-probabilities of shape (rows, vocabulary) to tokens of shape (rows,)."""


def greedy(banned: tuple[int, ...] = ()) -> Sampler:
    """Returns a sampler for the most likely token that is not banned; requests that share it are sampled at once."""

    ban = _ban(banned)

    def take(logprobs: Any) -> Any:
        return mx.argmax(ban(logprobs), axis=-1)

    return take


def sampler(temperature: float, top_p: float, top_k: int, seed: int | None, banned: tuple[int, ...]) -> Sampler | None:
    """Returns the sampler of one request, None if it is greedy. The same seed gives the same tokens."""
    if temperature == 0 or top_p == 0 or top_k == 1:
        return None
    ban = _ban(banned)
    key = mx.random.key((getrandbits(64) if seed is None else seed) % 2**64)

    def draw(logprobs: Any) -> Any:
        nonlocal key
        key, this = mx.random.split(key)
        logits = ban(logprobs) / temperature
        if 0 < top_k < logits.shape[-1]:
            logits = _keep_top_k(logits, top_k)
        if top_p < 1:
            logits = _keep_top_p(logits, top_p)
        return mx.random.categorical(logits, key=this)

    return draw


def _ban(banned: tuple[int, ...]) -> Sampler:
    """Returns a function that makes the banned tokens impossible; one addition, as it runs for every token."""
    if not banned:
        return lambda logprobs: logprobs
    addend: Any = None

    def ban(logprobs: Any) -> Any:
        nonlocal addend
        if addend is None or addend.dtype != logprobs.dtype:
            addend = mx.zeros(logprobs.shape[-1], logprobs.dtype)
            addend[mx.array(banned)] = -mx.inf
        return logprobs + addend

    return ban


def _keep_top_k(logits: Any, top_k: int) -> Any:
    threshold = mx.sort(logits, axis=-1)[..., -top_k][..., None]
    return mx.where(logits >= threshold, logits, -mx.inf)


def _keep_top_p(logits: Any, top_p: float) -> Any:
    """Keeps the most likely tokens whose probabilities add up to `top_p`: https://arxiv.org/abs/1904.09751"""
    probabilities = mx.softmax(logits, axis=-1)
    order = mx.argsort(-probabilities, axis=-1)
    sorted_probabilities = mx.take_along_axis(probabilities, order, axis=-1)
    before = mx.cumsum(sorted_probabilities, axis=-1) - sorted_probabilities
    kept = mx.put_along_axis(mx.zeros(logits.shape, mx.bool_), order, before < top_p, axis=-1)
    return mx.where(kept, logits, -mx.inf)
