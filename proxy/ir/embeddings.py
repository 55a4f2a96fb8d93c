"""The neutral form of embeddings: request, input and reply, and functions that the protocols' codecs share."""

from __future__ import annotations

import base64
import struct
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from ..errors import Malformed
from ..wire import json_fields
from .model import Extra, Loss

Vector: TypeAlias = list[float]


class EmbeddingsInput(Struct, frozen=True):
    """One input to embed: a text or its token ids; `media` is the loss feature of content that is no text."""

    content: str | tuple[int, ...]
    dimensions: int | None = None
    media: str | None = None
    extra: Extra = None


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    """An embeddings request.

    `encoding` is the format of the vectors in the reply; `single` is true where the reply holds one vector, no list.
    """

    model: str
    items: tuple[EmbeddingsInput, ...]
    encoding: Literal["float", "base64"] = "float"
    single: bool = False
    user: str | None = None
    extra: Extra = None


class EmbeddingsReply(Struct, frozen=True):
    """Vectors in the order of the inputs, and the number of input tokens where the backend reports it."""

    vectors: tuple[Vector, ...]
    tokens: int | None = None


def single_dimension(items: tuple[EmbeddingsInput, ...]) -> tuple[int | None, list[Loss]]:
    """Returns the vector length for protocols that have one per request, and a loss for each input with another."""
    first = items[0].dimensions
    other = [i for i, item in enumerate(items) if item.dimensions != first]
    return first, [Loss(f"items[{i}].dimensions", "dimensions", "dropped") for i in other]


def unsupported_input_losses(items: tuple[EmbeddingsInput, ...]) -> list[Loss]:
    """Returns a loss for every input that no other protocol accepts: token ids and content that is no text."""
    losses = []
    for i, item in enumerate(items):
        if item.media is not None:
            losses.append(Loss(f"items[{i}]", item.media, "dropped"))
        elif not isinstance(item.content, str):
            losses.append(Loss(f"items[{i}]", "token_input", "dropped"))
    return losses


def parse_vector(value: object, path: str) -> Vector:
    """Parses a vector of a backend: an array of numbers, or base64 of little-endian 32-bit floats.

    Raises Malformed with `path`.
    """
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
            return list(struct.unpack(f"<{len(raw) // 4}f", raw))
        except (ValueError, struct.error):
            raise Malformed(path, "must be base64 of 32-bit floats") from None
    if isinstance(value, list) and all(type(number) in (float, int) for number in value):
        return value
    raise Malformed(path, f"must be an array of numbers, is {json_fields.describe(value)}")


def to_base64(numbers: Vector) -> str:
    """Encodes the vector as base64 of little-endian 32-bit floats, as OpenAI does; raises Malformed on overflow."""
    try:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    except (OverflowError, struct.error):
        raise Malformed("", "a number of the vector is beyond 32 bits") from None


OPTIONS = ("taskType", "title", "truncate", "autoTruncate")
"""Wire fields that mean something else in a chat request; as extra fields they get the prefix `embed.`."""


def extra_fields(body: dict[str, Any]) -> Extra:
    """Returns the fields that a decoder did not consume, those of OPTIONS prefixed with `embed.`."""
    return {f"embed.{key}" if key in OPTIONS else key: body[key] for key in body} or None


def pop_dimensions(d: dict[str, Any], key: str) -> int | None:
    """Pops a number of dimensions; raises Malformed where it is not positive."""
    found = json_fields.take(d, key, int)
    if found is not None and found < 1:
        raise Malformed(key, "must be at least 1")
    return found
