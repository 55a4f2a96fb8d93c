"""Arbitrary JSON through every parser and validator: an error or a complaint, never an unexpected exception."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.conformance.client import CLIENTS
from crosswire.mockserver.framing import parse_array, parse_ndjson, parse_sse
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest
from crosswire.mockserver.scenarios.provider import Auth, Provider

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


@pytest.mark.parametrize("name", MOCK_PROTOCOLS)
@settings(max_examples=150, deadline=None)
@given(body=VALUES | BODIES)
def test_arbitrary_request_never_crashes_parser_or_validator(name: str, body: Any) -> None:
    protocol = MOCK_PROTOCOLS[name]
    with contextlib.suppress(MalformedRequest):
        protocol.parse_request("/v1beta/models/m:generateContent", {}, body)
    provider = Provider(name="p", protocol=name, models={"m": "m"}, auth=Auth("authorization", "k"))
    headers = {"authorization": "k", "anthropic-version": "2023-06-01"}
    failure = protocol.validate_request("/v1beta/models/m:generateContent", headers, body, provider)
    # Ollama answers 500 to an option of another type: https://github.com/ollama/ollama/blob/main/server/routes.go
    is_option = failure is not None and name == "ollama" and failure.message.startswith("option ")
    assert failure is None or is_option or 400 <= failure.status < 500


@pytest.mark.parametrize("name", MOCK_PROTOCOLS)
@settings(max_examples=150, deadline=None)
@given(values=st.lists(VALUES, max_size=4), stream=st.booleans(), status=st.sampled_from([200, 400, 500]))
def test_arbitrary_response_is_an_error_or_a_complaint(name: str, values: list[Any], stream: bool, status: int) -> None:
    frames = [b"data: " + json.dumps(value).encode() + b"\n\n" for value in values]
    body = b"".join(frames) if stream else json.dumps(values[0] if values else None).encode()
    reply = CLIENTS[name].parse_reply(status, {}, body, stream=stream)
    assert reply.error is not None or reply.complaints


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60))
def test_framing_parsers_accept_any_bytes(body: bytes) -> None:
    for parse in (parse_sse, parse_ndjson, parse_array):
        parse(body)
