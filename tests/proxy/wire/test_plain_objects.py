"""Tests of the decoder of many objects."""

from __future__ import annotations

from crosswire.proxy.protocols.anthropic.plain_event import TextEvent
from crosswire.proxy.wire.plain_objects import LONGEST, plain_objects

from ..sample_messages import dumps


def test_objects_are_decoded_at_once_only_if_all_are_of_the_type_and_none_is_long() -> None:
    decode = plain_objects(TextEvent)
    line = dumps({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}})
    found = decode(line + b"\n" + line, 2)
    assert found is not None
    assert [event.delta.text for event in found] == ["a", "a"]
    assert decode(line + line, 1) is None
    assert decode(line + b"\n" + line.replace(b'"a"', b'""'), 2) is None
    assert decode(line.replace(b'"index"', b'"x":1,"index"'), 1) is None
    assert decode(line.replace(b'"a"', b'"' + b"a" * LONGEST + b'"'), 1) is None
