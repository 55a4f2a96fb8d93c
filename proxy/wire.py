"""Reading and writing JSON objects: bytes to a dict, and typed pops that leave what nobody asked for.

It knows JSON's faults and no dialect's words. A decoder owns its dict and pops what it knows; what is left is `own`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, overload

import msgspec

from .errors import Malformed

T = TypeVar("T")

_decode = msgspec.json.Decoder().decode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
encode = msgspec.json.encode
"""A JSON value as compact UTF-8 bytes."""

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
    """The JSON value of these bytes; every fault (empty, cut, bad UTF-8, NaN, too deep) is a Malformed."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise Malformed("", f"not valid JSON: {fault}") from None
    except RecursionError:
        raise Malformed("", "not valid JSON: nested too deeply") from None


def parse_object(body: bytes | memoryview | str) -> dict[str, Any]:
    """The JSON object of these bytes."""
    value = parse(body)
    if type(value) is not dict:
        raise Malformed("", f"must be a JSON object, is {describe(value)}")
    return value


def raw_object(body: bytes) -> dict[str, msgspec.Raw]:
    """The top-level keys of a JSON object, their values untouched."""
    try:
        return _decode_raw(body)
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise Malformed("", f"not valid JSON: {fault}") from None
    except RecursionError:
        raise Malformed("", "not valid JSON: nested too deeply") from None


def describe(value: object) -> str:
    """What kind of JSON value this is, for an error text."""
    if value is None:
        return "null"
    return _TYPE_NAMES.get(type(value), "something else")


@overload
def take(d: dict[str, Any], key: str, kind: type[T]) -> T | None: ...
@overload
def take(d: dict[str, Any], key: str, kind: type[T], default: T) -> T: ...
def take(d: dict[str, Any], key: str, kind: type[T], default: T | None = None) -> T | None:
    """Pop an optional value of this type; absent and null are the default. An integer passes for a float."""
    value = d.pop(key, None)
    if value is None:
        return default
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return cast(T, value)
    raise Malformed(key, f"must be {_TYPE_NAMES[kind]}, is {describe(value)}")


def need(d: dict[str, Any], key: str, kind: type[T]) -> T:
    """Pop a value of this type that must be there."""
    value = take(d, key, kind)
    if value is None:
        raise Malformed(key, f"is required and must be {_TYPE_NAMES[kind]}")
    return value


def each(items: list[Any], where: str, decode: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
    """Decode every object of a list; a fault says which one it was."""
    out = []
    for index, item in enumerate(items):
        if type(item) is not dict:
            raise Malformed(f"{where}[{index}]", f"must be an object, is {describe(item)}")
        try:
            out.append(decode(item))
        except Malformed as fault:
            raise fault.under(f"{where}[{index}]") from None
    return tuple(out)


def strings(d: dict[str, Any], key: str) -> tuple[str, ...]:
    """Pop a string or a list of strings as a tuple; absent and null are empty."""
    value = d.pop(key, None)
    if value is None:
        return ()
    if type(value) is str:
        return (value,)
    if type(value) is list and all(type(item) is str for item in value):
        return tuple(value)
    raise Malformed(key, "must be a string or an array of strings")


def is_object(text: str) -> bool:
    """Whether this text is one JSON object."""
    try:
        return type(_decode(text)) is dict
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def splice(arguments: str) -> tuple[msgspec.Raw, bool]:
    """Tool arguments for a dialect that sends objects: the text as it stands, and whether it was one object.

    No text is `{}`; text that is no JSON object becomes `{"input": text}`, which the caller declares as a loss.
    Line ends, which JSON has only between its tokens, become blanks: in a frame they would end the line.
    """
    if not arguments.strip():
        return msgspec.Raw(b"{}"), True
    if is_object(arguments):
        return msgspec.Raw(arguments.encode().translate(_ONE_LINE)), True
    return msgspec.Raw(encode({"input": arguments})), False


def renamed(fields: dict[str, Any] | None, names: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The fields that these names are of, under the names that they stand for, and the others as they are."""
    if not fields or fields.keys().isdisjoint(names):
        return {}, fields
    known = {names[key]: value for key, value in fields.items() if key in names and value is not None}
    return known, {key: value for key, value in fields.items() if key not in names} or None
