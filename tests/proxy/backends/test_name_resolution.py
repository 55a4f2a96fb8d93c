"""Look-ups of host names: one at a time for each name, old addresses while they fail, and every address tried."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections import Counter
from typing import Any

import pytest

from benchmarks.fault_upstream import black_hole
from crosswire.proxy.backends import name_resolution
from crosswire.proxy.backends.name_resolution import (
    NAMES,
    NameResolver,
    connect,
    not_connected,
    not_resolved,
    shared_resolver,
)
from crosswire.proxy.backends.transport import NameNotResolved, NameSettings, NotConnected, OutOfResources


def found(*addresses: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 0)) for address in addresses]


class Names:
    """The system's look-up: addresses, an error, or an event that a look-up waits for."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        patch.setattr(name_resolution, "look_up", self.look_up)

    def look_up(self, host: str) -> Any:
        self.asked[host] += 1
        answer = self.answers[host]
        if isinstance(answer, threading.Event):
            answer.wait(10)
            answer = socket.gaierror(socket.EAI_AGAIN, "too late")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


async def hosts(resolver: NameResolver, host: str) -> list[str]:
    return [str(address[4][0]) for address in await resolver.addresses(host, 80)]


async def test_addresses_are_kept_for_their_time(names: Names) -> None:
    names.answers["a"] = found("10.0.0.1", "10.0.0.2")
    resolver = NameResolver(NameSettings())
    assert [await hosts(resolver, "a") for _ in range(3)] == [["10.0.0.1", "10.0.0.2"]] * 3
    assert names.asked["a"] == 1
    assert (await resolver.addresses("a", 443))[0][4] == ("10.0.0.1", 443)
    short = NameResolver(NameSettings(ttl_s=0))
    assert [await hosts(short, "a") for _ in range(2)] == [["10.0.0.1", "10.0.0.2"]] * 2
    assert names.asked["a"] == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_no_name(names: Names, host: str) -> None:
    assert await hosts(NameResolver(NameSettings()), host) == [host]
    assert not names.asked


