"""Builds the `system` field and the `messages` of an Anthropic request from neutral turns.

Enforces the API's rules for a conversation: the order of roles, tool results next to their calls, no empty content.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

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
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Video,
    signatures,
)
from ...ir.losses import declare_loss
from ...ir.tool_names import ToolNameMap
from ...traits import Traits
from ...wire import json_fields
from ..protocol import UpstreamTarget
from .tables import CONTINUE_HINT, IMAGE_TYPES, NAME, TOOL_ID


class _DraftMessage(Struct):
    """A message before encoding: its blocks, each with its path in the neutral request."""

    role: str
    path: str
    parts: list[tuple[str, Block]]
    extra: Extra = None


class MessageBuilder:
    """Encodes the turns of one request.

    After `build`, `thinking_allowed` says whether the API accepts manual thinking for this history.
    """

    def __init__(
        self, request: Request, target: UpstreamTarget, traits: Traits, names: ToolNameMap, losses: list[Loss]
    ) -> None:
        self._turns = request.turns
        self._same = request.protocol == NAME
        self._target = target
        self._traits = traits
        self._names = names
        self._losses = losses
        self.thinking_allowed = True

    def build(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Returns the text blocks of the system field, and the messages."""
        lead = next((t for t, turn in enumerate(self._turns) if not _is_instruction(turn)), len(self._turns))
        if lead == len(self._turns):
            lead = 0  # only instructions: at least one message is required, so they become user messages
        system = [
            block_out
            for t, turn in enumerate(self._turns[:lead])
            for block_out in self._blocks(self._parts(t, turn), "system")
        ]
        drafts = self._drafts(lead)
        if not self._same:
            self._pair_results(drafts)
        written = [(draft, self._blocks(draft.parts, draft.role)) for draft in drafts]
        # "all messages must have non-empty content except for the optional final assistant message"
        written = [(draft, blocks) for draft, blocks in written if blocks]
        if not self._same:
            self._demote_system_messages([draft for draft, _ in written])
        messages = [
            {
                "role": draft.role,
                "content": _shorten_content(blocks),
                **(draft.extra if draft.extra and self._same else {}),
            }
            for draft, blocks in written
        ]
        if not messages:
            # "messages: text content blocks must be non-empty", as the API answers
            self._losses += [] if self._same else [declare_loss("turns", "empty_input")]
            messages.append({"role": "user", "content": ""})
        if "prefill" in self._traits.refuses and is_prefill(messages[-1]):
            # "This model does not support assistant message prefill. The conversation must end with a user message."
            # https://platform.claude.com/docs/en/about-claude/models/migration-guide
            self._losses.append(declare_loss(f"turns[{len(self._turns) - 1}]", "role"))
            messages.append({"role": "user", "content": CONTINUE_HINT})
        if not self._same:
            _strip_trailing_whitespace(messages)
            self.thinking_allowed = _allows_thinking(messages)
        return system, messages

    def _drafts(self, lead: int) -> list[_DraftMessage]:
        drafts: list[_DraftMessage] = []
        for t, turn in enumerate(self._turns[lead:], lead):
            role: str = turn.role
            if _is_instruction(turn):
                role = "system" if self._allows_system_message(t, drafts) else "user"
                if role == "user":
                    self._losses.append(declare_loss(f"turns[{t}]", "role"))
            parts = self._parts(t, turn)
            # "Consecutive user or assistant turns in your request will be combined into a single turn."
            # https://platform.claude.com/docs/en/api/messages/create; some hosts refuse them
            if drafts and drafts[-1].role == role and not self._same:
                drafts[-1].parts += parts
            else:
                drafts.append(_DraftMessage(role, f"turns[{t}]", parts, turn.extra))
        return drafts

    def _allows_system_message(self, t: int, drafts: list[_DraftMessage]) -> bool:
        """Returns whether the API accepts a system message in the position of this turn.

        "Must immediately follow a user message […] Must either be the last entry in messages or be followed by an
        assistant turn." https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-mid-conversation-system.html
        """
        if self._same:
            return True
        if "system_messages" not in self._traits.takes:
            return False
        after = next((turn.role for turn in self._turns[t:] if not _is_instruction(turn)), "assistant")
        return bool(drafts) and drafts[-1].role in ("user", "system") and after == "assistant"

    def _demote_system_messages(self, drafts: list[_DraftMessage]) -> None:
        """Turns system messages into user messages if the removal of empty messages left them in a refused position."""
        for i, draft in enumerate(drafts):
            before, after = drafts[i - 1].role if i else "", drafts[i + 1].role if i + 1 < len(drafts) else "assistant"
            if draft.role == "system" and (before, after) != ("user", "assistant"):
                draft.role = "user"
                self._losses.append(declare_loss(draft.path, "role"))

    def _parts(self, t: int, turn: Turn) -> list[tuple[str, Block]]:
        """Returns the blocks of a turn with their paths.

        Calls outside of assistant turns and results outside of user turns are dropped.
        """
        parts: list[tuple[str, Block]] = []
        for b, block in enumerate(turn.blocks):
            required = "assistant" if isinstance(block, ToolCall) else "user" if isinstance(block, ToolResult) else None
            if required in (None, turn.role) or self._same:
                parts.append((f"turns[{t}].blocks[{b}]", block))
            else:
                self._losses.append(declare_loss(f"turns[{t}].blocks[{b}]", "orphan"))
        mark = {} if self._same else cache_mark(turn.extra)
        if mark and parts:
            # a mark on a whole message is one on its end: here only blocks have marks
            path, last = parts[-1]
            if not isinstance(last, Opaque) and not cache_mark(last.extra):
                parts[-1] = (path, replace(last, extra={**(last.extra or {}), **mark}))
        return parts

    def _pair_results(self, drafts: list[_DraftMessage]) -> None:
        """Moves tool results to the start of their message, and drops calls and results without a counterpart.

        "Each tool_result block must have a corresponding tool_use block in the previous message", and "tool_use ids
        were found without tool_result blocks immediately after": the errors of the API otherwise.
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
                        self._losses.append(declare_loss(path, "orphan"))
                draft.parts = results + rest
                called = set()
                continue
            after = drafts[i + 1].parts if i + 1 < len(drafts) and drafts[i + 1].role == "user" else []
            answered = {block.id for _, block in after if isinstance(block, ToolResult)}
            kept: list[tuple[str, Block]] = []
            for path, block in draft.parts:
                if isinstance(block, ToolCall):
                    if block.id not in answered:
                        self._losses.append(declare_loss(path, "orphan"))
                        continue
                    answered.discard(block.id)  # a second call with this id has no result
                kept.append((path, block))
            draft.parts = kept
            called = {block.id for _, block in kept if isinstance(block, ToolCall)}

    def _extra_out(self, extra: Extra) -> dict[str, Any]:
        """Returns the extra fields to restore: those of a client of this same protocol, or a cache mark of any."""
        if not extra:
            return {}
        return extra if self._same else cache_mark(extra)

    def _drop(self, path: str, feature: str) -> None:
        self._losses.append(Loss(path, feature, "dropped"))

    def _blocks(self, parts: list[tuple[str, Block]], role: str) -> list[dict[str, Any]]:
        return [block_out for path, block in parts if (block_out := self._block(block, path, role)) is not None]

    def _block(self, block: Block, path: str, role: str) -> dict[str, Any] | None:
        match block:
            case Text():
                return self._text(block, path)
            case Refusal(text, extra=extra):
                if not self._same:
                    self._losses.append(declare_loss(path, "refusal"))
                return {"type": "text", "text": text, **self._extra_out(extra)} if text.strip() else None
            case ToolCall():
                return self._call(block, path)
            case ToolResult():
                return self._result(block, path)
            case Reasoning():
                return self._reasoning(block, path)
            case Opaque(protocol, _, data) if protocol == NAME:
                return data
            case Opaque():
                if self._same:
                    self._drop(path, "hosted_output")
                return None
            case Image() | Document() if role == "user" or self._same:
                block_out = self._media(block)
                if block_out is None:
                    self._drop(path, type(block).__name__.lower())
                return block_out
            case Image() | Document() | Audio() | Video():
                self._drop(path, type(block).__name__.lower())
        return None

    def _text(self, block: Text, path: str) -> dict[str, Any] | None:
        if block.signature:
            self._drop(f"{path}.seal", "signature")
        if block.citations and not self._same:
            self._drop(f"{path}.citations", "citations")
        extra = dict(self._extra_out(block.extra))
        if found := extra.get("search_result"):
            return dict(found)
        # "messages: text content blocks must contain non-whitespace text": the error of the API otherwise
        if not block.text.strip():
            return None
        raw = extra.pop("web_citations", None) or extra.pop("citations", None) or []
        # our reply encoder writes an empty index for citations of other providers; it is of no use to the API
        raw = [item for item in raw if type(item) is not dict or item.get("encrypted_index") != ""]
        return {"type": "text", "text": block.text, **({"citations": raw} if raw else {}), **extra}

    def _reasoning(self, block: Reasoning, path: str) -> dict[str, Any] | None:
        """Encodes thinking, or drops it if it is unsigned: the API refuses it with "signature: Field required"."""
        signature = signatures.for_backend(block.signature, NAME, self._target.provider) if block.signature else None
        if signature is None:
            if block.signature:
                self._drop(f"{path}.seal", "signature")
            if block.text:
                self._losses.append(declare_loss(path, "reasoning_text"))
            return None
        extra = self._extra_out(block.extra)
        if block.redacted:
            return {"type": "redacted_thinking", "data": signature, **extra}
        return {"type": "thinking", "thinking": block.text, "signature": signature, **extra}

    def _call(self, call: ToolCall, path: str) -> dict[str, Any]:
        if call.signature:
            self._drop(f"{path}.seal", "signature")
        arguments: Any
        if call.kind == "custom":
            arguments = {"input": call.arguments}
        else:
            arguments, is_object = json_fields.splice(call.arguments)
            if not is_object:
                self._losses.append(declare_loss(path, "tool_arguments"))
        name = self._names.wire(call.name, call.namespace)
        return {
            "type": "tool_use",
            "id": _wire_id(call.id),
            "name": name,
            "input": arguments,
            **self._extra_out(call.extra),
        }

    def _result(self, result: ToolResult, path: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for b, block in enumerate(result.blocks):
            block_out = None
            match block:
                case Text() if block.text or block.extra:
                    block_out = self._text(block, f"{path}.blocks[{b}]")
                case Image() | Document():
                    block_out = self._media(block)
                case Opaque(protocol, _, data) if protocol == NAME:
                    block_out = data
            if block_out is not None:
                content.append(block_out)
            elif not isinstance(block, Text | Opaque):
                self._drop(f"{path}.blocks[{b}]", "tool_result_media")
        out: dict[str, Any] = {"type": "tool_result", "tool_use_id": _wire_id(result.id)}
        out["content"] = _shorten_content(content) if content else ""
        if result.error:
            out["is_error"] = True
        return {**out, **self._extra_out(result.extra)}

    def _media(self, block: Image | Document) -> dict[str, Any] | None:
        source = self._image_source(block.media) if isinstance(block, Image) else self._document_source(block.media)
        if source is None:
            return None
        out = {"type": "image" if isinstance(block, Image) else "document", "source": source}
        if isinstance(block, Document) and block.media.name is not None:
            out["title"] = block.media.name
        return {**out, **self._extra_out(block.extra)}

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
                return _plain_text_source(data)
            case Media(text=str(text)):
                return {"type": "text", "media_type": "text/plain", "data": text}
            case Media(url=str(url)):
                return {"type": "url", "url": url}
            case Media(file_id=str(id_)) if self._same:
                return {"type": "file", "file_id": id_}
        return None


def cache_mark(extra: Extra) -> dict[str, Any]:
    """Returns the cache mark among the extra fields of a block, as hosts of other protocols take it too."""
    mark = extra.get("cache_control") if extra else None
    return {"cache_control": mark} if mark is not None else {}


def _is_instruction(turn: Turn) -> bool:
    return turn.role in ("system", "developer")


def is_prefill(message: dict[str, Any]) -> bool:
    """Returns whether the answer must continue this last message.

    A turn that stopped for a tool of the provider's own is sent back as it was, which is no prefill.
    """
    if message["role"] != "assistant":
        return False
    content = message["content"]
    return type(content) is str or all(block.get("type") in PREFILL_BLOCKS for block in content)


def is_prefilled(request: Request) -> bool:
    """Returns whether the last turn of a client's request is one that the answer must continue."""
    last = request.turns[-1]
    return last.role == "assistant" and all(isinstance(block, Text | Reasoning) for block in last.blocks)


