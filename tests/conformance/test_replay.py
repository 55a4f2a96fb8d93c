"""The replay of recorded traffic: made-up recordings go through, and protocols that lie are found out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exchanges import (
    ANTHROPIC,
    ANTHROPIC_STREAM,
    CHAT,
    CHAT_STREAM,
    CHUNK,
    ERROR,
    EXCHANGES,
    GEMINI,
    GEMINI_REPLY,
    GEMINI_STREAM,
    MESSAGE,
    OLLAMA,
    OLLAMA_REPLY,
    RESPONSE,
    RESPONSES,
    chunk,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conformance.replay import choose, main
from conformance.replay.difference import difference
from conformance.replay.judges import EVENT, REPLY, REQUEST, judge
from conformance.replay.play import play
from conformance.replay.recording import NotARecording, Recording, read
from conformance.replay.sockets import over_sockets
from conformance.replay.streams import random_cuts
from conformance.replay.tally import add, good, lines, table
from conformance.replay.verdict import Outcome, Verdict
from proxy.framing import Frame
from proxy.ir import Event, Finish, Loss, Reply, Request, Text, ToolCall, Turn, Usage
from proxy.protocols import PROTOCOLS
from proxy.protocols.contract import Asked, NewId, Protocol, Sent, Target


def write(folder: Path, place: str, exchange: dict[str, Any], **changes: Any) -> Path:
    """A recording at `protocol/capability` below the folder."""
    file = folder / place / f"{len(list(folder.rglob('*.json'))):03}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    capability = place.partition("/")[2].removesuffix("-stream")
    case = {"capability": capability, "model": "m", "status": 200, "response_headers": {}, **exchange, **changes}
    file.write_text(json.dumps(case))
    return file


def recorded(folder: Path, place: str, exchange: dict[str, Any], **changes: Any) -> Recording:
    return read(write(folder, place, exchange, **changes), folder)


def reasons(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    """What is wrong, by target; its own protocol among them."""
    outcomes = {verdict.protocol: verdict.own, **verdict.cross}
    return {name: outcome.reasons for name, outcome in outcomes.items() if outcome.reasons}


# ---- what goes through -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", EXCHANGES)
def test_honest_protocols_pass(tmp_path: Path, place: str) -> None:
    verdict = play(recorded(tmp_path, place, EXCHANGES[place]))
    assert verdict.undecoded is None
    assert verdict.raised == ()
    assert reasons(verdict) == {}
    assert set(verdict.cross) == set(PROTOCOLS) - {verdict.protocol}


BESIDE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 57,
    "completion_tokens_details": {"reasoning_tokens": 30},
}
WHOLE = CHAT_STREAM["response_sse"]

HOSTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("another word for a forced call", CHAT, {"request": {**CHAT["request"], "tool_choice": "any"}}),
    ("thinking counted beside the output", CHAT, {"response": {**CHAT["response"], "usage": BESIDE}}),
    ("a stream without its sentinel", CHAT_STREAM, {"response_sse": WHOLE.removesuffix("data: [DONE]\n\n")}),
    ("a stream without its last blank line", GEMINI_STREAM, {"response_sse": GEMINI_STREAM["response_sse"].rstrip()}),
    ("an address that does not tell the framing", GEMINI_STREAM, {"path": "/v1beta/models/m:streamGenerateContent"}),
    ("no reason for the end", OLLAMA, {"response": {k: v for k, v in OLLAMA_REPLY.items() if k != "done_reason"}}),
    ("a request that only loads the model", OLLAMA, {"request": {"model": "m", "messages": []}}),
]


@pytest.mark.parametrize(("exchange", "changes"), [row[1:] for row in HOSTS], ids=[row[0] for row in HOSTS])
def test_what_hosts_and_recorders_do_otherwise(
    tmp_path: Path, exchange: dict[str, Any], changes: dict[str, Any]
) -> None:
    verdict = play(recorded(tmp_path, f"{exchange['protocol']}/text", exchange, **changes))
    assert verdict.undecoded is None
    assert reasons(verdict) == {}


def test_losses_are_told(tmp_path: Path) -> None:
    request = {**CHAT["request"], "seed": 7}
    verdict = play(recorded(tmp_path, "openai-chat/tools", CHAT, request=request))
    assert reasons(verdict) == {}
    assert verdict.own.losses == ()
    assert "seed" in verdict.cross["anthropic"].losses
    assert "seed" not in verdict.cross["gemini"].losses


def test_what_is_kept_unread_counts_as_a_loss(tmp_path: Path) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    verdict = play(
        recorded(tmp_path, "anthropic/server-tools", ANTHROPIC, request={**ANTHROPIC["request"], "tools": tools})
    )
    assert verdict.own.losses == ("opaque",)
    assert "hosted_tools" in verdict.cross["ollama"].losses


def test_an_answer_without_its_request(tmp_path: Path) -> None:
    assert reasons(play(recorded(tmp_path, "gemini/text", GEMINI, request=None))) == {}


def test_an_error_is_told_in_every_shape(tmp_path: Path) -> None:
    verdict = play(recorded(tmp_path, "anthropic/error-429", ERROR))
    assert verdict.decoded
    assert reasons(verdict) == {}


def test_a_stream_that_the_provider_left_unfinished_is_decoded(tmp_path: Path) -> None:
    whole = ANTHROPIC_STREAM["response_sse"]
    cut = whole[: whole.index("event: message_delta")]
    verdict = play(recorded(tmp_path, "anthropic/text-stream", ANTHROPIC_STREAM, response_sse=cut))
    assert verdict.decoded
    assert reasons(verdict) == {}


UNDECODED: list[tuple[str, dict[str, Any], str]] = [
    ("request", {"request": {"messages": 5}}, "request: model"),
    ("reply", {"response": {"id": "c-1"}}, "reply: choices"),
]


@pytest.mark.parametrize(("changes", "why"), [row[1:] for row in UNDECODED], ids=[row[0] for row in UNDECODED])
def test_what_is_not_understood(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    verdict = play(recorded(tmp_path, "openai-chat/text", CHAT, **changes))
    assert not verdict.decoded
    assert verdict.undecoded is not None
    assert verdict.undecoded.startswith(why)


def test_a_request_that_the_provider_refused_need_not_be_understood(tmp_path: Path) -> None:
    assert play(recorded(tmp_path, "anthropic/error-429", ERROR, request={"messages": 5})).decoded


# ---- protocols that lie ----------------------------------------------------------------------------------------------


def swap(monkeypatch: pytest.MonkeyPatch, name: str, **functions: Any) -> None:
    monkeypatch.setitem(PROTOCOLS, name, replace(PROTOCOLS[name], **functions))


def without_calls(protocol: Protocol) -> dict[str, Any]:
    def decode_reply(body: dict[str, Any], sent: Sent, new_id: NewId) -> Reply:
        reply = protocol.decode_reply(body, sent, new_id)
        return replace(reply, blocks=tuple(block for block in reply.blocks if not isinstance(block, ToolCall)))

    return {"decode_reply": decode_reply}


def without_usage(protocol: Protocol) -> dict[str, Any]:
    def decode_reply(body: dict[str, Any], sent: Sent, new_id: NewId) -> Reply:
        return replace(protocol.decode_reply(body, sent, new_id), usage=Usage(1, 1))

    return {"decode_reply": decode_reply}


def with_another_stop(protocol: Protocol) -> dict[str, Any]:
    def encode_reply(reply: Reply, asked: Asked) -> tuple[dict[str, Any], list[Loss]]:
        return protocol.encode_reply(replace(reply, stop="length"), asked)

    return {"encode_reply": encode_reply}


def without_system(protocol: Protocol) -> dict[str, Any]:
    def decode_request(body: dict[str, Any], where: Any) -> Request:
        request = protocol.decode_request(body, where)
        return replace(request, turns=tuple(turn for turn in request.turns if turn.role != "system"))

    return {"decode_request": decode_request}


def with_more_words(protocol: Protocol) -> dict[str, Any]:
    def encode_request(request: Request, target: Target) -> Sent:
        return protocol.encode_request(replace(request, turns=(*request.turns, Turn("user", (Text("Hi"),)))), target)

    return {"encode_request": encode_request}


def of_no_type(protocol: Protocol) -> dict[str, Any]:
    def encode_reply(reply: Reply, asked: Asked) -> tuple[dict[str, Any], list[Loss]]:
        body, losses = protocol.encode_reply(reply, asked)
        return {**body, "type": 5, "object": 5}, losses

    return {"encode_reply": encode_reply}


LIARS: list[tuple[str, str, Callable[[Protocol], dict[str, Any]], str, str]] = [
    ("drops a call", "anthropic", without_calls, "openai-chat", "reply: reply.calls (wrong)"),
    ("loses usage", "anthropic", without_usage, "gemini", "reply: usage.prompt (wrong)"),
    ("invents a stop", "openai-chat", with_another_stop, "openai-chat", "reply: stop (stop_reason)"),
    ("drops the system prompt", "anthropic", without_system, "ollama", "request: turns"),
    (
        "says more than was said",
        "openai-responses",
        with_more_words,
        "openai-responses",
        "request: turns[1].text (wrong)",
    ),
    ("is of no type", "openai-chat", of_no_type, "openai-chat", "reply: the SDK's type: object"),
]


@pytest.mark.parametrize(("liar", "lie", "target", "reason"), [row[1:] for row in LIARS], ids=[row[0] for row in LIARS])
def test_lies_are_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    liar: str,
    lie: Callable[[Protocol], dict[str, Any]],
    target: str,
    reason: str,
) -> None:
    swap(monkeypatch, liar, **lie(PROTOCOLS[liar]))
    found = reasons(play(recorded(tmp_path, "anthropic/tools", ANTHROPIC)))
    assert any(text.startswith(reason) for text in found[target]), found


class _ByChunk:
    """A decoder that forgets a frame when frames come one at a time."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._pings = 0

    @property
    def done(self) -> bool:
        return bool(self._inner.done)

    def feed(self, frame: Frame) -> list[Event]:
        events: list[Event] = self._inner.feed(frame)
        return [replace(e, native=str(COUNTER.step())) if isinstance(e, Finish) else e for e in events]

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


