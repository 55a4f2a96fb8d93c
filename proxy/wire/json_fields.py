"""Parsing and encoding of JSON, and typed access to the fields of JSON objects.

A decoder owns its dict and pops the fields it knows; the rest become the extra fields of the neutral form. Every error
is a Malformed with the path of the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, overload

import msgspec

from ..errors import Malformed
from .byte_count import count

T = TypeVar("T")

_decode = msgspec.json.Decoder().decode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
encode = msgspec.json.encode
"""Encodes a JSON value as compact UTF-8 bytes."""

LARGE = 1024 * 1024
"""Bytes from which on a text's brackets are counted before it is parsed."""

BRACKETS = 1_000_000
"""Opening brackets of any text, a backend's too; requests have lower limits of their own, see `json_bounds`."""

_NO_END = re.compile(r"truncated|\(byte ([0-9]+)\)")
"""The words of the parser about a text that ends too early: it is truncated, or a number at its end is wrong."""

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

_TYPE_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "an object",
}


def parse(body: bytes | memoryview | str) -> Any:
    """Parses a JSON value; raises Malformed for any error (empty, truncated, bad UTF-8, NaN, too deep, too many)."""
    if len(body) > LARGE and type(body) is bytes and count(body, b"[") + count(body, b"{") > BRACKETS:
        raise Malformed("", f"more than {BRACKETS} arrays and objects")
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise Malformed("", f"not valid JSON: {fault}") from None
    except RecursionError:
        raise Malformed("", "not valid JSON: nested too deeply") from None


def is_cut(body: bytes) -> bool:
    """Returns whether this is the beginning of a JSON object or array, of which the rest is missing."""
    if not body.lstrip().startswith((b"{", b"[")):
        return False
    try:
        parse(body)
    except Malformed as fault:
        found = _NO_END.search(fault.what)
        return found is not None and (found[1] is None or int(found[1]) >= len(body))
    return False


def parse_object(body: bytes | memoryview | str) -> dict[str, Any]:
    """Parses a JSON object; raises Malformed where the text is no object."""
    value = parse(body)
    if type(value) is not dict:
        raise Malformed("", f"must be a JSON object, is {describe(value)}")
    return value


def raw_object(body: bytes) -> dict[str, msgspec.Raw]:
    """Parses only the top level of a JSON object; the values stay raw JSON."""
    try:
        return _decode_raw(body)
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise Malformed("", f"not valid JSON: {fault}") from None
    except RecursionError:
        raise Malformed("", "not valid JSON: nested too deeply") from None


def describe(value: object) -> str:
    """Returns the name of the value's JSON type, for error messages."""
    if value is None:
        return "null"
    return _TYPE_NAMES.get(type(value), "something else")


@overload
def take(d: dict[str, Any], key: str, kind: type[T]) -> T | None: ...
@overload
def take(d: dict[str, Any], key: str, kind: type[T], default: T) -> T: ...
def take(d: dict[str, Any], key: str, kind: type[T], default: T | None = None) -> T | None:
    """Pops an optional field of this type; absent and null give the default. An integer is accepted as a float.

    Raises Malformed for another type.
    """
    value = d.pop(key, None)
    if value is None:
        return default
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return cast(T, value)
    raise Malformed(key, f"must be {_TYPE_NAMES[kind]}, is {describe(value)}")


def need(d: dict[str, Any], key: str, kind: type[T]) -> T:
    """Pops a required field of this type; raises Malformed where it is absent, null or of another type."""
    value = take(d, key, kind)
    if value is None:
        raise Malformed(key, f"is required and must be {_TYPE_NAMES[kind]}")
    return value


def maybe(fields: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    """Returns a field of this type, or None where it is absent or of another type: for what may be left out."""
    value = fields.get(key)
    return value if type(value) is kind else None


def each(items: list[Any], where: str, decode: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
    """Decodes every object of a list; a Malformed gets the path `where[index]` prepended."""
    out = []
    for index, item in enumerate(items):
        if type(item) is not dict:
            raise Malformed(f"{where}[{index}]", f"must be an object, is {describe(item)}")
        try:
            out.append(decode(item))
        except Malformed as fault:
            raise fault.under(f"{where}[{index}]") from None
    return tuple(out)


def alias(d: dict[str, Any], kept: str, other: str, kept_in: dict[str, Any] | None = None, at: str = "") -> None:
    """Pops `other`, another name of `kept`, and sets it as `kept` where that is not there.

    `kept_in` is the object that holds `kept`, if another one does, at the path `at`. Raises Malformed, naming both,
    where they differ.
    """
    value = d.pop(other, None)
    if value is None:
        return
    fields = d if kept_in is None else kept_in
    if fields.get(kept) is None:
        fields[kept] = value
    elif fields[kept] != value:
        raise Malformed(other, f"differs from {at}{kept}, which means the same; keep one of them")


def strings(d: dict[str, Any], key: str) -> tuple[str, ...]:
    """Pops a string or a list of strings as a tuple; absent and null give an empty one."""
    value = d.pop(key, None)
    if value is None:
        return ()
    if type(value) is str:
        return (value,)
    if type(value) is list and all(type(item) is str for item in value):
        return tuple(value)
    raise Malformed(key, "must be a string or an array of strings")


def is_object(text: str | bytes) -> bool:
    """Returns true if this text is one JSON object."""
    try:
        return type(_decode(text)) is dict
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def is_value(text: str | bytes) -> bool:
    """Returns true if this text is one JSON value."""
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def splice(arguments: str) -> tuple[msgspec.Raw, bool]:
    """Converts the text of tool arguments to raw JSON for a protocol that sends objects.

    Returns the JSON and whether the text was an object. Empty text gives `{}`; text that is no JSON object becomes
    `{"input": text}`, which the caller declares as a loss. Line breaks between JSON tokens become spaces, because they
    would end the line of an SSE or NDJSON frame.
    """
    if not arguments.strip():
        return msgspec.Raw(b"{}"), True
    if is_object(arguments):
        return msgspec.Raw(arguments.encode().translate(_ONE_LINE)), True
    return msgspec.Raw(encode({"input": arguments})), False


def renamed(fields: dict[str, Any] | None, names: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Splits fields into those with a name in `names`, under their new names and without nulls, and the rest."""
    if not fields or fields.keys().isdisjoint(names):
        return {}, fields
    known = {names[key]: value for key, value in fields.items() if key in names and value is not None}
    return known, {key: value for key, value in fields.items() if key not in names} or None


def texts_at(body: dict[str, Any], key: str, field: str) -> list[str]:
    """Returns the texts that the objects of a list have in this field; raises Malformed where the list is none."""
    found = need(body, key, list)
    return [item[field] for item in found if type(item) is dict and type(item.get(field)) is str]
