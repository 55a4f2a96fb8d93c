"""The mock's rules on requests that never reach a mock: what a vendor takes, what it refuses, and whose signatures."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.conformance.replay.target_models import TARGET_MODELS, WITHOUT_REASONING
from crosswire.conformance.replay.vendor_rules import vendor_refusal
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.proxy.protocols import PROTOCOLS

from .recorded_exchanges import EXCHANGES


@pytest.mark.parametrize("place", EXCHANGES)
def test_a_correct_request_is_taken(place: str) -> None:
    exchange = EXCHANGES[place]
    assert vendor_refusal(exchange["protocol"], exchange["path"], exchange["request"]) is None


SIGNED: list[tuple[str, str, dict[str, Any]]] = [
    (
        "anthropic",
        "/v1/messages",
        {
            "model": "m",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"},
                        {"type": "redacted_thinking", "data": "aGlkZGVu"},
                        {"type": "text", "text": "Hi"},
                    ],
                },
                {"role": "user", "content": "And?"},
            ],
        },
    ),
    (
        "gemini",
        "/v1beta/models/m:generateContent",
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"text": "Hm.", "thought": True, "thoughtSignature": "c2lnbmVk"}]},
                {"role": "user", "parts": [{"text": "And?"}]},
            ]
        },
    ),
    (
        "openai-responses",
        "/v1/responses",
        {
            "model": "m",
            "store": False,
            "input": [
                {"role": "user", "content": "Hi"},
                {"type": "reasoning", "summary": [], "encrypted_content": "c2lnbmVk"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
                {"role": "user", "content": "And?"},
            ],
        },
    ),
]


@pytest.mark.parametrize(("protocol", "path", "body"), SIGNED, ids=[row[0] for row in SIGNED])
def test_only_known_signatures_are_the_vendors(protocol: str, path: str, body: dict[str, Any]) -> None:
    parsed = MOCK_PROTOCOLS[protocol].parse_request(path, {}, body)
    assert vendor_refusal(protocol, path, body, known=[parsed]) is None
    assert vendor_refusal(protocol, path, body) is not None


def test_a_compatible_host_takes_unknown_fields() -> None:
    body = {**EXCHANGES["openai-chat/tools"]["request"], "repetition_penalty": 1.1}
    assert vendor_refusal("openai-chat", "/v1/chat/completions", body) is not None
    assert vendor_refusal("openai-chat", "/v1/chat/completions", body, compatible=True) is None


def test_at_least_three_models_a_protocol() -> None:
    assert set(TARGET_MODELS) == set(PROTOCOLS)
    assert all(len(set(models)) >= 3 for models in TARGET_MODELS.values())
    assert set(WITHOUT_REASONING) <= {model for models in TARGET_MODELS.values() for model in models}
