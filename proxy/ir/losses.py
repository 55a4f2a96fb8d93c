"""Functions that declare losses and find them in the extra fields of requests, replies and blocks.

They use the tables of `loss_tables` and know no protocol's wire format.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import partial

from .loss_tables import ANY, FIELD_FEATURES, HARMLESS_VALUES, LOSS_RULES
from .model import (
    Audio,
    Block,
    Citation,
    Document,
    Extra,
    Image,
    Loss,
    Opaque,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from .reply_loss_tables import BOOKKEEPING, CONTENT_PLACES, REPLY_FEATURES


def feature_of(key: str) -> str:
    """Returns the feature of an extra field; a dotted key falls back to its last name."""
    return FIELD_FEATURES.get(key) or FIELD_FEATURES.get(key.rpartition(".")[2], "unknown_field")


def is_harmless(key: str, value: object) -> bool:
    """Returns true if dropping this extra field loses nothing (see HARMLESS_VALUES)."""
    if value is None:
        return True
    allowed = HARMLESS_VALUES.get(key) or HARMLESS_VALUES.get(key.rpartition(".")[2])
    return allowed is not None and (allowed[0] is ANY or value in allowed or type(value) in allowed)


def declare_loss(path: str, feature: str) -> Loss:
    """Builds the loss of this feature: approximated where LOSS_RULES says so, else dropped."""
    return Loss(path, feature, "approximated" if LOSS_RULES[feature].action == "approximate" else "dropped")


def extra_field_losses(extra: Extra, path: str, carried: Container[str] = ()) -> Iterator[Loss]:
    """Yields the losses in extra fields that the target protocol cannot carry; `carried` are those that it can."""
    if extra:
        for key, value in extra.items():
            if key not in carried and not is_harmless(key, value):
                feature = feature_of(key)
                yield Loss(f"{path}.{key}" if path else key, feature, "dropped")


def reply_field_losses(extra: Extra, path: str) -> Iterator[Loss]:
    """Yields the losses in extra fields of a reply or of one of its blocks; an empty value says nothing."""
    if extra:
        for key, value in extra.items():
            if is_harmless(key, value) or is_empty(value):
                continue
            last = key.rpartition(".")[2]
            place = f"{path}.{key}" if path else key
            feature = REPLY_FEATURES.get(key) or REPLY_FEATURES.get(last)
            if feature is None and place.startswith(CONTENT_PLACES) and last not in BOOKKEEPING:
                feature = "unknown_field"
            if feature is not None:
                yield Loss(place, feature, "dropped")


def is_empty(value: object) -> bool:
    """Returns true if a value of a reply says nothing: null, zero, an empty text, or containers of these."""
    if isinstance(value, dict):
        return all(is_empty(item) for item in value.values())
    if isinstance(value, list):
        return all(is_empty(item) for item in value)
    return not value


def says_nothing(blocks: Sequence[Block]) -> bool:
    """Returns whether these blocks are no more than empty texts."""
    return all(isinstance(block, Text) and not block.text and block.signature is None for block in blocks)


def request_extra_losses(request: Request, carried: Container[str] = ()) -> list[Loss]:
    """Returns a loss for every extra field of a request that goes to a backend of another protocol.

    `carried` are the names of those that the encoder carries wherever they are.
    """
    found = list(extra_field_losses(request.extra, "", carried)) if request.extra else []
    for t, turn in enumerate(request.turns):
        if turn.extra:
            found += extra_field_losses(turn.extra, f"turns[{t}]", carried)
        if turn.role == "user" and says_nothing(turn.blocks):
            # some hosts answer it, others say "user messages must have non-empty content"
            found.append(declare_loss(f"turns[{t}]", "empty_turn"))
        for b, block in enumerate(turn.blocks):
            if type(block) is not Text or block.extra:  # most blocks are plain text, and this is the hot path
                found += _said_losses(block, f"turns[{t}].blocks[{b}]", turn.role == "assistant", carried)
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Opaque):
            if tool.hosted is None:  # else the encoder says what the target has of it
                found.append(declare_loss(f"tools[{i}].{tool.kind}", "hosted_tools"))
        elif tool.extra:
            found += extra_field_losses(tool.extra, f"tools[{i}]", carried)
    for part, path in (
        (request.tool_choice, "tool_choice"),
        (request.reasoning, "reasoning"),
        (request.format, "format"),
    ):
        if part is not None and part.extra:
            found += extra_field_losses(part.extra, path)
    if (choice := request.tool_choice) is not None and choice.hosted is not None:
        # the encoder knows whether its target can be forced to use the tool
        found = [loss for loss in found if loss.feature != "forced_hosted_tool"]
    return found


def reply_extra_losses(reply: Reply) -> list[Loss]:
    """Returns a loss for every extra field of a reply that goes to a client of another protocol."""
    found = list(reply_field_losses(reply.extra, ""))
    for b, block in enumerate(reply.blocks):
        found += _block_losses(block, f"blocks[{b}]", reply_field_losses)
    return found


def block_extra_losses(block: Block, index: int) -> list[Loss]:
    """Returns a loss for every extra field of one block of a streamed reply."""
    return list(_block_losses(block, f"blocks[{index}]", reply_field_losses))


def _block_losses(
    block: Block, path: str, field_losses: Callable[[Extra, str], Iterator[Loss]] = extra_field_losses
) -> Iterator[Loss]:
    if isinstance(block, Opaque):
        # the encoder of a reply tells the calls of hosted tools, or says that it cannot
        if not block.part and block.call is None:
            told = REPLY_FEATURES.get(block.kind) if field_losses is reply_field_losses else None
            yield opaque_loss(block, path) if told is None else declare_loss(f"{path}.{block.kind}", told)
        return
    if block.extra:
        yield from field_losses(block.extra, path)
    if isinstance(block, ToolResult):
        for b, inner in enumerate(block.blocks):
            yield from _block_losses(inner, f"{path}.blocks[{b}]", field_losses)


def _said_losses(block: Block, path: str, by_model: bool, carried: Container[str]) -> Iterator[Loss]:
    """Yields the losses of a block of a conversation; what a user, an operator or a tool said is content."""
    if isinstance(block, Opaque):
        if block.text is not None:
            return  # the target is sent the text
        for loss in _block_losses(block, path):
            yield loss if by_model or loss.feature != "hosted_output" else declare_loss(loss.path, "content")
        return
    if not isinstance(block, ToolResult):
        yield from _block_losses(block, path, partial(extra_field_losses, carried=carried))
        return
    if block.vendor is None:  # else they are the output as its vendor writes it, which the blocks tell
        yield from extra_field_losses(block.extra, path, carried)
    for b, inner in enumerate(block.blocks):
        yield from _said_losses(inner, f"{path}.blocks[{b}]", False, carried)


def opaque_loss(block: Opaque, path: str) -> Loss:
    """Returns the loss of a block that the target has no counterpart of."""
    feature = block.feature or feature_of(block.kind)
    return declare_loss(f"{path}.{block.kind}", "hosted_output" if feature == "unknown_field" else feature)


def citation_text_losses(citations: Sequence[Citation], path: str, first: int = 0) -> list[Loss]:
    """Returns a loss for every quoted text of a citation, for protocols that carry only the URLs of sources.

    `first` is the index of the first citation in its block.
    """
    return [
        declare_loss(f"{path}.citations[{c}].text", "citations")
        for c, citation in enumerate(citations, first)
        if citation.text is not None
    ]


def features(losses: Mapping[Loss, None] | list[Loss] | tuple[Loss, ...]) -> list[str]:
    """Returns the distinct features of these losses in order of first occurrence."""
    return list(dict.fromkeys(entry.feature for entry in losses))


def block_feature(block: Block) -> str:
    """The feature that is lost with a whole block which a target's message cannot hold."""
    match block:
        case Image() | Document() | Audio() | Video():
            return type(block).__name__.lower()
        case Reasoning():
            return "reasoning_text"
        case ToolCall() | ToolResult():
            return "orphan"
        case Refusal():
            return "refusal"
        case _:
            return "unknown_field"
