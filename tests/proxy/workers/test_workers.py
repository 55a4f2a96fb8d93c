"""Several workers on one port: to clients and operators they are one proxy, and one that dies takes only its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.workers.listeners import SPREADS
from tests.proxy.proxy_fixture import Answer, one, read_answer, request
from tests.proxy.sample_messages import PATHS, ask, dumps, reply
from tests.proxy.scripted_upstream import http, upstream

from .running_workers import LIMIT_S, Workers, answered, until, workers

CHAT = PATHS["openai-chat"]
ADMIN = "an-admin-key-of-the-tests"
ADA, BOB, EVE = (f"cw-{name}-0123456789abcdef" for name in ("ada", "bob", "eve"))

EACH = pytest.param("each", marks=pytest.mark.skipif(not SPREADS, reason="one port has one socket here"))


async def chats(it: Workers, number: int, key: str = "", **keys: Any) -> list[Answer]:
    """So many chats at once, each on a connection of its own, which the system gives to one of the workers."""
    fields = {"authorization": f"Bearer {key}"} if key else {}
    return await asyncio.gather(*(it.ask(CHAT, ask("openai-chat", **keys), fields) for _ in range(number)))


async def is_whole(it: Workers) -> bool:
    """Returns whether every worker serves."""
    return (await it.get("/readyz")).body == b"ready\n"


@pytest.mark.parametrize("sockets", [EACH, "one"])
async def test_two_workers_are_one_proxy(tmp_path: Path, sockets: str) -> None:
    gate = asyncio.Event()
    gate.set()
    async with (
        upstream([gate, http(dumps(reply("openai-chat")))]) as up,
        workers(tmp_path, one("openai-chat", up.url, models={"m": "m"}), "--sockets", sockets, drain_s=10) as it,
    ):
        await _one_view(it, spreads=sockets == "each")
        if sockets == "each":
            await _reload_in_all_or_none(it)
        await _kill(it, gate)
        if sockets == "each":
            await _restart(it)
        gate.clear()
        under_way = asyncio.ensure_future(chats(it, 6))
        await until(lambda: _in_flight(it, 6))
        it.process.terminate()
        await until(lambda: _is_draining(it))
        gate.set()
        assert answered(await under_way) == [200] * 6
        code, err = await it.stop()
    assert code == 0, err
    assert "Traceback" not in err
    assert not it.private_files()


async def _is_out(it: Workers, session: dict[str, str]) -> bool:
    """Returns whether every worker that answers refuses this session."""
    answers = [await it.get("/ui/api/requests", session) for _ in range(6)]
    return {each.status for each in answers} == {401}


async def _one_view(it: Workers, *, spreads: bool) -> None:
    """Metrics and records are those of all workers, whichever is asked."""
    answers = await chats(it, 24)
    assert answered(answers) == [200] * 24
    assert await it.number("crosswire_requests_total", outcome="answered") == 24
    by_worker = [await it.number("crosswire_worker_requests_total", worker=each) for each in ("1", "2")]
    assert sum(by_worker) == 24
    assert all(by_worker) or not spreads  # of one socket all may go to who is free first
    records = await asyncio.gather(*(it.record(each) for each in answers))
    assert {record["request_id"] for record in records} == {each.headers["x-request-id"] for each in answers}
    assert (await it.get("/crosswire/requests/req_unknown")).status == 404
    own = (await it.get("/metrics?worker=2")).body.decode()
    line = f'crosswire_requests_total{{backend="b",frontend="openai-chat",outcome="answered"}} {by_worker[1]}'
    assert (line in own) == (by_worker[1] > 0)


async def _reload_in_all_or_none(it: Workers) -> None:
    """A new config serves in every worker at once; one with mistakes in none, and every worker says so."""
    backends = it.config["backends"]
    it.write(backends={**backends, "wrong": {"protocol": "no-such-protocol"}})
    it.process.send_signal(signal.SIGHUP)
    await until(lambda: _says(it, "the new config has errors"))
    for _ in range(8):
        assert b"no-such-protocol" in (await it.get("/readyz")).body
    assert answered(await chats(it, 8)) == [200] * 8
    it.write(backends={"renamed": backends["b"]})
    it.process.send_signal(signal.SIGHUP)
    await until(lambda: is_whole(it))
    assert {each.headers["x-crosswire-backend"] for each in await chats(it, 12)} == {"renamed"}
    assert await it.number("crosswire_config_reloads_total", outcome="taken") == 1


async def _kill(it: Workers, gate: asyncio.Event) -> None:
    """A killed worker loses the requests that it had; all others are answered, new ones at once."""
    before = await it.number("crosswire_requests_total")
    gate.clear()
    under_way = [asyncio.ensure_future(it.ask(CHAT, ask("openai-chat"))) for _ in range(16)]
    await until(lambda: _in_flight(it, 16))
    mine = [await it.number("crosswire_worker_in_flight", worker=each) for each in ("1", "2")]
    os.kill(it.pids()[0], signal.SIGKILL)
    new = asyncio.ensure_future(chats(it, 16))
    await asyncio.sleep(0.05)
    gate.set()
    assert answered(await new) == [200] * 16
    ends = await asyncio.gather(*under_way, return_exceptions=True)
    lost = [each for each in ends if isinstance(each, BaseException)]
    assert len(lost) in mine
    assert {each.status for each in ends if isinstance(each, Answer)} <= {200}
    await until(lambda: is_whole(it))
    assert sorted([await it.number("crosswire_worker_starts_total", worker=each) for each in ("1", "2")]) == [1, 2]
    assert await it.number("crosswire_requests_total") >= before  # what was counted stays


async def _restart(it: Workers) -> None:
    """New workers take over while clients keep their connections; none of them is refused."""
    before = set(it.pids())
    kept = [await it.connect() for _ in range(6)]
    for reader, writer in kept:
        writer.write(_kept_alive())
        assert (await read_answer(reader)).status == 200
    asking = asyncio.ensure_future(_ask_on(it))
    code, out = await it.crosswire("restart", "--port", str(it.port))
    assert (code, out) == (0, "2 workers were replaced\n")
    for reader, writer in kept:  # the old workers answer once more, and end the connection with it
        writer.write(_kept_alive())
        answer = await read_answer(reader)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await reader.read() == b""
        writer.close()
    asking.cancel()
    statuses = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(statuses[0], asyncio.CancelledError)
    await until(lambda: _are_gone(before))
    assert answered(await chats(it, 8)) == [200] * 8
    assert await it.number("crosswire_requests_total") > 24


def _kept_alive() -> bytes:
    return request(CHAT, ask("openai-chat"), {"connection": "-"})


async def _ask_on(it: Workers) -> None:
    """Asks on new connections until it is cancelled."""
    while True:
        assert answered(await chats(it, 2)) == [200, 200]
        await asyncio.sleep(0.01)


async def _are_gone(pids: set[int]) -> bool:
    return not any(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _in_flight(it: Workers, number: int) -> bool:
    return await it.number("crosswire_requests_in_flight") == number


async def _says(it: Workers, text: str) -> bool:
    return text in (await it.get("/readyz")).body.decode()


async def _is_draining(it: Workers) -> bool:
    try:
        return (await it.get("/readyz")).status == 503
    except (asyncio.IncompleteReadError, ConnectionError):  # of a worker that had nothing to do, and is gone
        return False


async def test_limits_and_usage_are_those_of_all_workers(tmp_path: Path) -> None:
    """The limits of a client are counted once, and every request has its row in the store, which one process writes."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}
    answer = http(dumps({**reply("openai-chat"), "usage": usage}))
    settings = {
        "admin_key": ADMIN,
        "store": {"url": "sqlite:///usage.db", "create": True},
        "usage": True,
        "prices": [{"match": "m", "input": 1000, "output": 0}],  # a dollar an answer
        "clients": {
            "ada": {"key": ADA, "requests": "10/h"},
            "bob": {"key": BOB, "budgets": {"usd": 5, "per": "day"}},
            "eve": {"key": EVE},
        },
    }
    gate = asyncio.Event()
    async with upstream([answer]) as up, upstream([gate, answer]) as slow:
        backends = {
            **one("openai-chat", up.url, models={"m": "m"}, requests="1000/h"),
            "slow": {"protocol": "openai-chat", "base_url": slow.url, "models": {"slow": "slow"}, "max_in_flight": 2},
        }
        async with workers(tmp_path, backends, **settings) as it:
            await _spend(it)
            await _fill(it, gate)
            code, err = await it.stop()
    assert code == 0, err
    with contextlib.closing(sqlite3.connect(tmp_path / "usage.db")) as database:
        rows = database.execute("SELECT client, outcome, count(*) FROM usage GROUP BY 1, 2").fetchall()
    assert sum(number for *_, number in rows) == 50
    assert {("ada", "answered", 10), ("bob", "answered", 5)} <= set(rows)
    assert len(up.requests) == 15


