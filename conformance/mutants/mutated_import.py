"""Imports modules of the proxy with changed source, in a process that has not imported the proxy yet."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from .patching import PROXY

PACKAGE = "crosswire.proxy"


def module_name(file: str) -> str:
    """Returns the dotted name of a file of the proxy, given by its path below the proxy's folder."""
    parts = [part for part in Path(file).with_suffix("").parts if part != "__init__"]
    return ".".join((PACKAGE, *parts))


class _MutatedLoader(SourceFileLoader):
    """Loads a module from changed source, under its own name and path."""

    def __init__(self, name: str, file: Path, source: str) -> None:
        super().__init__(name, str(file))
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _MutatedFinder(MetaPathFinder):
    """Finds the changed modules; all others are found as usual."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._files = {module_name(file): (PROXY / file, source) for file, source in sources.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._files:
            return None
        file, source = self._files[fullname]
        folders = [str(file.parent)] if file.name == "__init__.py" else None
        loader = _MutatedLoader(fullname, file, source)
        return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=folders)


def install_mutated_sources(sources: Mapping[str, str]) -> None:
    """Makes every later import of these files of the proxy use the changed source."""
    imported = [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]
    if imported:
        raise RuntimeError(f"the proxy is imported already ({imported[0]}), so a mutant of it would have no effect")
    sys.meta_path.insert(0, _MutatedFinder(sources))
