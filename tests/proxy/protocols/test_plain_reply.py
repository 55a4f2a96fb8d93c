"""The quick readers of plain replies: they read as the decoders do, and leave all else to these."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UpstreamRequest, UpstreamTarget

from ..sample_messages import dumps, reply

EVIDENCE = Path(__file__).parents[2] / "evidence"
SENT = UpstreamRequest({}, (), UpstreamTarget("m", "b"), relayed=True)

CHAT: dict[str, Any] = {
    # https://platform.openai.com/docs/api-reference/chat/object
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "gpt-5.4",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
    "service_tier": "default",
}

ANTHROPIC: dict[str, Any] = {
    # https://platform.claude.com/docs/en/api/messages/create
    "id": "msg_013Zva2CMHLNnjNjtkfoe5kN",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hello!"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 6, "cache_read_input_tokens": 2, "service_tier": "standard"},
}

CHOICE, MESSAGE = CHAT["choices"][0], CHAT["choices"][0]["message"]

PLAIN: list[tuple[str, dict[str, Any]]] = [
    ("openai-chat", CHAT),
    ("openai-chat", CHAT | {"choices": [CHOICE | {"finish_reason": "length"}]}),
    ("openai-chat", CHAT | {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}}),
    (
        "openai-chat",
        {key: value for key, value in CHAT.items() if key not in ("object", "created", "service_tier")}
        | {"choices": [{key: value for key, value in CHOICE.items() if key != "index"}], "error": None},
    ),
    (
        "openai-chat",
        CHAT | {"system_fingerprint": None, "choices": [CHOICE | {"message": MESSAGE | {"audio": None}}]},
    ),
    ("anthropic", ANTHROPIC),
    ("anthropic", ANTHROPIC | {"container": None}),
    ("anthropic", ANTHROPIC | {"stop_reason": "max_tokens", "usage": {}}),
]

OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("openai-chat", CHAT | {"error": {"message": "x"}}),
    ("openai-chat", CHAT | {"choices": []}),
    ("openai-chat", CHAT | {"choices": [CHOICE, CHOICE]}),
    ("openai-chat", CHAT | {"usage": None}),
    ("openai-chat", CHAT | {"citations": ["https://example.com"]}),
    *(
        ("openai-chat", CHAT | {"choices": [CHOICE | more]})
        for more in (
            {"finish_reason": None},
            {"finish_reason": "error"},
            {"finish_reason": "tool_calls"},
            {"usage": {"prompt_tokens": 1}},
            {"error": {"message": "x"}},
            {"index": "0"},
        )
    ),
    *(
        ("openai-chat", CHAT | {"choices": [CHOICE | {"message": MESSAGE | more}]})
        for more in (
            {"content": None},
            {"content": ""},
            {"content": [{"type": "text", "text": "x"}]},
            {"refusal": "No."},
            {"reasoning_content": "Hm."},
            {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]},
        )
    ),
    ("anthropic", ANTHROPIC | {"type": "error"}),
    ("anthropic", ANTHROPIC | {"content": []}),
    ("anthropic", ANTHROPIC | {"content": ANTHROPIC["content"] * 2}),
    ("anthropic", ANTHROPIC | {"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}),
    ("anthropic", ANTHROPIC | {"content": [{"type": "text", "text": ""}]}),
    ("anthropic", ANTHROPIC | {"stop_reason": "refusal", "stop_details": {"explanation": "No."}}),
    ("anthropic", ANTHROPIC | {"stop_reason": None}),
    ("anthropic", ANTHROPIC | {"stop_sequence": "x", "stop_reason": "stop_sequence"}),
    ("anthropic", ANTHROPIC | {"usage": None}),
]


def agrees(protocol: str, body: dict[str, Any]) -> bool:
    """Returns whether the body was read quickly, and checks that it was read as the decoder does."""
    found, relayed = (PROTOCOLS[protocol].plain_reply(dumps(body), is_relayed) for is_relayed in (False, True))
    if found is None:
        assert relayed is None
        return False
    decoded = PROTOCOLS[protocol].decode_reply(copy.deepcopy(body), SENT, lambda prefix: f"{prefix}1")
    assert found == decoded
    assert relayed == replace(decoded, extra=None)
    return True


@pytest.mark.parametrize(("protocol", "body"), PLAIN)
def test_plain_replies(protocol: str, body: dict[str, Any]) -> None:
    assert agrees(protocol, body)


@pytest.mark.parametrize(("protocol", "body"), OTHERS)
def test_other_replies(protocol: str, body: dict[str, Any]) -> None:
    assert PROTOCOLS[protocol].plain_reply(dumps(body), False) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_vendors_document_is_read_alike(protocol: str) -> None:
    for file in sorted((EVIDENCE / protocol).glob("*-reply.json")):
        agrees(protocol, json.loads(file.read_text("utf-8"))["body"])
    agrees(protocol, reply(protocol))


@pytest.mark.parametrize(
    "broken",
    [b"", b"{}", b"[]", b"null", b"\xef\xbb\xbf" + dumps(CHAT), dumps(CHAT)[:-1], dumps(CHAT) + b"}"]
    + [dumps(CHAT).replace(b"Hello!", bad) for bad in (b"\xff", b"\\ud800", b"\n")]
    + [dumps(CHAT).replace(b"19", bad) for bad in (b"NaN", b"1e999", b"019")],
)
def test_broken_replies(broken: bytes) -> None:
    for protocol in PROTOCOLS.values():
        assert protocol.plain_reply(broken, True) is None
