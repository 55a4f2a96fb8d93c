"""The turns of one request as Anthropic's system field and messages, and what those could not say.

It knows the rules of the conversation: who may follow whom, which result belongs to which call, what may be empty.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256
from typing import Any

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
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from ...names import Names
from ..contract import Target
from .words import IMAGE_TYPES, NAME, TOOL_ID


class _Draft(Struct):
    """A message in the making: its blocks, each with its path in the neutral form."""

    role: str
    path: str
    parts: list[tuple[str, Block]]
    own: Own = None


class Messages:
    """Writes the turns of one request; `may_think` tells afterwards whether manual thinking fits this history."""

    def __init__(
        self, request: Request, target: Target, quirks: frozenset[str], names: Names, losses: list[Loss]
    ) -> None:
        self._turns = request.turns
        self._same = request.dialect == NAME
        self._target = target
        self._quirks = quirks
        self._names = names
        self._losses = losses
        self.may_think = True

    def write(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The text blocks of the system field, and the messages."""
        lead = next((t for t, turn in enumerate(self._turns) if not _instructs(turn)), len(self._turns))
        if lead == len(self._turns):
            lead = 0  # nothing but instructions: there must be a message, so they become the user's
        system = [
            said for t, turn in enumerate(self._turns[:lead]) for said in self._blocks(self._parts(t, turn), "system")
        ]
        drafts = self._drafts(lead)
        if not self._same:
            self._pair(drafts)
        written = [(draft, self._blocks(draft.parts, draft.role)) for draft in drafts]
        # "all messages must have non-empty content except for the optional final assistant message"
        written = [(draft, blocks) for draft, blocks in written if blocks]
        if not self._same:
            self._place([draft for draft, _ in written])
        messages = [
            {"role": draft.role, "content": _short(blocks), **self._put_back(draft.own)} for draft, blocks in written
        ]
        if not messages:
            messages.append({"role": "user", "content": ""})  # an empty ask is the backend's to answer
        if not self._same:
            _trim(messages)
            self.may_think = _fits_thinking(messages)
        return system, messages

    def _drafts(self, lead: int) -> list[_Draft]:
        drafts: list[_Draft] = []
        for t, turn in enumerate(self._turns[lead:], lead):
            role: str = turn.role
            if _instructs(turn):
                role = "system" if self._may_instruct(t, drafts) else "user"
                if role == "user":
                    self._losses.append(ledger.loss(f"turns[{t}]", "role"))
            parts = self._parts(t, turn)
            # "Consecutive user or assistant turns in your request will be combined into a single turn."
            # https://platform.claude.com/docs/en/api/messages/create; some hosts refuse them
            if drafts and drafts[-1].role == role and not self._same:
                drafts[-1].parts += parts
            else:
                drafts.append(_Draft(role, f"turns[{t}]", parts, turn.own))
        return drafts

    def _may_instruct(self, t: int, drafts: list[_Draft]) -> bool:
        """Whether a system message may stand at this turn's place.

        "Must immediately follow a user message […] Must either be the last entry in messages or be followed by an
        assistant turn." https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-mid-conversation-system.html
        """
        if self._same:
            return True
        if "system_messages" not in self._quirks:
            return False
        after = next((turn.role for turn in self._turns[t:] if not _instructs(turn)), "assistant")
        return bool(drafts) and drafts[-1].role in ("user", "system") and after == "assistant"

    def _place(self, drafts: list[_Draft]) -> None:
        """Fold the instructions whose neighbours turned out to say nothing, and may thus not stand where they do."""
        for i, draft in enumerate(drafts):
            before, after = drafts[i - 1].role if i else "", drafts[i + 1].role if i + 1 < len(drafts) else "assistant"
            if draft.role == "system" and (before, after) != ("user", "assistant"):
                draft.role = "user"
                self._losses.append(ledger.loss(draft.path, "role"))

    def _parts(self, t: int, turn: Turn) -> list[tuple[str, Block]]:
        """The blocks of a turn with their paths; calls that no assistant made, and results that no user gave, go."""
        parts: list[tuple[str, Block]] = []
        for b, block in enumerate(turn.blocks):
            speaker = "assistant" if isinstance(block, ToolCall) else "user" if isinstance(block, ToolResult) else None
            if speaker in (None, turn.role) or self._same:
                parts.append((f"turns[{t}].blocks[{b}]", block))
            else:
                self._losses.append(ledger.loss(f"turns[{t}].blocks[{b}]", "orphan"))
        return parts

    def _pair(self, drafts: list[_Draft]) -> None:
        """Results first and next to their calls; what has no counterpart goes.

        "Each tool_result block must have a corresponding tool_use block in the previous message", and "tool_use ids
        were found without tool_result blocks immediately after", says the API otherwise.
        """
        called: set[str] = set()
        for i, draft in enumerate(drafts):
            if draft.role == "system":
                continue
            if draft.role == "user":
                results: list[tuple[str, Block]] = []
                rest: list[tuple[str, Block]] = []
                for path, block in draft.parts:
                    if not isinstance(block, ToolResult):
                        rest.append((path, block))
                    elif block.id in called:
                        called.discard(block.id)
                        results.append((path, block))
                    else:
                        self._losses.append(ledger.loss(path, "orphan"))
                draft.parts = results + rest
                called = set()
                continue
            after = drafts[i + 1].parts if i + 1 < len(drafts) and drafts[i + 1].role == "user" else []
            answered = {block.id for _, block in after if isinstance(block, ToolResult)}
            kept: list[tuple[str, Block]] = []
            for path, block in draft.parts:
                if isinstance(block, ToolCall):
                    if block.id not in answered:
                        self._losses.append(ledger.loss(path, "orphan"))
                        continue
                    answered.discard(block.id)  # a second call under this id has no result of its own
                kept.append((path, block))
            draft.parts = kept
            called = {block.id for _, block in kept if isinstance(block, ToolCall)}

    def _put_back(self, own: Own) -> dict[str, Any]:
        return own if own and self._same else {}

    def _lose(self, path: str, feature: str) -> None:
        self._losses.append(Loss(path, feature, "dropped"))

    def _blocks(self, parts: list[tuple[str, Block]], role: str) -> list[dict[str, Any]]:
        return [said for path, block in parts if (said := self._block(block, path, role)) is not None]

    def _block(self, block: Block, path: str, role: str) -> dict[str, Any] | None:
        match block:
            case Text():
                return self._text(block, path)
            case Refusal(text, own=own):
                if not self._same:
                    self._losses.append(ledger.loss(path, "refusal"))
                return {"type": "text", "text": text, **self._put_back(own)} if text.strip() else None
            case ToolCall():
                return self._call(block, path)
            case ToolResult():
                return self._result(block, path)
            case Reasoning():
                return self._thought(block, path)
            case Opaque(dialect, _, data):
                return data if dialect == NAME else None
            case Image() | Document() if role == "user" or self._same:
                said = self._media(block)
                if said is None:
                    self._lose(path, type(block).__name__.lower())
                return said
            case Image() | Document() | Audio():
                self._lose(path, type(block).__name__.lower())
        return None

    def _text(self, block: Text, path: str) -> dict[str, Any] | None:
        if block.seal:
            self._lose(f"{path}.seal", "signature")
        if block.citations and not self._same:
            self._lose(f"{path}.citations", "citations")
        own = dict(self._put_back(block.own))
        if found := own.get("search_result"):
            return dict(found)
        # "messages: text content blocks must contain non-whitespace text", says the API otherwise
        if not block.text.strip():
            return None
        raw = own.pop("web_citations", None) or own.pop("citations", None) or []
        # an index that we made up for a foreign citation proves nothing to the API
        raw = [item for item in raw if item.get("encrypted_index") != ""]
        return {"type": "text", "text": block.text, **({"citations": raw} if raw else {}), **own}

    def _thought(self, block: Reasoning, path: str) -> dict[str, Any] | None:
        """Thinking goes back signed or not at all: "signature: Field required", says the API otherwise."""
        seal = seals.for_backend(block.seal, NAME, self._target.provider) if block.seal else None
        if seal is None:
            if block.seal:
                self._lose(f"{path}.seal", "signature")
            if block.text:
                self._losses.append(ledger.loss(path, "reasoning_text"))
            return None
        own = self._put_back(block.own)
        if block.redacted:
            return {"type": "redacted_thinking", "data": seal, **own}
        return {"type": "thinking", "thinking": block.text, "signature": seal, **own}

    def _call(self, call: ToolCall, path: str) -> dict[str, Any]:
        if call.seal:
            self._lose(f"{path}.seal", "signature")
        arguments: Any
        if call.kind == "custom":
            arguments = {"input": call.arguments}
        else:
            arguments, whole = wire.splice(call.arguments)
            if not whole:
                self._losses.append(ledger.loss(path, "tool_arguments"))
        name = self._names.wire(call.name, call.namespace)
        return {
            "type": "tool_use",
            "id": _wire_id(call.id),
            "name": name,
            "input": arguments,
            **self._put_back(call.own),
        }

    def _result(self, result: ToolResult, path: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for b, block in enumerate(result.blocks):
            said = None
            match block:
                case Text() if block.text or block.own:
                    said = self._text(block, f"{path}.blocks[{b}]")
                case Image() | Document():
                    said = self._media(block)
                case Opaque(dialect, _, data) if dialect == NAME:
                    said = data
            if said is not None:
                content.append(said)
            elif not isinstance(block, Text | Opaque):
                self._lose(f"{path}.blocks[{b}]", "tool_result_media")
        out: dict[str, Any] = {"type": "tool_result", "tool_use_id": _wire_id(result.id)}
        out["content"] = _short(content) if content else ""
        if result.error:
            out["is_error"] = True
        return {**out, **self._put_back(result.own)}

    def _media(self, block: Image | Document) -> dict[str, Any] | None:
        source = self._image_source(block.media) if isinstance(block, Image) else self._document_source(block.media)
        if source is None:
            return None
        out = {"type": "image" if isinstance(block, Image) else "document", "source": source}
        if isinstance(block, Document) and block.media.name is not None:
            out["title"] = block.media.name
        return {**out, **self._put_back(block.own)}

    def _image_source(self, media: Media) -> dict[str, Any] | None:
        match media:
            case Media(mime, str(data)) if mime in IMAGE_TYPES or self._same:
                return {"type": "base64", "media_type": mime, "data": data}
            case Media(url=str(url)):
                return {"type": "url", "url": url}
            case Media(file_id=str(id_)) if self._same:
                return {"type": "file", "file_id": id_}
        return None

    def _document_source(self, media: Media) -> dict[str, Any] | None:
        # https://platform.claude.com/docs/en/build-with-claude/pdf-support
        match media:
            case Media(mime, str(data)) if mime == "application/pdf" or self._same:
                return {"type": "base64", "media_type": mime, "data": data}
            case Media(str(mime), str(data)) if mime.startswith("text/") or mime == "application/json":
                return _plain(data)
            case Media(text=str(text)):
                return {"type": "text", "media_type": "text/plain", "data": text}
            case Media(url=str(url)):
                return {"type": "url", "url": url}
            case Media(file_id=str(id_)) if self._same:
                return {"type": "file", "file_id": id_}
        return None


def _instructs(turn: Turn) -> bool:
    return turn.role in ("system", "developer")


def _plain(data: str) -> dict[str, Any] | None:
    """A text file's bytes as the plain text that the API takes."""
    try:
        text = b64decode(data, validate=True).decode()
    except ValueError:
        return None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _short(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A lone text without anything beside it is a string."""
    if len(blocks) == 1 and blocks[0].get("type") == "text" and len(blocks[0]) == 2:
        return str(blocks[0]["text"])
    return blocks


def _wire_id(id_: str) -> str:
    """A call's id as the API takes it; the same in every turn, and never the same for two."""
    if TOOL_ID.fullmatch(id_):
        return id_
    kept = "".join(letter if TOOL_ID.fullmatch(letter) else "_" for letter in id_)[:50]
    return f"{kept}_{sha256(id_.encode()).hexdigest()[:8]}"


def _trim(messages: list[dict[str, Any]]) -> None:
    """ "final assistant content cannot end with trailing whitespace", says the API otherwise."""
    if not messages or messages[-1]["role"] != "assistant":
        return
    content = messages[-1]["content"]
    if type(content) is str:
        messages[-1]["content"] = content.rstrip()
    elif content[-1].get("type") == "text":
        content[-1]["text"] = content[-1]["text"].rstrip()


def _fits_thinking(messages: list[dict[str, Any]]) -> bool:
    """Whether manual thinking may go on here.

    "When thinking is enabled, a final assistant message must start with a thinking block", says the API otherwise; and
    "You cannot pre-fill responses when thinking is enabled."
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    """
    if not messages:
        return True
    last = messages[-1]
    if last["role"] == "assistant":
        return False
    results = type(last["content"]) is list and any(block["type"] == "tool_result" for block in last["content"])
    if not results:
        return True
    before = next((m["content"] for m in reversed(messages) if m["role"] == "assistant"), "")
    return type(before) is list and before[0]["type"] in ("thinking", "redacted_thinking")
