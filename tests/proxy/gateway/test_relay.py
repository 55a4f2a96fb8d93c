"""Between equal protocols: no byte changes, but for the model's name at the places where it stands."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from crosswire.proxy.gateway.relay import Relay
from crosswire.proxy.ir import Reasoning, Request, Sampling, Signature, Text, ToolResult, Turn
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UpstreamTarget
from crosswire.proxy.routing import BackendConfig

from ..proxy_fixture import config, one, stage
from ..sample_messages import JSON, ask, dumps, path, reply, stream, stream_kind
from ..sample_messages import PROTOCOLS as NAMES
from ..scripted_upstream import chunked, http, upstream

protocols = pytest.mark.parametrize("protocol", NAMES)


def relay(protocol: str, asked: str = "fast", upstream_name: str = "up-1") -> Relay:
    return Relay(PROTOCOLS[protocol], asked, upstream_name)


def renamed(value: Any) -> Any:
    """Returns the expected body after its model was renamed, to be compared as JSON."""
    return json.loads(value) if isinstance(value, bytes) else value


# ---- nothing changes -------------------------------------------------------------------------------------------------


@given(st.binary())
def test_equal_names_change_no_byte(raw: bytes) -> None:
    for protocol in NAMES:
        it = relay(protocol, "m", "m")
        assert it.request(raw) == it.reply(raw) == it.frames(raw) == raw


@protocols
async def test_bytes_pass_unchanged_over_the_wire(protocol: str) -> None:
    """Blanks, key order, unknown fields, escapes and number forms: all as they came, both ways."""
    odd = dumps(ask(protocol))[:-1] + b',  "x_unknown" : {"b":1.50,"a":"\\u00e9\\/"} }'
    answer = b"\n " + dumps(reply(protocol))[:-1] + b', "x_more":[1e2,  null] }\n'
    async with upstream([http(answer)]) as up, stage(config(one(protocol, up.url))) as it:
        got = await it.ask(path(protocol), odd)
        record = await it.record(got)
    assert up.requests[0].body == odd
    assert got.body == answer
    assert record["attempts"][0]["relayed"] is True
    assert record["losses"] == []


FORMS: dict[str, tuple[str, Any]] = {
    "CRLF": ("openai-chat", lambda raw: raw.replace(b"\n", b"\r\n")),
    "comments": ("openai-chat", lambda raw: b": OPENROUTER PROCESSING\n\n" + raw.replace(b"\n\n", b"\n\n: c\n\n", 2)),
    "a comment before the end": (
        "openai-chat",
        lambda raw: raw.replace(b"data: [DONE]", b": c\n\ndata: [DONE]").replace(b"\n", b"\r\n"),
    ),
    "no blank after the colon": ("openai-chat", lambda raw: raw.replace(b"data: ", b"data:")),
    "ids and retries": ("openai-responses", lambda raw: raw.replace(b"event: ", b"id: 7\nretry: 10\nevent: ")),
    "padding": ("anthropic", lambda raw: raw.replace(b"}\n\n", b"}       \n\n")),
    "Gemini's CRLF": ("gemini", lambda raw: raw.replace(b"\n", b"\r\n")),
    "NDJSON with CRLF": ("ollama", lambda raw: raw.replace(b"\n", b"\r\n")),
    "as it is": ("ollama", lambda raw: raw),
}


@pytest.mark.parametrize("size", [1, 13, 10_000])
@pytest.mark.parametrize(("protocol", "form"), FORMS.values(), ids=FORMS)
async def test_streams_of_any_form_pass_unchanged(protocol: str, form: Any, size: int) -> None:
    raw = form(b"".join(stream(protocol)))
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    async with upstream(chunked(pieces, stream_kind(protocol))) as up, stage(config(one(protocol, up.url))) as it:
        answer = await it.ask(path(protocol, stream=True), ask(protocol, stream=True))
    assert (answer.status, answer.whole, answer.body) == (200, True, raw)


# ---- the name --------------------------------------------------------------------------------------------------------


@protocols
async def test_the_model_is_renamed_both_ways(protocol: str) -> None:
    decoy = {"model": "fast", "modelVersion": "up-1"}
    body = ask(protocol, "fast", metadata=decoy)
    whole = reply(protocol, "up-1") | {"x_decoy": {"model": "up-1", "modelVersion": "up-1"}}
    frames = stream(protocol, "up-1")
    scripts = [[http(dumps(whole))], chunked(frames, stream_kind(protocol))]
    async with upstream(*scripts) as up, stage(config(one(protocol, up.url, models={"fast": "up-1"}))) as it:
        unary = await it.ask(path(protocol, "fast"), body)
        streamed = await it.ask(path(protocol, "fast", stream=True), ask(protocol, "fast", stream=True))
    sent = json.loads(up.requests[0].body)
    if protocol == "gemini":
        assert sent == body
        assert up.requests[0].target.startswith("/v1beta/models/up-1:")
    else:
        assert sent == body | {"model": "up-1"}
    key = "modelVersion" if protocol == "gemini" else "model"
    assert json.loads(unary.body) == whole | {key: "fast"}
    expected = b"".join(frames).replace(b'"up-1"', b'"fast"')
    assert [json.loads(x) for x in values(streamed.body)] == [json.loads(x) for x in values(expected)]
    assert streamed.whole
    assert b"up-1" not in streamed.body


def values(raw: bytes) -> list[bytes]:
    """The JSON values of a stream's lines."""
    lines = [line.removeprefix(b"data:").strip() for line in raw.splitlines()]
    return [line for line in lines if line.startswith(b"{")]


