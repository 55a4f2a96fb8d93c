"""The record of a request, and the log of its four stages."""

from __future__ import annotations

import json
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.headers import printable
from crosswire.proxy.ir import Loss
from crosswire.proxy.observability.metrics import Metrics
from crosswire.proxy.observability.record_log import StageLog
from crosswire.proxy.observability.request_record import MOST_LOSSES, Record, RecordBuffer, memory_of
from crosswire.proxy.routing import Candidate, Decision

from ..proxy_fixture import KEY, config, one, stage
from ..sample_messages import JSON, PROTOCOLS, TEXT, ask, data, dumps, path, reply, stream, stream_kind, upstream_error
from ..scripted_upstream import LAST, chunk, chunked, head, http, upstream

# ---- the ring --------------------------------------------------------------------------------------------------------


def record(number: int) -> Record:
    return Record(f"req_{number}", 0.0, "ollama")


@pytest.mark.parametrize(("size", "kept"), [(0, []), (1, [4]), (3, [2, 3, 4]), (9, [0, 1, 2, 3, 4])])
def test_the_oldest_make_room(size: int, kept: list[int]) -> None:
    ring = RecordBuffer(size, 2**20)
    for number in range(5):
        ring.add(record(number))
    assert [n for n in range(5) if ring.get(f"req_{n}") is not None] == kept
    assert ring.get("req_99") is None


def heavy(number: int) -> Record:
    losses = [Loss(f"extra.{'k' * 200}{n}", "extra", "dropped") for n in range(10_000)]
    return Record(f"req_{number}", 0.0, "ollama", model="m" * 256, losses=losses)


def test_records_keep_a_number_of_bytes() -> None:
    ring = RecordBuffer(1000, 10**6)
    for number in range(1000):
        ring.add(heavy(number))
        ring.add(heavy(number))  # the same id again takes its own place
    assert ring.used <= 10**6
    kept = [found for n in range(1000) if (found := ring.get(f"req_{n}")) is not None]
    assert 5 < len(kept) < 20
    assert {len(found.losses) for found in kept} == {MOST_LOSSES}
    assert {found.rendered()["losses_left_out"] for found in kept} == {len(heavy(0).losses) - MOST_LOSSES}
    assert ring.used == sum(map(memory_of, kept))
    ring.memory = 0
    ring.add(heavy(1))
    assert (ring.used, ring.get("req_1")) == (0, None)


def test_a_large_record_does_not_wait_whole() -> None:
    ring, metrics = RecordBuffer(1000, 10**6), Metrics()
    tracemalloc.start()
    try:
        for number in range(20):  # fewer than are counted together; each has some 5 MB
            ended = heavy(number)
            ring.add(ended)
            metrics.add(ended)
            del ended
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert left < 10**7


@pytest.mark.parametrize("records", [0, 2])
async def test_how_many_are_remembered_is_the_configs(records: int) -> None:
    async with (
        upstream([http(dumps(reply("ollama")))]) as up,
        stage(config(one("ollama", up.url), records=records)) as it,
    ):
        answers = [await it.ask("/api/chat", ask("ollama")) for _ in range(3)]
        found = [(await it.get(f"/crosswire/requests/{a.headers['x-request-id']}")).status for a in reversed(answers)]
    # the look-ups that find nothing are records themselves
    assert found[:2] == ([200, 200] if records else [404, 404])
    assert found[2] == 404


# ---- the headers -----------------------------------------------------------------------------------------------------

TEXTS: dict[str, tuple[str, str]] = {
    "plain": ("gpt-5", "gpt-5"),
    "a line end": ("a\r\nx: y", "a??x: y"),
    "nul": ("a\x00b", "a?b"),
    "umlaut": ("mödel", "m?del"),
    "far": ("模🦀", "??"),
    "long": ("x" * 1000, "x" * 256),
    "delete": ("a\x7f", "a?"),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("text", "header"), TEXTS.values(), ids=TEXTS)
def test_printable(text: str, header: str) -> None:
    assert printable(text) == header


def test_headers_say_what_is_true_by_now() -> None:
    it = record(1)
    assert it.response_headers() == {}
    chosen = Candidate("b", "up-1", True, "why")
    it.decision = Decision(chosen, "auto", "because", (chosen,))
    assert it.response_headers() == {"x-crosswire-route": "auto; because"}
    it.backend_used = "b"
    assert it.response_headers()["x-crosswire-backend"] == "b"
    it.model_used = "up-1"
    it.losses = [Loss("a", "top_k", "dropped"), Loss("b", "seed", "dropped"), Loss("c", "top_k", "dropped")]
    assert it.response_headers() == {
        "x-crosswire-route": "auto; because",
        "x-crosswire-backend": "b",
        "x-crosswire-model": "up-1",
        "x-crosswire-loss": "top_k,seed",
    }


