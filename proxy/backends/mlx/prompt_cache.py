"""Caches of earlier prompts and their answers, for prompts with the same beginning; bounded by bytes and by number.

mlx-lm has a prompt cache too, but walks its whole tree for each prompt, which takes longer than a small model's answer.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
from mlx_lm.models.cache import KVCache, can_trim_prompt_cache, trim_prompt_cache

LEAST = 8
"""Number of tokens that two prompts must have in common at least; fewer are not worth a copy."""


class CachedPrompt:
    """The tokens that a model has read or written, and what it remembers of them in each layer."""

    def __init__(self, tokens: list[int], layers: list[Any]) -> None:
        self.tokens = np.array(tokens, np.int64)
        self.layers = layers
        self.is_trimmable = can_trim_prompt_cache(layers)
        self.nbytes = sum(layer.nbytes for layer in layers)

    def usable(self, tokens: Any) -> int:
        """Returns how many tokens of a prompt need not be read again; the last one always must be."""
        size = min(len(self.tokens), len(tokens))
        different = self.tokens[:size] != tokens[:size]
        common = int(different.argmax()) if different.any() else size
        common = min(common, len(tokens) - 1)
        return common if self.is_trimmable or common == len(self.tokens) else 0

    def copy(self, size: int) -> list[Any]:
        """Returns the layers for the first `size` tokens, which may be written to."""
        if all(type(layer) is KVCache for layer in self.layers):
            return [_beginning(layer, size) for layer in self.layers]
        layers = copy.deepcopy(self.layers)
        if size < len(self.tokens):
            trim_prompt_cache(layers, len(self.tokens) - size)
        return layers


class PromptCache:
    """The cached prompts by their first LEAST tokens, the least recently used first."""

    def __init__(self, max_bytes: int, max_prompts: int = 256) -> None:
        self.nbytes = 0
        self._max_bytes, self._max_prompts = max_bytes, max_prompts
        self._by_beginning: dict[tuple[int, ...], list[CachedPrompt]] = {}
        self._in_order: OrderedDict[CachedPrompt, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._in_order)

    def fetch(self, tokens: list[int]) -> tuple[list[Any] | None, int]:
        """Returns a copy of the cached layers with the longest common beginning, and how many tokens they hold."""
        known = self._by_beginning.get(tuple(tokens[:LEAST]))
        if known is None:
            return None, 0
        wanted = np.array(tokens, np.int64)
        size, best = max(((each.usable(wanted), each) for each in known), key=lambda found: found[0])
        if size < LEAST:
            return None, 0
        self._in_order.move_to_end(best)
        return best.copy(size), size

    def insert(self, tokens: list[int], layers: list[Any]) -> None:
        """Keeps the layers of these tokens in place of those of their beginnings; drops the oldest beyond a bound."""
        if len(tokens) < LEAST or not self._max_bytes:
            return
        made = CachedPrompt(tokens, layers)
        known = self._by_beginning.setdefault(tuple(tokens[:LEAST]), [])
        for each in [each for each in known if each.is_trimmable and _begins_with(made, each)]:
            self._drop(each)
        self._by_beginning.setdefault(tuple(tokens[:LEAST]), known).append(made)
        self._in_order[made] = None
        self.nbytes += made.nbytes
        while len(self._in_order) > self._max_prompts or self.nbytes > self._max_bytes:
            self._drop(next(iter(self._in_order)))

    def _drop(self, prompt: CachedPrompt) -> None:
        beginning = tuple(prompt.tokens[:LEAST].tolist())
        known = self._by_beginning[beginning]
        known.remove(prompt)
        if not known:
            del self._by_beginning[beginning]
        del self._in_order[prompt]
        self.nbytes -= prompt.nbytes


def _beginning(layer: Any, size: int) -> Any:
    """Returns a layer's cache of the first `size` tokens, which shares no array that is written to."""
    made = type(layer)()
    made.keys, made.values = layer.keys[..., :size, :], layer.values[..., :size, :]
    made.offset = size
    return made


def _begins_with(longer: CachedPrompt, shorter: CachedPrompt) -> bool:
    size = len(shorter.tokens)
    return size <= len(longer.tokens) and bool((longer.tokens[:size] == shorter.tokens).all())
