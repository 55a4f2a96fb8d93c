"""The turns of one request as Gemini's systemInstruction and contents, and what those could not say.

It knows the rules of the conversation: who may follow whom, which result belongs to which call, what must be signed.
"""

from __future__ import annotations

from mimetypes import guess_type
from typing import Any

import msgspec
from msgspec import Struct

from ... import ledger, seals, wire
from ...ir import (
    Audio,
    Block,
    Document,
    Image,
    Loss,
    Media,
    Opaque,
    Own,
    Reasoning,
    Refusal,
    Request,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from ...names import Names
from ..contract import Target
from .fields import put_back
from .models import version
from .words import BYPASS, NAME


class _Draft(Struct):
    """A content in the making: its blocks, each with its path in the neutral form."""

    role: str
    blocks: list[tuple[str, Block]]
    own: Own = None


class Contents:
    """Writes the turns of one request."""

    def __init__(self, request: Request, target: Target, names: Names, losses: list[Loss]) -> None:
        self._turns = request.turns
        self._same = request.dialect == NAME
        self._own_history = self._same and not _is_of_others(request)
        self._provider = target.provider
        self._new_rules = version(target) >= (3, 0)
        self._names = names
        self._losses = losses
        self._called: dict[str, str] = {}  # a call's id -> its function's name on the wire
        self._unsigned: list[tuple[int, str, dict[str, Any], bool]] = []  # content, path, part; whether a seal was lost

    def write(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The parts of the system instruction, and the contents."""
        lead = next((t for t, turn in enumerate(self._turns) if not _instructs(turn)), len(self._turns))
        if lead == len(self._turns):
            lead = 0  # nothing but instructions: there must be a content, so they become the user's
        system = [
            part
            for t, turn in enumerate(self._turns[:lead])
            for path, block in _placed(t, turn)
            for part in self._system(block, path)
        ]
        drafts = self._drafts(lead)
        if not self._same:
            self._pair(drafts)
        contents: list[dict[str, Any]] = []
        start = 0  # where the current turn begins, as the API counts
        for draft in drafts:
            parts = [part for path, block in draft.blocks for part in self._part(block, path, len(contents))]
            if not parts:
                continue  # nothing was said
            if draft.role == "user" and not self._same:
                # what a result could not hold stands behind all of them, so that the responses are one run
                parts.sort(key=lambda part: "functionResponse" not in part)
            if draft.role == "user" and any("functionResponse" not in part for part in parts):
                start = len(contents)
            content = {"role": draft.role, "parts": parts}
            if self._same:
                put_back(content, draft.own)
            contents.append(content)
        if not contents:
            contents.append({"role": "user", "parts": [{"text": ""}]})  # an empty ask is the backend's to answer
        self._sign(start)
        return system, contents

    def _drafts(self, lead: int) -> list[_Draft]:
        drafts: list[_Draft] = []
        for t, turn in enumerate(self._turns[lead:], lead):
            if _instructs(turn):
                # "role: Must be either 'user' or 'model'." https://ai.google.dev/api/caching#Content
                self._losses.append(ledger.loss(f"turns[{t}]", "role"))
            role = "model" if turn.role == "assistant" else "user"
            if drafts and drafts[-1].role == role and not self._same:
                drafts[-1].blocks += _placed(t, turn)
            else:
                drafts.append(_Draft(role, _placed(t, turn), turn.own))
            if drafts[-1].role == "user":
                # a run of results is one content, and stands first: "ensure that function response turn comes
                # immediately after a function call turn", answers the API otherwise
                drafts[-1].blocks.sort(key=lambda placed: not isinstance(placed[1], ToolResult))
        return drafts

    def _pair(self, drafts: list[_Draft]) -> None:
        """Take out what has no counterpart.

        "Please ensure that the number of function response parts is equal to the number of function call parts of the
        function call turn", answers the API otherwise.
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
                    self._losses.append(ledger.loss(path, "orphan"))
                else:
                    kept.append((path, block))
            draft.blocks = kept
            called = {block.id for _, block in kept if isinstance(block, ToolCall)}

    def _sign(self, start: int) -> None:
        """Give the first call of each step of the current turn what Gemini 3 asks of it.

        The API refuses a step of the current turn whose first functionCall part has no thoughtSignature, and does not
        look at earlier turns; where there is none, a documented dummy value stands in.
        https://ai.google.dev/gemini-api/docs/thought-signatures
        """
        signed = set()
        for content, path, part, lost in self._unsigned:
            if lost:
                self._losses.append(ledger.loss(f"{path}.seal", "signature"))
            first = content not in signed
            signed.add(content)
            if first and self._new_rules and content > start and "thoughtSignature" not in part:
                if self._own_history and not lost:
                    continue  # it is the client's to sign
                part["thoughtSignature"] = BYPASS
                if not lost:
                    self._losses.append(ledger.loss(f"{path}.seal", "signature"))

    def _system(self, block: Block, path: str) -> list[dict[str, Any]]:
        # "systemInstruction: [...] Currently, text only." https://ai.google.dev/api/generate-content
        match block:
            case Text(text, own=own):
                return [self._put({"text": text}, own)] if text else []
            case Opaque(dialect, _, data) if dialect == NAME:
                return [data]
            case Image() | Document() | Audio():
                self._losses.append(Loss(path, type(block).__name__.lower(), "dropped"))
        return []

    def _part(self, block: Block, path: str, content: int) -> list[dict[str, Any]]:
        match block:
            case Text(text, citations, seal, _, own):
                value = self._seal(seal, path)
                if citations:  # an answer has a place for them, a content none
                    self._losses.append(ledger.loss(f"{path}.citations", "citations"))
                if text or value or own or self._same:
                    return [self._put(_sealed({"text": text}, value), own)]
            case Reasoning(text, seal, own=own):
                value = self._seal(seal, path)
                if text or value:
                    return [self._put(_sealed({"text": text, "thought": True}, value), own)]
            case ToolCall():
                return [self._call(block, path, content)]
            case ToolResult():
                return self._result(block, path)
            case Refusal(text):
                self._losses.append(ledger.loss(path, "refusal"))
                return [{"text": text}] if text else []
            case Image(media, own) | Document(media, own) | Audio(media, own):
                if isinstance(block, Audio) and media.mime is None and media.data is not None:
                    media = msgspec.structs.replace(media, mime=_sound(media.data))
                part = self._media(media, path)
                if part is not None:
                    return [self._put(part, own)]
                self._losses.append(Loss(path, type(block).__name__.lower(), "dropped"))
            case Opaque(dialect, _, data) if dialect == NAME:
                return [data]
        return []

    def _put(self, part: dict[str, Any], own: Own) -> dict[str, Any]:
        if own and self._same:
            put_back(part, own)
        return part

    def _seal(self, seal: Signature | None, path: str) -> str | None:
        if seal is None:
            return None
        value = seals.for_backend(seal, NAME, self._provider)
        if value is None:
            self._losses.append(ledger.loss(f"{path}.seal", "signature"))
        return value

    def _call(self, call: ToolCall, path: str, content: int) -> dict[str, Any]:
        name = self._names.wire(call.name, call.namespace)
        self._called[call.id] = name
        if call.kind == "custom":
            arguments = msgspec.Raw(wire.encode({"input": call.arguments}))
        else:
            arguments, ok = wire.splice(call.arguments)
            if not ok:
                self._losses.append(ledger.loss(f"{path}.arguments", "tool_arguments"))
        value = seals.for_backend(call.seal, NAME, self._provider) if call.seal else None
        part = self._put(_sealed({"functionCall": {"id": call.id, "name": name, "args": arguments}}, value), call.own)
        self._unsigned.append((content, path, part, call.seal is not None and value is None))
        return part

    def _result(self, result: ToolResult, path: str) -> list[dict[str, Any]]:
        name = self._called.get(result.id) or self._names.wire(result.name or "unknown")
        texts = [block.text for block in result.blocks if isinstance(block, Text)]
        media, others = [], []
        for b, block in enumerate(result.blocks):
            match block:
                case Image(content, own) | Document(content, own) | Audio(content, own):
                    part = self._media(content, f"{path}.blocks[{b}]")
                    if part is not None:
                        media.append(self._put(part, own))
                    else:
                        self._losses.append(Loss(f"{path}.blocks[{b}]", "tool_result_media", "dropped"))
                case Refusal(text):
                    self._losses.append(ledger.loss(f"{path}.blocks[{b}]", "refusal"))
                    texts.append(text)
                case Opaque(dialect, _, data) if dialect == NAME:
                    media.append(data)
        out: dict[str, Any] = {"id": result.id, "name": name}
        own = dict(result.own) if result.own and self._same else {}
        wrap = next((key for key in ("error", "result", "output") if f"functionResponse.{key}" in own), None)
        own.pop(f"functionResponse.{wrap}", None)
        out["response"] = _response("".join(texts), result.error, wrap) if texts or not media else {}
        if media and not (self._new_rules or self._same):
            # media inside a result is for Gemini 3 and later: https://ai.google.dev/gemini-api/docs/function-calling
            self._losses.append(ledger.loss(path, "tool_result_media"))
            others, media = media, []
        if media:
            out["parts"] = media
        return [self._put({"functionResponse": out}, own), *others]

    def _media(self, media: Media, path: str) -> dict[str, Any] | None:
        if media.name is not None and not self._same:
            # "displayName [...] is used in the Gemini calls only when server-side tools are enabled"
            self._losses.append(ledger.loss(f"{path}.media.name", "name"))
        named = {"displayName": media.name} if media.name is not None and self._same else {}
        if media.data is not None:
            mime = media.mime or "application/octet-stream"
            return {"inlineData": {"mimeType": mime, "data": media.data, **named}}
        if media.text is not None:
            return {"text": media.text}
        uri = media.url or (media.file_id if self._same else None)
        if uri is None:
            return None
        mime_ = media.mime or guess_type(uri)[0]
        typed = {"mimeType": mime_} if mime_ else {}
        return {"fileData": {**typed, "fileUri": uri, **named}}


def _is_of_others(request: Request) -> bool:
    """Whether another provider had a say in this history, as the seals tell that its client keeps for it."""
    seals_ = (getattr(block, "seal", None) for turn in request.turns for block in turn.blocks)
    return any(seal is not None and seal.minter is not None for seal in seals_)


# "WAV - audio/wav, MP3 - audio/mp3, AIFF - audio/aiff, AAC - audio/aac, OGG Vorbis - audio/ogg, FLAC - audio/flac"
# https://ai.google.dev/gemini-api/docs/audio#supported-formats
SOUNDS: dict[str, str] = {
    "UklGR": "audio/wav",
    "SUQz": "audio/mp3",
    "//": "audio/mp3",
    "T2dnUw": "audio/ogg",
    "ZkxhQw": "audio/flac",
    "Rk9STQ": "audio/aiff",
}
"""How the base64 of a sound begins, whose client named no type (some hosts ask for none), and the type that it is."""


def _sound(data: str) -> str | None:
    return next((mime for head, mime in SOUNDS.items() if data.startswith(head)), None)


def _instructs(turn: Turn) -> bool:
    return turn.role in ("system", "developer")


def _placed(t: int, turn: Turn) -> list[tuple[str, Block]]:
    return [(f"turns[{t}].blocks[{b}]", block) for b, block in enumerate(turn.blocks)]


def _sealed(part: dict[str, Any], value: str | None) -> dict[str, Any]:
    if value is not None:
        part["thoughtSignature"] = value
    return part


def _response(text: str, error: bool, wrap: str | None) -> Any:
    """A result's text as the object that the API requires; see `_response_in` for the way back."""
    if wrap is not None:
        return {wrap: text}
    if wire.is_object(text) and (not error or wire.parse_object(text).keys() == {"error"}):
        return wire.splice(text)[0]
    return {"error" if error else "result": text}
