"""YAML that remembers its lines, and the mistakes found in it; it knows no schema.

Only `true` and `false` are booleans, only plain decimals are numbers, and a key may stand once in a mapping.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import yaml
from msgspec import Struct

T = TypeVar("T")
D = TypeVar("D")
Reader = Callable[["Doc", Any, str], T]

SCALARS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), "tf"),
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), "~n\0"),
    ("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), "-0123456789"),
    ("tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?$"), "-0123456789"),
)
"""YAML 1.2's core in place of 1.1's surprises: `no`, `on`, `14:02` and `0777` are strings.

https://yaml.org/spec/1.2.2/#1032-tag-resolution
"""


class Mistake(Struct, frozen=True, order=True):
    """One thing wrong in a file, ready to print."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (yaml's own attribute)


for _tag, _pattern, _first in SCALARS:
    _Loader.add_implicit_resolver(_tag, _pattern, ["" if c == "\0" else c for c in _first])


class Doc:
    """One parsed file: its value, the line of every path in it, and the mistakes so far."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {"$": 1}
        self.mistakes: list[Mistake] = []
        self.value: Any = None
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                self.complain("$", "the file is empty")
            else:
                self.value = self._build(loader, node, "$")
        except yaml.YAMLError as problem:
            mark = getattr(problem, "problem_mark", None)
            what = getattr(problem, "problem", None) or str(problem)
            self.mistakes.append(Mistake(file, mark.line + 1 if mark else 1, f"not YAML: {what}"))
        finally:
            loader.dispose()

    def _build(self, loader: _Loader, node: yaml.Node, path: str) -> Any:
        self.lines[path] = node.start_mark.line + 1
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
                what = f"{where}: this key stands twice, first on line {self.lines[where]}"
                self.mistakes.append(Mistake(self.file, line, what))
                continue
            out[key] = self._build(loader, value_node, where)
            self.lines[where] = key_node.start_mark.line + 1
        return out

    def line(self, path: str) -> int:
        """The line of a path, or of the nearest thing around it."""
        while path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["))]
        return self.lines[path]

    def complain(self, path: str, what: str) -> None:
        self.mistakes.append(Mistake(self.file, self.line(path), f"{path}: {what}"))


class Map:
    """A mapping being read key by key; `close` complains of the keys that nobody knows."""

    def __init__(self, doc: Doc, value: Any, path: str) -> None:
        self.doc = doc
        self.path = path
        self.known: list[str] = []
        self.left: dict[str, Any] = {}
        if isinstance(value, dict):
            self.left = dict(value)
        else:
            doc.complain(path, f"a mapping was wanted, found {shown(value)}")

    def take(self, key: str, read: Reader[T], default: D) -> T | D:
        self.known.append(key)
        return read(self.doc, self.left.pop(key), f"{self.path}.{key}") if key in self.left else default

    def need(self, key: str, read: Reader[T], default: D) -> T | D:
        if key not in self.left:
            self.doc.complain(self.path, f"`{key}` is missing")
        return self.take(key, read, default)

    def close(self) -> None:
        for key in self.left:
            self.doc.complain(f"{self.path}.{key}", f"no such key{did_you_mean(key, self.known)}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to hang on a complaint: the nearest known word, else all of them."""
    words = list(known)
    near = difflib.get_close_matches(word, words, 1)
    return f"; did you mean `{near[0]}`?" if near else f"; known here: {', '.join(words)}"


def shown(value: Any) -> str:
    """A value in few words."""
    kinds = {dict: "a mapping", list: "a list", type(None): "nothing"}
    return kinds.get(type(value), repr(value))


# ---- readers of simple values: each complains and gives something harmless -------------------------------------------


def text(doc: Doc, value: Any, path: str) -> str:
    if not isinstance(value, str):
        doc.complain(path, f"a string was wanted, found {shown(value)}; put quotes around it")
        return ""
    return value


def number(doc: Doc, value: Any, path: str) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        doc.complain(path, f"a number was wanted, found {shown(value)}")
        return 0
    return value


def whole(doc: Doc, value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        doc.complain(path, f"a whole number was wanted, found {shown(value)}")
        return 0
    return value


def flag(doc: Doc, value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        doc.complain(path, f"true or false was wanted, found {shown(value)}")
        return False
    return value


def mapping(doc: Doc, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        doc.complain(path, f"a mapping was wanted, found {shown(value)}")
        return {}
    return value


def anything(doc: Doc, value: Any, path: str) -> Any:
    return value


def each(read: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list whose items `read` reads."""

    def listed(doc: Doc, value: Any, path: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            doc.complain(path, f"a list was wanted, found {shown(value)}")
            return ()
        return tuple(read(doc, item, f"{path}[{at}]") for at, item in enumerate(value))

    return listed


def keyed(read: Reader[T]) -> Reader[dict[str, T]]:
    """A mapping of any keys whose values `read` reads."""

    def table(doc: Doc, value: Any, path: str) -> dict[str, T]:
        return {key: read(doc, item, f"{path}.{key}") for key, item in mapping(doc, value, path).items()}

    return table


def texts(doc: Doc, value: Any, path: str) -> tuple[str, ...]:
    """One string, or a list of them."""
    return (value,) if isinstance(value, str) else each(text)(doc, value, path)


def one_of(*words: str) -> Reader[str]:
    """One of the words."""

    def chosen(doc: Doc, value: Any, path: str) -> str:
        if value not in words:
            doc.complain(path, f"{shown(value)} is not one of {', '.join(words)}{_near(value, words)}")
            return words[0]
        return str(value)

    return chosen


def _near(value: Any, words: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(value), words, 1)
    return f"; did you mean `{near[0]}`?" if near else ""
