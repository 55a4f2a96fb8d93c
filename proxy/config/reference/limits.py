"""Reference of the key `limits`: the most that a client, or a backend's answer, may take of the proxy."""

from __future__ import annotations

from .key_info import KeyInfo

LIMITS_KEYS: tuple[KeyInfo, ...] = (
    KeyInfo(
        path="limits.depth",
        type="integer, at least 1",
        default="128",
        example="64",
        meaning="Arrays and objects within each other in a request's JSON; 400 beyond.",
    ),
    KeyInfo(
        path="limits.elements",
        type="integer, at least 1",
        default="1000000",
        example="2000000",
        meaning="Values in all arrays and objects of a request; 400 beyond.",
    ),
    KeyInfo(
        path="limits.containers",
        type="integer, at least 1",
        default="100000",
        example="200000",
        meaning="Arrays and objects of a request; 400 beyond.",
    ),
    KeyInfo(
        path="limits.key_length",
        type="size",
        default="16 KiB",
        example="64 KiB",
        meaning="Size of an object's key in a request; 400 beyond.",
    ),
    KeyInfo(
        path="limits.header",
        type="size",
        default="64 KiB",
        example="16 KiB",
        meaning="Size of a request's line and headers; 431 beyond.",
    ),
    KeyInfo(
        path="limits.header_s",
        type="seconds",
        default="10",
        example="30",
        meaning="Time to the end of a request's headers, from the connection or their first byte; 408 beyond.",
    ),
    KeyInfo(
        path="limits.encoded_body",
        type="size",
        default="32 MiB",
        example="8 MiB",
        meaning="Size of a compressed body as it is sent; 413 beyond. `body_limit` is the size after decompression.",
    ),
    KeyInfo(
        path="limits.expansion",
        type="integer, at least 1",
        default="100",
        example="1000",
        meaning="Bytes of a body after decompression to one before it, once it has 4 MiB; 413 beyond.",
    ),
    KeyInfo(
        path="limits.name_length",
        type="integer, at least 1",
        default="256",
        example="512",
        meaning="Characters of the name of a model or a tool; 400 beyond.",
    ),
    KeyInfo(
        path="limits.tools",
        type="integer, at least 1",
        default="2000",
        example="4000",
        meaning="Tools of a request; 400 beyond.",
    ),
    KeyInfo(
        path="limits.connections",
        type="integer, at least 1",
        default="10000",
        example="500",
        meaning="Open connections of clients; beyond it an idle one is closed, or the new one gets a 503.",
    ),
    KeyInfo(
        path="limits.streams",
        type="integer, at least 1",
        default="1000",
        example="100",
        meaning="Streamed answers at the same time; new ones get a 503 or 529 beyond.",
    ),
    KeyInfo(
        path="limits.stream_s",
        type="seconds",
        default="3600",
        example="7200",
        meaning="Length of a streamed answer, which ends with an in-band error then.",
    ),
    KeyInfo(
        path="limits.stream",
        type="size",
        default="512 MiB",
        example="1 GiB",
        meaning="Size of a streamed answer, which ends with an in-band error then.",
    ),
    KeyInfo(
        path="limits.write_s",
        type="seconds",
        default="60",
        example="10",
        meaning="Time after which a client that reads nothing of what is written to it is cut off.",
    ),
    KeyInfo(
        path="limits.response",
        type="size",
        default="64 MiB",
        example="16 MiB",
        meaning="Size of a backend's whole answer after decompression; `max_frame` is that of one frame of a stream.",
    ),
    KeyInfo(
        path="limits.response_header",
        type="size",
        default="64 KiB",
        example="32 KiB",
        meaning="Size of the headers of a backend's answer.",
    ),
    KeyInfo(
        path="limits.record_memory",
        type="size",
        default="16 MiB",
        example="64 MiB",
        meaning="Size of the request records that are kept, beside their number in `records`.",
    ),
)