async def _spend(it: Workers) -> None:
    """A limit and a budget let exactly so much through."""
    statuses = answered(await chats(it, 30, ADA, model="m"))
    assert (statuses.count(200), statuses.count(429)) == (10, 20)
    spent = []
    for _ in range(8):  # one after the other, because a request reserves more than it costs
        spent += answered(await chats(it, 1, BOB, model="m"))
    assert spent == [200] * 5 + [spent[-1]] * 3
    assert spent[-1] in (402, 403, 429)
    assert await it.number("crosswire_budget_spent_dollars", owner="client bob") == 5


async def _fill(it: Workers, gate: asyncio.Event) -> None:
    """A backend has no more requests under way than it takes, whichever workers they came to."""
    asking = asyncio.ensure_future(chats(it, 12, EVE, model="slow"))
    await until(lambda: _in_flight(it, 2))
    gate.set()
    statuses = answered(await asking)
    assert (statuses.count(200), statuses.count(503)) == (2, 10)


async def test_a_worker_that_cannot_begin_ends_all(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="cannot be written"):
        async with workers(tmp_path, one("ollama", "http://127.0.0.1:1"), "--log-file", str(tmp_path / "no" / "log")):
            pass


async def test_a_local_model_lives_in_one_process(tmp_path: Path) -> None:
    pytest.importorskip("mlx_lm", reason="the extra `local` is not installed: MLX has no wheels for this platform")
    async with workers(tmp_path, {"local": {"protocol": "mlx"}}) as it:
        assert len(it.pids()) == 3
        assert answered(await chats(it, 6)) == [200] * 6
        loaded = [pid for pid in it.pids() if _has_library(pid, "libmlx")]
        assert len(loaded) == 1
        stream = await it.ask(CHAT, ask("openai-chat", stream=True))
        assert (stream.status, stream.whole) == (200, True)
        assert b"[DONE]" in stream.body
        os.kill(loaded[0], signal.SIGKILL)
        await until(lambda: _is_replaced(it, loaded[0]))
        assert answered(await chats(it, 2)) == [200] * 2
        pids = it.pids()
        it.process.kill()  # without its supervisor no process stays
        await asyncio.wait_for(it.process.wait(), LIMIT_S)
        await until(lambda: _are_gone(set(pids)))


