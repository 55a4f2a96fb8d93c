"""The levers of the proxy's speed, each of which can be taken away: `python -m benchmarks.levers NAMES MODULE …`.

It runs the module without the named levers, so that the gain of each stays visible; the proxy has no such switches.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import msgspec

from crosswire.proxy.backends import httptools_transport, relayed_stream
from crosswire.proxy.backends.deadlines import Expiring
from crosswire.proxy.gateway import candidate_selection, chat_handler, direct_writes, relay, runtime
from crosswire.proxy.ir import known_tools
from crosswire.proxy.server import lifecycle, limited_server, plain_chat
from crosswire.proxy.wire import framing

Replacement = tuple[object, str, Any]
"""An object, the name of its attribute, and the value without the lever."""


def decode_nothing(body: bytes) -> None:
    """Takes no body for a plain one."""
    raise msgspec.ValidationError


class OwnTimers:
    """A DeadlineQueue that makes a timer of the event loop for each wait."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._timers: dict[Expiring, asyncio.TimerHandle] = {}

    def add(self, wait: Expiring) -> None:
        self._timers[wait] = asyncio.get_running_loop().call_later(self.seconds, wait.expire)

    def remove(self, wait: Expiring) -> None:
        if (timer := self._timers.pop(wait, None)) is not None:
            timer.cancel()


LEVERS: dict[str, tuple[Replacement, ...]] = {
    # plain chats pass by aiohttp's server
    "server": ((limited_server, "HAS_PARSER", False),),
    # the frames of one read are told and checked together, and only those that matter are decoded
    "frames": (
        (framing, "plain_frames", lambda complete: None),
        (relayed_stream, "plain_frames", lambda complete: None),
        (framing.SSE, "end_of_first", lambda self, complete: len(complete)),
        (framing.SSE, "start_of_last", lambda self, complete, end: 0),
        (framing.SSE, "end_before", lambda self, complete, position: len(complete) if position < 0 else 0),
        (framing.NDJSON, "end_of_first", lambda self, complete: len(complete)),
        (framing.NDJSON, "start_of_last", lambda self, complete, end: 0),
        (framing.NDJSON, "end_before", lambda self, complete, position: len(complete) if position < 0 else 0),
    ),
    # frames of one text, and those that a relay need not read, are decoded together and into types
    "texts": (
        (framing.SSE, "objects", lambda self, complete: None),
        (framing.NDJSON, "objects", lambda self, complete: None),
    ),
    # such frames go to the client before any task wakes up
    "direct": ((direct_writes.DirectWrites, "take", lambda self, whole, texts: False),),
    # a model is renamed in the frames of a read by one replacement
    "names": ((relay.Relay, "renamed_at_once", lambda self, whole: None),),
    # one timer for all deadlines of the same length
    "timers": ((httptools_transport, "DeadlineQueue", OwnTimers), (runtime, "DeadlineQueue", OwnTimers)),
    # a request of plain text is read by its types alone
    "requests": tuple(
        (import_module(f"crosswire.proxy.protocols.{name}.plain_request"), "decode", decode_nothing)
        for name in ("anthropic", "openai_chat")
    ),
    # tools that came in the same bytes before are not decoded again
    "tools": ((known_tools.KnownTools, "request_fields", lambda self, body: None),),
    # a large body of few values is not given to a thread
    "values": ((chat_handler, "LARGE_SIMPLE", runtime.LARGE),),
    # a large body is sent as it is, and not copied behind its head
    "writes": ((httptools_transport, "COPIED", sys.maxsize),),
    # the memory of large bodies is kept for the next ones
    "memory": ((lifecycle, "keep_blocks", lambda: None),),
    # a head that differs from the connection's last one only in the body's length is not parsed
    "heads": ((plain_chat.KnownHead, "of", staticmethod(lambda *_: None)),),
    # an encoder writes a conversation of plain text without any search
    "turns": (
        (import_module("crosswire.proxy.protocols.anthropic.request_encoder"), "plain_turns", lambda request: None),
        (import_module("crosswire.proxy.protocols.openai_chat.request_encoder"), "plain_turns", lambda request: None),
    ),
    # a name that was decided before, with nothing else to look at, has no input made for it
    "decisions": ((candidate_selection, "kept_decision", lambda model, capabilities, plan: None),),
    # a reply of plain text is read by its types alone
    "replies": (
        *(
            (import_module(f"crosswire.proxy.protocols.{name}.plain_reply"), "decode", decode_nothing)
            for name in ("anthropic", "openai_chat")
        ),
        (import_module("crosswire.proxy.protocols.openai.usage"), "plain_usage", lambda fields: None),
    ),
}
"""By name what takes the lever away."""


@contextmanager
def taken_away(names: Iterable[str]) -> Iterator[None]:
    """Takes these levers away, and gives them back."""
    with ExitStack() as stack:
        for name in names:
            for thing, attribute, value in LEVERS[name]:
                stack.callback(setattr, thing, attribute, getattr(thing, attribute))
                setattr(thing, attribute, value)
        yield


def main() -> None:
    names = [] if sys.argv[1] == "none" else sys.argv[1].split(",")
    if sys.argv[2] == "crosswire.conformance":
        # the suite's proxies in a process of their own are without them too
        from crosswire.conformance.harness import testbed_apart

        module = testbed_apart.PROXY[-1]
        testbed_apart.PROXY = (sys.executable, "-m", "benchmarks.levers", sys.argv[1], module)
    sys.argv = sys.argv[2:]
    with taken_away(names):
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
