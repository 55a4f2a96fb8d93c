"""The prompt cache finds the longest common beginning, hands out copies, and keeps within its bounds."""

from __future__ import annotations

from typing import Any

import pytest

from . import local_model  # noqa: F401 - skips where the extra is not installed

FIRST = list(range(20))


def layers(size: int) -> list[Any]:
    """Returns one layer that remembers so many tokens; the number of a token is in its keys."""
    import mlx.core as mx
    from mlx_lm.models.cache import KVCache

    layer = KVCache()
    numbers = mx.arange(size, dtype=mx.float32).reshape(1, 1, size, 1)
    layer.update_and_fetch(numbers, numbers)
    return [layer]


def cache_of(*prompts: list[int], max_bytes: int = 1 << 20, max_prompts: int = 10) -> Any:
    from crosswire.proxy.backends.mlx.prompt_cache import PromptCache

    cache = PromptCache(max_bytes, max_prompts)
    for prompt in prompts:
        cache.insert(prompt, layers(len(prompt)))
    return cache


FETCHED: dict[str, tuple[list[int], int]] = {
    "the same prompt but for its last token": (FIRST, 19),
    "a longer one": ([*FIRST, 7, 7], 20),
    "a common beginning": ([*FIRST[:12], 90, 91], 12),
    "a shorter one": (FIRST[:10], 9),
    "too little in common": ([*FIRST[:7], 90, 91, 92], 0),
    "nothing in common": ([90, *FIRST], 0),
}


@pytest.mark.parametrize(("wanted", "size"), FETCHED.values(), ids=list(FETCHED))
def test_the_common_beginning_is_found(wanted: list[int], size: int) -> None:
    cached, found = cache_of([1, *FIRST], [*FIRST[:9], 50, 51], FIRST).fetch(wanted)
    assert found == size
    if size:
        assert cached[0].offset == size
        assert cached[0].keys_and_values()[0].reshape(-1).tolist() == list(range(size))
    else:
        assert cached is None


def test_what_is_written_to_a_copy_does_not_change_the_cache() -> None:
    import mlx.core as mx

    cache = cache_of(FIRST)
    copy, _ = cache.fetch([*FIRST[:10], 77])
    more = mx.full((1, 1, 4, 1), 99.0)
    copy[0].update_and_fetch(more, more)
    again, size = cache.fetch([*FIRST, 77])
    assert again[0].keys_and_values()[0].reshape(-1).tolist() == list(range(size))


def test_a_longer_prompt_takes_the_place_of_its_beginning() -> None:
    cache = cache_of(FIRST, [*FIRST, 1, 2])
    assert len(cache) == 1
    assert cache.nbytes == layers(22)[0].nbytes


def test_the_oldest_are_dropped_beyond_a_bound() -> None:
    prompts = [[n, *FIRST] for n in range(4)]
    cache = cache_of(*prompts[:2], max_prompts=2)
    cache.fetch([*prompts[0], 5])
    cache.insert(prompts[2], layers(21))
    assert [cache.fetch([*prompt, 5])[1] for prompt in prompts[:3]] == [21, 0, 21]
    one = layers(21)[0].nbytes
    assert len(cache_of(*prompts, max_bytes=3 * one)) == 3
    assert cache_of(*prompts, max_bytes=one - 1).nbytes == 0
