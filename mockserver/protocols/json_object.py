"""Typed reader of a JSON object that records the keys left unread; independent of protocol."""

from __future__ import annotations

from typing import Any, TypeVar

from .protocol import MalformedRequest

T = TypeVar("T")


class JsonObject:
    """Takes keys out of an object by type; `close` adds the remaining keys to `extra`, by path.

    A null counts as absent, as it does for the providers. A value of the wrong type raises `MalformedRequest`.
    """

    def __init__(self, value: Any, path: str, extra: dict[str, Any]) -> None:
        if not isinstance(value, dict):
            raise MalformedRequest(path, f"expected an object, found {describe_json(value)}")
        self._remaining = dict(value)
        self.path = path
        self.extra = extra

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys not taken yet."""
        return tuple(self._remaining)

    def _take(self, key: str, kind: type[T] | tuple[type[T], ...], word: str) -> T | None:
        value = self._remaining.pop(key, None)
        if value is None:
            return None
        # True is an int in Python, but not in JSON.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise MalformedRequest(f"{self.path}.{key}", f"expected {word}, found {describe_json(value)}")
        return value

    def peek(self, key: str) -> Any:
        """Returns a value without taking its key."""
        return self._remaining.get(key)

    def string(self, key: str) -> str | None:
        """Takes a string."""
        return self._take(key, str, "a string")

    def boolean(self, key: str) -> bool | None:
        """Takes a boolean."""
        return self._take(key, bool, "true or false")

    def integer(self, key: str) -> int | None:
        """Takes an integer; a float without a fraction is accepted."""
        value = self.number(key)
        if isinstance(value, float):
            if not value.is_integer():
                raise MalformedRequest(f"{self.path}.{key}", f"expected an integer, found {value}")
            return int(value)
        return value

    def number(self, key: str) -> float | int | None:
        """Takes an integer or a float."""
        return self._take(key, (int, float), "a number")

    def dict(self, key: str) -> dict[str, Any] | None:
        """Takes an object as a plain dict."""
        return self._take(key, dict, "an object")

    def list(self, key: str) -> list[Any] | None:
        """Takes an array."""
        return self._take(key, list, "an array")

    def strings(self, key: str) -> tuple[str, ...]:
        """Takes an array of strings; a single string counts as an array of one."""
        value = self.any(key)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise MalformedRequest(f"{self.path}.{key}", "expected a string or an array of strings")

    def any(self, key: str) -> Any:
        """Takes a value of any type, also null."""
        return self._remaining.pop(key, None)

    def object(self, key: str) -> JsonObject | None:
        """Takes an object as a reader of its own, which the caller must close."""
        value = self.dict(key)
        return None if value is None else JsonObject(value, f"{self.path}.{key}", self.extra)

    def objects(self, key: str) -> tuple[JsonObject, ...]:
        """Takes an array of objects; a missing one is empty."""
        return tuple(
            JsonObject(item, f"{self.path}.{key}[{at}]", self.extra) for at, item in enumerate(self.list(key) or [])
        )

    def require(self, key: str) -> JsonObject:
        """Checks that a key exists, without taking it: `obj.require("role").string("role")`."""
        if self._remaining.get(key) is None:
            raise MalformedRequest(f"{self.path}.{key}", "is missing")
        return self

    def drop(self, key: str, *defaults: Any) -> None:
        """Takes a key if its value is one of the defaults; any other value stays and is recorded by `close`."""
        if key in self._remaining and any(
            self._remaining[key] == d and type(self._remaining[key]) is type(d) for d in defaults
        ):
            del self._remaining[key]

    def close(self) -> None:
        """Records the keys not taken in `extra`."""
        for key, value in self._remaining.items():
            if value is not None:
                self.extra[f"{self.path}.{key}"] = value
        self._remaining = {}


def describe_json(value: Any) -> str:
    """Describes a value for a message: its JSON type, and the value itself if it is short."""
    words = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    word = words.get(type(value), "a number")
    shown = repr(value)
    return f"{word} ({shown})" if isinstance(value, str | int | float) and len(shown) < 40 else word
