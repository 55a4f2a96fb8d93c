"""Replay over sockets: which cases fit, and what is found in relayed and in converted answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.client.protocol import ParsedError
from crosswire.conformance.replay.error_kinds import kind_errors
from crosswire.conformance.replay.socket_replay import reason_against, replay_over_sockets
from crosswire.proxy.ir import Loss, Reply
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import ReplyContext

from .recorded_exchanges import ANTHROPIC, CHAT, ERROR, EXCHANGES, GEMINI_ARRAY, OLLAMA, chunk, recorded, swap


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


def failing_stream(**error: Any) -> dict[str, Any]:
    """Returns a recorded stream of a chat that breaks off with an error."""
    body = chunk(content="It snows")
    return {
        **CHAT,
        "request": {**CHAT["request"], "stream": True},
        "response": None,
        "response_sse": f"data: {json.dumps(body)}\n\ndata: {json.dumps({'error': error})}\n\n",
    }


def test_the_error_of_a_relayed_stream_keeps_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"message": "Slow down.", "type": "rate_limit_error", "code": "rate_limit_exceeded"}
    recording = recorded(tmp_path, "openai-chat/text-stream", failing_stream(**error))
    assert replay_over_sockets([recording]).failures == {}
    told = {"error": {"message": "no", "type": "invalid_request_error", "code": "model_not_found"}}
    for place in ("stream_encoder", "errors"):
        monkeypatch.setattr(f"crosswire.proxy.protocols.openai_chat.{place}.encode_failure", lambda failure, id_: told)
    swap(monkeypatch, "openai-chat", encode_failure=lambda failure, id_: told)
    (lines,) = replay_over_sockets([recording]).failures.values()
    assert any(line.startswith("openai-chat relayed: error: the provider sent rate_limit") for line in lines)


KINDS: list[tuple[dict[str, Any], str, bool]] = [
    ({"kind": "rate_limit", "message": "Slow down."}, "rate_limit", True),
    ({"kind": "rate_limit", "message": "Slow down."}, "internal", False),
    ({"kind": "rate_limit", "message": "You have no credit.", "code": "insufficient_quota"}, "internal", True),
    ({"kind": "rate_limit", "message": "You have no credit.", "code": "insufficient_quota"}, "bad_request", False),
    ({"kind": "bad_request", "message": "Incorrect API key provided."}, "internal", True),
    ({"kind": "bad_request", "message": "No such model."}, "internal", False),
    ({"kind": "authentication", "message": "no"}, "authentication", False),
]


@pytest.mark.parametrize(("sent", "received", "is_right"), KINDS)
def test_errors_about_the_proxy_s_own_account_are_internal(sent: dict[str, Any], received: str, is_right: bool) -> None:
    error = ParsedError(**{"status": 400, "code": None, "native": None, **sent})
    answer = ParsedError(status=502, kind=received, message="no")
    assert (kind_errors(error, answer) == []) is is_right


def test_a_fault_of_the_converted_answer_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = PROTOCOLS["anthropic"]

    def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
        return protocol.encode_reply(replace(reply, blocks=()), context)

    swap(monkeypatch, "anthropic", encode_reply=encode_reply)
    (lines,) = replay_over_sockets([recorded(tmp_path, "anthropic/tools", ANTHROPIC)]).failures.values()
    assert any(line.startswith("anthropic converted: reply.calls (wrong)") for line in lines)
    assert not any("relayed" in line for line in lines)
