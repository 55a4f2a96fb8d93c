"""Builds the `systemInstruction` and the `contents` of a Gemini request from neutral turns.

Enforces the API's rules for a conversation: alternating roles, results after their calls, signatures of calls.
"""

from __future__ import annotations

from mimetypes import guess_type
from typing import Any

import msgspec
from msgspec import Struct

from ...ir import (
    Audio,
    Block,
    Document,
    Extra,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Request,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Video,
    signatures,
)
from ...ir.losses import block_feature, declare_loss
from ...ir.readable import joined
from ...ir.tool_names import ToolNameMap
from ...wire import json_fields
from ..protocol import UpstreamTarget
from .fields import restore_extra
from .tables import BYPASS, NAME


class _DraftContent(Struct):
    """A content before encoding: its blocks, each with its path in the neutral request."""

    role: str
    blocks: list[tuple[str, Block]]
    extra: Extra = None


class ContentBuilder:
    """Encodes the turns of one request."""

    def __init__(self, request: Request, target: UpstreamTarget, names: ToolNameMap, losses: list[Loss]) -> None:
        self._turns = request.turns
        self._same = request.protocol == NAME
        self._only_gemini_history = self._same and not _has_foreign_signatures(request)
        self._provider = target.provider
        self._traits = target.traits
        self._names = names
        self._losses = losses
        self.details: list[str | None] = []
        """The media resolution of each image, for models that have one for all of them."""
        self._moved = False  # whether media of a result became a part of their own
        self._call_names: dict[str, str] = {}  # call id -> name of the function for the backend
        self._calls: list[tuple[int, str, dict[str, Any], bool]] = []  # content index, path, part, signature lost

    def build(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Returns the parts of the system instruction, and the contents."""
        lead = next((t for t, turn in enumerate(self._turns) if not _is_instruction(turn)), len(self._turns))
        if lead == len(self._turns):
            lead = 0  # only instructions: at least one content is required, so they become user contents
        system = [
            part
            for t, turn in enumerate(self._turns[:lead])
            for path, block in _with_paths(t, turn)
            for part in self._system(block, path)
        ]
        drafts = self._drafts(lead)
        if not self._same:
            self._drop_orphans(drafts)
        contents: list[dict[str, Any]] = []
        start = 0  # index of the content that begins the current turn, as the API defines it
        for draft in drafts:
            parts = [part for path, block in draft.blocks for part in self._part(block, path, len(contents))]
            if not parts:
                continue
            if draft.role == "user" and (not self._same or self._moved):
                # media moved out of results follow all responses, which must be adjacent
                parts.sort(key=lambda part: "functionResponse" not in part)
            if draft.role == "user" and any("functionResponse" not in part for part in parts):
                start = len(contents)
            content = {"role": draft.role, "parts": parts}
            if self._same:
                restore_extra(content, draft.extra)
            contents.append(content)
        if not self._same and contents and contents[0]["role"] == "model" and _calls(contents[0]):
            # "Please ensure that function call turn comes immediately after a user turn", as the API answers
            contents.insert(0, {"role": "user", "parts": [{"text": " "}]})
            self._calls = [(at + 1, path, part, lost) for at, path, part, lost in self._calls]
            start = start + 1 if start else 0  # without a user's content before them the calls belong to the added one
        if not contents:
            # the backend answers, or refuses, an empty request
            contents.append({"role": "user", "parts": [{"text": ""}]})
            if self._turns and not self._same:
                self._losses.append(declare_loss("turns", "content"))
        self._sign_calls(start)
        return system, contents

    def _drafts(self, lead: int) -> list[_DraftContent]:
        drafts: list[_DraftContent] = []
        for t, turn in enumerate(self._turns[lead:], lead):
            if _is_instruction(turn):
                # "role: Must be either 'user' or 'model'." https://ai.google.dev/api/caching#Content
                self._losses.append(declare_loss(f"turns[{t}]", "role"))
            role = "model" if turn.role == "assistant" else "user"
            if drafts and drafts[-1].role == role and not self._same:
                drafts[-1].blocks += _with_paths(t, turn)
            else:
                drafts.append(_DraftContent(role, _with_paths(t, turn), turn.extra))
        for draft in drafts:
            if draft.role == "user":
                # consecutive results are one content and come first: "ensure that function response turn comes
                # immediately after a function call turn" is the error of the API otherwise
                draft.blocks.sort(key=lambda item: not isinstance(item[1], ToolResult))
        return drafts

    def _drop_orphans(self, drafts: list[_DraftContent]) -> None:
        """Drops calls and results without a counterpart.

        "Please ensure that the number of function response parts is equal to the number of function call parts of the
        function call turn" is the error of the API otherwise.
        """
        called: set[str] = set()
        for i, draft in enumerate(drafts):
            after = drafts[i + 1].blocks if i + 1 < len(drafts) else []
            answered = {block.id for _, block in after if isinstance(block, ToolResult)}
            kept: list[tuple[str, Block]] = []
            for path, block in draft.blocks:
                orphan = (isinstance(block, ToolResult) and block.id not in called) or (
                    isinstance(block, ToolCall) and bool(after) and block.id not in answered
                )
                if orphan:
                    self._losses.append(declare_loss(path, "orphan"))
                else:
                    kept.append((path, block))
            draft.blocks = kept
            called = {block.id for _, block in kept if isinstance(block, ToolCall)}

    def _sign_calls(self, start: int) -> None:
        """Adds the signature that Gemini 3 requires for the first call of each step of the current turn.

        The API refuses a step of the current turn whose first functionCall part has no thoughtSignature, and does not
        look at earlier turns; without a signature, a documented dummy value is sent.
        https://ai.google.dev/gemini-api/docs/thought-signatures
        """
        signed = set()
        for content, path, part, is_lost in self._calls:
            if is_lost:
                self._losses.append(declare_loss(f"{path}.seal", "signature"))
            first = content not in signed
            signed.add(content)
            if first and "signed_calls" in self._traits.takes and content > start and "thoughtSignature" not in part:
                if self._only_gemini_history and not is_lost:
                    continue  # a Gemini client is responsible for its signatures
                part["thoughtSignature"] = BYPASS
                if not is_lost:
                    self._losses.append(declare_loss(f"{path}.seal", "signature"))

    def _system(self, block: Block, path: str) -> list[dict[str, Any]]:
        # "systemInstruction: [...] Currently, text only." https://ai.google.dev/api/generate-content
        match block:
            case Text(text, extra=extra):
                return [self._with_extra({"text": text}, extra)] if text else []
            case Opaque(protocol, _, data) if protocol == NAME:
                return [data]
            case Image() | Document() | Audio() | Video() | Reasoning():
                self._losses.append(Loss(path, block_feature(block), "dropped"))
        return []

    def _part(self, block: Block, path: str, content: int) -> list[dict[str, Any]]:
        match block:
            case Text(text, citations, signature, _, extra):
                value = self._signature_out(signature, path)
                if citations:  # only a candidate has a field for them, a content has not
                    self._losses.append(declare_loss(f"{path}.citations", "citations"))
                if text or value or extra or self._same:
                    return [self._with_extra(_with_signature({"text": text}, value), extra)]
            case Reasoning(text, signature, extra=extra):
                value = self._signature_out(signature, path)
                if text or value:
                    return [self._with_extra(_with_signature({"text": text, "thought": True}, value), extra)]
            case ToolCall():
                return [self._call(block, path, content)]
            case ToolResult():
                return self._result(block, path)
            case Refusal(text):
                self._losses.append(declare_loss(path, "refusal"))
                return [{"text": text}] if text else []
            case Image(media, extra) | Document(media, extra) | Audio(media, extra) | Video(media, extra):
                if isinstance(block, Audio) and media.mime is None and media.data is not None:
                    media = msgspec.structs.replace(media, mime=_audio_type(media.data))
                part = self._media(media, path)
                if part is not None:
                    if isinstance(block, Image) and not self._same:
                        level = resolution_of(extra)
                        self.details.append(level)
                        if level is not None and "part_resolution" in self._traits.takes:
                            part["mediaResolution"] = {"level": level}
                    return [self._with_extra(part, extra)]
                self._losses.append(Loss(path, type(block).__name__.lower(), "dropped"))
            case Opaque(protocol, _, data) if protocol == NAME:
                return [data]
        return []

    def _with_extra(self, part: dict[str, Any], extra: Extra) -> dict[str, Any]:
        """Restores the extra fields of a client of this same protocol."""
        if extra and self._same:
            restore_extra(part, extra)
        return part

    def _signature_out(self, signature: Signature | None, path: str) -> str | None:
        """Returns the signature for this backend; None, and a loss, if another provider issued it."""
        if signature is None:
            return None
        value = signatures.for_backend(signature, NAME, self._provider)
        if value is None:
            self._losses.append(declare_loss(f"{path}.seal", "signature"))
        return value

    def _call(self, call: ToolCall, path: str, content: int) -> dict[str, Any]:
        name = self._names.wire(call.name, call.namespace)
        self._call_names[call.id] = name
        if call.kind == "custom":
            arguments = msgspec.Raw(json_fields.encode({"input": call.arguments}))
        else:
            arguments, is_object = json_fields.splice(call.arguments)
            if not is_object:
                self._losses.append(declare_loss(f"{path}.arguments", "tool_arguments"))
        value = signatures.for_backend(call.signature, NAME, self._provider) if call.signature else None
        part = _with_signature({"functionCall": {"id": call.id, "name": name, "args": arguments}}, value)
        part = self._with_extra(part, call.extra)
        self._calls.append((content, path, part, call.signature is not None and value is None))
        return part

    def _result(self, result: ToolResult, path: str) -> list[dict[str, Any]]:
        name = self._call_names.get(result.id) or self._names.wire(result.name or "unknown")
        texts = [block for block in result.blocks if isinstance(block, Text)]
        media, others = [], []
        for b, block in enumerate(result.blocks):
            match block:
                case Image(content, extra) | Document(content, extra) | Audio(content, extra) | Video(content, extra):
                    part = self._media(content, f"{path}.blocks[{b}]")
                    if part is not None:
                        media.append(self._with_extra(part, extra))
                    else:
                        self._losses.append(Loss(f"{path}.blocks[{b}]", "tool_result_media", "dropped"))
                case Refusal(text):
                    self._losses.append(declare_loss(f"{path}.blocks[{b}]", "refusal"))
                    texts.append(Text(text))
                case Reasoning():
                    self._losses.append(Loss(f"{path}.blocks[{b}]", block_feature(block), "dropped"))
                case Opaque(protocol, _, data) if protocol == NAME:
                    media.append(data)
        out: dict[str, Any] = {"id": result.id, "name": name}
        extra = dict(result.extra) if result.extra and self._same else {}
        wrapper = next((key for key in ("error", "result", "output") if f"functionResponse.{key}" in extra), None)
        extra.pop(f"functionResponse.{wrapper}", None)
        out["response"] = _response(joined(texts), result.error, wrapper) if texts or not media else {}
        takes_media = "media_in_results" in self._traits.takes
        if media and not (takes_media or (self._same and "media_in_results" not in self._traits.refuses)):
            # media inside a result is for Gemini 3 and later: https://ai.google.dev/gemini-api/docs/function-calling
            self._losses.append(declare_loss(path, "tool_result_media"))
            others, media = media, []
            self._moved = True
        if media:
            out["parts"] = media
        return [self._with_extra({"functionResponse": out}, extra), *others]

    def _media(self, media: Media, path: str) -> dict[str, Any] | None:
        if media.name is not None and not self._same:
            # "displayName [...] is used in the Gemini calls only when server-side tools are enabled"
            self._losses.append(declare_loss(f"{path}.media.name", "name"))
        display_name = {"displayName": media.name} if media.name is not None and self._same else {}
        if media.data is not None:
            mime = media.mime or "application/octet-stream"
            return {"inlineData": {"mimeType": mime, "data": media.data, **display_name}}
        if media.text is not None:
            return {"text": media.text}
        uri = media.url or (media.file_id if self._same else None)
        if uri is None:
            return None
        guessed_mime = media.mime or guess_type(uri)[0]
        typed = {"mimeType": guessed_mime} if guessed_mime else {}
        return {"fileData": {**typed, "fileUri": uri, **display_name}}


def resolution_of(extra: Extra) -> str | None:
    """Returns the media resolution for the detail in which another protocol's client wants an image to be seen.

    "Per-part media resolution (Gemini 3 only)": a part has {"level": "MEDIA_RESOLUTION_HIGH"}; for other models one
    field of generationConfig holds for all media. https://ai.google.dev/gemini-api/docs/media-resolution
    """
    detail = extra.get("detail") if extra else None
    return RESOLUTIONS.get(detail) if type(detail) is str else None


RESOLUTIONS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH", "original": "MEDIA_RESOLUTION_HIGH"}


def _calls(content: dict[str, Any]) -> bool:
    return any("functionCall" in part for part in content["parts"])


def _has_foreign_signatures(request: Request) -> bool:
    """Returns whether the history holds signatures of another provider."""
    signed_blocks = (getattr(block, "signature", None) for turn in request.turns for block in turn.blocks)
    return any(signature is not None and signature.issuer is not None for signature in signed_blocks)


# "WAV - audio/wav, MP3 - audio/mp3, AIFF - audio/aiff, AAC - audio/aac, OGG Vorbis - audio/ogg, FLAC - audio/flac"
# https://ai.google.dev/gemini-api/docs/audio#supported-formats
AUDIO_PREFIXES: dict[str, str] = {
    "UklGR": "audio/wav",
    "SUQz": "audio/mp3",
    "//": "audio/mp3",
    "T2dnUw": "audio/ogg",
    "ZkxhQw": "audio/flac",
    "Rk9STQ": "audio/aiff",
}
"""First characters of base64 audio and the MIME type, for clients that send no type (some hosts require none)."""


def _audio_type(data: str) -> str | None:
    return next((mime for head, mime in AUDIO_PREFIXES.items() if data.startswith(head)), None)


def _is_instruction(turn: Turn) -> bool:
    return turn.role in ("system", "developer")


def _with_paths(t: int, turn: Turn) -> list[tuple[str, Block]]:
    return [(f"turns[{t}].blocks[{b}]", block) for b, block in enumerate(turn.blocks)]


def _with_signature(part: dict[str, Any], value: str | None) -> dict[str, Any]:
    if value is not None:
        part["thoughtSignature"] = value
    return part


def _response(text: str, error: bool, wrapper: str | None) -> Any:
    """Returns the text of a result as the object that the API requires; the reverse of `_response_in`."""
    if wrapper is not None:
        return {wrapper: text}
    if json_fields.is_object(text) and (not error or json_fields.parse_object(text).keys() == {"error"}):
        return json_fields.splice(text)[0]
    return {"error" if error else "result": text}
