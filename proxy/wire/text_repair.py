"""Repairs the text of a backend's answer: clients get UTF-8 without a byte order mark."""

from __future__ import annotations

BOM = b"\xef\xbb\xbf"


def valid_utf8(data: bytes) -> bytes:
    """Returns the bytes with U+FFFD in place of what is no UTF-8: models cut characters between two tokens."""
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data


def without_mark(data: bytes) -> bytes:
    """Returns the text without the byte order mark before it.

    "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any."
    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """
    return data.removeprefix(BOM)
