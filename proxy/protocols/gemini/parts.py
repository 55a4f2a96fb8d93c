"""Decodes the parts of a Gemini content into blocks, for requests, replies and streams alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from mimetypes import guess_type
from typing import Any

from msgspec.structs import replace

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
    Video,
    signatures,
)
from ...ir.data_url import media_of
from ...ir.media_type import media_type, standard_base64
from ...wire import json_fields
from ...wire.json_fields import each, need, take
from .fields import merge_extra, take_list
from .tables import BYPASSES, NAME


class ToolCallIds:
    """Gives calls unique ids, and finds the call of a result: by id if it has one, else by name and order."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._used: set[str] = set()
        self._open: list[tuple[str | None, str, str]] = []  # Gemini's id, the name, our id

    def add_call(self, id_: str | None, name: str) -> str:
        """Registers a call and returns its id."""
        call_id = id_ or self._new_id()
        while call_id in self._used:
            call_id = self._new_id()
        self._used.add(call_id)
        self._open.append((id_, name, call_id))
        return call_id

    def match_result(self, id_: str | None, name: str) -> str:
        """Returns the id of the call that a result belongs to, or a new one if there is none."""
        found = next((p for p, call in enumerate(self._open) if id_ is not None and call[0] == id_), None)
        if found is None:
            matches = (p for p, call in enumerate(self._open) if call[1] == name and (id_ is None or call[0] is None))
            found = next(matches, None)
        return self._open.pop(found)[2] if found is not None else id_ or self._new_id()


