"""Compares the blocks of two messages: texts, thinking, media, tool calls and tool results."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, TypeAlias

from crosswire.mockserver.scenarios.model import (
    Audio,
    Block,
    Document,
    Image,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from crosswire.mockserver.tool_aliases import INPUT_ARGUMENT

from ..checks.tool_names import is_allowed_name
from ..client.protocol import ClientProtocol
from .difference import WRONG, Difference

Media: TypeAlias = Image | Document | Audio | Video

MEDIA: dict[type[Media], str] = {Image: "image", Document: "document", Audio: "audio", Video: "video"}
"""Type of a media block -> the feature of its loss."""

URL_SAFE = str.maketrans("-_", "+/")
"""Translates URL-safe base64, which Google accepts too, to the standard alphabet."""

SEAM = "\0"
"""Boundary between two texts: a protocol without message parts joins them, with or without line breaks."""


def texts_of(blocks: Iterable[Block]) -> str:
    """Returns all texts of the blocks, joined by SEAM."""
    return SEAM.join(block.text for block in blocks if isinstance(block, Text))


def without_blanks(thinking: str) -> str:
    """Removes all blanks of a thinking text, as protocols separate its parts differently."""
    return "".join(thinking.split())


def same_text(sent: str, received: str) -> bool:
    """Returns True if both texts are equal for one way of joining their parts.

    Each joint may be another: parts that citations split are one sentence, and others are paragraphs.
    """
    if any(sent.replace(SEAM, joint) == received.replace(SEAM, joint) for joint in ("", "\n", "\n\n")):
        return True
    if SEAM not in sent or SEAM in received:
        return False
    return re.fullmatch("(?:\n\n|\n|)".join(map(re.escape, sent.split(SEAM))), received) is not None


def of_kind(blocks: Iterable[Block], *kinds: type) -> list[Any]:
    """Returns the blocks of these types."""
    return [block for block in blocks if isinstance(block, kinds)]


def merge_texts(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Joins neighbouring texts and drops empty ones."""
    out: list[Block] = []
    for block in blocks:
        if isinstance(block, Text) and out and isinstance(out[-1], Text):
            out[-1] = Text(out[-1].text + SEAM + block.text)
        elif not (isinstance(block, Text) and not block.text):
            out.append(block)
    return tuple(out)


def block_differences(
    sent: tuple[Block, ...], received: tuple[Block, ...], path: str, upstream: ClientProtocol, *, ids: bool
) -> list[Difference]:
    """Returns the differences of one turn's blocks; `ids` says that both protocols have call ids."""
    sent, found = _documents_as_text(sent, received, path)
    if not same_text(texts_of(sent), texts_of(received)):
        refused = "".join(block.text for block in sent if isinstance(block, Refusal))
        feature = (
            "refusal" if refused and same_text(SEAM.join((texts_of(sent), refused)), texts_of(received)) else WRONG
        )
        found.append(Difference(feature, f"{path}.text", texts_of(sent), texts_of(received)))
    thinking = ["".join(block.text for block in of_kind(side, Thinking)) for side in (sent, received)]
    if without_blanks(thinking[0]) != without_blanks(thinking[1]):
        found.append(Difference("reasoning_text", f"{path}.thinking", *thinking))
    for kind, feature in MEDIA.items():
        one, other = of_kind(sent, kind), of_kind(received, kind)
        # media that a result cannot hold follow the results, which is the loss tool_result_media
        inner = [
            b for side in (sent, received) for result in of_kind(side, ToolResult) for b in of_kind(result.blocks, kind)
        ]
        if len(other) > len(one):
            one = [*inner, *one]
        if list(map(_media_identity, one)) != list(map(_media_identity, other)):
            found.append(Difference(feature, f"{path}.{feature}", one, other))
        found += _name_differences(one, other, f"{path}.{feature}")
    like = upstream.call_ids_like if ids else None
    found += call_differences(of_kind(sent, ToolCall), of_kind(received, ToolCall), path, upstream, like=like)
    found += _result_differences(of_kind(sent, ToolResult), of_kind(received, ToolResult), path, like=like)
    return found


def order_differences(sent: tuple[Block, ...], received: tuple[Block, ...], path: str) -> list[Difference]:
    """Returns text and media in another order; missing media, or media moved out of a result, are other differences.

    A refusal counts as the text that it becomes where it has no place of its own.
    """
    kinds = [
        [
            "Text" if isinstance(block, Refusal) else type(block).__name__
            for block in of_kind(side, Text, Refusal, Image, Document, Audio)
        ]
        for side in (sent, received)
    ]
    media = [sorted(kind for kind in side if kind != "Text") for side in kinds]
    if media[0] != media[1] or kinds[0] == kinds[1]:
        return []
    return [Difference(WRONG, f"{path}.order", *kinds)]


def _name_differences(sent: list[Any], received: list[Any], path: str) -> list[Difference]:
    """Compares the names of documents; a document without a name may receive one."""
    names = [[getattr(block, "name", None) for block in side] for side in (sent, received)]
    pairs = zip(*names, strict=False)
    return [Difference("name", f"{path}.name", *names)] if any(one and one != other for one, other in pairs) else []


