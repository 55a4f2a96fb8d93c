"""The sockets of the supervisor: one a worker or one for all, on one port that nobody else gets."""

from __future__ import annotations

import socket

import pytest

from crosswire.proxy.workers.listeners import SPREADS, Sharing, close_all, open_listeners

SHARINGS = ["one", pytest.param("each", marks=pytest.mark.skipif(not SPREADS, reason="one port has one socket here"))]


@pytest.mark.parametrize("sharing", SHARINGS)
async def test_all_sockets_have_one_port(sharing: Sharing) -> None:
    opened = await open_listeners("127.0.0.1", 0, 3, sharing)
    try:
        assert len(opened) == (3 if sharing == "each" else 1)
        names = {each.getsockname() for slot in opened for each in slot}
        assert len(names) == 1
        with socket.create_connection(names.pop(), timeout=5):
            pass
    finally:
        close_all(opened)


@pytest.mark.parametrize("sharing", SHARINGS)
async def test_a_port_in_use_is_refused(sharing: Sharing) -> None:
    first = await open_listeners("127.0.0.1", 0, 2, sharing)
    port = first[0][0].getsockname()[1]
    try:
        # a second proxy with workers would share it silently
        for again in ("each", "one") if SPREADS else ("one",):
            with pytest.raises(OSError, match="in use"):
                await open_listeners("127.0.0.1", port, 2, again)
    finally:
        close_all(first)


async def test_what_waits_outlives_a_worker() -> None:
    """A connection that one process did not accept waits for the next that has the socket."""
    opened = await open_listeners("127.0.0.1", 0, 1, "one")
    kept = opened[0][0]
    worker = kept.dup()
    with socket.create_connection(kept.getsockname(), timeout=5) as client:
        worker.close()  # it ends before it accepts
        successor = kept.dup()
        successor.setblocking(True)
        accepted, _ = successor.accept()
        accepted.sendall(b"ok")
        assert client.recv(2) == b"ok"
        accepted.close()
        successor.close()
    close_all(opened)
