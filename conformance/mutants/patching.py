"""Applies the patches of a mutant to the source of the proxy, in memory; one that does not fit raises PatchError."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import indent

from .mutant import Mutant, Patch

PROXY = Path(__file__).parents[2] / "proxy"
"""The proxy's folder beside this package; in an editable install a folder of links to the checkout."""

WRAPPER = """

def _mutate_{number}(original):
    def mutated(*args, **kwargs):
        args = list(args)
{before}
        out = original(*args, **kwargs)
{after}
        return out
    return mutated

{name} = _mutate_{number}({name})
"""
"""Source that replaces a function by one with code before and after it."""


class PatchError(Exception):
    """A patch does not fit the source; the message names the mutant, the file, and what was not found."""


def mutated_sources(mutant: Mutant, proxy: Path = PROXY) -> dict[str, str]:
    """Returns the changed files of a mutant: path below the proxy's folder -> source."""
    out: dict[str, str] = {}
    for number, patch in enumerate(mutant.patches):
        try:
            source = out.get(patch.file) or (proxy / patch.file).read_text("utf-8")
            out[patch.file] = apply_patch(source, patch, number)
        except (OSError, ValueError, SyntaxError) as reason:
            raise PatchError(f"{mutant.name}: the patch of {patch.file} does not apply: {reason}") from reason
    return out


def apply_patch(source: str, patch: Patch, number: int = 0) -> str:
    """Returns the patched source; raises ValueError where the patch does not fit it."""
    if patch.function:
        changed = _with_code_around(source, patch, number)
    else:
        changed = _replaced(source, patch)
    if changed == source:
        raise ValueError("it changes nothing")
    ast.parse(changed)
    return changed


def _replaced(source: str, patch: Patch) -> str:
    first, last = _span(source, patch.within) if patch.within else (0, len(source))
    if not patch.find.strip():
        raise ValueError("it has neither `find` nor `function`")
    pattern = r"\s+".join(re.escape(word) for word in patch.find.split())
    places = list(re.finditer(pattern, source[first:last]))
    if len(places) != 1:
        where = f"in {patch.within}" if patch.within else "in the file"
        raise ValueError(f"{patch.find.strip()!r} occurs {len(places)} times {where}, not once")
    return source[: first + places[0].start()] + patch.replace.strip("\n") + source[first + places[0].end() :]


def _with_code_around(source: str, patch: Patch, number: int) -> str:
    _span(source, patch.function)  # raises where there is none
    before, after = (indent(code.strip("\n"), " " * 8) for code in (patch.before, patch.after))
    if not (before or after):
        return source
    return source + WRAPPER.format(number=number, before=before, after=after, name=patch.function)


def _span(source: str, name: str) -> tuple[int, int]:
    """Returns where the function, class or method `Class.method` begins and ends."""
    body: Iterable[ast.AST] = ast.parse(source).body
    found: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None = None
    for part in name.split("."):
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        found = next((node for node in body if isinstance(node, kinds) and node.name == part), None)
        if found is None:
            raise ValueError(f"there is no {name}")
        body = found.body
    assert found is not None
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: found.lineno - 1])), sum(map(len, lines[: found.end_lineno]))