def _has_library(pid: int, name: str) -> bool:
    try:
        return name in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        pytest.skip("this system does not tell which libraries a process has")


async def _is_replaced(it: Workers, pid: int) -> bool:
    return pid not in it.pids() and len(it.pids()) == 3


async def test_the_page_shows_the_requests_of_all_workers(tmp_path: Path) -> None:
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        workers(tmp_path, one("openai-chat", up.url), admin_key=ADMIN) as it,
    ):
        ids = {each.headers["x-request-id"] for each in await chats(it, 12)}
        log_in = await it.ask("/ui/login", {"key": ADMIN})
        session = {"cookie": log_in.headers["set-cookie"].partition(";")[0]}
        for _ in range(3):  # whichever worker is asked
            await asyncio.sleep(0.001)  # a row is listed once no other can come before it
            listed = json.loads((await it.get("/ui/api/requests?after=0", session)).body)
            assert {row["id"] for row in listed["rows"]} == ids
            assert listed["running"] == []
        assert json.loads((await it.get(f"/ui/api/requests?after={listed['last']}", session)).body)["rows"] == []
        shown = await asyncio.gather(*(it.get(f"/ui/api/requests/{id_}", session) for id_ in ids))
        assert {each.status for each in shown} == {200}
        (backend,) = json.loads((await it.get("/ui/api/backends", session)).body)["backends"]
        assert (backend["attempts"], backend["error_rate"]) == (12, 0)
        (model,) = json.loads((await it.get("/ui/api/usage", session)).body)["by_model"]
        assert model["requests"] == 12
        token = {**session, "x-crosswire-page": json.loads(log_in.body)["token"]}
        assert (await it.ask("/ui/logout", {}, token)).status == 200
        # a session that has ended ends everywhere, as soon as the others have heard of it
        await until(lambda: _is_out(it, session))
        code, err = await it.stop()
    assert code == 0
    assert "Traceback" not in err
