"""One part of a Gemini content as a block, the same in a request, a reply and a stream.

It knows what may stand in a part, and which result answers which call; nothing of what is around a content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from mimetypes import guess_type
from typing import Any

from msgspec.structs import replace

from ... import seals, wire
from ...errors import Malformed
from ...ir import (
    Audio,
    Block,
    Document,
    Image,
    Media,
    Opaque,
    Reasoning,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from ...wire import each, need, take
from .fields import rest, several
from .words import BYPASSES, NAME


class Pairs:
    """Which result answers which call: by id where there is one, else by name and order. Every call's id is unique."""

    def __init__(self, fresh: Callable[[], str]) -> None:
        self._fresh = fresh
        self._used: set[str] = set()
        self._open: list[tuple[str | None, str, str]] = []  # the wire's id, the name, our id

    def call(self, id_: str | None, name: str) -> str:
        ours = id_ or self._fresh()
        while ours in self._used:
            ours = self._fresh()
        self._used.add(ours)
        self._open.append((id_, name, ours))
        return ours

    def result(self, id_: str | None, name: str) -> str:
        found = next((p for p, call in enumerate(self._open) if id_ is not None and call[0] == id_), None)
        if found is None:
            fits = (p for p, call in enumerate(self._open) if call[1] == name and (id_ is None or call[0] is None))
            found = next(fits, None)
        return self._open.pop(found)[2] if found is not None else id_ or self._fresh()


