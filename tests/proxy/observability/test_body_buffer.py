"""The bodies that are kept for the page: masked, cut, and bounded."""

from __future__ import annotations

import re

import pytest

from crosswire.proxy.ir import Failure
from crosswire.proxy.observability.body_buffer import MOST, READ, BodyBuffer, Exchange, masked

SECRET = b"the-config's-own-secret-0123456789"


def without_keys(text: bytes) -> bytes:
    return re.sub(re.escape(SECRET), b"***", text)


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        b"sk-proj-abcdefghijklmnop1234",
        b"sk-ant-api03-abcdefghijklmnop",
        b"cw-abcdefghijklmnopqrstuvwx",
        b"AIzaSyA1234567890abcdefghij",
        b"ghp_abcdefghijklmnop1234",
        b"eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl",
    ],
)
def test_keys_are_masked_in_any_text(secret: bytes) -> None:
    body, is_cut = masked(b'{"content": "my key is ' + secret + b', keep it"}', without_keys)
    assert body == b'{"content": "my key is ***, keep it"}'
    assert not is_cut


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"authorization": "hidden"}', b'{"authorization": "***"}'),
        (b'{"authorization_token":"hidden"}', b'{"authorization_token":"***"}'),
        (b'{"x-api-key": "hidden", "a": 1}', b'{"x-api-key": "***", "a": 1}'),
        (b'{"Authorization": "Bearer hidden-value"}', b'{"Authorization": "***"}'),
        (b'{"arguments": "{\\"api_key\\": \\"hidden\\"}"}', b'{"arguments": "{\\"api_key\\": \\"***\\"}"}'),
        (b'{"max_tokens": 7, "token_count": "7"}', b'{"max_tokens": 7, "token_count": "7"}'),
        (b'{"text": "a sketch, a task-list"}', b'{"text": "a sketch, a task-list"}'),
    ],
)
def test_fields_of_credentials_are_masked(body: bytes, kept: bytes) -> None:
    assert masked(body, without_keys)[0] == kept


@pytest.mark.parametrize("end", [MOST - 40, MOST - 10, MOST, READ - 10, READ])
def test_no_part_of_a_key_is_left_where_a_body_is_cut(end: int) -> None:
    body = (b"x y" * READ)[: end - 10] + SECRET + b" z" * READ
    kept, is_cut = masked(body, without_keys)
    assert is_cut
    assert len(kept) <= MOST
    assert SECRET[:6] not in kept


def exchange(size: int) -> Exchange:
    made = Exchange()
    made.add("client_request", 0, 1.0, b"x" * size, without_keys)
    return made


def test_the_oldest_are_dropped() -> None:
    buffer = BodyBuffer(3000)
    for name in ("a", "b", "c", "d"):
        buffer.add(name, exchange(800))
        assert buffer.used <= 3000
    assert [name for name in "abcd" if buffer.get(name) is None] == ["a"]
    buffer.add("d", exchange(1))
    assert buffer.used == 2 * 1000 + 201


def test_nothing_to_keep_takes_nothing() -> None:
    buffer = BodyBuffer(1000)
    buffer.add("a", Exchange())
    assert buffer.get("a") is None


def test_a_failure_is_its_message() -> None:
    made = Exchange()
    made.add("backend_response", 1, 1.0, Failure("overloaded", "try later, Bearer abcdefghijkl", 503), without_keys)
    assert made.wires[0].body == b"overloaded: try later, ***"
    assert made.wires[0].is_failure
