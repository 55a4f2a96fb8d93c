"""YAML reader with line numbers that collects mistakes instead of raising; independent of the schema.

Only `true` and `false` are booleans, only plain decimals are numbers, and duplicate keys are mistakes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import yaml
from msgspec import Struct

T = TypeVar("T")
D = TypeVar("D")
Reader = Callable[["YamlDocument", Any, str], T]

SCALARS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), "tf"),
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), "~n\0"),
    ("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), "-0123456789"),
    ("tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?$"), "-0123456789"),
)
"""Tag, pattern and first characters of each scalar type of the YAML 1.2 core schema.

Unlike in YAML 1.1, `no`, `on`, `14:02` and `0777` are strings.

https://yaml.org/spec/1.2.2/#1032-tag-resolution
"""


VALUE_LIMIT = 100_000
"""Maximum number of values of one file: a few aliases of aliases would otherwise expand to billions."""


class Mistake(Struct, frozen=True, order=True):
    """A mistake in a file, printed as `file:line: message`."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (yaml's own attribute)


for _tag, _pattern, _first in SCALARS:
    _Loader.add_implicit_resolver(_tag, _pattern, ["" if c == "\0" else c for c in _first])


class YamlDocument:
    """A parsed file: its value, the line of every path, and the mistakes found so far."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {"$": 1}
        self.mistakes: list[Mistake] = []
        self.value: Any = None
        self.opened: list[YamlMapping] = []
        """Every mapping that was read by its keys, for the JSON Schema of a file."""
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                self.complain("$", "the file is empty")
            else:
                self.value = self._build(loader, node, "$")
        except yaml.YAMLError as problem:
            mark = getattr(problem, "problem_mark", None)
            message = getattr(problem, "problem", None) or str(problem)
            self.mistakes.append(Mistake(file, mark.line + 1 if mark else 1, f"invalid YAML: {message}"))
        except RecursionError:
            self.mistakes.append(Mistake(file, 1, "invalid YAML: nested too deeply, or an alias within its own anchor"))
        finally:
            loader.dispose()

    def _build(self, loader: _Loader, node: yaml.Node, path: str) -> Any:
        self.lines[path] = node.start_mark.line + 1
        if len(self.lines) > VALUE_LIMIT:
            message = f"more than {VALUE_LIMIT} values, counting each use of an alias"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, child, f"{path}[{at}]") for at, child in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return loader.construct_object(node)
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            where = f"{path}.{key}"
            if not isinstance(key_node, yaml.ScalarNode):
                self.complain(path, "a key must be a plain string")
                continue
            if key in out:
                line = key_node.start_mark.line + 1
                message = f"{where}: duplicate key, first defined on line {self.lines[where]}"
                self.mistakes.append(Mistake(self.file, line, message))
                continue
            out[key] = self._build(loader, value_node, where)
            self.lines[where] = key_node.start_mark.line + 1
        return out

    def line(self, path: str) -> int:
        """Returns the line of a path, or of its nearest enclosing path."""
        while path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["))]
        return self.lines[path]

    def complain(self, path: str, message: str) -> None:
        """Adds a mistake at a path."""
        self.mistakes.append(Mistake(self.file, self.line(path), f"{path}: {message}"))


class YamlMapping:
    """Reads a mapping key by key; `close` reports the keys that were not read as unknown."""

    def __init__(self, doc: YamlDocument, value: Any, path: str) -> None:
        self.doc = doc
        self.path = path
        self.readers: dict[str, Reader[Any]] = {}
        self.required: list[str] = []
        self.remaining: dict[str, Any] = {}
        doc.opened.append(self)
        if isinstance(value, dict):
            self.remaining = dict(value)
        else:
            doc.complain(path, f"expected a mapping, found {describe(value)}")

    def take(self, key: str, read: Reader[T], default: D) -> T | D:
        """Reads an optional key; returns `default` if it is missing."""
        self.readers[key] = read
        return read(self.doc, self.remaining.pop(key), f"{self.path}.{key}") if key in self.remaining else default

    def require(self, key: str, read: Reader[T], default: D) -> T | D:
        """Reads a required key; a missing key is a mistake, and the result is `default`."""
        self.required.append(key)
        if key not in self.remaining:
            self.doc.complain(self.path, f"`{key}` is missing")
        return self.take(key, read, default)

    def close(self) -> None:
        """Reports every key that was not read."""
        for key in self.remaining:
            self.doc.complain(f"{self.path}.{key}", f"unknown key{did_you_mean(key, self.readers)}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns a hint for a message: the most similar known word, else the list of known words."""
    words = list(known)
    return _suggestion(word, words) or f"; known: {', '.join(words)}"


def describe(value: Any) -> str:
    """Describes a value for a message."""
    kinds = {dict: "a mapping", list: "a list", type(None): "nothing"}
    return kinds.get(type(value), repr(value))


# ---- readers of simple values: each reports a wrong type and returns an empty value ----------------------------------


def string(doc: YamlDocument, value: Any, path: str) -> str:
    """Reads a string."""
    if not isinstance(value, str):
        doc.complain(path, f"expected a string, found {describe(value)}; put quotes around it")
        return ""
    return value


