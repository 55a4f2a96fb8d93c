"""Replay over sockets: which cases fit, and what is found in relayed and in converted answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.replay.socket_replay import reason_against, replay_over_sockets
from crosswire.proxy.ir import Loss, Reply
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import ReplyContext

from .recorded_exchanges import ANTHROPIC, CHAT, ERROR, EXCHANGES, GEMINI_ARRAY, OLLAMA, recorded, swap


def test_every_case_that_fits_is_sent(tmp_path: Path) -> None:
    found = replay_over_sockets(recorded(tmp_path, place, exchange) for place, exchange in EXCHANGES.items())
    assert found.failures == {}
    assert found.cases == len(EXCHANGES) - 1
    assert found.left_out == {"an array, for which the proxy never asks": 1}
    assert found.right == (len(EXCHANGES) - 1, len(EXCHANGES) - 1)


LEFT_OUT: list[tuple[str, dict[str, Any], str | None]] = [
    ("openai-chat/tools", CHAT, None),
    ("anthropic/error-429", ERROR, None),
    ("openai-chat/tools", {**CHAT, "request": None}, "without its request"),
    ("gemini/system-stream", GEMINI_ARRAY, "an array, for which the proxy never asks"),
    ("ollama/text", {**OLLAMA, "path": "/api/generate"}, "not a chat: api/generate"),
    (
        "ollama/text",
        {**OLLAMA, "request": {"model": "m", "messages": []}},
        "one object in answer to a request for a stream",
    ),
]


@pytest.mark.parametrize(("place", "exchange", "reason"), LEFT_OUT)
def test_cases_that_do_not_fit(tmp_path: Path, place: str, exchange: dict[str, Any], reason: str | None) -> None:
    assert reason_against(recorded(tmp_path, place, exchange)) == reason


def test_an_invalid_reply_fails(tmp_path: Path) -> None:
    found = replay_over_sockets([recorded(tmp_path, "openai-chat/text", CHAT, response={"id": "c-1"})])
    (lines,) = found.failures.values()
    assert [line.partition(" 502")[0] for line in lines] == [
        f"openai-chat {mode}: status" for mode in ("relayed", "converted")
    ]


def test_an_error_keeps_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorded(tmp_path, "anthropic/error-429", ERROR)
    assert replay_over_sockets([recording]).failures == {}
    body = {"type": "error", "error": {"type": "not_found_error", "message": "no"}}
    swap(monkeypatch, "anthropic", encode_failure=lambda failure, id_: body, failure_status={"rate_limit": 404})
    assert replay_over_sockets([recording]).failures


def test_a_fault_of_the_converted_answer_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = PROTOCOLS["anthropic"]

    def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
        return protocol.encode_reply(replace(reply, blocks=()), context)

    swap(monkeypatch, "anthropic", encode_reply=encode_reply)
    (lines,) = replay_over_sockets([recorded(tmp_path, "anthropic/tools", ANTHROPIC)]).failures.values()
    assert any(line.startswith("anthropic converted: reply.calls (wrong)") for line in lines)
    assert not any("relayed" in line for line in lines)
