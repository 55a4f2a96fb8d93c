"""The key `limits`: the most that a client, or a backend's answer, may take of the proxy.

No default is met by an honest client. A request beyond one is refused with a 4xx that names the key; a backend's answer
beyond one is that backend's failure.
"""

from __future__ import annotations

from ..wire.json_bounds import JsonBounds

KIB = 1024
MIB = 1024 * KIB


class Limits(JsonBounds, frozen=True, kw_only=True):
    """Limits of requests, connections, streams and answers. Times in seconds, sizes in bytes.

    Of a request's JSON also those of JsonBounds: `depth`, `elements`, `containers`, `key_length`.
    """

    # a request
    header: int = 64 * KIB
    """Size of a request's line and headers."""
    header_s: float = 10
    """Time to the end of the headers, from the connection or from their first byte."""
    encoded_body: int = 32 * MIB
    """Size of a compressed body as it is sent; `body_limit` is the size after decompression."""
    expansion: int = 100
    """Bytes after decompression to one before it, once a body has 4 MiB."""
    name_length: int = 256
    """Characters of the name of a model or a tool."""
    tools: int = 2000
    """Tools of a request."""

    # connections and streams
    connections: int = 10_000
    """Open connections of clients, as far as the process may open that many files."""
    streams: int = 1000
    """Streamed answers at the same time."""
    stream_s: float = 3600
    """Length of a streamed answer."""
    stream: int = 512 * MIB
    """Size of a streamed answer."""
    sockets: int = 1000
    """Open WebSockets."""
    socket_s: float = 3600
    """Time that a WebSocket may last; it ends after the answer under way."""
    socket_idle_s: float = 600
    """Time between two turns of a WebSocket."""
    write_s: float = 60
    """Time in which a client reads nothing of what is written to it."""

    # a backend's answer
    response: int = 64 * MIB
    """Size of a whole answer after decompression; `max_frame` is the size of one frame of a stream."""
    response_header: int = 64 * KIB
    """Size of an answer's headers."""

    # what is kept
    record_memory: int = 16 * MIB
    """Size of the records that are kept, beside their number in `records`."""


SIZES = ("header", "encoded_body", "key_length", "stream", "response", "response_header", "record_memory")
"""The limits that are sizes, which may be given as `64 KiB`."""