def number(doc: YamlDocument, value: Any, path: str) -> float | int:
    """Reads an integer or a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        doc.complain(path, f"expected a number, found {describe(value)}")
        return 0
    return value


def integer(doc: YamlDocument, value: Any, path: str) -> int:
    """Reads an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        doc.complain(path, f"expected an integer, found {describe(value)}")
        return 0
    return value


def boolean(doc: YamlDocument, value: Any, path: str) -> bool:
    """Reads a boolean."""
    if not isinstance(value, bool):
        doc.complain(path, f"expected true or false, found {describe(value)}")
        return False
    return value


def mapping(doc: YamlDocument, value: Any, path: str) -> dict[str, Any]:
    """Reads a mapping of string keys to any values."""
    if not isinstance(value, dict):
        doc.complain(path, f"expected a mapping, found {describe(value)}")
        return {}
    return value


def nothing(doc: YamlDocument, value: Any, path: str) -> None:
    """Reads an empty value."""
    if value is not None:
        doc.complain(path, f"expected nothing, found {describe(value)}")


def anything(doc: YamlDocument, value: Any, path: str) -> Any:
    """Returns the value unchecked."""
    return value


class ListOf(Struct, Generic[T], frozen=True):
    """Reader of lists whose items are read by `read`."""

    read: Reader[T]

    def __call__(self, doc: YamlDocument, value: Any, path: str) -> tuple[T, ...]:
        """Reads a list."""
        if not isinstance(value, list):
            doc.complain(path, f"expected a list, found {describe(value)}")
            return ()
        return tuple(self.read(doc, item, f"{path}[{at}]") for at, item in enumerate(value))


class MappingOf(Struct, Generic[T], frozen=True):
    """Reader of mappings whose values are read by `read`, with any keys, or with keys that are among `names`."""

    read: Reader[T]
    names: tuple[str, ...] = ()

    def __call__(self, doc: YamlDocument, value: Any, path: str) -> dict[str, T]:
        """Reads a mapping."""
        found = {}
        for key, item in mapping(doc, value, path).items():
            if self.names:
                one_of(*self.names)(doc, key, f"{path}.{key}")
            found[key] = self.read(doc, item, f"{path}.{key}")
        return found


class OneOf(Struct, frozen=True):
    """Reader of one of the words."""

    words: tuple[str, ...]

    def __call__(self, doc: YamlDocument, value: Any, path: str) -> str:
        """Reads a word."""
        if value not in self.words:
            expected = ", ".join(self.words)
            doc.complain(path, f"{describe(value)} is not one of {expected}{_suggestion(value, self.words)}")
            return self.words[0]
        return str(value)


class OneKey(Struct, Generic[T], frozen=True):
    """Reader of mappings of one key, which says how its value is read; a plain string is the value of `text`.

    `empty` is the result of a value that is no such mapping.
    """

    readers: dict[str, Reader[T]]
    empty: T

    def __call__(self, doc: YamlDocument, value: Any, path: str) -> T:
        """Reads a mapping of one key."""
        if isinstance(value, str) and "text" in self.readers:
            return self.readers["text"](doc, value, path)
        if not isinstance(value, dict) or len(value) != 1:
            doc.complain(path, f"expected a mapping of one key ({', '.join(self.readers)}), found {describe(value)}")
            return self.empty
        ((word, inner),) = value.items()
        if word not in self.readers:
            one_of(*self.readers)(doc, word, f"{path}.{word}")
            return self.empty
        return self.readers[word](doc, inner, f"{path}.{word}")


def list_of(read: Reader[T]) -> ListOf[T]:
    """Returns a reader of lists whose items are read by `read`."""
    return ListOf(read)


def mapping_of(read: Reader[T], *names: str) -> MappingOf[T]:
    """Returns a reader of mappings whose values are read by `read`; with `names` the keys must be among them."""
    return MappingOf(read, names)


def one_of(*words: str) -> OneOf:
    """Returns a reader of one of the given words."""
    return OneOf(words)


def string_list(doc: YamlDocument, value: Any, path: str) -> tuple[str, ...]:
    """Reads one string or a list of strings."""
    return (value,) if isinstance(value, str) else list_of(string)(doc, value, path)


# ---- what a reader takes, where its calls alone do not tell ----------------------------------------------------------


class Shape(Struct, frozen=True):
    """The values that a reader takes: those of any of the `readers`, within the bounds of `also`, a JSON Schema.

    Without `readers` it takes a mapping of the keys that it reads.
    """

    readers: tuple[Reader[Any], ...]
    also: dict[str, Any]


SHAPES: dict[Reader[Any], Shape] = {}
"""The shape of each reader that chooses by the kind of its value, or checks more than the kind."""


def takes(*readers: Reader[Any], **also: Any) -> Callable[[Reader[T]], Reader[T]]:
    """Returns a decorator that declares the shape of a reader."""

    def declare(read: Reader[T]) -> Reader[T]:
        SHAPES[read] = Shape(readers, also)
        return read

    return declare


def _suggestion(value: Any, words: Sequence[str]) -> str:
    """Returns a hint that names the most similar word, empty if none is similar."""
    near = difflib.get_close_matches(str(value), words, 1)
    return f"; did you mean `{near[0]}`?" if near else ""