LINES: dict[str, tuple[str, bytes, bytes]] = {
    "chat": ("openai-chat", b'data: {"id":"1","model":"up-1","x":{"model":"up-1"}}\n\n', b'"model":"fast"'),
    "no blank": ("openai-chat", b'data:{"model":"up-1"}\n\n', b'data:{"model":"fast"}\n\n'),
    "CRLF": ("openai-chat", b'data: {"model":"up-1"}\r\n\r\n', b'data: {"model":"fast"}\r\n\r\n'),
    "done": ("openai-chat", b"data: [DONE]\n\n", b"data: [DONE]\n\n"),
    "a comment": ("openai-chat", b': {"model":"up-1"}\n\n', b': {"model":"up-1"}\n\n'),
    "no model": ("openai-chat", b'data:   {"a": 1 }  \n\n', b'data:   {"a": 1 }  \n\n'),
    "in a message": ("anthropic", b'data: {"message": {"model": "up-1"}}\n', b'data: {"message": {"model": "fast"}}\n'),
    "in a response": (
        "openai-responses",
        b'data: {"response":{"model":"up-1"}}\n',
        b'data: {"response":{"model":"fast"}}\n',
    ),
    "an inner no object": ("anthropic", b'data: {"message": [1]}\n', b'data: {"message": [1]}\n'),
    "gemini": ("gemini", b'data: {"modelVersion":"up-1"}\r\n\r\n', b'data: {"modelVersion":"fast"}\r\n\r\n'),
    "ollama": ("ollama", b'{"model":"up-1","done":true}\n', b'{"model":"fast","done":true}\n'),
    "ollama, CRLF": ("ollama", b'{"model":"up-1"}\r\n', b'{"model":"fast"}\r\n'),
    "two names for one": (
        "openai-chat",
        b'data: {"model":"a","model" : "up-1"}\n\n',
        b'{"model":"a","model" : "fast"}',
    ),
    "a quiet frame": (
        "openai-chat",
        b'data: {"model": "up-1", "choices": []}\n\ndata: {"model": "up-1", "choices": [{}]}\n\n',
        b'data: {"model": "fast", "choices": []}\n\ndata: {"model": "fast", "choices": [{}]}\n\n',
    ),
    "a quiet frame without a name": (
        "anthropic",
        b'event: content_block_stop\ndata: {"type": "content_block_stop", "y": {"model": "up-1"}}\n\n',
        b'event: content_block_stop\ndata: {"type": "content_block_stop", "y": {"model": "up-1"}}\n\n',
    ),
    "as many names as frames, one of them inside": (
        "openai-chat",
        b'data: {"choices":[],"mod\\u0065l":"up-1"}\n\ndata: {"choices":[{"model":"up-1"}],"model":"up-1"}\n\n',
        b'data: {"choices":[],"mod\\u0065l":"fast"}\n\ndata: {"choices":[{"model":"up-1"}],"model":"fast"}\n\n',
    ),
    "several names": (
        "ollama",
        b'{"model":"up-1","message":{}}\n{"model":"up-2","message":{}}\n',
        b'{"model":"fast","message":{}}\n{"model":"fast","message":{}}\n',
    ),
    "a dated name": ("openai-chat", b'data: {"model":"up-1-2026-01-01"}\n\n', b'data: {"model":"fast"}\n\n'),
}


