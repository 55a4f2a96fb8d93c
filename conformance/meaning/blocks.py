"""Texts, thoughts, media, calls and results of two sides, compared; requests and answers both are made of them."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, TypeAlias

from mockserver.dialects.contract import Dialect
from mockserver.speech import Audio, Block, Call, Document, Image, Refuse, Result, Text, Think, Video

from ..naming import INPUT, fits
from .difference import WRONG, Difference

Media: TypeAlias = Image | Document | Audio | Video

MEDIA: dict[type[Media], str] = {Image: "image", Document: "document", Audio: "audio", Video: "video"}
"""What is neither text nor thought, and the word of its loss."""

URL_SAFE = str.maketrans("-_", "+/")
"""The alphabet of base64 that Google takes beside the standard one, as the standard one."""

SEAM = "\0"
"""Where one text ends and the next begins: a wire without parts of a message joins them, with or without line ends."""


def texts_of(blocks: Iterable[Block]) -> str:
    return SEAM.join(block.text for block in blocks if isinstance(block, Text))


def bare(thought: str) -> str:
    """Thinking without its blanks: it comes in parts, and each dialect sets them apart in its own way."""
    return "".join(thought.split())


def same_text(said: str, arrived: str) -> bool:
    return any(said.replace(SEAM, joint) == arrived.replace(SEAM, joint) for joint in ("", "\n", "\n\n"))


def of_kind(blocks: Iterable[Block], *kinds: type) -> list[Any]:
    return [block for block in blocks if isinstance(block, kinds)]


def merged(blocks: Iterable[Block]) -> tuple[Block, ...]:
    out: list[Block] = []
    for block in blocks:
        if isinstance(block, Text) and out and isinstance(out[-1], Text):
            out[-1] = Text(out[-1].text + SEAM + block.text)
        elif not (isinstance(block, Text) and not block.text):
            out.append(block)
    return tuple(out)


def block_differences(
    said: tuple[Block, ...], arrived: tuple[Block, ...], path: str, back: Dialect, *, ids: bool
) -> list[Difference]:
    said, found = _plain(said, arrived, path)
    if not same_text(texts_of(said), texts_of(arrived)):
        refused = "".join(block.text for block in said if isinstance(block, Refuse))
        word = "refusal" if refused and same_text(SEAM.join((texts_of(said), refused)), texts_of(arrived)) else WRONG
        found.append(Difference(word, f"{path}.text", texts_of(said), texts_of(arrived)))
    thought = ["".join(block.text for block in of_kind(side, Think)) for side in (said, arrived)]
    if bare(thought[0]) != bare(thought[1]):
        found.append(Difference("reasoning_text", f"{path}.thinking", *thought))
    for kind, word in MEDIA.items():
        one, other = of_kind(said, kind), of_kind(arrived, kind)
        # what a result cannot hold stands right behind the results, which has a word of its own
        inner = [
            b for side in (said, arrived) for result in of_kind(side, Result) for b in of_kind(result.blocks, kind)
        ]
        if len(other) > len(one):
            one = [*inner, *one]
        if list(map(_media, one)) != list(map(_media, other)):
            found.append(Difference(word, f"{path}.{word}", one, other))
        found += _name_differences(one, other, f"{path}.{word}")
    like = back.call_ids_like if ids else None
    found += call_differences(of_kind(said, Call), of_kind(arrived, Call), path, back, like=like)
    found += _result_differences(of_kind(said, Result), of_kind(arrived, Result), path, like=like)
    return found


def place_differences(said: tuple[Block, ...], arrived: tuple[Block, ...], path: str) -> list[Difference]:
    """Text and media out of their order; media that are missing, or came out of a result, have words of their own."""
    kinds = [
        [type(block).__name__ for block in of_kind(side, Text, Image, Document, Audio)] for side in (said, arrived)
    ]
    media = [sorted(kind for kind in side if kind != "Text") for side in kinds]
    if media[0] != media[1] or kinds[0] == kinds[1]:
        return []
    return [Difference(WRONG, f"{path}.order", *kinds)]


def _name_differences(said: list[Any], arrived: list[Any], path: str) -> list[Difference]:
    """The names of documents; one that has none may be given one."""
    names = [[getattr(block, "name", None) for block in side] for side in (said, arrived)]
    pairs = zip(*names, strict=False)
    return [Difference("name", f"{path}.name", *names)] if any(one and one != other for one, other in pairs) else []


def _plain(
    said: tuple[Block, ...], arrived: tuple[Block, ...], path: str
) -> tuple[tuple[Block, ...], list[Difference]]:
    """What was said, with each document of plain text that did not arrive as one told as the text that it is.

    Such a text has no place for the document's name.
    """
    there = list(map(_media, of_kind(arrived, Document)))
    told = [b for b in of_kind(said, Document) if b.text is not None and _media(b) not in there]
    blocks = merged(Text(b.text or "") if isinstance(b, Document) and b in told else b for b in said)
    names = [block.name for block in told if block.name]
    return blocks, [Difference("name", f"{path}.name", names, None)] if names else []


def _media(block: Media) -> tuple[str | None, ...]:
    """What a picture, document, sound or video is: its bytes tell its type, in either alphabet of base64."""
    if isinstance(block, Document) and block.text is not None:
        return (b64encode(block.text.encode()).decode().rstrip("="), None, None)
    data = block.data.translate(URL_SAFE).rstrip("=") if block.data is not None else None
    return (data, block.url or None, block.file if isinstance(block, Image | Document) else None)


def call_differences(
    said: list[Call], arrived: list[Call], path: str, to: Dialect, *, like: str | None, known: bool = False
) -> list[Difference]:
    """`like` is the pattern of the ids that must stay as they are, None where the wire has no ids.

    `known` are names that the other side gave itself, so that none of them is forbidden.
    """

    def plain(call: Call, at: int) -> tuple[Any, ...]:
        first = said[at] if at < len(said) else call
        # a tool that is no longer on offer may have a name that the provider's dialect forbids
        name = call.name if known or fits(first.name, to) else None
        arguments = call.arguments if call.kind == "custom" else json_of(call.arguments)
        return (call.id if _stays(first.id, like) else None, name, call.namespace, call.kind, arguments)

    one, other = [plain(call, at) for at, call in enumerate(said)], [plain(call, at) for at, call in enumerate(arrived)]
    if len(one) == len(other):
        one = [_played(call, there, to) for call, there in zip(one, other, strict=True)]
    if one == other:
        return []
    # arguments that are no object, where the wire wants one
    wrapped = [(*rest, value if isinstance(value, dict) else {INPUT: value}) for *rest, value in one]
    return [Difference("tool_arguments" if wrapped == other else WRONG, f"{path}.calls", one, other)]


def _played(call: tuple[Any, ...], there: tuple[Any, ...], to: Dialect) -> tuple[Any, ...]:
    """A call as it is said where there are no groups of tools, and none that take free text."""
    id_, name, namespace, kind, said = call
    if namespace is not None and not to.namespaces:
        name, namespace = name and f"{namespace}__{name}", None
    if kind == "custom" and there[3] == "function" and not to.custom_tools:
        kind, said = "function", {INPUT: said}
    return (id_, name, namespace, kind, said)


def _stays(id_: str, like: str | None) -> bool:
    """Whether an id must arrive as it is: one that was not said has to be made up, a forbidden one to be made anew."""
    return like is not None and bool(id_) and re.fullmatch(like, id_) is not None


def json_of(arguments: str) -> Any:
    """Arguments as a value; no text is no arguments. Text that is no JSON stays text."""
    if not arguments.strip():
        return {}
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _result_differences(said: list[Result], arrived: list[Result], path: str, *, like: str | None) -> list[Difference]:
    if len(said) != len(arrived):
        return [Difference(WRONG, f"{path}.results", [r.id for r in said], [r.id for r in arrived])]
    found: list[Difference] = []
    for r, (one, other) in enumerate(zip(said, arrived, strict=True)):
        where = f"{path}.results[{r}]"
        if one.id != other.id and _stays(one.id, like):
            found.append(Difference(WRONG, f"{where}.id", one.id, other.id))
        if one.error != other.error:
            found.append(Difference("tool_error", f"{where}.error", one.error, other.error))
        blocks, named = _plain(one.blocks, other.blocks, where)
        found += named
        texts = texts_of(blocks), texts_of(other.blocks)
        told = same_text(f"Error: {texts[0]}" if one.error and not other.error else texts[0], texts[1])
        # where a result is an object on the wire, a text that is one is told as one
        told = told or (texts[0].startswith("{") and json_of(texts[0]) == json_of(texts[1]))
        media = of_kind(blocks, *MEDIA), of_kind(other.blocks, *MEDIA)
        if list(map(_media, media[0])) != list(map(_media, media[1])):
            found.append(Difference("tool_result_media", f"{where}.media", *media))
            told = told or not texts[0]  # a result that was nothing but a picture must say something all the same
        else:
            found += _name_differences(*media, f"{where}.media")
        if not told:
            found.append(Difference(WRONG, f"{where}.text", *texts))
    return found
