"""The fields of OTLP's messages in protobuf, as bytes.

A field is a tag, which is its number and its kind, and its value. The order of fields does not matter, so what many
messages share is encoded once. https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import TypeAlias

Value: TypeAlias = str | bool | int | float | Sequence[str]
"""A value of an attribute."""

LONGEST = 512
"""Characters of a text in an attribute: the name of a model is what a client wrote."""

MOST_INT = 2**63 - 1
"""The largest `int_value`, which is an int64."""

_BYTES = tuple(bytes((number,)) for number in range(256))

_VARINT, _SIZED = 0, 2
"""Kinds of fields: a number of any length, and bytes with their length before them."""

DOUBLE = Struct("<d").pack
FIXED64 = Struct("<Q").pack


def varint(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first; all but the last have the highest bit set."""
    if number < 0x80:
        return _BYTES[number]
    if number < 0x4000:
        return _BYTES[number & 0x7F | 0x80] + _BYTES[number >> 7]
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def sized(field: int, data: bytes) -> bytes:
    """A field of bytes, of a text or of a message."""
    return varint(field << 3 | _SIZED) + varint(len(data)) + data


def number(field: int, value: int) -> bytes:
    """A field of a number, an enumeration or a truth."""
    return varint(field << 3 | _VARINT) + varint(value)


def text(field: int, value: str) -> bytes:
    """A field of a text."""
    return sized(field, value[:LONGEST].encode("utf-8", "replace"))


def any_value(value: Value) -> bytes:
    """An `AnyValue`: string_value = 1, bool_value = 2, int_value = 3, double_value = 4, array_value = 5.

    https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto
    """
    if isinstance(value, str):
        return text(1, value)
    if isinstance(value, bool):
        return number(2, value)
    if isinstance(value, int):
        return number(3, value)
    if isinstance(value, float):
        return b"\x21" + DOUBLE(value)
    return sized(5, b"".join([sized(1, any_value(each)) for each in value]))  # ArrayValue: values = 1


def attributes(field: int, named: Mapping[str, Value | None]) -> bytes:
    """A field for each attribute that is not None, a `KeyValue`: key = 1, value = 2.

    A number that no int64 holds is left out.
    """
    return b"".join(
        [
            sized(field, text(1, name) + sized(2, any_value(value)))
            for name, value in named.items()
            if value is not None and not (isinstance(value, int) and not 0 <= value <= MOST_INT)
        ]
    )


def int_attribute(field: int, name: str) -> Callable[[int], bytes]:
    """Makes the function that encodes the attribute of this name, whose value is a different number each time."""
    key = text(1, name)

    def begin(size: int) -> bytes:
        """All before a number of so many bytes."""
        rest = len(key) + 3 + size
        return varint(field << 3 | _SIZED) + varint(rest) + key + b"\x12" + _BYTES[size + 1] + b"\x18"

    beginnings = tuple(begin(size) for size in range(10))

    def encode(value: int) -> bytes:
        if not 0 <= value <= MOST_INT:
            return b""
        encoded = varint(value)
        return beginnings[len(encoded)] + encoded

    return encode


def text_attribute(field: int, name: str) -> Callable[[str], bytes]:
    """Makes the function that encodes the attribute of this name, whose value is a different text each time."""
    key = text(1, name)

    def encode(value: str) -> bytes:
        encoded = text(1, value)
        return sized(field, b"%b\x12%b%b" % (key, varint(len(encoded)), encoded))

    return encode


def double_attribute(field: int, name: str) -> Callable[[float], bytes]:
    """Makes the function that encodes the attribute of this name, whose value is a different number each time."""
    beginning = attributes(field, {name: 0.0})[:-8]
    return lambda value: beginning + DOUBLE(value)