def test_a_decoder_that_remembers_more_than_its_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = PROTOCOLS["anthropic"].stream_decoder
    swap(monkeypatch, "anthropic", stream_decoder=lambda sent, new_id: _ByChunk(decoder(sent, new_id)))
    verdict = play(recorded(tmp_path, "anthropic/text-stream", ANTHROPIC_STREAM))
    assert verdict.undecoded == "stream: other events byte by byte"


def test_what_raises_is_named_and_the_rest_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode_request(request: Request, target: Target) -> Sent:
        raise KeyError("turns")

    swap(monkeypatch, "gemini", encode_request=encode_request)
    verdict = play(recorded(tmp_path, "anthropic/tools", ANTHROPIC))
    assert [text.partition(" (")[0] for text in verdict.raised] == ["to gemini: KeyError: 'turns'"]
    assert set(reasons(verdict)) == {"gemini"}
    assert not good([verdict])


def test_an_error_that_turns_into_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"error": {"message": "no", "type": "authentication_error", "param": None, "code": "invalid_api_key"}}
    swap(monkeypatch, "openai-chat", encode_failure=lambda failure, id_: body, failure_status={"rate_limit": 401})
    assert set(reasons(play(recorded(tmp_path, "anthropic/error-429", ERROR)))) == {"openai-chat"}


