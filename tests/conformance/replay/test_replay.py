"""Replay of recorded traffic: valid recordings pass, faulty protocols are detected, and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from crosswire.conformance.replay.chunking import random_chunks
from crosswire.conformance.replay.cli import main
from crosswire.conformance.replay.recording import NotARecording, read_recording
from crosswire.conformance.replay.runner import replay_recording
from crosswire.conformance.replay.summary import summarize
from crosswire.proxy.ir import Event, Loss, Reply, ReplyEnd, Request, Text, ToolCall, Turn, Usage
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import NewId, Protocol, ReplyContext, UpstreamRequest, UpstreamTarget
from crosswire.proxy.wire.framing import Frame

from .recorded_exchanges import (
    ANTHROPIC,
    ANTHROPIC_STREAM,
    CHAT,
    CHAT_STREAM,
    ERROR,
    EXCHANGES,
    GEMINI,
    GEMINI_STREAM,
    OLLAMA,
    OLLAMA_REPLY,
    reasons,
    recorded,
    swap,
    write,
)

# ---- valid recordings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", EXCHANGES)
def test_valid_recordings_pass(tmp_path: Path, place: str) -> None:
    verdict = replay_recording(recorded(tmp_path, place, EXCHANGES[place]))
    assert verdict.undecoded is None
    assert verdict.raised == ()
    assert reasons(verdict) == {}
    assert set(verdict.cross) == set(PROTOCOLS) - {verdict.protocol}


EXTRA_REASONING = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 57,
    "completion_tokens_details": {"reasoning_tokens": 30},
}
COMPLETE_STREAM = CHAT_STREAM["response_sse"]

DEVIATIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("another value for a forced call", CHAT, {"request": {**CHAT["request"], "tool_choice": "any"}}),
    ("reasoning counted besides the output", CHAT, {"response": {**CHAT["response"], "usage": EXTRA_REASONING}}),
    (
        "a stream without its end marker",
        CHAT_STREAM,
        {"response_sse": COMPLETE_STREAM.removesuffix("data: [DONE]\n\n")},
    ),
    ("a stream without its last blank line", GEMINI_STREAM, {"response_sse": GEMINI_STREAM["response_sse"].rstrip()}),
    ("a path that does not state the framing", GEMINI_STREAM, {"path": "/v1beta/models/m:streamGenerateContent"}),
    ("no stop reason", OLLAMA, {"response": {k: v for k, v in OLLAMA_REPLY.items() if k != "done_reason"}}),
    ("a request that only loads the model", OLLAMA, {"request": {"model": "m", "messages": []}}),
]


@pytest.mark.parametrize(("exchange", "changes"), [row[1:] for row in DEVIATIONS], ids=[row[0] for row in DEVIATIONS])
def test_deviations_of_hosts_and_recorders_pass(
    tmp_path: Path, exchange: dict[str, Any], changes: dict[str, Any]
) -> None:
    verdict = replay_recording(recorded(tmp_path, f"{exchange['protocol']}/text", exchange, **changes))
    assert verdict.undecoded is None
    assert reasons(verdict) == {}


def test_losses_are_reported(tmp_path: Path) -> None:
    request = {**CHAT["request"], "seed": 7}
    verdict = replay_recording(recorded(tmp_path, "openai-chat/tools", CHAT, request=request))
    assert reasons(verdict) == {}
    assert verdict.own.losses == ()
    assert "seed" in verdict.cross["anthropic"].losses
    assert "seed" not in verdict.cross["gemini"].losses


def test_parts_that_are_not_decoded_count_as_a_loss(tmp_path: Path) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    verdict = replay_recording(
        recorded(tmp_path, "anthropic/server-tools", ANTHROPIC, request={**ANTHROPIC["request"], "tools": tools})
    )
    assert verdict.own.losses == ("opaque",)
    assert "hosted_tools" in verdict.cross["ollama"].losses


def test_a_reply_without_its_request_passes(tmp_path: Path) -> None:
    assert reasons(replay_recording(recorded(tmp_path, "gemini/text", GEMINI, request=None))) == {}


def test_an_error_passes_in_every_protocol(tmp_path: Path) -> None:
    verdict = replay_recording(recorded(tmp_path, "anthropic/error-429", ERROR))
    assert verdict.decoded
    assert reasons(verdict) == {}


def test_an_unfinished_stream_is_decoded(tmp_path: Path) -> None:
    whole = ANTHROPIC_STREAM["response_sse"]
    cut = whole[: whole.index("event: message_delta")]
    verdict = replay_recording(recorded(tmp_path, "anthropic/text-stream", ANTHROPIC_STREAM, response_sse=cut))
    assert verdict.decoded
    assert reasons(verdict) == {}


UNDECODED: list[tuple[str, dict[str, Any], str]] = [
    ("request", {"request": {"messages": 5}}, "request: model"),
    ("reply", {"response": {"id": "c-1"}}, "reply: choices"),
]


@pytest.mark.parametrize(("changes", "why"), [row[1:] for row in UNDECODED], ids=[row[0] for row in UNDECODED])
def test_invalid_recordings_are_undecoded(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    verdict = replay_recording(recorded(tmp_path, "openai-chat/text", CHAT, **changes))
    assert not verdict.decoded
    assert verdict.undecoded is not None
    assert verdict.undecoded.startswith(why)


def test_an_invalid_request_that_the_provider_rejected_is_accepted(tmp_path: Path) -> None:
    assert replay_recording(recorded(tmp_path, "anthropic/error-429", ERROR, request={"messages": 5})).decoded


# ---- faulty protocols ------------------------------------------------------------------------------------------------


def without_calls(protocol: Protocol) -> dict[str, Any]:
    def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
        reply = protocol.decode_reply(body, sent, new_id)
        return replace(reply, blocks=tuple(block for block in reply.blocks if not isinstance(block, ToolCall)))

    return {"decode_reply": decode_reply}


def without_usage(protocol: Protocol) -> dict[str, Any]:
    def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
        return replace(protocol.decode_reply(body, sent, new_id), usage=Usage(1, 1))

    return {"decode_reply": decode_reply}


def with_another_stop(protocol: Protocol) -> dict[str, Any]:
    def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
        return protocol.encode_reply(replace(reply, stop="length"), context)

    return {"encode_reply": encode_reply}


def without_system(protocol: Protocol) -> dict[str, Any]:
    def decode_request(body: dict[str, Any], where: Any) -> Request:
        request = protocol.decode_request(body, where)
        return replace(request, turns=tuple(turn for turn in request.turns if turn.role != "system"))

    return {"decode_request": decode_request}


def with_extra_turn(protocol: Protocol) -> dict[str, Any]:
    def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
        return protocol.encode_request(replace(request, turns=(*request.turns, Turn("user", (Text("Hi"),)))), target)

    return {"encode_request": encode_request}


def with_wrong_types(protocol: Protocol) -> dict[str, Any]:
    def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
        body, losses = protocol.encode_reply(reply, context)
        return {**body, "type": 5, "object": 5}, losses

    return {"encode_reply": encode_reply}


FAULTS: list[tuple[str, str, Callable[[Protocol], dict[str, Any]], str, str]] = [
    ("drops a call", "anthropic", without_calls, "openai-chat", "reply: reply.calls (wrong)"),
    ("changes usage", "anthropic", without_usage, "gemini", "reply: usage.prompt: sent prompt 20"),
    ("changes the stop reason", "openai-chat", with_another_stop, "openai-chat", "reply: stop (wrong)"),
    ("drops the system prompt", "anthropic", without_system, "ollama", "request: turns"),
    (
        "adds a turn",
        "openai-responses",
        with_extra_turn,
        "openai-responses",
        "request: turns[1].text (wrong)",
    ),
    ("has wrong types", "openai-chat", with_wrong_types, "openai-chat", "reply: the SDK's type: object"),
]


@pytest.mark.parametrize(
    ("faulty_protocol", "fault", "target", "reason"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_faulty_protocols_are_detected(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faulty_protocol: str,
    fault: Callable[[Protocol], dict[str, Any]],
    target: str,
    reason: str,
) -> None:
    swap(monkeypatch, faulty_protocol, **fault(PROTOCOLS[faulty_protocol]))
    found = reasons(replay_recording(recorded(tmp_path, "anthropic/tools", ANTHROPIC)))
    assert any(text.startswith(reason) for text in found[target]), found


class _StatefulDecoder:
    """A decoder whose events depend on all streams decoded before."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._pings = 0

    @property
    def done(self) -> bool:
        return bool(self._inner.done)

    def feed(self, frame: Frame) -> list[Event]:
        events: list[Event] = self._inner.feed(frame)
        return [replace(e, native=str(COUNTER.step())) if isinstance(e, ReplyEnd) else e for e in events]

    def close(self) -> list[Event]:
        events: list[Event] = self._inner.close()
        return events