def joined(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks with pieces of one text, or of one thought, put together; a seal ends what it is on.

    Empty texts, which end many a stream, say nothing.
    """
    out: list[Block] = []
    for block in blocks:
        if block == _NOTHING:
            continue
        whole_ = join(out[-1], block) if out else None
        if whole_ is None:
            out.append(block)
        else:
            out[-1] = whole_
    return tuple(out)


_NOTHING = Text("")


def join(last: Block, block: Block) -> Block | None:
    """Both as one, where the second is the next piece of the first."""
    match last, block:
        case Text(seal=None, own=None), Text(own=None):
            return replace(last, text=last.text + block.text, seal=block.seal)
        case Reasoning(seal=None, own=None, redacted=False), Reasoning(own=None, redacted=False):
            return replace(last, text=last.text + block.text, seal=block.seal)
    return None


def part_in(part: dict[str, Any], pairs: Pairs) -> Block:
    thought = take(part, "thought", bool, False)
    if "text" in part or ("thoughtSignature" in part and part.keys() <= _BESIDE):
        seal = seal_in(part)
        text = take(part, "text", str, "")
        if thought:
            return Reasoning(text, seal, summary=True, redacted=_redacted_in(part), own=part or None)
        return Text(text, seal=seal, own=part or None)
    if "functionCall" in part:
        return call_in(part, pairs)
    if "functionResponse" in part:
        return _result_in(part, pairs)
    media = _media_in(part)
    if media is not None:
        return media
    kind = next((key for key in part if key not in _BESIDE), None)
    if kind is None:
        raise Malformed("", "must hold text, inlineData, fileData, functionCall or functionResponse")
    return Opaque(NAME, kind, {**part, "thought": True} if thought else part)


_BESIDE = {"thoughtSignature", "partMetadata", "videoMetadata", "mediaResolution"}
"""What may stand in a part beside its one kind of data."""


def seal_in(part: dict[str, Any]) -> Signature | None:
    value = part.get("thoughtSignature")
    if type(value) is not str or not value or value in BYPASSES:
        return None  # the bypass proves nothing; it stays for Gemini alone
    del part["thoughtSignature"]
    # google-genai gives back every signature in URL-safe base64, whatever it got; our tokens are in the standard one
    token = seals.read(_base64(value), NAME)
    return token if token.minter is not None else Signature(value, NAME)


def _redacted_in(part: dict[str, Any]) -> bool:
    """Our own mark on thinking that another provider gave as a seal alone; `partMetadata` is a client's to keep."""
    if part.get("partMetadata") != {"redacted": True}:
        return False
    del part["partMetadata"]
    return True


def call_in(part: dict[str, Any], pairs: Pairs) -> ToolCall:
    seal = seal_in(part)
    call = need(part, "functionCall", dict)
    name = need(call, "name", str)
    args = take(call, "args", dict, {})
    id_ = pairs.call(take(call, "id", str), name)
    call.pop("willContinue", None)
    return ToolCall(id_, name, wire.encode(args).decode(), seal=seal, own=rest(part, "functionCall", call))


def _result_in(part: dict[str, Any], pairs: Pairs) -> ToolResult:
    result = need(part, "functionResponse", dict)
    name = need(result, "name", str)
    id_ = pairs.result(take(result, "id", str), name)
    blocks: list[Block] = []
    error = False
    response = take(result, "response", dict)
    media = each(several(result, "parts"), "functionResponse.parts", _result_part_in)
    if response or (response is not None and not media):
        text, error = _response_in(response, result)
        blocks.append(Text(text))
    return ToolResult(id_, (*blocks, *media), error, name, own=rest(part, "functionResponse", result))


def _response_in(response: dict[str, Any], result: dict[str, Any]) -> tuple[str, bool]:
    """The text of a response and whether it is an error.

    'Use "output" key to specify function output and "error" key to specify error details (if any). If "output" and
    "error" keys are not specified, then whole "response" is treated as function output.'
    https://ai.google.dev/api/caching#FunctionResponse. What the encoder would not wrap again in the same key is
    remembered by an empty field of that name.
    """
    match response:
        case {"error": str(text)} | {"result": str(text)} | {"output": str(text)} if len(response) == 1:
            key = next(iter(response))
            if key == "output" or wire.is_object(text):
                result[key] = None
            return text, key == "error"
        case {"error": error} if len(response) == 1 and error is not None:
            return wire.encode(response).decode(), True
    return wire.encode(response).decode(), False


def _result_part_in(part: dict[str, Any]) -> Block:
    media = _media_in(part)
    if media is not None:
        return media
    return Opaque(NAME, next(iter(part), "part"), part)


def _media_in(part: dict[str, Any]) -> Block | None:
    key = "inlineData" if "inlineData" in part else "fileData"
    if key not in part:
        return None
    fields = part[key]
    if type(fields) is not dict:
        raise Malformed(key, f"must be an object, is {wire.describe(fields)}")
    uri = fields.get("fileUri")
    mime = fields.get("mimeType") or (guess_type(uri)[0] if type(uri) is str else None)
    if (type(mime) is str and mime.startswith("video/")) or (mime is None and type(uri) is str and "youtu" in uri):
        return Opaque(NAME, "video", part)
    inner = need(part, key, dict)
    try:
        media = _file_in(inner, mime) if key == "fileData" else _inline_in(inner)
    except Malformed as fault:
        raise fault.under(key) from None
    own = rest(part, key, inner)
    match (media.mime or "").partition("/")[0]:
        case "image":
            return Image(media, own)
        case "audio":
            return Audio(media, own)
        case _:
            return Document(media, own)


def _inline_in(inner: dict[str, Any]) -> Media:
    mime, data = take(inner, "mimeType", str), need(inner, "data", str)
    return Media(mime, _base64(data), name=take(inner, "displayName", str))


def _file_in(inner: dict[str, Any], guessed: Any) -> Media:
    mime, uri = take(inner, "mimeType", str), need(inner, "fileUri", str)
    name = take(inner, "displayName", str)
    if _is_googles(uri):
        return Media(mime or guessed, file_id=uri, name=name)
    return Media(mime or guessed, url=uri, name=name)


def _is_googles(uri: str) -> bool:
    """Whether only Google can read this address: its own file store, or its cloud."""
    return uri.startswith(("gs://", "https://generativelanguage.googleapis.com/", "files/"))


def _base64(data: str) -> str:
    """Standard base64; "either standard or URL-safe base64 encoding with/without paddings are accepted" by Google's
    JSON (https://protobuf.dev/programming-guides/json/), and by nobody else's."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)
