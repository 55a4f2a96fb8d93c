"""A JSON object being read: what was taken of it and what was not understood; it knows no dialect."""

from __future__ import annotations

from typing import Any, TypeVar

from .contract import Malformed

T = TypeVar("T")


class Obj:
    """Takes keys out of an object by type; `close` reports the keys that nobody took into `extra`, by path.

    A null counts as absent, as it does for the providers. Every method raises `Malformed` for a value of a wrong type.
    """

    def __init__(self, value: Any, path: str, extra: dict[str, Any]) -> None:
        if not isinstance(value, dict):
            raise Malformed(path, f"an object was wanted, found {named(value)}")
        self._left = dict(value)
        self.path = path
        self.extra = extra

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are still there."""
        return tuple(self._left)

    def _take(self, key: str, kind: type[T] | tuple[type[T], ...], word: str) -> T | None:
        value = self._left.pop(key, None)
        if value is None:
            return None
        # True is an int in Python, never on the wire.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Malformed(f"{self.path}.{key}", f"{word} was wanted, found {named(value)}")
        return value

    def peek(self, key: str) -> Any:
        """The value without taking it."""
        return self._left.get(key)

    def text(self, key: str) -> str | None:
        return self._take(key, str, "a string")

    def flag(self, key: str) -> bool | None:
        return self._take(key, bool, "true or false")

    def whole(self, key: str) -> int | None:
        value = self.number(key)
        if isinstance(value, float):
            if not value.is_integer():
                raise Malformed(f"{self.path}.{key}", f"a whole number was wanted, found {value}")
            return int(value)
        return value

    def number(self, key: str) -> float | int | None:
        return self._take(key, (int, float), "a number")

    def dict(self, key: str) -> dict[str, Any] | None:
        return self._take(key, dict, "an object")

    def list(self, key: str) -> list[Any] | None:
        return self._take(key, list, "an array")

    def any(self, key: str) -> Any:
        return self._left.pop(key, None)

    def obj(self, key: str) -> Obj | None:
        value = self.dict(key)
        return None if value is None else Obj(value, f"{self.path}.{key}", self.extra)

    def objs(self, key: str) -> tuple[Obj, ...]:
        return tuple(Obj(item, f"{self.path}.{key}[{at}]", self.extra) for at, item in enumerate(self.list(key) or []))

    def need(self, key: str) -> Obj:
        """Checks that the key is there; the taking follows: `obj.need("role").text("role")`."""
        if self._left.get(key) is None:
            raise Malformed(f"{self.path}.{key}", "is missing")
        return self

    def drop(self, key: str, *defaults: Any) -> None:
        """Takes a key whose value asks only for the default; any other value stays and is reported."""
        if key in self._left and any(self._left[key] == d and type(self._left[key]) is type(d) for d in defaults):
            del self._left[key]

    def close(self) -> None:
        for key, value in self._left.items():
            if value is not None:
                self.extra[f"{self.path}.{key}"] = value
        self._left = {}


def named(value: Any) -> str:
    """A value in words for a complaint: its JSON type, and itself when short."""
    words = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    word = words.get(type(value), "a number")
    shown = repr(value)
    return f"{word} ({shown})" if isinstance(value, str | int | float) and len(shown) < 40 else word