class _Counter:
    def __init__(self) -> None:
        self._number = 0

    def step(self) -> int:
        self._number += 1
        return self._number


COUNTER = _Counter()


def test_a_decoder_with_state_between_streams_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = PROTOCOLS["anthropic"].stream_decoder
    swap(monkeypatch, "anthropic", stream_decoder=lambda sent, new_id: _StatefulDecoder(decoder(sent, new_id)))
    verdict = replay_recording(recorded(tmp_path, "anthropic/text-stream", ANTHROPIC_STREAM))
    assert verdict.undecoded == "stream: different events when read byte by byte"


def test_an_exception_is_reported_and_the_rest_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
        raise KeyError("turns")

    swap(monkeypatch, "gemini", encode_request=encode_request)
    verdict = replay_recording(recorded(tmp_path, "anthropic/tools", ANTHROPIC))
    assert [text.partition(" (")[0] for text in verdict.raised] == ["to gemini: KeyError: 'turns'"]
    assert set(reasons(verdict)) == {"gemini"}


def test_a_changed_error_kind_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"error": {"message": "no", "type": "authentication_error", "param": None, "code": "invalid_api_key"}}
    swap(monkeypatch, "openai-chat", encode_failure=lambda failure, id_: body, failure_status={"rate_limit": 401})
    assert set(reasons(replay_recording(recorded(tmp_path, "anthropic/error-429", ERROR)))) == {"openai-chat"}


