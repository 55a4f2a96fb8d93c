"""Parses the items of a reply (`say`): content, stop reason, usage and faults."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

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
    YamlDocument,
    YamlMapping,
    anything,
    boolean,
    integer,
    list_of,
    number,
    one_of,
    string,
    string_list,
)

ERROR_KINDS = (*ERROR_STATUS, *COARSE_KINDS)
"""Error kinds that a story may use."""


def read_items(doc: YamlDocument, value: Any, path: str) -> tuple[Item, ...]:
    """Reads the list of items of a reply."""
    items = list_of(read_item)(doc, value, path)
    if not items:
        doc.complain(path, "the reply is empty; write `[{text: []}]` for an empty text")
    ids = [call.id for call in calls_of(items)]
    for id in {id for id in ids if ids.count(id) > 1}:
        doc.complain(path, f"two calls have the id {id}")
    return items


def read_item(doc: YamlDocument, value: Any, path: str) -> Item:
    """Reads one item: one of the keys of `ITEMS` gives its type, the other keys qualify it."""
    keys = YamlMapping(doc, value, path)
    word = next((word for word in ITEMS if word in keys.remaining), None)
    if word is None:
        doc.complain(path, f"unknown item; expected one of {', '.join(ITEMS)}")
        return SayText(())
    item = cast(Item, ITEMS[word](keys))
    keys.close()
    return item


def _call(keys: YamlMapping, inner: YamlMapping) -> SayCall:
    call = SayCall(
        inner.require("id", string, ""),
        inner.require("name", string, ""),
        inner.take("arguments", _arguments, ("{}",)),
        keys.take("sealed", boolean, False),
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
        inner = YamlMapping(doc, value, path)
        return _call(YamlMapping(doc, {}, path), inner)

    return Interleave(keys.take("interleave", list_of(read_call), ()))


def _cut(keys: YamlMapping) -> Cut:
    how = cast("Literal['eof', 'reset']", keys.take("cut", one_of("eof", "reset"), "eof"))
    return Cut(how, keys.take("at", integer, 0), _times(keys))


def _garble(keys: YamlMapping) -> Garble:
    if keys.remaining.get("garble") is True:
        keys.take("garble", boolean, True)
        return Garble(times=_times(keys))
    return Garble(keys.take("garble", string, ""), _times(keys))


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
    "call": lambda keys: _call(keys, _inner_mapping(keys, "call")),
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
