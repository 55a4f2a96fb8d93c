"""The things that a story says, read into their nouns; it knows the schema of an answer and nothing around it."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

from .lines import Doc, Map, anything, each, flag, number, one_of, text, texts, whole
from .speech import (
    COARSE,
    STATUS,
    STOPS,
    Cite,
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

KINDS = (*STATUS, *COARSE)
"""The kinds of error that a story may say."""


def read_items(doc: Doc, value: Any, path: str) -> tuple[Item, ...]:
    """A list of things to say."""
    items = each(read_item)(doc, value, path)
    if not items:
        doc.complain(path, "says nothing; an empty answer is `[{text: []}]`")
    ids = [call.id for call in calls_of(items)]
    for id in {id for id in ids if ids.count(id) > 1}:
        doc.complain(path, f"two calls have the id {id}")
    return items


def read_item(doc: Doc, value: Any, path: str) -> Item:
    """One thing to say: its first key tells what it is, others qualify it."""
    keys = Map(doc, value, path)
    word = next((word for word in ITEMS if word in keys.left), None)
    if word is None:
        doc.complain(path, f"says nothing known; one of {', '.join(ITEMS)} is wanted")
        return SayText(())
    item = cast(Item, ITEMS[word](keys))
    keys.close()
    return item


def _call(keys: Map, inner: Map) -> SayCall:
    call = SayCall(
        inner.need("id", text, ""),
        inner.need("name", text, ""),
        inner.take("arguments", _arguments, ("{}",)),
        keys.take("sealed", flag, False),
        namespace=inner.take("namespace", text, None),
    )
    inner.close()
    return call


def _custom(keys: Map, inner: Map) -> SayCall:
    """A call of a custom tool: what it sends is free text, in one piece or several."""
    call = SayCall(
        inner.need("id", text, ""),
        inner.need("name", text, ""),
        inner.need("input", texts, ()),
        keys.take("sealed", flag, False),
        "custom",
        inner.take("namespace", text, None),
    )
    inner.close()
    return call


def _arguments(doc: Doc, value: Any, path: str) -> tuple[str, ...]:
    """JSON text, its fragments, or JSON itself; `""` is a call that sends no arguments at all."""
    if isinstance(value, dict):
        return (json.dumps(value, ensure_ascii=False, separators=(",", ":")),)
    return tuple(piece for piece in texts(doc, value, path) if piece)


def _cite(doc: Doc, value: Any, path: str) -> Cite:
    keys = Map(doc, value, path)
    cite = Cite(keys.take("url", text, None), keys.take("title", text, None), keys.take("quote", text, None))
    keys.close()
    return cite


def _text(keys: Map) -> SayText:
    return SayText(keys.take("text", texts, ()), keys.take("sealed", flag, False), keys.take("cites", each(_cite), ()))


def _image(keys: Map) -> SayImage:
    inner = _inner(keys, "image")
    image = SayImage(inner.need("mime", text, ""), inner.need("base64", text, ""))
    inner.close()
    return image


def _times(keys: Map) -> int | None:
    return keys.take("times", whole, None)


def _inner(keys: Map, word: str) -> Map:
    return Map(keys.doc, keys.take(word, anything, None), f"{keys.path}.{word}")


def _interleaved(keys: Map) -> Interleave:
    def one(doc: Doc, value: Any, path: str) -> SayCall:
        inner = Map(doc, value, path)
        return _call(Map(doc, {}, path), inner)

    return Interleave(keys.take("interleave", each(one), ()))


def _cut(keys: Map) -> Cut:
    how = cast("Literal['eof', 'reset']", keys.take("cut", one_of("eof", "reset"), "eof"))
    return Cut(how, keys.take("at", whole, 0), _times(keys))


def _garble(keys: Map) -> Garble:
    if keys.left.get("garble") is True:
        keys.take("garble", flag, True)
        return Garble(times=_times(keys))
    return Garble(keys.take("garble", text, ""), _times(keys))


def _error(keys: Map) -> SayError:
    inner = _inner(keys, "error")
    times = _times(keys)
    error = SayError(
        kind=inner.need("kind", one_of(*KINDS), "internal"),
        status=inner.take("status", whole, None),
        message=inner.take("message", text, ""),
        retry_after=inner.take("retry_after", number, None),
        in_stream=inner.take("in", one_of("stream"), None) == "stream",
        times=inner.take("times", whole, times),
    )
    inner.close()
    return error


def _usage(keys: Map) -> SayUsage:
    inner = _inner(keys, "usage")
    counts = Usage(
        *(inner.take(word, whole, None) for word in ("input", "output", "cache_read", "cache_write", "reasoning"))
    )
    inner.close()
    return SayUsage(counts)


ITEMS: dict[str, Any] = {
    "text": _text,
    "think": lambda keys: SayThink(keys.take("think", texts, ()), keys.take("sealed", flag, False)),
    "redacted": lambda keys: SayThink((), keys.take("redacted", flag, True), True),
    "refusal": lambda keys: SayRefusal(keys.take("refusal", texts, ())),
    "image": _image,
    "call": lambda keys: _call(keys, _inner(keys, "call")),
    "custom": lambda keys: _custom(keys, _inner(keys, "custom")),
    "interleave": _interleaved,
    "stop": lambda keys: SayStop(keys.take("stop", one_of(*STOPS), "end"), keys.take("matched", text, None)),
    "usage": _usage,
    "pause": lambda keys: Pause(keys.take("pause", number, 0), _times(keys)),
    "cut": _cut,
    "garble": _garble,
    "error": _error,
}
"""Everything that can be said, by the key that tells it."""
