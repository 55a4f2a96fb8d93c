"""Rules of the Messages API about the messages: roles, contents, calls, results, thinking, and cache breakpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ..reply_context import is_foreign_signature
from ..rule import TODAY, TOKENS, Asked, Breach, Check, Rule
from .tables import (
    CALL_ID,
    IMAGE_TYPES,
    MAX_CACHE_BREAKPOINTS,
    REDACTED_SUFFIX,
    SYSTEM_MESSAGE_MODELS,
    TOOL_NAME,
)

CREATE = "https://platform.claude.com/docs/en/api/messages/create"
THINKING = "https://platform.claude.com/docs/en/build-with-claude/extended-thinking"
TOOL_USE = "https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use"

Block = dict[str, Any]


def _blocks(asked: Asked) -> Iterator[tuple[int, str, str, Block]]:
    """Yields the message's index and role, the path, and the object of each block."""
    for at, message in enumerate(asked.body["messages"]):
        content = message.get("content")
        for n, block in enumerate(content if isinstance(content, list) else []):
            yield at, message["role"], f"messages.{at}.content.{n}", block


def _each_block(kind: str, is_wrong: Callable[[Block], bool]) -> Check:
    """Returns a check of the blocks of one type."""

    def check(asked: Asked) -> Iterator[Breach]:
        for _, _, where, block in _blocks(asked):
            if block["type"] == kind and is_wrong(block):
                yield {"where": where}

    return check


def _misplaced(role: str, *kinds: str) -> Check:
    """Returns a check of blocks that only messages of one role may have."""

    def check(asked: Asked) -> Iterator[Breach]:
        for at, found, _, block in _blocks(asked):
            if block["type"] in kinds and found != role:
                yield {"at": at, "kind": block["type"]}

    return check


def _source_is_not(*types: str) -> Callable[[Block], bool]:
    """Returns a test whether a block has a base64 source of another media type."""

    def test(block: Block) -> bool:
        source = block.get("source") or {}
        return source.get("type") == "base64" and source.get("media_type") not in types

    return test


def _messages_empty(asked: Asked) -> Iterator[Breach]:
    if not asked.body["messages"]:
        yield {}


def _breakpoints(asked: Asked) -> Iterator[Breach]:
    found = _count_breakpoints([asked.body.get("system"), asked.body.get("tools"), asked.body["messages"]])
    if found > MAX_CACHE_BREAKPOINTS:
        yield {"most": MAX_CACHE_BREAKPOINTS, "found": found}


def _count_breakpoints(value: Any) -> int:
    """Counts the blocks with `cache_control` at any depth; the input of a call and a schema contain no blocks."""
    if isinstance(value, list):
        return sum(map(_count_breakpoints, value))
    if not isinstance(value, dict):
        return 0
    inner = sum(
        _count_breakpoints(held) for key, held in value.items() if key not in ("input", "input_schema", "source")
    )
    return inner + (value.get("cache_control") is not None)


def _system_role(asked: Asked) -> Iterator[Breach]:
    for message in asked.body["messages"]:
        if message["role"] == "system" and not SYSTEM_MESSAGE_MODELS.search(asked.model):
            yield {}


def _content_missing(asked: Asked) -> Iterator[Breach]:
    for at, message in enumerate(asked.body["messages"]):
        if message.get("content") is None:
            yield {"at": at}


def _content_empty(asked: Asked) -> Iterator[Breach]:
    messages = asked.body["messages"]
    for at, message in enumerate(messages):
        final = at == len(messages) - 1 and message["role"] == "assistant"
        if message["content"] in ("", []) and not final:
            yield {"at": at}


def _texts(asked: Asked) -> Iterator[tuple[str, list[str]]]:
    """Yields the place, as the service names it, and the texts of each list of blocks that has a text."""
    messages = asked.body["messages"]
    groups = [("system", asked.body.get("system")), *(("messages", message["content"]) for message in messages)]
    groups += [(f"{where}.tool_result.content", block.get("content")) for _, _, where, block in _blocks(asked)]
    for where, blocks in groups:
        inner = [block for block in blocks if block.get("type") == "text"] if isinstance(blocks, list) else []
        if inner:
            yield where, [block["text"] for block in inner]


def _text_empty(asked: Asked) -> Iterator[Breach]:
    for where, texts in _texts(asked):
        if "" in texts:
            yield {"where": where}


def _text_blank(asked: Asked) -> Iterator[Breach]:
    for where, texts in _texts(asked):
        if not any(text.strip() for text in texts):
            yield {"where": where}


def _end_blank(asked: Asked) -> Iterator[Breach]:
    message = asked.body["messages"][-1]
    content = message["content"]
    if isinstance(content, list):
        content = content[-1].get("text") if content else ""
    if message["role"] == "assistant" and isinstance(content, str) and content.rstrip() != content:
        yield {}


def _signature_invalid(asked: Asked) -> Iterator[Breach]:
    for _, _, where, block in _blocks(asked):
        signature = str(block.get("signature"))
        foreign = is_foreign_signature(signature, asked.provider) or signature.endswith(REDACTED_SUFFIX)
        if block["type"] == "thinking" and foreign:
            yield {"where": where}