# ---- recordings ------------------------------------------------------------------------------------------------------

SKIPPED: list[tuple[str, dict[str, Any], str]] = [
    ("anthropic/count-tokens", {**ANTHROPIC, "path": "/v1/messages/count_tokens"}, "no chat: messages/count_tokens"),
    ("gemini/count-tokens", {**GEMINI, "path": "/v1beta/models/m:countTokens"}, "no chat: countTokens"),
    ("ollama/text", {**OLLAMA, "path": "/api/generate"}, "no chat: api/generate"),
    ("gemini/text", {**GEMINI, "request": None, "response": {"totalTokens": 5}}, "no chat: an answer of another kind"),
    ("cohere/text", {**CHAT, "protocol": "cohere"}, "no protocol of ours: cohere"),
]


@pytest.mark.parametrize(("place", "exchange", "why"), SKIPPED, ids=[row[2] for row in SKIPPED])
def test_what_is_no_chat_is_skipped(tmp_path: Path, place: str, exchange: dict[str, Any], why: str) -> None:
    verdict = play(recorded(tmp_path, place, exchange))
    assert verdict.skipped is not None
    assert verdict.skipped.startswith(why)
    assert add([verdict]).cases == 0


@pytest.mark.parametrize(
    ("text", "why"), [("{", "not JSON"), ("[]", "lacks protocol"), ('{"path": "/"}', "lacks protocol")]
)
def test_what_is_no_recording(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(NotARecording, match=why):
        read(tmp_path / "case.json", tmp_path)


@given(st.binary(max_size=5000), st.text())
def test_random_cuts_lose_nothing(body: bytes, seed: str) -> None:
    pieces = list(random_cuts(body, seed))
    assert b"".join(pieces) == body
    assert all(pieces)
    assert pieces == list(random_cuts(body, seed))


# ---- judges and differences ------------------------------------------------------------------------------------------

JUDGED: list[tuple[str, str, Any, str | None]] = [
    ("openai-chat", REQUEST, CHAT["request"], None),
    ("openai-chat", REQUEST, {"model": "m", "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ("openai-chat", REPLY, CHAT["response"], None),
    ("openai-chat", REPLY, {**CHAT["response"], "created": "now"}, "created"),
    ("openai-chat", EVENT, chunk(content="hi"), None),
    ("openai-chat", EVENT, {**CHUNK, "choices": [{"index": 0}]}, "choices[0]"),
    ("openai-responses", REQUEST, RESPONSES["request"], None),
    ("openai-responses", REPLY, RESPONSE, None),
    ("openai-responses", REPLY, {**RESPONSE, "tools": None}, "tools"),
    ("openai-responses", EVENT, {"type": "response.output_text.delta", "delta": "hi"}, "content_index"),
    ("anthropic", REQUEST, ANTHROPIC["request"], None),
    ("anthropic", REQUEST, {"model": "m", "messages": []}, "max_tokens"),
    ("anthropic", REPLY, MESSAGE, None),
    ("anthropic", REPLY, {**MESSAGE, "usage": {}}, "usage.input_tokens"),
    ("anthropic", EVENT, {"type": "ping"}, None),
    ("anthropic", EVENT, {"type": "content_block_stop"}, "index"),
    ("gemini", REQUEST, GEMINI["request"], None),
    ("gemini", REQUEST, {"contents": [{"role": "user", "parts": [{"txt": "hi"}]}]}, "contents.[0].parts[0].txt"),
    ("gemini", REPLY, GEMINI_REPLY, None),
    ("gemini", REPLY, {"candidates": [{"finishReason": "FED_UP"}]}, "FED_UP"),
    ("gemini", REPLY, {"candidates": [{"finishReason": 1}]}, "upper"),
    ("ollama", REQUEST, OLLAMA["request"], None),
    ("ollama", REQUEST, {"model": "m", "messages": [{"content": "hi"}]}, "messages"),
    ("ollama", REPLY, OLLAMA_REPLY, None),
    ("ollama", EVENT, {**OLLAMA_REPLY, "message": {"content": "hi"}}, "message.role"),
]


@pytest.mark.parametrize(("dialect", "part", "value", "wrong"), JUDGED)
def test_judges(dialect: str, part: str, value: Any, wrong: str | None) -> None:
    found = judge(dialect, part, value)
    assert found is None if wrong is None else found is not None and wrong in found


REPLY_A = Reply(dialect="d", id="1", model="m", blocks=(ToolCall("c", "f", ""),), stop="tool", usage=Usage(3, 2))

DIFFERENCES: list[tuple[str, Reply, dict[str, Any], str | None]] = [
    ("equal", REPLY_A, {}, None),
    ("no arguments, said in two ways", replace(REPLY_A, blocks=(ToolCall("c", "f", "{}"),)), {}, None),
    ("a count of none", replace(REPLY_A, usage=Usage(3, 2, 0)), {}, None),
    ("nothing left over", replace(REPLY_A, own={}), {}, None),
    ("another name", replace(REPLY_A, blocks=(ToolCall("c", "g", ""),)), {}, ".blocks[0].name"),
    ("one block less", replace(REPLY_A, blocks=()), {}, ".blocks"),
    ("another total", replace(REPLY_A, usage=Usage(3, 3)), {}, ".usage.output"),
    ("another stop", replace(REPLY_A, stop="end"), {}, ".stop"),
    ("another stop, where any will do", replace(REPLY_A, stop="end"), {"but": (".stop",)}, None),
    ("more left over", replace(REPLY_A, own={"a": 1}), {}, ".own.a"),
    ("more left over, where there may be", replace(REPLY_A, own={"a": 1}), {"added": ("*.own.*",)}, None),
]


@pytest.mark.parametrize(
    ("other", "lax", "place"), [row[1:] for row in DIFFERENCES], ids=[row[0] for row in DIFFERENCES]
)
def test_differences(other: Reply, lax: dict[str, Any], place: str | None) -> None:
    found = difference(REPLY_A, other, **lax)
    assert found is None if place is None else found is not None and found.partition(": ")[0] == place


# ---- adding up -------------------------------------------------------------------------------------------------------


def verdicts(valid: int, invalid: int, own: int = 0, **head: Any) -> Iterator[Verdict]:
    """Some crossings valid, some not, and the first `own` of them not even in their own protocol."""
    fields = {"file": "f.json", "protocol": "anthropic", "capability": "text", **head}
    lost = ("reply: stop (stop_reason): said 'end', arrived 'length'",)
    for at, wrong in enumerate([()] * valid + [lost] * invalid):
        itself = Outcome(lost if at < own else ())
        yield Verdict(**fields, own=itself, cross={"gemini": Outcome(wrong, ("seed",))})


GOOD: list[tuple[str, list[Verdict], bool]] = [
    ("all valid", [*verdicts(5, 0)], True),
    ("98 of a hundred crossings", [*verdicts(98, 2)], True),
    ("97 of a hundred crossings", [*verdicts(97, 3)], False),
    ("99 of a hundred round trips", [*verdicts(100, 0, own=1)], True),
    ("98 of a hundred round trips", [*verdicts(100, 0, own=2)], False),
    ("one not decoded", [*verdicts(99, 0), *verdicts(1, 0, undecoded="reply: what is this")], False),
    ("one raised", [*verdicts(99, 0), *verdicts(1, 0, raised=("boom",))], False),
    ("skipped ones do not count", [*verdicts(5, 0), *verdicts(0, 9, skipped="no chat")], True),
]


@pytest.mark.parametrize(("cases", "verdict"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
def test_the_exit_code(cases: list[Verdict], verdict: bool) -> None:
    assert good(cases) is verdict


def test_the_table() -> None:
    cases = [*verdicts(2, 1), *verdicts(1, 0, capability="pdf"), *verdicts(1, 0, skipped="no chat")]
    text = [" ".join(line.split()) for line in table(cases)]
    assert "anthropic text 3 3 3/3 100.0 % 2/3 66.7 % seed 3" in text
    assert "anthropic pdf 1 1 1/1 100.0 % 1/1 100.0 % seed 1" in text
    assert "all 4 4 4/4 100.0 % 3/4 75.0 % seed 4" in text
    assert "skipped 1: no chat" in text
    assert "1 anthropic to gemini: reply: stop (stop_reason) [f.json]" in text


def test_the_lines() -> None:
    (line,) = lines(verdicts(0, 1))
    value = json.loads(line)
    assert value["cross"]["gemini"]["valid"] is False
    assert value["own"] == {"valid": True, "reasons": [], "losses": []}
    assert (value["protocol"], value["capability"], value["decoded"]) == ("anthropic", "text", True)


# ---- the whole -------------------------------------------------------------------------------------------------------


def test_a_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "recordings"
    for place, exchange in EXCHANGES.items():
        write(folder, place, exchange)
    assert main([str(folder), "--json", str(tmp_path / "out.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "over sockets: 9 cases, relayed and converted, 0 wrong" in out
    told = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {value["file"].rpartition("/")[0] for value in told} == set(EXCHANGES)
    assert all(value["own"]["valid"] for value in told)


def test_a_run_with_many_files_uses_several_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(41):
        write(tmp_path, "gemini/images", GEMINI)
    assert main([str(tmp_path)]) == 0
    assert "41/41" in capsys.readouterr().out


def test_a_run_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "anthropic/tools", ANTHROPIC)
    swap(monkeypatch, "anthropic", **without_calls(PROTOCOLS["anthropic"]))
    assert main([str(tmp_path)]) == 1


WRONG_CALLS: list[tuple[str, list[str], str]] = [
    ("no folder named", [], "the following arguments are required"),
    ("no such folder", ["{}/none"], "is no folder"),
    ("nothing in it", ["{}"], "holds no *.json file"),
    ("an unknown flag", ["{}", "--fast"], "unrecognized arguments"),
    ("a file that is none", ["{}/odd"], "lacks protocol"),
    ("no place for the lines", ["{}/odd", "--json", "{}/none/out"], "is no folder"),
]


@pytest.mark.parametrize(("argv", "said"), [row[1:] for row in WRONG_CALLS], ids=[row[0] for row in WRONG_CALLS])
def test_wrong_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str) -> None:
    if any("odd" in word for word in argv):
        (tmp_path / "odd").mkdir()
        (tmp_path / "odd" / "case.json").write_text("[]")
    assert main([word.format(tmp_path) for word in argv]) == 2
    assert said in capsys.readouterr().err


def test_the_sockets_take_turns(tmp_path: Path) -> None:
    recordings = [recorded(tmp_path, place, exchange) for place, exchange in EXCHANGES.items() for _ in range(4)]
    chosen = choose(iter(recordings))
    assert len(chosen) == 10
    assert {recording.protocol for recording in chosen} == set(PROTOCOLS)


def test_over_sockets_what_is_no_answer_is_wrong(tmp_path: Path) -> None:
    found = over_sockets([recorded(tmp_path, "openai-chat/text", CHAT, response={"id": "c-1"})])
    assert [line.partition(" status 502")[0] for line in found] == [
        f"openai-chat/text/000.json, {way}:" for way in ("relayed", "converted")
    ]
