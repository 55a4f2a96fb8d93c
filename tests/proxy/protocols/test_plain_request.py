"""The quick readers of plain requests: they read as the decoders do, and leave all else to these."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.errors import Malformed
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UrlParams
from crosswire.proxy.wire.duplicate_keys import parse_request

from ..sample_messages import ask, dumps
from ..sample_requests import RICH

EVIDENCE = Path(__file__).parents[2] / "evidence"

CHAT: dict[str, Any] = {
    "model": "gpt-5.4",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello: “you”"}, {"type": "text", "text": "again"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "How are you?"},
    ],
}
ANTHROPIC: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello: “you”"}, {"type": "text", "text": "again"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": " "},
    ],
}
USER = {"role": "user", "content": "x"}

PLAIN: list[tuple[str, dict[str, Any]]] = [
    *(
        ("openai-chat", CHAT | more)
        for more in (
            {},
            {"stream": False, "temperature": 1, "top_p": 0.95, "seed": 7, "user": "ann"},
            {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 60},
            {"max_tokens": 60, "max_completion_tokens": 60, "frequency_penalty": 1.0, "presence_penalty": -1},
            {"model": ""},
        )
    ),
    *(
        ("anthropic", ANTHROPIC | more)
        for more in (
            {},
            {"system": [{"type": "text", "text": "Be brief."}], "stream": True},
            {"temperature": 1, "top_p": 0.95, "top_k": 5, "stream": False},
        )
    ),
]

OTHERS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("openai-chat", CHAT | more)
        for more in (
            {"messages": []},
            {"messages": None},
            {"messages": [USER | {"content": ""}]},
            {"messages": [USER | {"content": []}]},
            {"messages": [USER | {"content": None}]},
            {"messages": [USER | {"name": "ann"}]},
            {"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]},
            {"messages": [{"role": "assistant", "content": "x", "reasoning": "Hm."}]},
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": []}]},
            {"messages": [USER | {"content": [{"text": "x"}]}]},
            {"messages": [USER | {"content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]},
            {"max_tokens": 60, "max_completion_tokens": 61},
            {"max_tokens": 60.0},
            {"max_tokens": True},
            {"temperature": None},
            {"temperature": "1"},
            {"stream": 1},
            {"stream": None},
            {"tools": []},
            {"stop": "END"},
            {"n": 2},
            {"model": None},
        )
    ),
    *(
        ("anthropic", ANTHROPIC | more)
        for more in (
            {"system": ""},
            {"system": None},
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
            {"messages": [{"role": "system", "content": "x"}]},
            {"messages": [USER | {"content": ""}]},
            {"messages": [USER | {"content": [{"type": "text", "text": "x", "citations": None}]}]},
            {"max_tokens": None},
            {"tools": []},
            {"thinking": {"type": "disabled"}},
            {"metadata": {"user_id": "ann"}},
            {"stop_sequences": ["END"]},
        )
    ),
]

BROKEN = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"\xef\xbb\xbf" + dumps(CHAT),
    dumps(CHAT)[:-1],
    dumps(CHAT) + b"}",
    *(dumps(CHAT).replace(b"Hi.", bad) for bad in (b"\xff", b"\\ud800", b"\n", b"\\u003a")),
    *(dumps(CHAT | {"seed": 1234}).replace(b"1234", bad) for bad in (b"NaN", b"1e999", b"01234", b"1" * 5000)),
    # a key that is there twice, on each level
    dumps(CHAT).replace(b'{"model":', b'{"model":"m","model":'),
    dumps(CHAT).replace(b'{"role": "assistant"', b'{"role":"assistant","role":"user"'),
    dumps(CHAT).replace(b'{"type": "text"', b'{"type":"text","text":"::::","type":"text"'),
    dumps(CHAT | {"stream_options": {"a": 1}}).replace(b'{"a":', b'{"a":0,"a":'),
]


def agrees(protocol: str, body: bytes) -> bool:
    """Returns whether the body was read quickly, and checks that it was read as the decoder does."""
    found = PROTOCOLS[protocol].plain_request(body)
    if found is None:
        return False
    fields, kept = parse_request(body)
    assert kept is body
    decoded = PROTOCOLS[protocol].decode_request(fields, UrlParams())
    assert repr(found) == repr(decoded)  # 1 and 1.0 are told apart
    return True


@pytest.mark.parametrize(("protocol", "body"), PLAIN)
def test_plain_requests(protocol: str, body: dict[str, Any]) -> None:
    assert agrees(protocol, dumps(body))
    assert agrees(protocol, json.dumps(body, indent=1).encode())


@pytest.mark.parametrize("protocol", ["openai-chat", "anthropic"])
def test_long_requests(protocol: str) -> None:
    messages = [{"role": role, "content": f"{role}: “{'word, ' * 300}”\n"} for role in ("user", "assistant")]
    body = dumps({**dict(PLAIN)[protocol], "messages": messages * 4})
    assert agrees(protocol, body)
    assert agrees(protocol, body.replace(b"word", "Wörter".encode()))
    assert not agrees(protocol, body.replace(b'{"role": "assistant"', b'{"role":"user","role":"assistant"', 1))


@pytest.mark.parametrize(("protocol", "body"), OTHERS)
def test_other_requests(protocol: str, body: dict[str, Any]) -> None:
    assert not agrees(protocol, dumps(body))


@pytest.mark.parametrize("body", BROKEN)
def test_broken_requests(body: bytes) -> None:
    for protocol in PROTOCOLS:
        assert not agrees(protocol, body)


@pytest.mark.parametrize("number", ["0", "-0", "1E2", "0.1e1", "-0.0", "9" * 18, "9" * 19, "9" * 20, "9" * 40, "1e30"])
def test_numbers(number: str) -> None:
    for protocol, body in (("openai-chat", CHAT), ("anthropic", ANTHROPIC)):
        for field in ("temperature", "max_tokens"):
            raw = dumps(body | {field: 1234}).replace(b"1234", number.encode())
            try:
                agrees(protocol, raw)
            except Malformed:
                pytest.fail("what the decoder refuses was read")


def variants(body: Any) -> Iterator[Any]:
    """Yields the body without each of its keys, at any depth, and with another value for each."""
    match body:
        case dict():
            for key, value in body.items():
                yield {name: other for name, other in body.items() if name != key}
                yield from ({**body, key: other} for other in (None, "", [], {}, 0, 1.5, "x", True))
                yield from ({**body, key: other} for other in variants(value))
        case list():
            for at, item in enumerate(body):
                yield body[:at] + body[at + 1 :]
                yield from ([*body[:at], other, *body[at + 1 :]] for other in variants(item))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whatever_is_read_quickly_is_read_alike(protocol: str) -> None:
    for body in [body for name, body in PLAIN if name == protocol]:
        for variant in variants(body):
            try:
                agrees(protocol, dumps(variant))
            except Malformed:
                pytest.fail(f"what the decoder refuses was read: {variant}")
    agrees(protocol, dumps(RICH[protocol]))
    agrees(protocol, dumps(ask(protocol)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_vendors_document_is_read_alike(protocol: str) -> None:
    for file in sorted((EVIDENCE / protocol).glob("*.json")):
        found = json.loads(file.read_text("utf-8"))
        if found["kind"] == "request":
            agrees(protocol, dumps(found["body"]))
