"""The levers of the proxy's speed, each of which can be taken away: `python -m benchmarks.levers NAMES MODULE …`.

It runs the module without the named levers, so that the gain of each stays visible; the proxy has no such switches.
"""

from __future__ import annotations

import runpy
import sys
from importlib import import_module
from typing import Any

import msgspec

from crosswire.proxy.backends import relayed_stream
from crosswire.proxy.server import limited_server
from crosswire.proxy.wire import framing

Replacement = tuple[object, str, Any]
"""An object, the name of its attribute, and the value without the lever."""


def decode_nothing(body: bytes) -> None:
    """Takes no reply for a plain one."""
    raise msgspec.ValidationError


LEVERS: dict[str, tuple[Replacement, ...]] = {
    # plain chats pass by aiohttp's server
    "server": ((limited_server, "HAS_PARSER", False),),
    # the frames of one read are told and checked together, and only those that matter are decoded
    "frames": (
        (framing, "plain_frames", lambda complete: None),
        (relayed_stream, "plain_frames", lambda complete: None),
        (framing.SSE, "end_of_first", lambda self, complete: len(complete)),
        (framing.SSE, "end_before", lambda self, complete, position: len(complete) if position < 0 else 0),
        (framing.NDJSON, "end_of_first", lambda self, complete: len(complete)),
        (framing.NDJSON, "end_before", lambda self, complete, position: len(complete) if position < 0 else 0),
    ),
    # of a relayed reply of plain text only what the record needs is read
    "replies": tuple(
        (import_module(f"crosswire.proxy.protocols.{name}.plain_reply"), "decode", decode_nothing)
        for name in ("anthropic", "openai_chat")
    ),
}
"""By name what takes the lever away."""


def main() -> None:
    for name in sys.argv[1].split(","):
        for thing, attribute, value in LEVERS[name]:
            setattr(thing, attribute, value)
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
