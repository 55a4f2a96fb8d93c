"""Finds the project's commands in shell blocks, and checks them against the real argument parsers."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

from ..source_tree import ROOT
from .markdown import Block

SHELL = ("sh", "console")
"""The languages of blocks that hold commands."""

_OPERATORS = re.compile(r"[|&;()]+")
_REDIRECTION = re.compile(r"&?[<>]+&?")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


SCRIPTS: dict[str, str] = project()["scripts"]
"""Console command to `module:function`."""

ALIASES = {"./run-matrix.sh": "crosswire-matrix"}
"""Scripts of the checkout, and the command whose flags they take."""


class _Parsed(Exception):
    """The arguments were accepted."""


def main_of(command: str) -> Callable[[Sequence[str]], int]:
    """The function of a console command."""
    module, _, name = SCRIPTS[command].partition(":")
    function: Callable[[Sequence[str]], int] = getattr(import_module(module), name)
    return function


def argument_error(words: Sequence[str]) -> str | None:
    """The parser's message where it refuses these words, the first of which is the command; None if it takes them."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *args: Any, **keys: Any) -> argparse.Namespace:
        found: argparse.Namespace = parse(self, *args, **keys)
        if not hasattr(found, "rest"):  # what is left for the parser of the store's commands
            raise _Parsed
        return found

    main, output = main_of(ALIASES.get(words[0], words[0])), io.StringIO()
    with (
        patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop),
        contextlib.redirect_stderr(output),
        contextlib.redirect_stdout(output),
    ):
        try:
            code: object = main(list(words[1:]))
        except _Parsed:
            return None
        except SystemExit as end:
            code = end.code
    return None if code in (0, None) else output.getvalue().strip().rpartition("\n")[2]


def command_lines(block: Block) -> list[str]:
    """The commands of a block: of `console` those behind a `$`, each with the lines that continue it."""
    if block.language == "sh":
        return _joined(block.text.splitlines())
    lines, commands = block.text.splitlines(), []
    for at, line in enumerate(lines):
        if line.startswith("$ "):
            commands.append(_joined([line[2:], *lines[at + 1 :]])[0])
    return commands


def _joined(lines: Sequence[str]) -> list[str]:
    """Puts the lines that end in a backslash, or within quotes, together with those after them."""
    commands, open_lines = [], ""
    for line in lines:
        open_lines += line
        if line.endswith("\\") or _is_open(open_lines):
            open_lines += "\n"
            continue
        if open_lines.strip():
            commands.append(open_lines)
        open_lines = ""
    return [*commands, open_lines] if open_lines.strip() else commands


def _is_open(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def simple_commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line, without assignments and redirections."""
    lexer = shlex.shlex(line.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    skip = False
    for token in [*lexer, ";"]:
        if _OPERATORS.fullmatch(token):
            while words and _ASSIGNMENT.match(words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
        elif _REDIRECTION.fullmatch(token):
            skip = True
            if words and words[-1].isdigit():
                words.pop()
        elif skip:
            skip = False
        else:
            words.append(token)


def wrong_commands(block: Block) -> list[str]:
    """Every command of this block that does not exist as it is written."""
    wrong = []
    for line in command_lines(block):
        for words in simple_commands(line):
            if (what := _error(words)) is not None:
                wrong.append(f"{block.place}: {' '.join(words)}: {what}")
    return wrong


def _error(words: list[str]) -> str | None:
    if ALIASES.get(words[0], words[0]) in SCRIPTS:
        return argument_error(words)
    if words[0].startswith("crosswire"):
        return f"no such command; there are {', '.join(SCRIPTS)}"
    if words[0].startswith("./") and not (ROOT / words[0]).exists():
        return "no such file"
    if "python" in words[0] and words[1:2] == ["-m"] and not _has_module(words[2]):
        return f"no module {words[2]}"
    if words[0].endswith("pip") and words[1:2] == ["install"]:
        asked = {extra for word in words for extra in re.findall(r"(?:crosswire|^\.)\[([\w,]+)\]", word)}
        known = set(project()["optional-dependencies"])
        missing = {name for names in asked for name in names.split(",")} - known
        return f"no extra {', '.join(sorted(missing))}; there are {', '.join(known)}" if missing else None
    return None


def _has_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
