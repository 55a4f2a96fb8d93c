"""Functions that declare losses and find them in the extra fields of requests, replies and blocks.

They use the tables of `loss_tables` and know no protocol's wire format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
    Reply,
    Request,
    Text,
    ToolResult,
)


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


def extra_field_losses(extra: Extra, path: str) -> Iterator[Loss]:
    """Yields the losses in extra fields that the target protocol cannot carry."""
    if extra:
        for key, value in extra.items():
            if not is_harmless(key, value):
                feature = feature_of(key)
                yield Loss(f"{path}.{key}" if path else key, feature, "dropped")


def request_extra_losses(request: Request) -> list[Loss]:
    """Returns a loss for every extra field of a request that goes to a backend of another protocol."""
    found = list(extra_field_losses(request.extra, "")) if request.extra else []
    for t, turn in enumerate(request.turns):
        if turn.extra:
            found += extra_field_losses(turn.extra, f"turns[{t}]")
        for b, block in enumerate(turn.blocks):
            if type(block) is not Text or block.extra:  # most blocks are plain text, and this is the hot path
                found += _block_losses(block, f"turns[{t}].blocks[{b}]")
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Opaque):
            found.append(declare_loss(f"tools[{i}].{tool.kind}", "hosted_tools"))
        elif tool.extra:
            found += extra_field_losses(tool.extra, f"tools[{i}]")
    for part, path in (
        (request.tool_choice, "tool_choice"),
        (request.reasoning, "reasoning"),
        (request.format, "format"),
    ):
        if part is not None and part.extra:
            found += extra_field_losses(part.extra, path)
    return found


def reply_extra_losses(reply: Reply) -> list[Loss]:
    """Returns a loss for every extra field of a reply that goes to a client of another protocol."""
    found = list(extra_field_losses(reply.extra, ""))
    for b, block in enumerate(reply.blocks):
        found += _block_losses(block, f"blocks[{b}]")
    return found


def block_extra_losses(block: Block, index: int) -> list[Loss]:
    """Returns a loss for every extra field of one block of a streamed reply."""
    return list(_block_losses(block, f"blocks[{index}]"))


def _block_losses(block: Block, path: str) -> Iterator[Loss]:
    if isinstance(block, Opaque):
        feature = feature_of(block.kind)
        yield declare_loss(f"{path}.{block.kind}", "hosted_output" if feature == "unknown_field" else feature)
        return
    if block.extra:
        yield from extra_field_losses(block.extra, path)
    if isinstance(block, ToolResult):
        for b, inner in enumerate(block.blocks):
            yield from _block_losses(inner, f"{path}.blocks[{b}]")


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
        case Image() | Document() | Audio():
            return type(block).__name__.lower()
        case Reasoning():
            return "reasoning_text"
        case ToolResult():
            return "orphan"
        case _:
            return "unknown_field"