# ---- a record over HTTP ----------------------------------------------------------------------------------------------


async def test_a_whole_record() -> None:
    body = ask("openai-chat", "fast", seed=7, x_unknown=1)
    async with (
        upstream([http(dumps(reply("anthropic", "up-1")))]) as up,
        stage(config(one("anthropic", up.url, models={"fast": "up-1"}))) as it,
    ):
        answer = await it.ask("/v1/chat/completions", body)
        found = await it.record(answer)
    assert found["attempts"].pop()["ms"] > 0
    assert found.pop("total_ms") > 0
    assert [stage["stage"] for stage in found["stages"]] == ["decode", "decide", "backend", "encode"]
    assert all(stage["ms"] >= 0 for stage in found.pop("stages"))
    assert found == {
        "id": f"exec_20251009_085320_{answer.headers['x-request-id'][-8:]}",
        "request_id": answer.headers["x-request-id"],
        "mode": "model_mapping",
        "at": 1_760_000_000.0,
        "frontend": "openai-chat",
        "what": "chat",
        "model": "fast",
        "stream": False,
        "decision": {
            "chosen": {"backend": "b", "model": "up-1", "taken": True, "why": "its models name this model"},
            "mode": "model_mapping",
            "because": "the models of 'b' name it",
            "considered": [{"backend": "b", "model": "up-1", "taken": True, "why": "its models name this model"}],
            "refusal": None,
        },
        "attempts": [],
        "backend_used": "b",
        "model_used": "up-1",
        "losses": [
            {"path": "x_unknown", "feature": "unknown_field", "how": "dropped"},
            {"path": "sampling.seed", "feature": "seed", "how": "dropped"},
        ],
        "added": [{"path": "max_tokens", "value": 8192, "why": "the default for a model whose most is not known"}],
        "repaired": [],
        "usage": {"input": 3, "output": 2, "cache_read": None, "cache_write": None, "reasoning": None},
        "status": 200,
        "outcome": "answered",
        "error": None,
        "ttft_ms": None,
    }


async def test_a_record_of_a_failure_names_no_backend_that_answered() -> None:
    script = [http(upstream_error("anthropic", f"no, {KEY}", 429), "429 Slow", retry_after="7")]
    async with upstream(script) as up, stage(config(one("anthropic", up.url))) as it:
        found = await it.record(await it.ask("/v1/messages", ask("anthropic")))
    assert (found["backend_used"], found["model_used"], found["usage"]) == (None, None, None)
    assert (found["status"], found["outcome"], found["attempts"][0]["outcome"]) == (429, "rate_limit", "rate_limit")
    assert found["error"]["message"] == "no, ***"
    assert found["error"]["retry_after"] == 7.0


async def test_a_record_of_what_never_became_a_request() -> None:
    async with stage(config(one("anthropic", "http://127.0.0.1:1"))) as it:
        for body, outcome in ((b"", "bad_request"), (b"{}", "bad_request")):
            found = await it.record(await it.ask("/v1/messages", body))
            assert (found["outcome"], found["status"], found["model"]) == (outcome, 400, None)
            assert (found["decision"], found["attempts"]) == (None, [])


# ---- the stage log ---------------------------------------------------------------------------------------------------

STAGES = ["client_request", "backend_request", "backend_response", "client_response"]


