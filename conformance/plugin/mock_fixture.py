"""The value of the fixture `llm_mock`: a running mock, its stories, its journal, and assertions about it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from msgspec.structs import replace

from crosswire.mockserver.journal import Entry
from crosswire.mockserver.matcher import first_difference, json_strings
from crosswire.mockserver.scenarios.folders import SHIPPED
from crosswire.mockserver.scenarios.loader import Scenarios, cross_file_mistakes
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.provider_parser import read_provider
from crosswire.mockserver.scenarios.story import Story
from crosswire.mockserver.scenarios.story_parser import read_story
from crosswire.mockserver.sdk_environment import sdk_environment
from crosswire.mockserver.server import MOCK, make_app

from .loop_thread import LoopThread

SHOWN = 200
"""Characters of a text that an assertion shows."""


@cache
def shipped_providers() -> dict[str, Provider]:
    """Returns the providers that ship with the package, without their replies to stories that ship with it."""
    found = {}
    for file in sorted((SHIPPED / "providers").glob("*.yaml")):
        provider, mistakes = read_provider(file.stem, str(file), file.read_text("utf-8"))
        if provider is None:
            raise ValueError("\n".join(map(str, mistakes)))
        found[provider.name] = replace(provider, replies={})
    return found


class LlmMock:
    """The providers of the mock server on a port of this test, playing the stories that the test gives them."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop
        self._stories: dict[str, Story] = {}
        app = make_app(Scenarios(shipped_providers(), self._stories))
        self._mock = app[MOCK]
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        self.url = ""

    def __enter__(self) -> Self:
        self.url = self._loop.serve(self._runner)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.end(self._runner)

    # ---- where it is -------------------------------------------------------------------------------------------------

    @property
    def providers(self) -> dict[str, Provider]:
        """The providers that are played, by name."""
        return self._mock.scenarios.providers

    def base_url(self, provider: str) -> str:
        """Returns the address that the provider's official SDK takes."""
        return f"{self.url}/{provider}{self.providers[provider].base_path}"

    def key(self, provider: str) -> str:
        """Returns the only key that the provider accepts."""
        return self.providers[provider].auth.key

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the official SDKs at the mock."""
        return sdk_environment(self.base_url, self.key)

    # ---- stories -----------------------------------------------------------------------------------------------------

    @property
    def stories(self) -> dict[str, Story]:
        """The stories that are played, by name."""
        return dict(self._stories)

    def story(
        self,
        ask: str | dict[str, Any],
        say: str | list[Any] | dict[str, Any],
        *,
        name: str | None = None,
        then: list[tuple[Any, Any]] | None = None,
        **keys: Any,
    ) -> Story:
        """Adds a story: what is asked for, what is said, and further exchanges as pairs of the two.

        A text stands for `{user: …}`, and for one text that is said. `keys` are further keys of a story file.
        """
        written = {
            "why": "A story of a test.",
            "source": "the test",
            "needs": ["text"],
            **_exchange(ask, say),
            "then": [_exchange(*pair) for pair in then or ()],
            **keys,
        }
        # JSON is YAML
        return self._add(name or f"story-{len(self._stories) + 1}", "", json.dumps(written))

    def load(self, path: Path | str) -> None:
        """Adds the story of a file, or the stories of a folder's *.yaml, or of `stories/` in it."""
        given = Path(path)
        below = given / "stories"
        folder = below if below.is_dir() else given
        files = sorted(folder.glob("*.yaml")) if given.is_dir() else [given]
        if not files:
            raise ValueError(f"{given}: the folder contains no *.yaml")
        for file in files:
            self._add(file.stem, str(file), file.read_text("utf-8"))

    def _add(self, name: str, file: str, text: str) -> Story:
        story, mistakes = read_story(name, file or name, text)
        if story is not None:
            together = {**self._stories, name: story}
            mistakes = [*mistakes, *cross_file_mistakes(self.providers, together, set(together))]
        if story is None or mistakes:
            raise ValueError("\n".join(map(str, mistakes)))
        self._stories[name] = replace(story, file=file or name)
        return story

    # ---- what happened -----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Entry]:
        """The requests of this test, in order; each has `provider`, `story`, `step`, `body`, `headers`, `status`."""
        return list(self._mock.journal.entries)

    @property
    def last(self) -> Entry:
        """The last request; fails where there was none."""
        requests = self.requests
        assert requests, "no request reached the mock; is the client pointed at it?"
        return requests[-1]

    def near_misses(self) -> str:
        """Returns, for each request that was refused or fits no story, why; empty where there is none."""
        return "\n".join(_line(entry) for entry in self.requests if entry.note is not None)

    def assert_asked(self, text: str) -> Entry:
        """Fails unless a request has this text in it; tells the nearest text, and where the two part."""
        texts: list[str] = []
        for entry in self.requests:
            found = list(json_strings(entry.body))
            if any(text in each for each in found):
                return entry
            texts += found
        nearest = max(texts, key=lambda each: _common(text, each), default=None)
        told = (
            "no request reached the mock"
            if nearest is None
            else (f"the nearest is {nearest[:SHOWN]!r}; {first_difference(text, nearest)}")
        )
        raise AssertionError(f"no request has the text {text[:SHOWN]!r}; {told}{self._seen()}")

    def assert_played(self, story: str | Story, times: int | None = None) -> list[Entry]:
        """Fails unless a story was played, or not as often as `times` says; tells what was asked for instead."""
        name = story if isinstance(story, str) else story.name
        assert name in self._stories, f"there is no story {name}; there are: {', '.join(self._stories)}"
        found = [entry for entry in self.requests if entry.story == name and entry.note is None]
        if not found if times is None else len(found) != times:
            wanted = "at least once" if times is None else f"{times} times"
            raise AssertionError(f"the story {name} was played {len(found)} times, not {wanted}{self._seen()}")
        return found

    def assert_all_played(self) -> None:
        """Fails unless each step of each story was played."""
        played = {(entry.story, entry.step) for entry in self.requests if entry.note is None}
        missing = [
            f"{story.name}, exchange {step + 1}"
            for story in self._stories.values()
            for step in range(len(story.exchanges))
            if (story.name, step) not in played
        ]
        assert not missing, f"not played: {'; '.join(missing)}{self._seen()}"

    def _seen(self) -> str:
        lines = [_line(entry) for entry in self.requests]
        return "\nrequests:" + "".join(f"\n  {line}" for line in lines) if lines else ""


def _exchange(ask: str | dict[str, Any], say: str | list[Any] | dict[str, Any]) -> dict[str, Any]:
    items = [say] if isinstance(say, str | dict) else say
    return {
        "ask": {"user": ask} if isinstance(ask, str) else ask,
        "say": [{"text": item} if isinstance(item, str) else item for item in items],
    }


def _line(entry: Entry) -> str:
    what = entry.note or (f"story {entry.story}, exchange {(entry.step or 0) + 1}" if entry.story else "no story")
    return f"{entry.method} {entry.path} → {entry.status}: {what}"


def _common(one: str, other: str) -> int:
    """Returns the number of characters that two texts begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
