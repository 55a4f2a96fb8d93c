"""`python -m benchmarks.faults`: the proxy and a plain relay that tries the next backend, through the same faults.

Prints a table with what clients lost. Nothing is timed but silences. It takes a few minutes; `--rows` chooses some,
`--scale` divides the numbers of requests.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter

from .fault_clients import Client, Start, Target, body, session, start_proxy, start_relay, two
from .fault_upstream import FaultyBackend, black_hole, every
from .with_names import Names

ROOT = Path(__file__).parent.parent

# ---- the rows --------------------------------------------------------------------------------------------------------

Result = tuple[int, str]
"""The number of lost requests, and the text to print."""

Row = Callable[[Start, int], Awaitable[Result]]
"""Plays one fault; the number is the scale by which requests are divided."""


def _result(client: Client) -> Result:
    total = sum(client.seen.values())
    broken = sum(number for outcome, number in client.seen.items() if outcome.startswith("broken"))
    text = f"{client.lost} of {total} lost" + (f", {broken} broken in band" if broken else "")
    return client.lost + client.mixed, text + (f", {client.mixed} OF TWO MODELS" if client.mixed else "")


async def closed_from_the_start(start: Start, scale: int) -> Result:
    """A's port is closed from the start, 100 requests at once."""
    first, second = FaultyBackend("first"), FaultyBackend("second")
    async with two(start, first, second) as (client, _):
        first.kill()
        await client.all(100 // scale, 100 // scale)
        return _result(client)


async def killed_in_flight(start: Start, scale: int) -> Result:
    """A is killed with 200 requests in flight, right after the start."""
    return await _killed_in_flight(start, 200 // scale, 0)


async def killed_in_flight_warm(start: Start, scale: int) -> Result:
    """The same after 3,333 requests."""
    return await _killed_in_flight(start, 200 // scale, 3333 // scale)


async def _killed_in_flight(start: Start, count: int, before: int) -> Result:
    first, second = FaultyBackend("first"), FaultyBackend("second")
    async with two(start, first, second) as (client, _):
        await client.all(before, 32)
        first.pause = 5.0
        asked = asyncio.ensure_future(client.all(count, count))
        async with first.reached:
            await first.reached.wait_for(lambda: first.under_way >= count)
        first.kill()
        await asked
        return _result(client)


async def always_503_same_body(start: Start, scale: int) -> Result:
    """A always answers 503, 30 requests one after the other with one body."""
    return await _always_503(start, scale, lambda _: body())


async def always_503_other_bodies(start: Start, scale: int) -> Result:
    """The same with different bodies."""
    return await _always_503(start, scale, lambda number: body(f"Number {number}."))


async def _always_503(start: Start, scale: int, data: Callable[[int], bytes]) -> Result:
    first, second = FaultyBackend("first", fails=every(1)), FaultyBackend("second")
    async with two(start, first, second) as (client, _):
        await client.all(30 // min(scale, 2), 1, data)
        lost, text = _result(client)
        return lost, f"{text}; A was called {first.requests} times"


async def errors_of_30_percent(start: Start, scale: int) -> Result:
    """A answers 503 to 30 % of 6,000 requests from a fresh start."""
    first, second = FaultyBackend("first", fails=every(0.3)), FaultyBackend("second")
    async with two(start, first, second) as (client, _):
        await client.all(6000 // scale, 32)
        return _result(client)


def killed_when_warm(connections: int, count: int = 10_000) -> Row:
    async def row(start: Start, scale: int) -> Result:
        first, second = FaultyBackend("first"), FaultyBackend("second")
        async with two(start, first, second) as (client, _):
            third = count // 3 // scale
            kill = [third]

            def data(number: int) -> bytes:
                if number == kill[0]:
                    first.kill()
                return body()

            await client.all(count // scale, connections, data)
            return _result(client)

    return row


async def restarts(start: Start, scale: int) -> Result:
    """A, then B, restarted 2.5 s apart, one of them always up."""
    pause = 2.5 / scale
    return await _restarts(start, [(0, pause), (1, pause)], pause)


async def rolling_restart(start: Start, scale: int) -> Result:
    """A and B restarted in turn, three times each, half a second apart."""
    return await _restarts(start, [(number % 2, 0.5 / scale) for number in range(6)], 0.5 / scale)


async def _restarts(start: Start, steps: Sequence[tuple[int, float]], pause: float) -> Result:
    backends = FaultyBackend("first"), FaultyBackend("second")
    async with two(start, *backends) as (client, _):
        over = asyncio.Event()
        await client.all(50, 8)
        began = perf_counter()
        load = asyncio.ensure_future(client.until(over, 8))
        for which, down in steps:
            backends[which].kill()
            await asyncio.sleep(down)
            await backends[which].start()
            await asyncio.sleep(0.05)
        await asyncio.sleep(pause)
        over.set()
        await load
        client.answered_at = [at for at in client.answered_at if at >= began]
        lost, text = _result(client)
        return lost, f"{text}; at most {client.silence(began):.1f} s without any answer"


async def streams_with_a_kill(start: Start, scale: int) -> Result:
    """2,000 streams, A is killed after a third of them."""
    first, second = FaultyBackend("first"), FaultyBackend("second")
    async with two(start, first, second) as (client, _):

        def data(number: int) -> bytes:
            if number == 2000 // scale // 3:
                first.kill()
            return body(stream=True)

        await client.all(2000 // scale, 32, data)
        return _result(client)


async def cold_start(start: Start, scale: int) -> Result:
    """The first 200 requests at once, A resets every connection."""
    first, second = FaultyBackend("first"), FaultyBackend("second")
    async with two(start, first, second) as (client, _):

        def reset(number: int) -> bool:
            first.reset_connections()
            return False

        first.fails = reset
        await client.all(200 // scale, 200 // scale)
        return _result(client)


async def stale_connections(start: Start, scale: int) -> Result:
    """A closes every idle connection while the next requests are on their way, 20 times; B serves none of them."""
    first, second = FaultyBackend("first"), FaultyBackend("second")
    async with two(start, first, second) as (client, _):
        for _ in range(20 // min(scale, 4)):
            await client.all(16, 16)
            sent = asyncio.ensure_future(client.all(16, 16))
            await asyncio.sleep(0.0005)
            first.reset_connections()
            await sent
        lost, text = _result(client)
        return lost, f"{text}; B was called {second.requests} times"


async def slow_names(start: Start, scale: int) -> Result:
    """Twelve names whose look-ups hang for 20 s, and 60 requests to one that is resolved."""
    second = FaultyBackend("second")
    await second.start()
    hanging = {f"slow{number}.test": 20.0 for number in range(12)}
    backends = {f"slow{number}": f"http://slow{number}.test:1" for number in range(12)}
    names: Names = {**hanging, "good.test": ["127.0.0.1"]}
    try:
        async with (
            start({"second": f"http://good.test:{second.port}", **backends}, names) as target,
            session() as http,
        ):
            client, others = Client(target, http), Client(target, http)
            waiting = [asyncio.ensure_future(others.send(body(model=name))) for name in backends]
            await asyncio.sleep(0.2)
            began = perf_counter()
            async with asyncio.timeout(25):
                await client.all(60 // scale, 20 // scale)
            took = perf_counter() - began
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            lost, text = _result(client)
            return lost, f"{text}; all answered in {took:.1f} s"
    except TimeoutError:
        return 60 // scale, "no answer within 25 s"
    finally:
        second.kill()


async def one_dead_address(start: Start, scale: int) -> Result:
    """A's name has three addresses, of which the first never answers; 100 requests at once, and nobody else."""
    live = FaultyBackend("second", host="127.0.0.2")
    await live.start()
    try:
        with black_hole("127.0.0.1", live.port):
            names: Names = {"three.test": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]}
            async with start({"second": f"http://three.test:{live.port}"}, names) as target, session() as http:
                client = Client(target, http)
                began = perf_counter()
                await client.all(100 // scale, 100 // scale)
                lost, text = _result(client)
                return lost, f"{text}; in {perf_counter() - began:.1f} s"
    finally:
        live.kill()


# ---- what is bounded by input ----------------------------------------------------------------------------------------


def _memory(target: Target, field: str = "VmRSS") -> float:
    """MB of the program's process."""
    for line in Path(f"/proc/{target.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def _watched(client: Client, stop: asyncio.Event) -> float:
    """The slowest of the small requests that are sent meanwhile, in seconds."""
    slowest = 0.0
    while not stop.is_set():
        began = perf_counter()
        await client.send(body())
        slowest = max(slowest, perf_counter() - began)
        await asyncio.sleep(0.01)
    return slowest


def empty_arrays(count: int) -> Row:
    async def row(start: Start, scale: int) -> Result:
        first, second = FaultyBackend("first"), FaultyBackend("second")
        async with two(start, first, second) as (client, target):
            await client.all(20, 4)
            before = _memory(target)
            stop = asyncio.Event()
            watch = asyncio.ensure_future(_watched(client, stop))
            data = b'{"model": "m", "messages": [' + b"[]," * (10_000_000 // scale) + b"[]]}"
            other = Client(target, client._session)
            await asyncio.gather(*(other.send(data) for _ in range(count)))
            stop.set()
            slowest = await watch
            grown = _memory(target, "VmHWM") - before
            lost, _ = _result(client)
            return lost, f"+{grown:.0f} MB, a stall of {slowest * 1000:.0f} ms"

    return row


async def stalled_readers(start: Start, scale: int) -> Result:
    """100 readers that stall in a fast stream, for 5 s."""
    first, second = FaultyBackend("first"), FaultyBackend("second")
    first.endless = second.endless = True
    async with two(start, first, second) as (_, target):
        await asyncio.sleep(0.2)
        before = _memory(target)
        host, _, port = target.url.removeprefix("http://").partition(":")
        data = body(stream=True)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: "
        writers = []
        for _ in range(100 // scale):
            reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.write(head + b"%d\r\n\r\n" % len(data) + data)
            writers.append((reader, writer))
        await asyncio.sleep(5 / scale)
        grown = _memory(target, "VmHWM") - before
        for _, writer in writers:
            writer.transport.abort()
        return 0, f"+{grown:.0f} MB"


ROWS: dict[str, tuple[str, Row]] = {
    "closed": ("A's port closed from the start, 100 requests at once, B healthy", closed_from_the_start),
    "cold": ("a cold start: the first 200 at once, A resets every connection", cold_start),
    "in-flight": ("200 in flight when A is killed, fresh", killed_in_flight),
    "in-flight-warm": ("200 in flight when A is killed, after 3,333 requests", killed_in_flight_warm),
    "503-one-body": ("A always answers 503, 30 one after the other, one body", always_503_same_body),
    "503-bodies": ("A always answers 503, 30 one after the other, different bodies", always_503_other_bodies),
    "30-percent": ("A answers 503 to 30 %, 6,000 from a fresh start", errors_of_30_percent),
    "kill-32": ("10,000 unary at 32 connections, A killed when warm", killed_when_warm(32)),
    "kill-128": ("10,000 unary at 128 connections, A killed when warm", killed_when_warm(128)),
    "kill-256": ("10,000 unary at 256 connections, A killed when warm", killed_when_warm(256)),
    "restarts": ("A, then B, restarted 2.5 s apart, one of them always up", restarts),
    "rolling": ("A and B restarted in turn, three times each", rolling_restart),
    "streams": ("2,000 streams, A killed after a third", streams_with_a_kill),
    "stale": ("A closes idle connections while requests are on their way", stale_connections),
    "slow-dns": ("twelve hanging look-ups, 60 requests to another name", slow_names),
    "addresses": ("1 of 3 addresses of the only backend dead, 100 at once", one_dead_address),
    "array": ("one 30 MB body of `[]`", empty_arrays(1)),
    "arrays": ("four 30 MB bodies of `[]` at once", empty_arrays(4)),
    "readers": ("100 readers that stall in a fast stream", stalled_readers),
}
"""By a short name: what is done, and the function that does it."""

MEASURED = ("array", "arrays", "readers")
"""Rows that read the memory of the program's process."""


async def play(name: str, start: Start, scale: int = 1) -> Result:
    """One row with one program."""
    return await ROWS[name][1](start, scale)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--scale", type=int, default=1, help="divides the numbers of requests")
    parser.add_argument("--without-relay", action="store_true")
    args = parser.parse_args()
    print("| what was done | Crosswire | a plain relay that tries the next backend |")
    print("|---|---|---|")
    failed = 0
    for name in args.rows:
        told = []
        for start in (start_proxy,) if args.without_relay else (start_proxy, start_relay):
            lost, text = asyncio.run(play(name, start, args.scale))
            failed += lost > 0 and start is start_proxy
            told.append(f"**{text}**" if lost else text)
        print(f"| {ROWS[name][0]} | {' | '.join(told)} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