def lines(log: Path) -> list[JSON]:
    """Every line is one JSON object; a stage log that is not so is none."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("backend", PROTOCOLS)
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_the_four_stages(frontend: str, backend: str, tmp_path: Path) -> None:
    log = tmp_path / "stages.jsonl"
    scripts = [[http(dumps(reply(backend)))], chunked(stream(backend), stream_kind(backend))]
    async with upstream(*scripts) as up, stage(config(one(backend, up.url)), stage_log=log) as it:
        ids = [
            (await it.ask(path(frontend, stream=streams), ask(frontend, stream=streams))).headers["x-request-id"]
            for streams in (False, True)
        ]
    found = lines(log)
    for number, streams in enumerate((False, True)):
        mine = [entry for entry in found if entry["id"] == ids[number]]
        assert [entry["stage"] for entry in mine] == STAGES
        for entry in mine:
            assert (entry["frontend"], entry["model"], entry["time"]) == (frontend, "m", 1_760_000_000.0)
            assert entry["ms"] >= 0
        for entry in mine[1:3]:
            assert (entry["backend"], entry["upstream_model"]) == ("b", "m")
        assert mine[0]["body"] == ask(frontend, stream=streams)
        assert TEXT in str(mine[2]["body"]) or streams
        last = mine[3]
        assert (last["status"], last["outcome"], last["losses"]) == (200, "answered", [])
        assert last["tokens_per_s"] > 0
        assert (last["ttft_ms"] is not None) is streams


def ends(entries: list[JSON]) -> list[tuple[str, Any]]:
    return [(entry["stage"], entry.get("outcome")) for entry in entries]


async def test_the_stages_of_what_goes_wrong(tmp_path: Path) -> None:
    log = tmp_path / "stages.jsonl"
    scripts = [
        [http(upstream_error("anthropic", f"no {KEY}", 400), "400 Bad")],
        [head(), *(chunk(f) for f in stream("anthropic")[:3]), LAST],
        ["reset"],
    ]
    async with upstream(*scripts) as up, stage(config(one("anthropic", up.url)), stage_log=log) as it:
        await it.ask("/v1/messages", ask("anthropic"))
        await it.ask("/v1/messages", ask("anthropic", stream=True))
        await it.ask("/v1/messages", ask("anthropic", stream=True))
        await it.ask("/v1/messages", b"{")
        await it.ask("/v1/messages", ask("anthropic"), {"content-type": "text/plain"})
    four = [(stage_name, None) for stage_name in STAGES[:3]]
    found = lines(log)
    assert ends(found) == [
        *four,
        ("client_response", "bad_request"),
        *four,
        ("client_response", "upstream_cut"),
        *four,
        ("client_response", "upstream_unreachable"),
        ("client_response", "bad_request"),
        ("client_response", "media_type"),
    ]
    assert found[2]["error"]["message"] == "no ***"
    assert "event: error" in found[7]["body"]
    assert found[10]["error"]["kind"] == "upstream_unreachable"


async def test_no_secret_is_in_the_log(tmp_path: Path) -> None:
    """Not the client's credentials, not ours; not even where an upstream repeats ours in a good answer."""
    log = tmp_path / "stages.jsonl"
    secrets = {"authorization": "Bearer clients-own", "x-api-key": "clients-own", "cookie": "clients-own"}
    keys = {"headers": {"x-tenant": "s3cret-header-value"}}  # a key of any length, a header from 8 characters on
    echo = f"{KEY} and s3cret-header-value and open-sesame-please"
    scripts = [[http(dumps(reply("openai-chat", text=echo)))], chunked([data({"x": echo}), *stream("openai-chat")])]
    cfg = one("openai-chat", "", **keys)
    async with upstream(*scripts) as up:
        cfg["b"]["base_url"] = up.url
        async with stage(config(cfg, admin_key="open-sesame-please"), stage_log=log) as it:
            for streams in (False, True):
                await it.ask("/v1/chat/completions?key=clients-own", ask("openai-chat", stream=streams), secrets)
    text = log.read_text("utf-8")
    for word in ("clients-own", KEY, "s3cret-header-value", "open-sesame-please"):
        assert word not in text
    assert "*** and *** and ***" in text
    assert KEY in up.requests[0].headers["authorization"]


@pytest.mark.parametrize("key", ["k7-x", "EMPTY", "x"])
async def test_a_short_key_is_masked_where_it_stands_alone(key: str, tmp_path: Path) -> None:
    log = tmp_path / "stages.jsonl"
    echo = f"{key}, ({key}) and un{key}ed"
    async with (
        upstream([http(dumps(reply("ollama", text=echo)))]) as up,
        stage(config(one("ollama", up.url, api_key=key)), stage_log=log) as it,
    ):
        await it.ask("/api/chat", ask("ollama"))
    assert f"***, (***) and un{key}ed" in log.read_text("utf-8")
    assert [entry["stage"] for entry in lines(log)] == STAGES


async def test_a_body_over_several_lines_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "stages.jsonl"
    body = json.dumps(ask("ollama"), indent=2).encode()
    async with (
        upstream([http(json.dumps(reply("ollama"), indent=2).encode())]) as up,
        stage(config(one("ollama", up.url)), stage_log=log) as it,
    ):
        await it.ask("/api/chat", body)
    assert [entry["stage"] for entry in lines(log)] == STAGES


async def test_a_body_that_is_no_json_is_text(tmp_path: Path) -> None:
    log = tmp_path / "stages.jsonl"
    async with (
        upstream([http(b"<html>\xff\n</html>")]) as up,
        stage(config(one("ollama", up.url)), stage_log=log) as it,
    ):
        assert (await it.ask("/api/chat", ask("ollama"))).status == 502
    found = lines(log)
    assert [entry["stage"] for entry in found] == STAGES
    assert found[2]["error"]["kind"] == "upstream_garbage"


def test_a_full_disk_costs_entries_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    it = StageLog(Path("/dev/full"))
    for _ in range(3):
        it.write({"a": "x" * 100_000})
    it.close()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "the stage log loses entries: /dev/full cannot be written: No space left on device" in caplog.text
    assert it.dropped == 3


def test_the_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "stages.jsonl"
    for number in range(2):
        it = StageLog(log)
        it.write({"n": number})
        it.close()
    assert lines(log) == [{"n": 0}, {"n": 1}]