def _documents_as_text(
    sent: tuple[Block, ...], received: tuple[Block, ...], path: str
) -> tuple[tuple[Block, ...], list[Difference]]:
    """Replaces each plain-text document that was not received as a document by its text.

    Returns the blocks, and a difference for the names that are lost this way.
    """
    documents = list(map(_media_identity, of_kind(received, Document)))
    as_text = [b for b in of_kind(sent, Document) if is_text_document(b) and _media_identity(b) not in documents]
    blocks = merge_texts(Text(_document_text(b)) if isinstance(b, Document) and b in as_text else b for b in sent)
    names = [block.name for block in as_text if block.name]
    return blocks, [Difference("name", f"{path}.name", names, None)] if names else []


def is_text_document(block: Block) -> bool:
    """Returns True for a document that is a text, given as one or as the bytes of one."""
    if not isinstance(block, Document):
        return False
    return block.text is not None or (block.data is not None and str(block.mime).startswith("text/"))


def _document_text(block: Document) -> str:
    if block.text is not None:
        return block.text
    data = (block.data or "").translate(URL_SAFE)
    return b64decode(data + "=" * (-len(data) % 4)).decode(errors="replace")


def _media_identity(block: Media) -> tuple[str | None, ...]:
    """Returns what identifies a media block: bytes (in standard base64), URL and file id."""
    if isinstance(block, Document) and block.text is not None:
        return (b64encode(block.text.encode()).decode().rstrip("="), None, None)
    data = block.data.translate(URL_SAFE).rstrip("=") if block.data is not None else None
    return (data, block.url or None, block.file if isinstance(block, Image | Document) else None)


def call_differences(
    sent: list[ToolCall],
    received: list[ToolCall],
    path: str,
    to: ClientProtocol,
    *,
    like: str | None,
    known: bool = False,
) -> list[Difference]:
    """Compares calls: id, name, namespace, kind and arguments.

    `like` is the pattern of the ids that must stay unchanged, None if the protocol has no ids. With `known` all names
    are compared, even those that the protocol `to` does not allow.
    """

    def comparable(call: ToolCall, at: int) -> tuple[Any, ...]:
        first = sent[at] if at < len(sent) else call
        # a tool that is no longer declared may have a name that the provider's protocol does not allow
        name = call.name if known or is_allowed_name(first.name, to) else None
        arguments = call.arguments if call.kind == "custom" else parse_arguments(call.arguments)
        return (call.id if _is_kept_id(first.id, like) else None, name, call.namespace, call.kind, arguments)

    one, other = (
        [comparable(call, at) for at, call in enumerate(sent)],
        [comparable(call, at) for at, call in enumerate(received)],
    )
    if len(one) == len(other):
        one = [_as_expressible(call, twin, to) for call, twin in zip(one, other, strict=True)]
    if one == other:
        return []
    # arguments that are not an object, in a protocol that requires one
    wrapped = [(*rest, value if isinstance(value, dict) else {INPUT_ARGUMENT: value}) for *rest, value in one]
    return [Difference("tool_arguments" if wrapped == other else WRONG, f"{path}.calls", one, other)]


def _as_expressible(call: tuple[Any, ...], received: tuple[Any, ...], to: ClientProtocol) -> tuple[Any, ...]:
    """Returns the call as the protocol `to` can express it, without namespaces or custom tools if it has none."""
    id_, name, namespace, kind, sent = call
    if namespace is not None and not to.namespaces:
        name, namespace = name and f"{namespace}__{name}", None
    if kind == "custom" and received[3] == "function" and not to.custom_tools:
        kind, sent = "function", {INPUT_ARGUMENT: sent}
    return (id_, name, namespace, kind, sent)


def _is_kept_id(id_: str, like: str | None) -> bool:
    """Returns True if an id must stay unchanged; a missing or not allowed one has to be generated."""
    return like is not None and bool(id_) and re.fullmatch(like, id_) is not None


def parse_arguments(arguments: str) -> Any:
    """Parses arguments; empty text is an empty object, and invalid JSON stays text."""
    if not arguments.strip():
        return {}
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _result_differences(
    sent: list[ToolResult], received: list[ToolResult], path: str, *, like: str | None
) -> list[Difference]:
    if len(sent) != len(received):
        return [Difference(WRONG, f"{path}.results", [r.id for r in sent], [r.id for r in received])]
    found: list[Difference] = []
    for r, (one, other) in enumerate(zip(sent, received, strict=True)):
        where = f"{path}.results[{r}]"
        if one.id != other.id and _is_kept_id(one.id, like):
            found.append(Difference(WRONG, f"{where}.id", one.id, other.id))
        if one.error != other.error:
            found.append(Difference("tool_error", f"{where}.error", one.error, other.error))
        blocks, named = _documents_as_text(one.blocks, other.blocks, where)
        found += named
        texts = texts_of(blocks), texts_of(other.blocks)
        matches = same_text(f"Error: {texts[0]}" if one.error and not other.error else texts[0], texts[1])
        # in a protocol whose results are objects, JSON text may be sent as an object
        matches = matches or (texts[0].startswith("{") and parse_arguments(texts[0]) == parse_arguments(texts[1]))
        media = of_kind(blocks, *MEDIA), of_kind(other.blocks, *MEDIA)
        if list(map(_media_identity, media[0])) != list(map(_media_identity, media[1])):
            found.append(Difference("tool_result_media", f"{where}.media", *media))
            matches = matches or not texts[0]  # a result without text gets a placeholder text
        else:
            found += _name_differences(*media, f"{where}.media")
        if not matches:
            found.append(Difference(WRONG, f"{where}.text", *texts))
    return found
