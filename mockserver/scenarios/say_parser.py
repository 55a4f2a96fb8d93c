"""Parses the items of a reply (`say`): content, stop reason, usage and faults."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

from msgspec import Struct

from .model import (
    COARSE_KINDS,
    ERROR_STATUS,
    STOPS,
    Citation,
    Cut,
    Garble,
    Interleave,
    Item,
    Pause,
    SayCall,
    SayError,
    SayImage,
    SayRefusal,
    SayStop,
    SayText,
    SayThink,
    SayUsage,
    Usage,
    calls_of,
)
from .yaml_reader import (
    SHAPES,
    Shape,
    YamlDocument,
    YamlMapping,
    anything,
    boolean,
    describe,
    integer,
    list_of,
    mapping,
    number,
    one_of,
    string,
    string_list,
    takes,
)

ERROR_KINDS = (*ERROR_STATUS, *COARSE_KINDS)
"""Error kinds that a story may use."""


def _call(inner: YamlMapping, *, sealed: bool) -> SayCall:
    call = SayCall(
        inner.require("id", string, ""),
        inner.require("name", string, ""),
        inner.take("arguments", _arguments, ("{}",)),
        sealed,
        namespace=inner.take("namespace", string, None),
    )
    inner.close()
    return call


def _custom(keys: YamlMapping, inner: YamlMapping) -> SayCall:
    """Reads a call of a custom tool; `input` is free text in one or several fragments."""
    call = SayCall(
        inner.require("id", string, ""),
        inner.require("name", string, ""),
        inner.require("input", string_list, ()),
        keys.take("sealed", boolean, False),
        "custom",
        inner.take("namespace", string, None),
    )
    inner.close()
    return call


@takes(mapping, string_list)
def _arguments(doc: YamlDocument, value: Any, path: str) -> tuple[str, ...]:
    """Reads arguments as JSON text, fragments of it, or a JSON object; `""` sends no arguments at all."""
    if isinstance(value, dict):
        return (json.dumps(value, ensure_ascii=False, separators=(",", ":")),)
    return tuple(piece for piece in string_list(doc, value, path) if piece)


def _cite(doc: YamlDocument, value: Any, path: str) -> Citation:
    keys = YamlMapping(doc, value, path)
    cite = Citation(keys.take("url", string, None), keys.take("title", string, None), keys.take("quote", string, None))
    keys.close()
    return cite


def _text(keys: YamlMapping) -> SayText:
    return SayText(
        keys.take("text", string_list, ()), keys.take("sealed", boolean, False), keys.take("cites", list_of(_cite), ())
    )


def _image(keys: YamlMapping) -> SayImage:
    inner = _inner_mapping(keys, "image")
    image = SayImage(inner.require("mime", string, ""), inner.require("base64", string, ""))
    inner.close()
    return image


def _times(keys: YamlMapping) -> int | None:
    return keys.take("times", integer, None)


def _inner_mapping(keys: YamlMapping, word: str) -> YamlMapping:
    return YamlMapping(keys.doc, keys.take(word, anything, None), f"{keys.path}.{word}")


def _interleaved(keys: YamlMapping) -> Interleave:
    def read_call(doc: YamlDocument, value: Any, path: str) -> SayCall:
        return _call(YamlMapping(doc, value, path), sealed=False)

    return Interleave(keys.take("interleave", list_of(read_call), ()))


def _cut(keys: YamlMapping) -> Cut:
    how = cast("Literal['eof', 'reset']", keys.take("cut", one_of("eof", "reset"), "eof"))
    return Cut(how, keys.take("at", integer, 0), _times(keys))


def _garble(keys: YamlMapping) -> Garble:
    return Garble(keys.take("garble", _garbled, Garble().text), _times(keys))


def _true(doc: YamlDocument, value: Any, path: str) -> bool:
    return boolean(doc, value, path)


SHAPES[_true] = Shape((boolean,), {"const": True})


@takes(_true, string)
def _garbled(doc: YamlDocument, value: Any, path: str) -> str:
    return Garble().text if value is True else string(doc, value, path)


def _error(keys: YamlMapping) -> SayError:
    inner = _inner_mapping(keys, "error")
    times = _times(keys)
    error = SayError(
        kind=inner.require("kind", one_of(*ERROR_KINDS), "internal"),
        status=inner.take("status", integer, None),
        message=inner.take("message", string, ""),
        retry_after=inner.take("retry_after", number, None),
        in_stream=inner.take("in", one_of("stream"), None) == "stream",
        times=inner.take("times", integer, times),
    )
    inner.close()
    return error


def _usage(keys: YamlMapping) -> SayUsage:
    inner = _inner_mapping(keys, "usage")
    counts = Usage(
        *(inner.take(word, integer, None) for word in ("input", "output", "cache_read", "cache_write", "reasoning"))
    )
    inner.close()
    return SayUsage(counts)


ITEMS: dict[str, Any] = {
    "text": _text,
    "think": lambda keys: SayThink(keys.take("think", string_list, ()), keys.take("sealed", boolean, False)),
    "redacted": lambda keys: SayThink((), keys.take("redacted", boolean, True), True),
    "refusal": lambda keys: SayRefusal(keys.take("refusal", string_list, ())),
    "image": _image,
    "call": lambda keys: _call(_inner_mapping(keys, "call"), sealed=keys.take("sealed", boolean, False)),
    "custom": lambda keys: _custom(keys, _inner_mapping(keys, "custom")),
    "interleave": _interleaved,
    "stop": lambda keys: SayStop(keys.take("stop", one_of(*STOPS), "end"), keys.take("matched", string, None)),
    "usage": _usage,
    "pause": lambda keys: Pause(keys.take("pause", number, 0), _times(keys)),
    "cut": _cut,
    "garble": _garble,
    "error": _error,
}
"""Key of an item -> its parser."""


class ItemReader(Struct, frozen=True):
    """Reader of the items that have this key."""

    word: str

    def __call__(self, doc: YamlDocument, value: Any, path: str) -> Item:
        """Reads an item."""
        keys = YamlMapping(doc, value, path)
        item = cast(Item, ITEMS[self.word](keys))
        keys.close()
        return item


for _word in ITEMS:
    SHAPES[ItemReader(_word)] = Shape((), {"required": [_word]})


@takes(*map(ItemReader, ITEMS))
def read_item(doc: YamlDocument, value: Any, path: str) -> Item:
    """Reads one item: one of the keys of `ITEMS` gives its type, the other keys qualify it."""
    word = next((word for word in ITEMS if isinstance(value, dict) and word in value), None)
    if word is None:
        if not isinstance(value, dict):
            doc.complain(path, f"expected a mapping, found {describe(value)}")
        doc.complain(path, f"unknown item; expected one of {', '.join(ITEMS)}")
        return SayText(())
    return ItemReader(word)(doc, value, path)


@takes(list_of(read_item), minItems=1)
def read_items(doc: YamlDocument, value: Any, path: str) -> tuple[Item, ...]:
    """Reads the list of items of a reply."""
    items = list_of(read_item)(doc, value, path)
    if not items:
        doc.complain(path, "the reply is empty; write `[{text: []}]` for an empty text")
    ids = [call.id for call in calls_of(items)]
    for id in {id for id in ids if ids.count(id) > 1}:
        doc.complain(path, f"two calls have the id {id}")
    return items
