"""What a protocol's embeddings are: the neutral nouns, and a record of functions that every dialect fills.

It knows no wire name of any of them.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from .. import wire
from ..errors import Malformed
from ..ir import Loss, Own
from ..protocols.contract import Where

Vector: TypeAlias = list[float]


class Item(Struct, frozen=True):
    """One thing to embed: a text, or the ids of its tokens; `media` is what of it is no text, by the ledger's word."""

    content: str | tuple[int, ...]
    dimensions: int | None = None
    media: str | None = None
    own: Own = None


class EmbedRequest(Struct, frozen=True, kw_only=True):
    """What a client wants embedded. `encoding` is how it wants vectors written; `single`, that its answer has one."""

    model: str
    items: tuple[Item, ...]
    encoding: Literal["float", "base64"] = "float"
    single: bool = False
    user: str | None = None
    own: Own = None


class Embedded(Struct, frozen=True):
    """Vectors in the order of the items, and how many tokens the items had, where the backend says it."""

    vectors: tuple[Vector, ...]
    tokens: int | None = None


class Dialect(Struct, frozen=True, kw_only=True):
    """One protocol's embeddings, both directions."""

    # as a frontend
    decode_request: Callable[[dict[str, Any], Where], EmbedRequest]
    """Raises Malformed with the wire path of what is wrong."""
    encode_reply: Callable[[Embedded, EmbedRequest, int], dict[str, Any]]
    """The last argument is the number of tokens, counted or estimated."""
    renamed: Callable[[dict[str, Any], str], dict[str, Any]] = lambda body, model: {**body, "model": model}
    """The client's own body for an equal backend that has another name for the model."""

    # as a backend
    path: Callable[[str, bool], str]
    """The path below the base URL for an upstream model; `single`, where the body is of the address for one text."""
    encode_request: Callable[[EmbedRequest, str], tuple[dict[str, Any], list[Loss]]]
    decode_reply: Callable[[dict[str, Any]], Embedded]
    """Raises Malformed where the body is not of this protocol."""


def dimensions_of(items: tuple[Item, ...]) -> tuple[int | None, list[Loss]]:
    """The one length of all vectors, for a dialect that asks it once; more than one is a loss."""
    first = items[0].dimensions
    other = [i for i, item in enumerate(items) if item.dimensions != first]
    return first, [Loss(f"items[{i}].dimensions", "dimensions", "dropped") for i in other]


def foreign(items: tuple[Item, ...]) -> list[Loss]:
    """What no dialect but the client's own can take: token ids, and what is no text."""
    losses = []
    for i, item in enumerate(items):
        if item.media is not None:
            losses.append(Loss(f"items[{i}]", item.media, "dropped"))
        elif not isinstance(item.content, str):
            losses.append(Loss(f"items[{i}]", "token_input", "dropped"))
    return losses


def vector(value: object, path: str) -> Vector:
    """A vector as backends write it: numbers, or base64 of little-endian 32-bit floats."""
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
            return list(struct.unpack(f"<{len(raw) // 4}f", raw))
        except (ValueError, struct.error):
            raise Malformed(path, "must be base64 of 32-bit floats") from None
    if isinstance(value, list) and all(type(number) in (float, int) for number in value):
        return value
    raise Malformed(path, f"must be an array of numbers, is {wire.describe(value)}")


def packed(numbers: Vector) -> str:
    """The vector as base64 of little-endian 32-bit floats, as OpenAI writes it."""
    try:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    except (OverflowError, struct.error):
        raise Malformed("", "a number of the vector is beyond 32 bits") from None


OPTIONS = ("taskType", "title", "truncate", "autoTruncate")


def left(body: dict[str, Any]) -> Own:
    """What a decoder did not consume; what the words of a chat would call something else has a name of its own."""
    return {f"embed.{key}" if key in OPTIONS else key: body[key] for key in body} or None


def size(d: dict[str, Any], key: str) -> int | None:
    """Pop a number of dimensions, which is positive."""
    found = wire.take(d, key, int)
    if found is not None and found < 1:
        raise Malformed(key, "must be at least 1")
    return found