# ---- recordings ------------------------------------------------------------------------------------------------------

SKIPPED: list[tuple[str, dict[str, Any], str]] = [
    ("anthropic/count-tokens", {**ANTHROPIC, "path": "/v1/messages/count_tokens"}, "not a chat: messages/count_tokens"),
    ("gemini/count-tokens", {**GEMINI, "path": "/v1beta/models/m:countTokens"}, "not a chat: countTokens"),
    ("ollama/text", {**OLLAMA, "path": "/api/generate"}, "not a chat: api/generate"),
    ("gemini/text", {**GEMINI, "request": None, "response": {"totalTokens": 5}}, "not a chat: a reply of another kind"),
    ("cohere/text", {**CHAT, "protocol": "cohere"}, "unknown protocol: cohere"),
]


@pytest.mark.parametrize(("place", "exchange", "why"), SKIPPED, ids=[row[2] for row in SKIPPED])
def test_other_endpoints_are_skipped(tmp_path: Path, place: str, exchange: dict[str, Any], why: str) -> None:
    verdict = replay_recording(recorded(tmp_path, place, exchange))
    assert verdict.skipped is not None
    assert verdict.skipped.startswith(why)
    assert summarize([verdict]).cases == 0


@pytest.mark.parametrize(
    ("text", "why"), [("{", "not JSON"), ("[]", "missing keys: protocol"), ('{"path": "/"}', "missing keys: protocol")]
)
def test_invalid_files_are_rejected(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(NotARecording, match=why):
        read_recording(tmp_path / "case.json", tmp_path)


@given(st.binary(max_size=5000), st.text())
def test_random_chunks_keep_all_bytes(body: bytes, seed: str) -> None:
    pieces = list(random_chunks(body, seed))
    assert b"".join(pieces) == body
    assert all(pieces)
    assert pieces == list(random_chunks(body, seed))


# ---- command line ----------------------------------------------------------------------------------------------------


def test_a_run_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "recordings"
    for place, exchange in EXCHANGES.items():
        write(folder, place, exchange)
    assert main([str(folder), "--json", str(tmp_path / "out.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "over sockets: 9 cases, relayed and converted, 9 right, 0 failed" in out
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {value["file"].rpartition("/")[0] for value in lines} == set(EXCHANGES)
    assert all(value["own"]["valid"] for value in lines)


def test_a_run_with_many_files_uses_several_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(41):
        write(tmp_path, "gemini/images", GEMINI)
    assert main([str(tmp_path)]) == 0
    assert "41/41" in capsys.readouterr().out


def test_a_run_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "anthropic/tools", ANTHROPIC)
    swap(monkeypatch, "anthropic", **without_calls(PROTOCOLS["anthropic"]))
    assert main([str(tmp_path)]) == 1


WRONG_ARGUMENTS: list[tuple[str, list[str], str]] = [
    ("no folder named", [], "the following arguments are required"),
    ("no such folder", ["{}/none"], "is not a folder"),
    ("an empty folder", ["{}"], "has no *.json files"),
    ("an unknown flag", ["{}", "--fast"], "unrecognized arguments"),
    ("an invalid file", ["{}/odd"], "missing keys: protocol"),
    ("no folder for the output", ["{}/odd", "--json", "{}/none/out"], "is not a folder"),
]


@pytest.mark.parametrize(
    ("argv", "error"), [row[1:] for row in WRONG_ARGUMENTS], ids=[row[0] for row in WRONG_ARGUMENTS]
)
def test_wrong_arguments_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], error: str
) -> None:
    if any("odd" in word for word in argv):
        (tmp_path / "odd").mkdir()
        (tmp_path / "odd" / "case.json").write_text("[]")
    assert main([word.format(tmp_path) for word in argv]) == 2
    assert error in capsys.readouterr().err
