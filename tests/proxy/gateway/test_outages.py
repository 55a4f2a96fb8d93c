"""Random outages under a fake clock, with the retry settings and breakers that users have, and 100 requests at once.

The promise: if one backend that may serve a request is up from its first call to its deadline, the request is answered;
if the one that is up changes k times meanwhile, it is answered while k is at most `attempts - 1`. Both are one law: of
the backends exactly one is up at each moment, and it changes at most `attempts - 1` times within a request's life.

What the generator draws from:

- 1 to 5 backends; which one is up at first, and 0 to 2 changes (`attempts - 1`) at 0 to 30 s, with pauses from 0 s;
- what is wrong with each of the others: a refused connection, a reset, 500, 503, 503 with a `retry-after` that is kept,
  429 with one, no credit, a moderation, garbage, or silence. Each failure takes 0 to 10 s (the connect timeout);
- the time an answer takes: 0 to 10 s;
- 100 requests, of which each arrives within 0 to 10 s of the first, unary or streaming, all with one body or each with
  its own;
- the past: each backend's breaker open, half-open or closed, at random.

A wait that a backend asks for is a part of its outage: it is not up before the wait is over.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from crosswire.proxy.backends.http import HttpBackend
from crosswire.proxy.backends.transport import NameNotResolved, NotConnected, OutOfResources, TimedOut, Unreachable
from crosswire.proxy.config import Config, load
from crosswire.proxy.gateway.chat_handler import ChatRequest
from crosswire.proxy.gateway.gateway import Gateway
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import NewId, UrlParams
from crosswire.proxy.routing import BackendConfig

from ..fake_backends import CannedAnswer, KeptSink
from ..fake_clock import run
from ..sample_messages import ask, dumps, reply, stream

REQUESTS = 100
NAMES = "abcde"

FAULTS: dict[str, Any] = {
    "refused": NotConnected("ConnectionRefusedError"),
    "reset": Unreachable("ConnectionResetError"),
    "silence": TimedOut(),
    "500": (500, {}),
    "503": (503, {}),
    "garbage": (200, {}),
    "503 with a wait": (503, {"retry-after": "3"}),
    "429 with a wait": (429, {"retry-after": "3"}),
    "402": (402, {}),
    "403": (403, {}),
    "no name": NameNotResolved("Name or service not known"),
    "no descriptor": OutOfResources("EMFILE"),
}
PASSING = [name for name in FAULTS if name not in ("402", "403")]
"""Faults after which the same backend is called again. A refused key is not: it stays refused."""


class Outage(Struct, frozen=True):
    """The state of all backends over time: which one is up from when on, and how each of the others fails."""

    backends: int
    changes: tuple[tuple[float, int], ...]
    """From this time on, this one is up."""
    faults: tuple[str, ...]
    took: tuple[float, ...]
    """Seconds that each backend takes to fail."""
    answers: float
    """Seconds that an answer takes."""
    arrivals: float
    same_body: bool
    streams: bool
    past: tuple[str, ...]

    def up(self, at: float) -> int:
        return [which for since, which in self.changes if since <= at][-1]

    def down_for(self, which: int, at: float) -> float:
        """Seconds until this backend is up; infinite where it never is."""
        return min((since - at for since, other in self.changes if since > at and other == which), default=float("inf"))


class FaultyAnswer(CannedAnswer):
    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__([b"no JSON"], "text/plain")
        self.status = status
        self.headers = {**self.headers, **headers}


class OutageTransport:
    """A backend of an Outage."""

    def __init__(self, outage: Outage, which: int, began: float) -> None:
        self._outage = outage
        self._which = which
        self._began = began
        self.calls = 0

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> CannedAnswer:
        outage, loop = self._outage, asyncio.get_running_loop()
        self.calls += 1
        at = loop.time() - self._began
        if outage.up(at) != self._which:
            await asyncio.sleep(outage.took[self._which])
            fault = FAULTS[outage.faults[self._which]]
            if isinstance(fault, Exception):
                raise type(fault)(*fault.args)
            status, fields = fault
            if "retry-after" in fields:  # it is told the truth: the wait is over when the backend is up, or later
                wait = outage.down_for(self._which, loop.time() - self._began)
                fields = {"retry-after": str(min(max(wait, 0.0), 3.0))}
            return FaultyAnswer(status, fields)
        await asyncio.sleep(outage.answers)
        if b'"stream":true' in body.replace(b" ", b""):
            return CannedAnswer(stream("openai-chat"), "text/event-stream")
        return CannedAnswer([dumps(reply("openai-chat"))], "application/json")

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> CannedAnswer:
        raise NotImplementedError

    async def close(self) -> None: ...


def a_config(backends: int) -> Config:
    names = NAMES[:backends]
    made = {n: {"protocol": "openai-chat", "base_url": "http://host", "api_key": "sk-of-ours-00"} for n in names}
    text = dumps({"backends": made, "routes": [{"match": "m", "to": list(names)}]})
    return load(text.decode(), "crosswire.yaml", {})


class Bench:
    """A gateway before the backends of an Outage."""

    def __init__(self, outage: Outage) -> None:
        began = asyncio.get_running_loop().time()
        self.transports = {NAMES[n]: OutageTransport(outage, n, began) for n in range(outage.backends)}
        self.outage = outage
        self.ids = iter(range(1_000_000))

        def backend(config: BackendConfig, _: Config) -> HttpBackend:
            connect = lambda: self.transports[config.name]  # noqa: E731 - as a backend takes it
            return HttpBackend(config, PROTOCOLS[config.protocol], connect, frame_limit=2**20, linger=0.05)

        def ids() -> NewId:
            number = next(self.ids)
            return lambda prefix: f"{prefix}{number:x}"

        now = asyncio.get_running_loop().time
        self.gateway = Gateway(a_config(outage.backends), backend, clock=now, now=now, ids=ids)
        breakers = self.gateway.breakers
        for name, state in zip(self.transports, outage.past, strict=False):
            if state != "closed":
                ago = 60.0 if state == "half-open" else 5.0
                for _ in range(breakers.settings.failures):
                    breakers.failed(name, "upstream_unreachable", 0, now() - ago)

    async def request(self, number: int, pause: float) -> str:
        """One request: `answered`, or the error that its client got."""
        await asyncio.sleep(pause)
        outage = self.outage
        text = "hi" if outage.same_body else f"hi {number}"
        body = dumps(ask("openai-chat", text=text, stream=outage.streams))
        sink = KeptSink()
        incoming = ChatRequest(PROTOCOLS["openai-chat"], UrlParams(), {}, body)
        response = await self.gateway.handle_chat(incoming, sink)
        if response is not None:
            return "answered" if response.status == 200 else f"{response.status} {response.body.decode()}"
        return "answered" if sink.ended else f"broken: {sink.body.decode()}"


async def play(outage: Outage) -> tuple[list[str], Bench]:
    bench = Bench(outage)
    pauses = random.Random(7)
    work = [bench.request(n, pauses.uniform(0, outage.arrivals)) for n in range(REQUESTS)]
    return list(await asyncio.gather(*work)), bench


@st.composite
def outages(draw: st.DrawFn, *, changes: int = 2) -> Outage:
    number = draw(st.integers(1, len(NAMES)))
    which = st.integers(0, number - 1)
    times = draw(st.lists(st.floats(0.001, 30), max_size=changes, unique=True))
    steps = [(0.0, draw(which)), *((at, draw(which)) for at in sorted(times))]
    changed = len({name for _, name in steps}) > 1
    # a key that is refused, or a text that is, stays so: such a backend is none of those that are up later
    kinds = PASSING if changed else list(FAULTS)
    return Outage(
        number,
        tuple(steps),
        tuple(draw(st.sampled_from(kinds)) for _ in range(number)),
        tuple(draw(st.sampled_from((0.0, 0.001, 0.1, 1.0, 10.0))) for _ in range(number)),
        draw(st.sampled_from((0.0, 0.01, 1.0, 10.0))),
        draw(st.sampled_from((0.0, 1.0, 10.0))),
        draw(st.booleans()),
        draw(st.booleans()),
        tuple(draw(st.sampled_from(("closed", "open", "half-open"))) for _ in range(number)),
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(outages())
def test_property_nothing_is_lost_while_anybody_can_serve(outage: Outage) -> None:
    random.seed(1)
    results, _ = run(play(outage))
    assert [each for each in results if each != "answered"] == []


ALL_DOWN: dict[str, tuple[tuple[str, ...], tuple[float, ...], float]] = {
    "refused": (("refused", "refused"), (0.001, 0.001), 3),
    "errors": (("500", "503"), (0.05, 0.05), 4),
    "silence": (("silence", "silence", "silence"), (10.0, 10.0, 10.0), 200),
}
"""The fault of each backend, the time it takes to fail, and the time within which all requests are answered."""


@pytest.mark.parametrize("past", ["closed", "open"])
@pytest.mark.parametrize("case", ALL_DOWN)
def test_where_all_are_down_it_ends_soon_and_spares_them(case: str, past: str) -> None:
    """At most 1.2 calls for each request and 3 for each second, per backend; far from the deadline of 600 s."""
    faults, took, limit = ALL_DOWN[case]
    number = len(faults)
    outage = Outage(number, ((0.0, -1),), faults, took, 0.0, 0.0, False, False, (past,) * number)
    random.seed(1)

    async def played() -> tuple[list[str], Bench, float]:
        results, bench = await play(outage)
        return results, bench, asyncio.get_running_loop().time() - 1000

    results, bench, seconds = run(played())
    assert {each[:3] for each in results} <= {"502", "503", "504"}
    assert seconds <= limit
    for transport in bench.transports.values():
        assert transport.calls <= 1.2 * REQUESTS + 3 * (1 + seconds)


def test_where_all_are_open_the_client_hears_when_to_come_again() -> None:
    faults, took, _ = ALL_DOWN["refused"]
    outage = Outage(2, ((0.0, -1),), faults, took, 0.0, 0.0, False, False, ("open", "open"))
    results, _ = run(play(outage))
    assert {each[:3] for each in results} == {"503"}
    assert all("its breaker is open" in each for each in results)