PREFILL_BLOCKS = ("text", "thinking", "redacted_thinking")


def _plain_text_source(data: str) -> dict[str, Any] | None:
    """Returns the plain-text source for a text file in base64; None if it is not UTF-8."""
    try:
        text = b64decode(data, validate=True).decode()
    except ValueError:
        return None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _shorten_content(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Returns a string instead of a list for a single text block without further fields."""
    if len(blocks) == 1 and blocks[0].get("type") == "text" and len(blocks[0]) == 2:
        return str(blocks[0]["text"])
    return blocks


def _wire_id(id_: str) -> str:
    """Returns a call id in the alphabet of the API: stable across turns, and distinct for distinct ids."""
    if TOOL_ID.fullmatch(id_):
        return id_
    kept = "".join(letter if TOOL_ID.fullmatch(letter) else "_" for letter in id_)[:50]
    return f"{kept}_{sha256(id_.encode()).hexdigest()[:8]}"


def _strip_trailing_whitespace(messages: list[dict[str, Any]]) -> None:
    """Strips the end of a final assistant message.

    "final assistant content cannot end with trailing whitespace": the error of the API otherwise.
    """
    if not messages or messages[-1]["role"] != "assistant":
        return
    content = messages[-1]["content"]
    if type(content) is str:
        messages[-1]["content"] = content.rstrip()
    elif content[-1].get("type") == "text":
        content[-1]["text"] = content[-1]["text"].rstrip()


def _allows_thinking(messages: list[dict[str, Any]]) -> bool:
    """Returns whether the API accepts manual thinking after these messages.

    "When thinking is enabled, a final assistant message must start with a thinking block": the error of the API
    otherwise; and "You cannot pre-fill responses when thinking is enabled."
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
