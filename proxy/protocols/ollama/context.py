"""Keeps a conversation in the `context` of a generated text, which clients send back to go on with it.

An Ollama server answers with the ids of its model's tokens. For a text of another backend the proxy writes the
conversation itself as such a list: a mark that is the id of no token, the length in bytes, and the bytes of a JSON
text, three to a number. The server keeps no state.

Source: "context: an encoding of the conversation used in this response, this can be sent in the next request to keep a
conversational memory" https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-completion
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import Malformed
from ...ir import Request, Text
from ...wire import json_fields

MARK = int.from_bytes(b"\x7fcw", "big")
"""Beyond the vocabulary of any model."""

LONGEST = 64 * 1024
"""Bytes of a conversation beyond which a text comes without a context."""

_ROLES = ("system", "user", "assistant")


def context_out(request: Request, text: str) -> list[int] | None:
    """Returns the context after this answer; None where a list of numbers cannot hold the conversation."""
    said: list[tuple[str, str]] = []
    for turn in request.turns:
        if turn.role not in _ROLES or not all(isinstance(block, Text) for block in turn.blocks):
            return None
        said.append((turn.role, "".join(block.text for block in turn.blocks if isinstance(block, Text))))
    data = json_fields.encode([*said, ("assistant", text)])
    if len(data) > LONGEST:
        return None
    return [MARK, len(data), *(int.from_bytes(data[i : i + 3], "big") for i in range(0, len(data), 3))]


def messages_in(context: Sequence[Any]) -> list[dict[str, Any]] | None:
    """Returns the messages in a context of the proxy's own; None for the tokens of a server, raises Malformed."""
    if len(context) < 3 or context[0] != MARK:
        return None
    data = _bytes_in(context[1], context[2:])
    said = json_fields.parse(data) if data is not None else None
    if type(said) is not list:
        raise Malformed("context", "is none that the proxy made; leave it out, and send the conversation to /api/chat")
    messages = []
    for entry in said:
        match entry:
            case [str(role), str(content)] if role in _ROLES:
                messages.append({"role": role, "content": content})
            case _:
                raise Malformed("context", "is none that the proxy made; leave it out")
    return messages


def _bytes_in(length: Any, numbers: Iterable[Any]) -> bytes | None:
    numbers = list(numbers)
    if type(length) is not int or not 0 < length <= 3 * len(numbers) or length <= 3 * (len(numbers) - 1):
        return None
    last = length - 3 * (len(numbers) - 1)
    out = bytearray()
    for position, number in enumerate(numbers):
        size = last if position == len(numbers) - 1 else 3
        if type(number) is not int or not 0 <= number < 256**size:
            return None
        out += number.to_bytes(size, "big")
    return bytes(out)
