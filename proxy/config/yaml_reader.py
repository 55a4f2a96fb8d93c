"""Typed access to YAML nodes with their line numbers; all errors are collected and raised together.

No error message repeats a value that could be a secret. This is the proxy's only YAML parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any, TypeVar

import yaml

from ..errors import ConfigError

T = TypeVar("T")

ALIASES: dict[str, str] = {
    "address": "listen",
    "admin": "admin_key",
    "api_base": "base_url",
    "apikey": "api_key",
    "endpoint": "base_url",
    "host": "listen",
    "key": "api_key",
    "model": "default_model",
    "model_map": "models",
    "model_mapping": "models",
    "port": "listen",
    "provider_name": "provider",
    "providers": "backends",
    "timeout": "read_timeout_s",
    "token": "api_key",
    "type": "protocol",
    "url": "base_url",
}
"""Names that other tools use, and the key that means the same here; for suggestions."""

FORBIDDEN_IN_NAMES = re.compile(r"[\x00-\x1f\x7f]|^\s|\s$")
"""Matches what names, keys and headers must not contain: control characters and surrounding white space."""

INVALID_KEY = "is empty or not ASCII, or has white space or a line break; give the bare key"
"""Error message for a credential that cannot be sent in a header."""

_REFERENCE = re.compile(r"(\$?)\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\})?")
_SHOWABLE = re.compile(r"[\w./:*${}-]{1,40}", re.ASCII)
_LIKE_A_KEY = re.compile(r"g?sk[-_]|AIza|Bearer|eyJ|(?=[^A-Z]*[A-Z])(?=\D*[0-9])[A-Za-z0-9_-]{24,}")
_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[re.Pattern[str], str]] = {
    f"{_TAG}bool": (re.compile(r"^(?:true|false)$"), "tf"),
    f"{_TAG}int": (re.compile(r"^[-+]?[0-9]+$"), "-+0123456789"),
    f"{_TAG}float": (re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=e))(?:e[-+]?[0-9]+)?$"), "-+.0123456789"),
    f"{_TAG}null": (re.compile(r"^(?:~|null|)$"), "~n"),
}
"""Patterns of plain scalars that are not text: `yes`, `off`, `1_000`, `0x10`, `1:30` and dates are text here."""

_KINDS: dict[str, str] = {
    "str": "text",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "null": "empty",
}


class _Loader(yaml.SafeLoader):
    """Loader of which only the composer is used: nodes with their marks, no constructed values."""


_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, [*_first, ""])


class ConfigReader:
    """Reads values of the wanted types from YAML nodes, and collects the errors.

    A method returns None (or an empty collection) for an unusable value.
    """

    def __init__(self, file: str, env: Mapping[str, str]) -> None:
        self.file = file
        self.env = env
        self.complaints: list[tuple[int, str]] = []
        self.flag_complaints: list[str] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.key_lines: dict[tuple[str, str], int] = {}
        """Path of a mapping and a key in it, to the line of the key."""
        self.origins: dict[str, str] = {}
        """Top-level key to the source of its value, if that is not the file."""
        self.secret_sources: list[Any] = []
        """The files and commands that secrets came from."""
        self.locations: dict[str, tuple[int, str]] = {}
        """Backend to the line and the path of its base URL, which is checked after everything is read."""

    def complain(self, at: yaml.Node | int, path: str, what: str) -> None:
        """Adds an error message for the value at this node or line."""
        line = at if isinstance(at, int) else line_of(at)
        self.complaints.append((line, self._message(line, path, what)))

    def warn(self, at: yaml.Node, path: str, what: str) -> None:
        """Adds a warning about the value at this node."""
        self.warnings.append(self._message(line_of(at), path, what))

    def note(self, at: yaml.Node, path: str, what: str) -> None:
        """Adds a note about the value at this node, which is right but may not mean what was meant."""
        self.notes.append(self._message(line_of(at), path, what))

    def _message(self, line: int, path: str, what: str) -> str:
        where = self.origins.get(re.split(r"[.\[]", path, maxsplit=1)[0])
        if where is None:
            where = f"{self.file}:{line}" if line else self.file
        return f"{where}: {path}: {what}" if path else f"{where}: {what}"

    def finish(self) -> None:
        """Raises ConfigError with all error messages in line order, if there are any."""
        messages = [text for _, text in sorted(self.complaints, key=lambda entry: entry[0])] + self.flag_complaints
        if messages:
            raise ConfigError(list(dict.fromkeys(messages)))

    def compose(self, text: str, path: str = "") -> yaml.Node | None:
        """Parses YAML to a tree of nodes; returns None, with an error, where it is invalid or empty."""
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            # PyYAML repeats the names of aliases and anchors, and an unquoted secret may look like one
            problem = re.sub(r"(alias|anchor|handle) .*", r"\1", error.problem or "cannot be read")
            self.complain(
                0 if mark is None else mark.line + 1, path, f"invalid YAML: {problem}; fix it, or quote the value"
            )
            return None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, int(error.position)) + 1
            self.complain(line, path, "invalid YAML: contains a forbidden character; remove it")
            return None
        except RecursionError:
            self.complain(1, path, "is nested too deeply; a config has four levels")
            return None
        if root is None:
            wanted = "give a value" if path else "name at least one backend under backends"
            self.complain(1, path, f"is empty; {wanted}")
        return root

    def mapping(
        self, node: yaml.Node, path: str, known: Collection[str] | None, wanted: str = "a mapping"
    ) -> dict[str, yaml.Node]:
        """Returns the values of a mapping by key; with `known`, every other key is an error."""
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, path, f"is {kind_of(node)}; give {wanted}")
            return {}
        found: dict[str, yaml.Node] = {}
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value == "":
                self.complain(key, path, "has a key that is not a name; write it as name: value")
                continue
            name = key.value
            first = self.key_lines.setdefault((path, name), line_of(key))
            if "${" in name:
                self.complain(key, child_path(path, name), "has a ${…} in its name; they are resolved in values only")
            if name in seen:
                self.complain(key, child_path(path, name), f"duplicate key, first on line {first}; keep one of them")
            elif known is not None and name not in known:
                self.complain(key, child_path(path, name), f"unknown key; {did_you_mean(name, known)}")
            else:
                found[name] = value
            seen.add(name)
        return found

    def scalar(self, node: yaml.Node, path: str, wanted: str) -> str | None:
        """Returns the text of a scalar of any type, with `${…}` references resolved."""
        if not isinstance(node, yaml.ScalarNode) or self._tag(node) == "null":
            self.complain(node, path, f"is {kind_of(node)}; {wanted}")
            return None
        if self._tag(node) not in _KINDS:
            self.complain(node, path, f"has a YAML tag, which is not supported; {wanted}")
            return None
        if "${" not in node.value:
            return str(node.value)
        missing = False

        def resolve(match: re.Match[str]) -> str:
            nonlocal missing
            escaped, name, has_default, default = match.groups()
            if escaped:
                return match[0][1:]
            if name is None:
                self.complain(node, path, "has a ${ that is not ${NAME} or ${NAME:-default}; fix it, or write $${")
                missing = True
                return ""
            if has_default:
                return self.env.get(name) or str(default)
            if name not in self.env:
                what = f"${{{name}}} is not set; set the variable {name}, or give a default as ${{{name}:-default}}"
                self.complain(node, path, what)
                missing = True
                return ""
            return self.env[name]

        text = _REFERENCE.sub(resolve, node.value)
        return None if missing else text

    def text(self, node: yaml.Node, path: str, wanted: str = "give text") -> str | None:
        """Returns the text of a scalar that is no unquoted number or boolean, with references resolved."""
        if isinstance(node, yaml.ScalarNode) and self._tag(node) in ("int", "float", "bool"):
            self.complain(node, path, f"is {kind_of(node)}, not text; put it in quotes")
            return None
        return self.scalar(node, path, wanted)

    def number(self, node: yaml.Node, path: str, low: float | None) -> float | None:
        """Returns a finite number of at least `low`."""
        wanted = "a number" if low is None else f"a number of at least {low:g}"
        return self._number_of_kind(node, path, float, ("int", "float"), low, wanted)

    def integer(self, node: yaml.Node, path: str, low: int | None) -> int | None:
        """Returns an integer of at least `low`."""
        wanted = "a whole number" if low is None else f"a whole number of at least {low}"
        return self._number_of_kind(node, path, int, ("int",), low, wanted)

    def _number_of_kind(
        self,
        node: yaml.Node,
        path: str,
        make: Callable[[str], T],
        kinds: tuple[str, ...],
        low: float | None,
        wanted: str,
    ) -> T | None:
        text = self.scalar(node, path, f"give {wanted}")
        if text is None:
            return None
        fits = self._is(node, text, *kinds) and len(text) < 20
        if not fits or not isfinite(float(text)) or (low is not None and float(text) < low):
            self.complain(node, path, f"is not {wanted}; give {wanted}, without quotes")
            return None
        return make(text)

    def flag(self, node: yaml.Node, path: str, wanted: str = "give true or false") -> bool | None:
        """Returns the boolean of an unquoted `true` or `false`."""
        text = self.scalar(node, path, wanted)
        if text is None:
            return None
        if not self._is(node, text, "bool"):
            self.complain(node, path, f"is not true or false; {wanted}, without quotes")
            return None
        return text == "true"

    def choice(self, node: yaml.Node, path: str, allowed: Iterable[T], wanted: str | None = None) -> T | None:
        """Returns the one of the `allowed` values that the text names."""
        words = {str(word): word for word in allowed}
        text = self.scalar(node, path, wanted or f"give one of {', '.join(words)}")
        if text is None:
            return None
        if text not in words:
            messages = quote_safely(node.value if isinstance(node, yaml.ScalarNode) else "")
            self.complain(node, path, f"{messages} is unknown; {wanted or did_you_mean(text, words)}")
        return words.get(text)

    def text_list(self, node: yaml.Node, path: str, allowed: Collection[str] | None) -> list[str]:
        """Returns a list of distinct texts, each one of `allowed`; None allows any, if the set is not known."""
        if not isinstance(node, yaml.SequenceNode):
            self.complain(node, path, f"is {kind_of(node)}; give a list")
            return []
        found: list[str] = []
        for index, item in enumerate(node.value):
            here = f"{path}[{index}]"
            word = self.text(item, here) if allowed is None else self.choice(item, here, allowed)
            if word in found:
                self.complain(item, here, f"{quote_safely(str(word))} is listed twice; keep one of them")
            elif word is not None:
                found.append(word)
        return found

    def _tag(self, node: yaml.ScalarNode) -> str:
        return str(node.tag).removeprefix(_TAG)

    def _is(self, node: yaml.Node, text: str, *kinds: str) -> bool:
        """Returns true if the text has one of these YAML types and is not quoted."""
        plain = isinstance(node, yaml.ScalarNode) and (node.style is None or "${" in node.value)
        return plain and any(_SCALARS[_TAG + kind][0].fullmatch(text) for kind in kinds)


def is_valid_key(text: str) -> bool:
    """Returns true if the text can be sent in a header as a credential."""
    return re.fullmatch(r"[!-~]+", text) is not None


def line_of(node: yaml.Node) -> int:
    """Returns the line where the node begins, counted from 1."""
    return int(node.start_mark.line) + 1


def kind_of(node: yaml.Node) -> str:
    """Returns the kind of a node for error messages, never its value."""
    if isinstance(node, yaml.ScalarNode):
        return _KINDS.get(str(node.tag).removeprefix(_TAG), "tagged")
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def child_path(path: str, key: str) -> str:
    """Returns the path of a key for error messages; one that looks like a credential is masked."""
    if _LIKE_A_KEY.match(key):
        key = "…"
    step = key if re.fullmatch(r"[\w./:@*+…-]{1,80}", key) else repr(key[:40])
    return f"{path}.{step}" if path else step


def quote_safely(text: str) -> str:
    """Quotes a word for an error message; long or unusual text and text that looks like a key is not repeated."""
    return repr(text) if _SHOWABLE.fullmatch(text) and not _LIKE_A_KEY.match(text) else "(value not shown)"


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Returns a hint for an unknown word: the most similar known one, else all known ones."""
    near = [ALIASES[word]] if ALIASES.get(word) in known else get_close_matches(word, known, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(known)}" if known else "none is defined"
