"""The byte scan counts what a parser would build, however the text is cut, and stops before anything is built."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.proxy.errors import Malformed
from crosswire.proxy.wire import json_bounds
from crosswire.proxy.wire.json_bounds import BoundsScan, JsonBounds, check_bounds

WIDE: dict[str, int] = {"depth": 10**6, "elements": 10**6, "containers": 10**6, "key_length": 10**6}


def counted(value: Any) -> dict[str, int]:
    """Depth, elements, containers and the longest key, as a walk through the parsed value counts them."""
    if not isinstance(value, list | dict):
        return {"depth": 0, "elements": 0, "containers": 0, "key_length": 0}
    inner = [counted(each) for each in (value.values() if isinstance(value, dict) else value)]
    keys = [len(json.dumps(key)) - 2 for key in value] if isinstance(value, dict) else []
    return {
        "depth": 1 + max((each["depth"] for each in inner), default=0),
        "elements": 1 + max(len(value) - 1, 0) + sum(each["elements"] for each in inner),
        "containers": 1 + sum(each["containers"] for each in inner),
        "key_length": max([*keys, *(each["key_length"] for each in inner)], default=0),
    }


def passes(text: bytes, step: int, **limits: int) -> bool:
    scan = BoundsScan(JsonBounds(**{**WIDE, **limits}))
    try:
        for at in range(0, len(text), step):
            scan.feed(text[at : at + step])
    except Malformed:
        return False
    return True


words = st.sampled_from(['a"b', "\\", '\\"', "[[{", 'x:"}', "", "plain", "k" * 30, '\\\\"', "], [", "{", "\n"])
values = st.recursive(
    words | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    values,
    st.sampled_from([1, 2, 3, 7, 1000]),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
    st.sampled_from(["many strings", "few"]),
)
def test_property_exact_however_the_text_is_cut(
    value: Any, step: int, separators: tuple[str, str], strings: str
) -> None:
    text = json.dumps(value, separators=separators).encode()
    many = strings == "many strings"
    with (
        patch.object(json_bounds, "_DENSE", 0 if many else 2**30),
        patch.object(json_bounds, "_SAMPLE", 99 if many else 1),
    ):
        for limit, number in counted(value).items():
            assert passes(text, step, **{limit: number}), limit
            assert number == 0 or not passes(text, step, **{limit: number - 1}), limit


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 129 + b"]" * 129, "nested more than 128 levels deep"),
        (b'{"a":' * 50_000, "nested more than 128 levels deep"),
        (b"[" + b"[]," * 100_000 + b"0]", "more than 100000 arrays and objects"),
        (b"[" + b"{}," * 15_000_000 + b"0]", "more than 100000 arrays and objects"),
        (b"[" + b"0," * 1_000_000 + b"0]", "more than 1000000 values"),
        (b"[" + b'"",' * 1_000_000 + b"0]", "more than 1000000 values"),
        (b'{"' + b"k" * 16_385 + b'" :1}', "a key of more than 16384 bytes"),
    ],
)
def test_what_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        check_bounds(body, JsonBounds())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 128 + b"]" * 128,
        b'["' + b"[{,}]" * 300_000 + b'"]',
        b'["' + b"x" * 5_000_000 + b'"]',
        b'{"' + b"k" * 16_384 + b'":1}',
        json.dumps(
            {"input": [list(range(1000))] * 300}
        ).encode(),  # 300,000 tokens, the most that OpenAI embeds at once
        json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}] * 20_000}).encode(),
    ],
)
def test_what_honest_clients_send(body: bytes) -> None:
    check_bounds(body, JsonBounds())


@pytest.mark.parametrize("body", [b"[" + b"[]," * 10_000_000, b"[" * 30_000_000, b'["' + b"\\\\" * 15_000_000 + b'"]'])
def test_thirty_megabytes_are_scanned_in_little_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with suppress(Malformed):
            check_bounds(body, JsonBounds())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * 2**20
