"""Conversations of plain text are encoded as any other request, to the byte."""

from __future__ import annotations

from types import ModuleType

import pytest
from msgspec.structs import replace

from crosswire.proxy.ir import Request, Sampling, Text, Turn
from crosswire.proxy.ir.model import Citation, Role, Signature
from crosswire.proxy.ir.plain_turns import plain_turns
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.anthropic import request_encoder as anthropic_encoder
from crosswire.proxy.protocols.openai_chat import request_encoder as chat_encoder
from crosswire.proxy.protocols.protocol import UpstreamTarget
from crosswire.proxy.wire.json_fields import encode

ENCODERS: dict[str, ModuleType] = {"anthropic": anthropic_encoder, "openai-chat": chat_encoder}

TARGETS = (
    UpstreamTarget("m", "b"),
    UpstreamTarget("m", "b", max_tokens=70, limits={"temperature": 2}),
    *(
        UpstreamTarget(model, host, host=host)
        for model, host in (
            ("claude-sonnet-4-5", "anthropic"),
            ("claude-opus-4-7", "anthropic"),
            ("gpt-5-nano", "openai"),
            ("o3", "openai"),
            ("mistral-small-latest", "mistral"),
            ("deepseek-chat", "deepseek"),
        )
    ),
)


def said(*turns: tuple[Role, str]) -> Request:
    return Request(protocol="gemini", model="m", turns=tuple(Turn(role, (Text(text),)) for role, text in turns))


TALK = said(("system", "Be brief."), ("user", "Hello: “you”"), ("assistant", "Hi. "), ("user", " Bye. "))

PLAIN: list[Request] = [
    TALK,
    said(("user", "x")),
    said(("system", "a"), ("developer", "b"), ("user", "c")),
    replace(TALK, stream=True),
    replace(TALK, max_tokens=60),
    replace(TALK, sampling=Sampling(temperature=1.5, top_p=0.9, top_k=3, seed=1, presence_penalty=1)),
    replace(TALK, sampling=Sampling(temperature=0, top_p=1, frequency_penalty=0)),
    # of these some encoder takes care otherwise
    said(("system", "a")),
    said(("user", "a"), ("user", "b")),
    said(("assistant", "a"), ("user", "b")),
    said(("user", "a"), ("assistant", "b ")),
    said(("user", "a"), ("system", "b"), ("user", "c")),
    said(("user", "a"), ("system", "b"), ("assistant", "c"), ("user", "d")),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.host}-{target.model}")
@pytest.mark.parametrize("backend", ENCODERS)
def test_plain_conversations_are_encoded_alike(
    backend: str, target: UpstreamTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_request = PROTOCOLS[backend].encode_request
    quick = [encode_request(request, target) for request in PLAIN]
    monkeypatch.setattr(ENCODERS[backend], "plain_turns", lambda request: None)
    for request, found in zip(PLAIN, quick, strict=True):
        usual = encode_request(request, target)
        assert found == usual
        assert encode(found.payload) == encode(usual.payload)


@pytest.mark.parametrize("request_", PLAIN)
def test_plain_turns(request_: Request) -> None:
    assert plain_turns(request_) == [(turn.role, turn.blocks[0].text) for turn in request_.turns]  # type: ignore[union-attr]


TEXT = TALK.turns[1].blocks[0]


@pytest.mark.parametrize(
    "request_",
    [
        said(("user", " ")),
        replace(TALK, user=""),
        replace(TALK, logprobs=0),
        replace(TALK, parallel=False),
        replace(TALK, stop=("END",)),
        replace(TALK, extra={"n": 1}),
        replace(TALK, turns=(Turn("user", ()),)),
        replace(TALK, turns=(Turn("user", (TEXT, TEXT)),)),
        replace(TALK, turns=(Turn("user", (TEXT,), {"name": "ann"}),)),
        *(
            replace(TALK, turns=(Turn("user", (replace(TEXT, **more),)),))
            for more in (
                {"extra": {"cache_control": {}}},
                {"signature": Signature("s", "gemini")},
                {"citations": (Citation("https://example.com"),)},
            )
        ),
    ],
)
def test_what_is_not_plain(request_: Request) -> None:
    assert plain_turns(request_) is None
