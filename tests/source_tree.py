"""Reads the source tree for the tests that hold its structure: modules, imports, files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

PACKAGES = ("proxy", "mockserver", "conformance")
"""The three programs: each is a folder here, and a subpackage of the import package `crosswire`."""

PREFIX = "crosswire."


@cache
def modules() -> dict[str, Path]:
    """Every module of the three programs by its dotted name; a package is its `__init__.py`."""
    found = {}
    for top in PACKAGES:
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def imports(module: str) -> frozenset[tuple[str, str]]:
    """Returns a module's imports, wherever they stand: (module, name), the name empty for `import module`."""
    return imports_of(modules()[module])


def imports_of(file: Path) -> frozenset[tuple[str, str]]:
    """The same of any Python file."""
    package = list(file.relative_to(ROOT).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        match node:
            case ast.Import(names):
                found |= {(alias.name.removeprefix(PREFIX), "") for alias in names}
            case ast.ImportFrom(target, names, level):
                start = package[: len(package) - level + 1] if level else []
                whole = ".".join([*start, *([target] if target else [])]).removeprefix(PREFIX)
                for alias in names:
                    inner = f"{whole}.{alias.name}"
                    found.add((inner, "") if inner in modules() else (whole, alias.name))
            case _:
                pass
    return frozenset(found)


def own_imports(module: str) -> Iterator[tuple[str, str]]:
    """A module's imports within the three programs."""
    return ((target, name) for target, name in imports(module) if target.partition(".")[0] in PACKAGES)


def matches(pattern: str, module: str) -> bool:
    """Returns whether a pattern, one of `a`, `a.*` (the package a and all in it) or `*`, matches this module."""
    return fnmatchcase(module, pattern) or module == pattern.removesuffix(".*")


def python_files() -> list[str]:
    """Every Python file of the project, by its path from the top."""
    tops = (*PACKAGES, "tests", "benchmarks", "training")
    return sorted(str(file.relative_to(ROOT)) for top in tops for file in (ROOT / top).rglob("*.py"))