def _redacted_invalid(asked: Asked) -> Iterator[Breach]:
    for _, _, where, block in _blocks(asked):
        data = str(block.get("data"))
        foreign = is_foreign_signature(data, asked.provider) or not data.endswith(REDACTED_SUFFIX)
        if block["type"] == "redacted_thinking" and foreign:
            yield {"where": where}


# ---- turns -----------------------------------------------------------------------------------------------------------


def _turns(asked: Asked) -> list[tuple[int, str, list[Block]]]:
    """Returns the index, role and blocks of each turn.

    "Consecutive user or assistant turns in your request will be combined into a single turn."
    https://platform.claude.com/docs/en/api/messages/create
    """
    turns: list[tuple[int, str, list[Block]]] = []
    for at, message in enumerate(asked.body["messages"]):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if turns and turns[-1][1] == message["role"]:
            turns[-1][2].extend(blocks)
        else:
            turns.append((at, message["role"], list(blocks)))
    return turns


def _calls_and_results(asked: Asked) -> Iterator[tuple[int, list[str], int, list[Block]]]:
    """Yields index and call ids of each turn, and index and blocks of the turn after it."""
    at, called = 0, list[str]()
    for next_at, role, blocks in _turns(asked):
        yield at, called, next_at, blocks
        at = next_at
        called = [str(block["id"]) for block in blocks if block["type"] == "tool_use"] if role == "assistant" else []
    yield at, called, at + 1, []


def _results(blocks: list[Block]) -> list[str]:
    return [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]


def _call_id_twice(asked: Asked) -> Iterator[Breach]:
    # Within one turn only: recorded conversations repeat an id in a later turn.
    for at, called, _, _ in _calls_and_results(asked):
        if len(set(called)) != len(called):
            yield {"at": at, "n": next(n for n, id in enumerate(called) if id in called[:n])}


def _result_missing(asked: Asked) -> Iterator[Breach]:
    for at, called, _, blocks in _calls_and_results(asked):
        results = _results(blocks)
        lead = {block["type"] for block in blocks[: len(results)]}
        missing = [id for id in called if id not in results]
        if missing or (called and lead != {"tool_result"}):
            yield {"at": at, "ids": ", ".join(missing or called)}


def _result_of_no_call(asked: Asked) -> Iterator[Breach]:
    for _, called, at, blocks in _calls_and_results(asked):
        for n, id in enumerate(_results(blocks)):
            if id not in called:
                yield {"at": at, "n": n, "id": id}


def _result_twice(asked: Asked) -> Iterator[Breach]:
    for _, _, at, blocks in _calls_and_results(asked):
        results = _results(blocks)
        for n, id in enumerate(results):
            if results.count(id) > 1:
                yield {"at": at, "n": n, "id": id}


def _thinking_left_out(asked: Asked) -> Iterator[Breach]:
    turns = _turns(asked)
    if (asked.body.get("thinking") or {}).get("type") != "enabled" or not turns:
        return
    _, role, blocks = turns[-1]
    if role == "user" and not _results(blocks):
        return
    at, _, last = next((turn for turn in reversed(turns) if turn[1] == "assistant"), (0, "", []))
    if last and last[0]["type"] not in ("thinking", "redacted_thinking"):
        yield {"at": at, "kind": last[0]["type"]}


