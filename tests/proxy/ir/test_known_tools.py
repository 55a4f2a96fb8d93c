"""Tools that came before: a request with them is read as if they had never come, and nothing odd is read so."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from benchmarks import bodies
from crosswire.proxy.errors import Malformed
from crosswire.proxy.ir import known_tools
from crosswire.proxy.ir.known_tools import KnownTools
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UpstreamTarget, UrlParams
from crosswire.proxy.wire.duplicate_keys import parse_request

from ..sample_messages import dumps

KEPT = ("openai-chat", "openai-responses", "anthropic", "ollama")
"""The protocols whose tools are kept."""

CHOICES: dict[str, Any] = {
    "openai-chat": {"type": "function", "function": {"name": "tool_3"}},
    "openai-responses": {"type": "function", "name": "tool_3"},
    "anthropic": {"type": "tool", "name": "tool_3"},
    "ollama": None,
}

HOSTED: dict[str, Any] = {
    "openai-chat": {"type": "custom", "custom": {"name": "free", "format": {"type": "text"}}},
    "openai-responses": {"type": "namespace", "name": "group", "tools": [{"type": "function", "name": "f"}]},
    "anthropic": {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
    "ollama": {"function": {"name": "bare"}},
}


def body_of(protocol: str, **more: Any) -> bytes:
    """A request with tools of both kinds, one of them with a field of its own."""
    body = deepcopy(bodies.tools(bodies.ANTHROPIC if protocol == "anthropic" else bodies.CHAT, 20))
    if protocol == "openai-responses":
        body["input"] = body.pop("messages")
        body["tools"] = [{"type": "function", **tool["function"]} for tool in body["tools"]]
    body["tools"][0]["cache_control"] = {"type": "ephemeral"}
    body["tools"].append(HOSTED[protocol])
    return dumps({"model": "m", **body, **more})


def known_of(protocol: str) -> KnownTools:
    """A new, empty KnownTools of the protocol."""
    known = PROTOCOLS[protocol].known_tools
    assert known is not None
    return KnownTools(known.decode)


def fields_of(known: KnownTools, protocol: str, body: bytes) -> bool:
    """Returns whether the tools are kept when they come again, and checks that the request is the same as without."""
    known.request_fields(body)
    fields = known.request_fields(body)
    if fields is None:
        return False
    whole, kept = parse_request(body)
    assert kept is body
    assert list(fields) == list(whole)
    decode = PROTOCOLS[protocol].decode_request
    assert repr(decode(fields, UrlParams())) == repr(decode(whole, UrlParams()))
    return True


@pytest.mark.parametrize("protocol", KEPT)
def test_tools_are_read_alike_when_they_come_again(protocol: str) -> None:
    known = known_of(protocol)
    for more in ({}, {"tool_choice": CHOICES[protocol]}, {"metadata": None, "x": [{"y": ":"}]}, {"stream": True}):
        assert fields_of(known, protocol, body_of(protocol, **more))
    first, second = (known.request_fields(body_of(protocol)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first["tools"] is second["tools"]


@pytest.mark.parametrize("protocol", KEPT)
def test_other_tools_are_not_confused(protocol: str) -> None:
    known = known_of(protocol)
    for changed in (b"newest", b"Newest"):
        assert fields_of(known, protocol, body_of(protocol).replace(b"newest", changed))


ODD = [
    # where, in its place
    (b'"tools": [', b'"tools": [], "tools": ['),  # twice
    (b'"model": "m"', b'"model": "n", "model": "m"'),
    (b'"type": "object"', b'"type": "string", "type": "object"'),
    (b'"content": "', b'"content": "", "content": "'),
    (b'"model": "m"', b'"m\\u003a": 1, "model": "m"'),
    (b'"tools": [', b'"tools": ["no object", '),
    (b'"tools": [', b'"tools": [{}, '),
    (b"newest", b"\\ud800"),
    (b"newest", b"\xff"),
    (b"newest", b"\n"),
    (b"helpful", b"\xff"),
    (b"helpful", b"\\ud800"),
    (b'"temperature": 0.5', b'"temperature": 1e999'),
]


@pytest.mark.parametrize(("before", "after"), ODD)
@pytest.mark.parametrize("protocol", KEPT)
def test_what_is_odd_is_left_to_the_parser(protocol: str, before: bytes, after: bytes) -> None:
    known, body = known_of(protocol), body_of(protocol)
    assert before in body
    for _ in range(3):
        assert known.request_fields(body.replace(before, after, 1)) is None
    assert fields_of(known, protocol, body)
    assert known.request_fields(body.replace(before, after, 1)) is None


def test_few_and_many_tools_and_prose_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_of("openai-chat")
    kept = body_of("openai-chat")
    assert not fields_of(known, "openai-chat", dumps({"model": "m", **bodies.tools(bodies.CHAT, 2)}))
    assert not fields_of(known, "openai-chat", dumps({"model": "m", **bodies.image(bodies.CHAT, 9_000)}))
    assert not fields_of(known, "openai-chat", kept[:-1])
    monkeypatch.setattr(known_tools, "MOST", 4096)
    assert not fields_of(known, "openai-chat", kept)


def test_what_came_once_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    known, body = known_of("openai-chat"), body_of("openai-chat")
    monkeypatch.setattr(known_tools, "SEEN", 2)
    for name in (b"a", b"b", b"c", b"a"):
        assert known.request_fields(body.replace(b"newest", name)) is None
    assert known.request_fields(body.replace(b"newest", b"a")) is not None


def test_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    known, decoded = known_of("openai-chat"), 0
    decode = known.decode

    def counted(tools: list[Any]) -> Any:
        nonlocal decoded
        decoded += 1
        return decode(tools)

    known.decode = counted
    requests = [body_of("openai-chat").replace(b"newest", name) for name in (b"a", b"b", b"c")]
    monkeypatch.setattr(known_tools, "KEPT", 2 * len(requests[0]))
    for request in (*requests, *requests, requests[2], requests[1]):
        known.request_fields(request)
    assert decoded == 3
    known.request_fields(requests[0])
    assert decoded == 4


@pytest.mark.parametrize("protocol", KEPT)
def test_no_encoder_changes_what_is_kept(protocol: str) -> None:
    known, body = known_of(protocol), body_of(protocol, tool_choice=CHOICES[protocol])
    known.request_fields(body)
    fields = known.request_fields(body)
    assert fields is not None
    tools, before = fields["tools"], repr(fields["tools"])
    request = PROTOCOLS[protocol].decode_request(fields, UrlParams())
    for backend in PROTOCOLS.values():
        payload = backend.encode_request(request, UpstreamTarget("m", "p")).payload
        if backend.place_cache_marks is not None:
            backend.place_cache_marks(payload)
        assert repr(tools) == before


def test_a_broken_tool_is_told_by_the_decoder() -> None:
    body = body_of("openai-chat").replace(b'"function": {"name": "tool_4"', b'"function": {"name": 4', 1)
    known = known_of("openai-chat")
    assert [known.request_fields(body) for _ in range(3)] == [None, None, None]
    with pytest.raises(Malformed, match="must be a string"):
        PROTOCOLS["openai-chat"].decode_request(parse_request(body)[0], UrlParams())