@pytest.mark.parametrize(("protocol", "line", "expected"), LINES.values(), ids=LINES)
def test_the_name_in_one_line(protocol: str, line: bytes, expected: bytes) -> None:
    out = relay(protocol).frames(line)
    assert expected in out
    if b'"x":' in line:
        assert b'"x":{"model":"up-1"}' in out  # a field of that name elsewhere is not the model's


def test_a_big_integer_and_a_long_fraction_survive_a_renaming() -> None:
    body = b'{"model":"fast","seed":123456789012345678901234567890,"temperature":0.1000000000000000055}'
    out = relay("openai-chat").request(body)
    assert out == body.replace(b'"fast"', b'"up-1"')


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_goes_there_and_back(asked: str, upstream_name: str) -> None:
    it = relay("openai-chat", asked, upstream_name)
    sent = it.request(msgspec.json.encode({"model": asked}))
    assert json.loads(sent) == {"model": upstream_name}
    assert json.loads(it.reply(sent)) == {"model": asked}


# ---- when not --------------------------------------------------------------------------------------------------------


def backend(protocol: str = "anthropic", **keys: Any) -> BackendConfig:
    return BackendConfig(name="b", protocol=protocol, base_url="http://x", **keys)


def request(*blocks: Any) -> Request:
    return Request(protocol="anthropic", model="m", turns=(Turn("assistant", blocks),))


OWN, FOREIGN = Signature("s", "anthropic"), Signature("s", "gemini", "google")

BETWEEN: dict[str, tuple[Request, BackendConfig, bool]] = {
    "equal": (request(Text("hi")), backend(), True),
    "another protocol": (request(Text("hi")), backend("gemini"), False),
    "never": (request(Text("hi")), backend(relay="never"), False),
    "a quirk that the request does not touch": (request(Text("hi")), backend(quirks=frozenset(("no_sampling",))), True),
    "a quirk": (
        replace(request(Text("hi")), sampling=Sampling(0.5)),
        backend(quirks=frozenset(("no_sampling",))),
        False,
    ),
    "its own bare seal": (request(Reasoning("hm", OWN)), backend(), True),
    "a seal minted elsewhere": (request(Reasoning("hm", FOREIGN)), backend(), False),
    "one within a tool's result": (request(ToolResult("c", (Text("t", signature=FOREIGN),))), backend(), False),
}


@pytest.mark.parametrize(("asked", "to", "relayed"), BETWEEN.values(), ids=BETWEEN)
def test_which_requests_are_relayed(asked: Request, to: BackendConfig, relayed: bool) -> None:
    found = Relay.between(PROTOCOLS["anthropic"], asked, b"{}", to, UpstreamTarget("m", "b", quirks=to.quirks))
    assert (found is not None) is relayed


@pytest.mark.parametrize(
    ("keys", "relayed"),
    [({}, True), ({"relay": "never"}, False), ({"quirks": ["max_tokens"]}, False)],
    ids=["as it is", "never", "a quirk"],
)
async def test_a_quirk_and_never_make_a_pair_like_any_other(keys: JSON, relayed: bool) -> None:
    body = ask("openai-chat", max_completion_tokens=5)
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url, **keys))) as it,
    ):
        answer = await it.ask("/v1/chat/completions", body)
        record = await it.record(answer)
    assert answer.status == 200
    assert record["attempts"][0]["relayed"] is relayed
    sent = json.loads(up.requests[0].body)
    assert ("max_tokens" in sent) is ("quirks" in keys)


async def test_an_invalid_request_is_refused_before_it_is_relayed() -> None:
    async with upstream([http(b"{}")]) as up, stage(config(one("openai-chat", up.url))) as it:
        assert (await it.ask("/v1/chat/completions", {"model": "m", "messages": 5})).status == 400
    assert not up.requests