RULES: tuple[Rule, ...] = (
    Rule(
        id="messages-empty",
        says="messages: at least one message is required",
        source=CREATE,
        check=_messages_empty,
        message="messages: at least one message is required",
        on=TOKENS,
    ),
    Rule(
        id="breakpoints-many",
        says="You can define up to 4 cache breakpoints.",
        source="https://github.com/continuedev/continue/pull/6937",
        check=_breakpoints,
        message="A maximum of {most} blocks with cache_control may be provided. Found {found}.",
        on=TOKENS,
    ),
    Rule(
        id="system-role",
        says="The error of a system message; newer models take one after a user's turn.",
        source="https://github.com/ianarawjo/ChainForge/issues/271",
        check=_system_role,
        message='messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
        '"system" '
        "as an input message role.",
        on=TOKENS,
    ),
    Rule(
        id="content-missing",
        says="content: Required.",
        source=CREATE,
        check=_content_missing,
        message="messages.{at}.content: Field required",
        on=TOKENS,
    ),
    Rule(
        id="content-empty",
        says="all messages must have non-empty content except for the optional final assistant message",
        source="https://github.com/anthropics/claude-code/issues/6774",
        check=_content_empty,
        message="messages.{at}: all messages must have non-empty content except for the optional final assistant "
        "message",
        on=TOKENS,
    ),
    Rule(
        id="call-id-pattern",
        says="String should match pattern '^[a-zA-Z0-9_-]+$' of a tool_use.id",
        source="https://github.com/HKUDS/nanobot/pull/4356",
        check=_each_block("tool_use", lambda block: not re.fullmatch(CALL_ID, block["id"])),
        message="{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        on=TOKENS,
    ),
    Rule(
        id="call-name",
        says="name: Must match the regex ^[a-zA-Z0-9_-]{1,64}$; the service itself allows 128.",
        source=TOOL_USE,
        check=_each_block("tool_use", lambda block: not re.fullmatch(TOOL_NAME, block["name"])),
        message="{where}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'",
        on=TOKENS,
    ),
    Rule(
        id="call-input-missing",
        says="input: Required.",
        source=CREATE,
        check=_each_block("tool_use", lambda block: "input" not in block),
        message="{where}.tool_use.input: Field required",
        on=TOKENS,
    ),
    Rule(
        id="call-of-a-user",
        says="tool_use and thinking blocks are content of the assistant.",
        source=CREATE,
        check=_misplaced("assistant", "tool_use", "thinking"),
        message="messages.{at}: `{kind}` blocks can only be in `assistant` messages",
        on=TOKENS,
    ),
    Rule(
        id="result-of-an-assistant",
        says="tool_result blocks are content of the user.",
        source=CREATE,
        check=_misplaced("user", "tool_result"),
        message="messages.{at}: `tool_result` blocks can only be in `user` messages",
        on=TOKENS,
    ),
    Rule(
        id="image-type",
        says="image/jpeg, image/png, image/gif and image/webp are supported.",
        source="https://platform.claude.com/docs/en/build-with-claude/vision",
        check=_each_block("image", _source_is_not(*IMAGE_TYPES)),
        message="{where}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or "
        "'image/webp'",
        on=TOKENS,
    ),
    Rule(
        id="document-type",
        says="A base64 document is a PDF.",
        source="https://platform.claude.com/docs/en/build-with-claude/pdf-support",
        check=_each_block("document", _source_is_not("application/pdf")),
        message="{where}.document.source.base64.media_type: Input should be 'application/pdf'",
        on=TOKENS,
    ),
    Rule(
        id="signature-missing",
        says="signature: Required.",
        source=CREATE,
        check=_each_block("thinking", lambda block: block.get("signature") is None),
        message="{where}.thinking.signature: Field required",
        on=TOKENS,
    ),
    Rule(
        id="signature-invalid",
        says="thinking blocks must be passed back unmodified",
        source=THINKING,
        check=_signature_invalid,
        message="{where}: Invalid `signature` in `thinking` block",
        on=TOKENS,
    ),
    Rule(
        id="redacted-invalid",
        says="redacted_thinking blocks must be passed back unmodified.",
        source=THINKING,
        check=_redacted_invalid,
        message="{where}: Invalid `data` in `redacted_thinking` block",
        on=TOKENS,
    ),
    Rule(
        id="text-empty",
        says="text content blocks must be non-empty",
        source="https://github.com/anthropics/claude-code/issues/59812",
        checked=TODAY,
        check=_text_empty,
        message="{where}: text content blocks must be non-empty",
        on=TOKENS,
    ),
    Rule(
        id="text-blank",
        says="A blank text is refused where it is the only text; beside another one it is accepted.",
        source="https://github.com/LibreChat-AI/agents/pull/124",
        checked=TODAY,
        check=_text_blank,
        message="{where}: text content blocks must contain non-whitespace text",
        on=TOKENS,
    ),
    Rule(
        id="end-blank",
        says="final assistant content cannot end with trailing whitespace",
        source="https://github.com/anthropics/anthropic-sdk-python/issues/461",
        check=_end_blank,
        message="messages: final assistant content cannot end with trailing whitespace",
        on=TOKENS,
    ),
    Rule(
        id="call-id-twice",
        says="The error of a turn with two calls of one id; an id of an earlier turn may come again.",
        source="https://github.com/trycua/cua/issues/524",
        checked=TODAY,
        check=_call_id_twice,
        message="messages.{at}.content.{n}: `tool_use` ids must be unique",
        on=TOKENS,
    ),
    Rule(
        id="result-missing",
        says="Each tool_use block must have a corresponding tool_result block in the next message.",
        source=TOOL_USE,
        check=_result_missing,
        message="messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
        on=TOKENS,
    ),
    Rule(
        id="result-of-no-call",
        says="Each tool_result block must have a corresponding tool_use block in the previous message.",
        source=TOOL_USE,
        check=_result_of_no_call,
        message="messages.{at}.content.{n}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each "
        "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
        on=TOKENS,
    ),
    Rule(
        id="result-twice",
        says="each tool_use must have a single result",
        source=TOOL_USE,
        check=_result_twice,
        message="messages.{at}.content.{n}: each tool_use must have a single result. Found multiple `tool_result` "
        "blocks "
        "with id: {id}",
        on=TOKENS,
    ),
    Rule(
        id="thinking-left-out",
        says="During tool use, you must pass thinking blocks back to the API, and include the complete unmodified "
        "block.",
        source="https://github.com/anomalyco/opencode/issues/3077",
        check=_thinking_left_out,
        message="messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kind}`. When "
        "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
        "lastmost set "
        "of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To "
        "avoid "
        "this requirement, disable `thinking`.",
        on=TOKENS,
    ),
)
"""Rules about messages, in the order in which the service checks them."""