def merge_blocks(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Merges adjacent text blocks and adjacent thinking blocks; a signature ends a block.

    Empty texts, which end many streams, are dropped.
    """
    out: list[Block] = []
    for block in blocks:
        if block == _EMPTY_TEXT:
            continue
        merged = merge_pair(out[-1], block) if out else None
        if merged is None:
            out.append(block)
        else:
            out[-1] = merged
    return tuple(out)


_EMPTY_TEXT = Text("")


def merge_pair(last: Block, block: Block) -> Block | None:
    """Returns both blocks as one if the second continues the first, else None."""
    match last, block:
        case Text(signature=None, extra=None), Text(extra=None):
            return replace(last, text=last.text + block.text, signature=block.signature)
        case Reasoning(signature=None, extra=None, redacted=False), Reasoning(extra=None, redacted=False):
            return replace(last, text=last.text + block.text, signature=block.signature)
    return None


def part_in(part: dict[str, Any], call_ids: ToolCallIds) -> Block:
    """Decodes one part; raises Malformed if it holds no data."""
    thought = take(part, "thought", bool, False)
    if "text" in part or ("thoughtSignature" in part and part.keys() <= _PART_METADATA):
        signature = signature_in(part)
        text = take(part, "text", str, "")
        if thought:
            return Reasoning(text, signature, summary=True, redacted=_redacted_in(part), extra=part or None)
        return Text(text, signature=signature, extra=part or None)
    if "functionCall" in part:
        return call_in(part, call_ids)
    if "functionResponse" in part:
        return _result_in(part, call_ids)
    media = _media_in(part)
    if media is not None:
        return media
    kind = next((key for key in part if key not in _PART_METADATA), None)
    if kind is None:
        raise Malformed("", "must hold text, inlineData, fileData, functionCall or functionResponse")
    return Opaque(NAME, kind, {**part, "thought": True} if thought else part)


_PART_METADATA = {"thoughtSignature", "partMetadata", "videoMetadata", "mediaResolution"}
"""Fields that a part may have in addition to its one data field."""


def is_empty_part(part: Any) -> bool:
    """Returns whether a part holds nothing but settings of the data that it lacks, such as `videoMetadata`."""
    return type(part) is dict and bool(part) and part.keys() <= _PART_METADATA - {"thoughtSignature"}


def signature_in(part: dict[str, Any]) -> Signature | None:
    """Takes the signature out of a part; it is a token of ours, or one that Gemini issued."""
    value = part.get("thoughtSignature")
    if type(value) is not str or not value or value in BYPASSES:
        return None  # a dummy is no signature; it remains as an extra field
    del part["thoughtSignature"]
    # google-genai sends every signature back in URL-safe base64; our tokens are in standard base64
    token = signatures.parse_token(standard_base64(value), NAME)
    return token if token.issuer is not None else Signature(value, NAME)


def _redacted_in(part: dict[str, Any]) -> bool:
    """Takes the mark of redacted thinking, which the reply encoder writes because clients keep `partMetadata`."""
    if part.get("partMetadata") != {"redacted": True}:
        return False
    del part["partMetadata"]
    return True


def call_in(part: dict[str, Any], call_ids: ToolCallIds) -> ToolCall:
    """Decodes a functionCall part."""
    signature = signature_in(part)
    call = need(part, "functionCall", dict)
    name = need(call, "name", str)
    args = take(call, "args", dict, {})
    id_ = call_ids.add_call(take(call, "id", str), name)
    call.pop("willContinue", None)
    return ToolCall(
        id_, name, json_fields.encode(args).decode(), signature=signature, extra=merge_extra(part, "functionCall", call)
    )


def _result_in(part: dict[str, Any], call_ids: ToolCallIds) -> ToolResult:
    result = need(part, "functionResponse", dict)
    name = need(result, "name", str)
    id_ = call_ids.match_result(take(result, "id", str), name)
    blocks: list[Block] = []
    error = False
    response = take(result, "response", dict)
    media = each(take_list(result, "parts"), "functionResponse.parts", _result_part_in)
    if response or (response is not None and not media):
        text, error = _response_in(response, result)
        blocks.append(Text(text))
    return ToolResult(id_, (*blocks, *media), error, name, extra=merge_extra(part, "functionResponse", result))


def _response_in(response: dict[str, Any], result: dict[str, Any]) -> tuple[str, bool]:
    """Returns the text of a response and whether it is an error.

    'Use "output" key to specify function output and "error" key to specify error details (if any). If "output" and
    "error" keys are not specified, then whole "response" is treated as function output.'
    https://ai.google.dev/api/caching#FunctionResponse. If the encoder would choose another
    key, the key is kept as an empty extra field of that name.
    """
    match response:
        case {"error": str(text)} | {"result": str(text)} | {"output": str(text)} if len(response) == 1:
            key = next(iter(response))
            if key == "output" or json_fields.is_object(text):
                result[key] = None
            return text, key == "error"
        case {"error": error} if len(response) == 1 and error is not None:
            return json_fields.encode(response).decode(), True
    return json_fields.encode(response).decode(), False


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
        raise Malformed(key, f"must be an object, is {json_fields.describe(fields)}")
    uri = fields.get("fileUri")
    mime = fields.get("mimeType") or (guess_type(uri)[0] if type(uri) is str else None)
    is_video = (type(mime) is str and mime.startswith("video/")) or (
        mime is None and type(uri) is str and "youtu" in uri
    )
    inner = need(part, key, dict)
    try:
        media = _file_in(inner, mime) if key == "fileData" else _inline_in(inner)
    except Malformed as fault:
        raise fault.under(key) from None
    extra = merge_extra(part, key, inner)
    if is_video:
        return Video(media, extra)
    match (media.mime or "").partition("/")[0]:
        case "image":
            return Image(media, extra)
        case "audio":
            return Audio(media, extra)
        case _:
            return Document(media, extra)


def _inline_in(inner: dict[str, Any]) -> Media:
    mime, data = take(inner, "mimeType", str), need(inner, "data", str)
    data = standard_base64(data)
    return Media(media_type(mime, data), data, name=take(inner, "displayName", str))


def _file_in(inner: dict[str, Any], guessed_mime: Any) -> Media:
    mime, uri = take(inner, "mimeType", str), need(inner, "fileUri", str)
    name = take(inner, "displayName", str)
    if uri[:5].lower() == "data:":
        return replace(media_of(uri), name=name)
    mime = media_type(mime or guessed_mime)
    if _is_google_file(uri):
        return Media(mime, file_id=uri, name=name)
    return Media(mime, url=uri, name=name)


def _is_google_file(uri: str) -> bool:
    """Returns whether only Google can read this URI: its file store or its cloud storage."""
    return uri.startswith(("gs://", "https://generativelanguage.googleapis.com/", "files/"))