async def test_one_look_up_a_name(names: Names) -> None:
    gate = names.answers["a"] = threading.Event()
    resolver = NameResolver(NameSettings())
    waiting = [asyncio.ensure_future(hosts(resolver, "a")) for _ in range(20)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert names.asked["a"] == 1
    assert [type(each) for each in outcomes] == [asyncio.CancelledError, *[socket.gaierror] * 19]


async def test_hanging_names_delay_no_other(names: Names) -> None:
    gate = threading.Event()
    names.answers = {**{f"slow{n}": gate for n in range(12)}, "good": found("10.0.0.1")}
    resolver = NameResolver(NameSettings())
    waiting = [asyncio.ensure_future(hosts(resolver, f"slow{n}")) for n in range(12)]
    async with asyncio.timeout(5):
        assert await hosts(resolver, "good") == ["10.0.0.1"]
    assert not any(each.done() for each in waiting)
    gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_the_threads_are_bounded(names: Names) -> None:
    gate = threading.Event()
    names.answers = {f"slow{n}": gate for n in range(4)}
    resolver = NameResolver(NameSettings(threads=2))
    waiting = [asyncio.ensure_future(hosts(resolver, f"slow{n}")) for n in range(4)]
    await asyncio.sleep(0.05)
    assert sum(names.asked.values()) == 2
    gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(names.asked.values()) == 4


@pytest.mark.parametrize(
    "fault", [socket.gaierror(socket.EAI_AGAIN, "no resolver"), OSError(errno.EMFILE, "no descriptor"), []]
)
async def test_the_last_good_addresses_serve_while_look_ups_fail(
    names: Names, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_resolution, "RECHECK_S", 0)
    resolver = NameResolver(NameSettings(ttl_s=0))
    names.answers["a"] = found("10.0.0.1")
    await hosts(resolver, "a")
    names.answers["a"] = fault
    assert [await hosts(resolver, "a") for _ in range(2)] == [["10.0.0.1"]] * 2
    names.answers["a"] = found("10.0.0.9")
    assert await hosts(resolver, "a") == ["10.0.0.9"]


async def test_failing_look_ups_are_not_waited_for_each_time(names: Names) -> None:
    resolver = NameResolver(NameSettings(ttl_s=0))
    names.answers["a"] = found("10.0.0.1")
    await hosts(resolver, "a")
    names.answers["a"] = socket.gaierror(socket.EAI_AGAIN, "no resolver")
    assert [await hosts(resolver, "a") for _ in range(5)] == [["10.0.0.1"]] * 5
    assert names.asked["a"] == 2


async def test_the_last_good_addresses_serve_while_a_look_up_hangs(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_resolution, "STALE_WAIT_S", 0.01)
    resolver = NameResolver(NameSettings(ttl_s=0))
    names.answers["a"] = found("10.0.0.1")
    await hosts(resolver, "a")
    gate = names.answers["a"] = threading.Event()
    async with asyncio.timeout(5):
        assert await hosts(resolver, "a") == ["10.0.0.1"]
    gate.set()


async def test_addresses_that_are_too_old_do_not_serve(names: Names) -> None:
    resolver = NameResolver(NameSettings(ttl_s=0, stale_s=0))
    names.answers["a"] = found("10.0.0.1")
    await hosts(resolver, "a")
    names.answers["a"] = socket.gaierror(socket.EAI_AGAIN, "no resolver")
    with pytest.raises(socket.gaierror):
        await hosts(resolver, "a")


async def test_the_names_are_bounded(names: Names) -> None:
    resolver = NameResolver(NameSettings())
    for number in range(NAMES + 1):
        names.answers[f"n{number}"] = found("10.0.0.1")
        await hosts(resolver, f"n{number}")
    await hosts(resolver, "n0")
    assert names.asked["n0"] == 2


@pytest.mark.parametrize("host", ["a..b", "xn--zzzzzz", "x" * 70])
async def test_a_name_that_idna_refuses(host: str) -> None:
    with pytest.raises(NameNotResolved):
        await connect(NameResolver(NameSettings()), host, 80)


async def test_no_thread_can_be_started(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    names.answers["a"] = found("10.0.0.1")

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OutOfResources):
            await connect(NameResolver(NameSettings()), "a", 80)


async def test_a_resolver_is_shared_by_its_loop() -> None:
    assert shared_resolver(NameSettings()) is shared_resolver(NameSettings())
    assert shared_resolver(NameSettings(ttl_s=1)) is not shared_resolver(NameSettings())


# ---- connections -----------------------------------------------------------------------------------------------------


async def test_every_address_is_tried(names: Names) -> None:
    """The first is a black hole, the second refuses; the third is preferred from then on."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.3", 0)
    port = server.sockets[0].getsockname()[1]
    names.answers["a"] = found("127.0.0.1", "127.0.0.2", "127.0.0.3")
    resolver = NameResolver(NameSettings())
    with black_hole("127.0.0.1", port):
        async with asyncio.timeout(5):
            connected = await connect(resolver, "a", port)
    assert connected.getpeername() == ("127.0.0.3", port)
    connected.close()
    assert (await hosts(resolver, "a"))[0] == "127.0.0.3"
    server.close()


async def test_no_address_answers(names: Names) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names.answers["a"] = found("127.0.0.1", "127.0.0.2")
    with pytest.raises(NotConnected) as raised:
        await connect(NameResolver(NameSettings()), "a", port)
    assert type(raised.value) is NotConnected


@pytest.mark.parametrize("number", sorted(name_resolution.OWN_ERRORS))
async def test_our_own_trouble_is_told_apart(names: Names, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """One address fails for want of a descriptor, another is refused: it is our own trouble all the same."""
    names.answers["a"] = found("127.0.0.1", "127.0.0.2")
    make, made = socket.socket, iter(range(9))

    def refuse(*arguments: Any, **keys: Any) -> socket.socket:
        if next(made) == 0:
            raise OSError(number, "nothing left")
        return make(*arguments, **keys)

    monkeypatch.setattr(name_resolution.socket, "socket", refuse)
    with pytest.raises(OutOfResources, match=errno.errorcode[number]):
        await connect(NameResolver(NameSettings()), "a", 9)


def test_the_failures_of_a_look_up() -> None:
    assert type(not_resolved(socket.gaierror(socket.EAI_NONAME, "unknown"))) is NameNotResolved
    assert type(not_resolved(OSError("odd"))) is NameNotResolved
    assert type(not_connected(RuntimeError("uvloop's own"))) is NotConnected
