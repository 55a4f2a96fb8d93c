"""Arbitrary JSON harms no dialect: it is malformed, refused or complained of, and never an unnamed exception."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Auth, Malformed, Provider
from mockserver.frames import parse_array, parse_ndjson, parse_sse

WORDS = st.sampled_from(
    [
        "role",
        "user",
        "assistant",
        "tool",
        "content",
        "type",
        "text",
        "name",
        "id",
        "messages",
        "tools",
        "tool_calls",
        "function",
        "arguments",
        "input",
        "stop",
        "usage",
        "choices",
        "delta",
        "index",
        "finish_reason",
        "contents",
        "parts",
        "functionCall",
        "message",
        "error",
        "model",
        "tool_choice",
        "system",
        "source",
        "thinking",
        "max_tokens",
        "object",
        "image_url",
        "signature",
        "tool_use_id",
        "stop_sequences",
        "temperature",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"])},
        optional={"content": VALUES, "tool_calls": VALUES, "parts": VALUES, "tool_call_id": WORDS, "type": WORDS},
    ),
    max_size=4,
)
BODIES = st.fixed_dictionaries(
    {"model": st.just("m")},
    optional={
        **{key: MESSAGES for key in ("messages", "contents", "input")},
        **{key: VALUES for key in ("tools", "tool_choice", "stop", "thinking", "temperature", "system", "options")},
        "max_tokens": st.integers(-1, 9),
    },
)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=150, deadline=None)
@given(body=VALUES | BODIES)
def test_a_request_is_read_or_malformed_and_judged_without_harm(name: str, body: Any) -> None:
    dialect = DIALECTS[name]
    with contextlib.suppress(Malformed):
        dialect.read("/v1beta/models/m:generateContent", {}, body)
    provider = Provider(name="p", protocol=name, models={"m": "m"}, auth=Auth("authorization", "k"))
    headers = {"authorization": "k", "anthropic-version": "2023-06-01"}
    refused = dialect.heed("/v1beta/models/m:generateContent", headers, body, provider)
    assert refused is None or 400 <= refused.status < 500


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=150, deadline=None)
@given(values=st.lists(VALUES, max_size=4), stream=st.booleans(), status=st.sampled_from([200, 400, 500]))
def test_a_response_is_heard_or_complained_of(name: str, values: list[Any], stream: bool, status: int) -> None:
    frames = [b"data: " + json.dumps(value).encode() + b"\n\n" for value in values]
    body = b"".join(frames) if stream else json.dumps(values[0] if values else None).encode()
    heard = DIALECTS[name].hear(status, {}, body, stream=stream)
    assert heard.error is not None or heard.complaints


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_bytes_are_framed(body: bytes) -> None:
    for parse in (parse_sse, parse_ndjson, parse_array):
        parse(body)
