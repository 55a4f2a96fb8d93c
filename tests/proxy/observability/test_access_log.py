"""The access log: one line of JSON for each request, without what was said and without keys."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.config import load
from crosswire.proxy.ir import Loss, Usage
from crosswire.proxy.observability.access_log import AccessLog, access_line
from crosswire.proxy.observability.request_record import Attempt, Record

from ..proxy_fixture import KEY, config, one, stage
from ..sample_messages import PROTOCOLS, TEXT, ask, dumps, path, reply, stream, stream_kind
from ..scripted_upstream import chunked, http, upstream

KEYS = [
    *("time", "id", "client", "frontend", "operation", "stream", "model", "backend", "model_used", "status"),
    *("outcome", "attempts", "input_tokens", "output_tokens", "first_ms", "ms", "losses"),
]


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


async def lines_of(file: Path, count: int) -> list[dict[str, Any]]:
    """The lines of a log, once it has so many."""
    async with asyncio.timeout(20):
        while len(read(file)) < count:  # noqa: ASYNC110 - the thread that writes tells nobody
            await asyncio.sleep(0.01)
    return read(file)


def test_the_line_of_a_record() -> None:
    record = Record(
        *("req_1", 1767614400.5, "openai-chat"),
        model="m",
        attempts=[Attempt("a", "m", "upstream_overloaded"), Attempt("b", "n", "answered")],
        backend_used="b",
        model_used="n",
        losses=[Loss("$.seed", "seed", "dropped"), Loss("$.x.seed", "seed", "dropped")],
        usage=Usage(input=3, cache_read=2, output=7),
        status=200,
        outcome="answered",
        total_ms=1.23456,
    )
    assert access_line(record, "team-a", None) == {
        "time": "2026-01-05T12:00:00.500Z",
        "id": "req_1",
        "client": "team-a",
        "frontend": "openai-chat",
        "operation": "chat",
        "stream": False,
        "model": "m",
        "backend": "b",
        "model_used": "n",
        "status": 200,
        "outcome": "answered",
        "attempts": 2,
        "input_tokens": 5,
        "output_tokens": 7,
        "first_ms": None,
        "ms": 1.235,
        "losses": ["seed"],
    }
    assert access_line(record, None, "0af7")["trace_id"] == "0af7"


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_each_request_has_a_line(tmp_path: Path, frontend: str) -> None:
    file = tmp_path / "access.jsonl"
    async with (
        upstream(
            [http(dumps(reply(frontend)))],
            chunked(stream(frontend), stream_kind(frontend)),
            [http(b"{}", "401 Unauthorized")],
        ) as up,
        stage(config(one(frontend, up.url, models={"m": "m"}), access_log=str(file))) as it,
    ):
        for streams in (False, True, False):
            await it.ask(path(frontend, stream=streams), ask(frontend, stream=streams))
        await it.ask(path(frontend), b"{")
        lines = await lines_of(file, 4)
    text = file.read_text("utf-8")
    assert [list(line) for line in lines] == [KEYS] * 4
    assert [line["status"] for line in lines[:2]] == [200, 200]
    assert [line["stream"] for line in lines] == [False, True, False, False]
    assert [line["outcome"] for line in lines] == ["answered", "answered", "upstream_auth", "bad_request"]
    assert lines[0]["backend"] == lines[1]["backend"] == "b"
    assert lines[1]["first_ms"] is not None
    assert lines[0]["output_tokens"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", line["time"]) for line in lines)
    assert KEY not in text
    assert TEXT not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_new_config_opens_it_again(tmp_path: Path) -> None:
    """A file that was moved away, as logrotate does, is followed by a new one; without the key there is none."""
    file, moved = tmp_path / "access.jsonl", tmp_path / "access.jsonl.1"
    raw = path("openai-chat"), ask("openai-chat")
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        backends = one("openai-chat", up.url, models={"m": "m"})
        with_log = config(backends, access_log=str(file))
        async with stage(with_log) as it:
            await it.ask(*raw)
            await lines_of(file, 1)
            file.rename(moved)
            it.gateway.apply_config(with_log)
            await it.ask(*raw)
            await lines_of(file, 1)
            it.gateway.apply_config(config(backends))
            await it.ask(*raw)
    assert len(file.read_text("utf-8").splitlines()) == len(moved.read_text("utf-8").splitlines()) == 1


async def test_a_file_that_cannot_be_opened_keeps_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "access.jsonl"
    raw = path("openai-chat"), ask("openai-chat")
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        backends = one("openai-chat", up.url, models={"m": "m"})
        async with stage(config(backends, access_log=str(file))) as it:
            it.gateway.apply_config(config(backends, access_log=str(tmp_path / "missing/access.jsonl")))
            await it.ask(*raw)
            await lines_of(file, 1)
    assert "missing/access.jsonl cannot be written" in caplog.text


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("-")
    log.write(Record("req_1", 0, "openai-chat"), None, None)
    assert log.close()
    assert json.loads(capfd.readouterr().out)["id"] == "req_1"
    assert load("access_log: '-'\nbackends: {a: {protocol: ollama, base_url: 'http://h'}}", "c", {}).settings.access_log
