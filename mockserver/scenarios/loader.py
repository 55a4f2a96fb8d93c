"""Loads folders of scenarios: all provider and story files, and the checks that need several files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from ..protocols.names import NAMES
from .provider import Provider
from .provider_parser import read_provider
from .story import Story, opening_text
from .story_parser import read_story
from .yaml_reader import Mistake


class Scenarios(Struct, frozen=True):
    """The scenarios of a folder; they can only be served when `mistakes` is empty."""

    providers: dict[str, Provider]
    stories: dict[str, Story]
    mistakes: tuple[Mistake, ...] = ()


def load_scenarios(*folders: Path | str) -> Scenarios:
    """Reads `providers/*.yaml` and `stories/*.yaml` of the folders; mistakes are returned, not raised.

    A file replaces that of the same name in an earlier folder. Raises FileNotFoundError if a folder does not exist.
    """
    roots = [Path(folder) for folder in folders]
    for root in roots:
        if not root.is_dir():
            raise FileNotFoundError(f"{root} is not a folder; give the folder that contains providers/ and stories/")
    mistakes: list[Mistake] = []
    providers: dict[str, Provider] = {}
    stories: dict[str, Story] = {}
    story_files = _files(roots, "stories")
    for name, file in story_files.items():
        story, found = read_story(name, str(file), _read_text(file, mistakes))
        mistakes.extend(found)
        if story is not None:
            stories[name] = story
    for name, file in _files(roots, "providers").items():
        provider, found = read_provider(name, str(file), _read_text(file, mistakes))
        mistakes.extend(found)
        if provider is not None:
            providers[name] = provider
    mistakes.extend(cross_file_mistakes(providers, stories, set(story_files)))
    for kind, loaded in (("providers", providers), ("stories", stories)):
        if not loaded and not mistakes:
            mistakes.append(Mistake(str(roots[-1] / kind), 1, f"no {kind}: the folder contains no *.yaml"))
    return Scenarios(providers, stories, tuple(sorted(mistakes)))


def _files(roots: list[Path], kind: str) -> dict[str, Path]:
    """The YAML files of a kind by their stem, sorted by file name."""
    found = {file.name: file for root in roots for file in (root / kind).glob("*.yaml")}
    return {file.stem: file for _, file in sorted(found.items())}


def _read_text(file: Path, mistakes: list[Mistake]) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as problem:
        mistakes.append(Mistake(str(file), 1, f"not UTF-8: {problem.reason} at byte {problem.start}"))
        return "{}"


def cross_file_mistakes(
    providers: dict[str, Provider], stories: dict[str, Story], files: set[str]
) -> Iterator[Mistake]:
    """Yields the mistakes that involve several files; `files` also names the stories that failed to load."""
    pairs = [(story, opening_text(story)) for story in stories.values()]
    for story, opening in pairs:
        for other, other_opening in pairs:
            if story.name != other.name and opening and opening in other_opening:
                yield Mistake(
                    story.file,
                    story.lines.get("$.ask.user", story.lines.get("$.ask", 1)),
                    f"the opening text {opening!r} occurs in that of {other.name} ({other_opening!r}), so a request "
                    "could match both; change one",
                )
    for story in stories.values():
        named = (exchange.by for exchange in story.exchanges if exchange.by is not None)
        for name in (name for name in named if name not in providers):
            yield Mistake(story.file, 1, f"unknown provider {name}; available: {', '.join(providers)}")
        for backend, name in story.backends.items():
            if name not in providers:
                line = next((at for path, at in story.lines.items() if path.endswith(f".{backend}.provider")), 1)
                yield Mistake(story.file, line, f"unknown provider {name}; available: {', '.join(providers)}")
        known = {*providers, *NAMES}
        for name in sorted({name for exchange in story.exchanges for name in exchange.expect} - known):
            line = next((at for path, at in story.lines.items() if path.endswith(f"expect.{name}")), 1)
            message = f"expect: {name} is no protocol and no provider; available: {', '.join(sorted(known))}"
            yield Mistake(story.file, line, message)
        for name, model in story.models.items():
            offered = {model for one in providers.values() if name in (one.name, one.protocol) for model in one.models}
            if model not in offered:
                message = f"no provider {name}, and none of that protocol, has the model {model}"
                available = f"; available: {', '.join(sorted(offered))}" if offered else ""
                yield Mistake(story.file, story.lines.get("$.models", 1), message + available)
    owners: dict[str, str] = {}
    for provider in providers.values():
        for model in provider.models:
            if model in owners:
                yield Mistake(
                    provider.file, 1, f"model {model} is also defined by provider {owners[model]}; rename one"
                )
            owners.setdefault(model, provider.name)
        for name in provider.replies:
            if name not in files:
                yield Mistake(provider.file, 1, f"replies.{name}: unknown story")
