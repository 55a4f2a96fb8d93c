"""Types of a profile: how a gateway is reached, what it offers, and how it can be started."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from crosswire.mockserver.scenarios.story import Story

from ..matrix.result import Cell

ANY_MODEL = "*"
"""Key of `models` for every model of a provider that has no row of its own."""


class Frontend(Struct, frozen=True):
    """One protocol that the gateway offers: `path` replaces the protocol's own, `key` and `headers` are sent along."""

    path: str = ""
    key: str = ""
    headers: dict[str, str] = {}


class Inability(Struct, frozen=True):
    """Cells that the gateway says it cannot serve: globs of cells, and the reason, best with a URL."""

    why: str
    stories: tuple[str, ...] = ("*",)
    frontends: tuple[str, ...] = ("*",)
    providers: tuple[str, ...] = ("*",)
    needs: tuple[str, ...] = ()

    def covers(self, cell: Cell, story: Story) -> bool:
        """Returns whether it is about a cell of this story."""
        axes = ((cell.story, self.stories), (cell.frontend, self.frontends), (cell.provider, self.providers))
        matches = all(any(fnmatchcase(name, glob) for glob in globs) for name, globs in axes)
        return matches and (not self.needs or bool(set(self.needs) & set(story.needs)))


class Start(Struct, frozen=True):
    """The start of the gateway before the mock: a command, the files that it reads, and its environment."""

    command: tuple[str, ...]
    files: dict[str, str] = {}
    environment: dict[str, str] = {}
    within_s: float = 60.0


class Installation(Struct, frozen=True):
    """Packages that the gateway is installed from: of pip, or of npm with versions at which dependencies are held."""

    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    overrides: dict[str, str] = {}


class Profile(Struct, frozen=True, kw_only=True):
    """One gateway.

    `models` maps each provider of the mock that the gateway reaches to the names of its models there. `headers` are
    those of requests that are meant for a provider. `losses` are the response headers that declare losses; `record` is
    the path of the record of a request, in the form of Crosswire's.
    """

    name: str
    version: str = ""
    url: str = ""
    ready: str = ""
    frontends: dict[str, Frontend]
    models: dict[str, dict[str, str]]
    headers: dict[str, dict[str, str]] = {}
    losses: tuple[str, ...] = ()
    record: str = ""
    cannot: tuple[Inability, ...] = ()
    install: Installation | None = None
    start: Start | None = None
    file: str = ""

    def before(self, mock_url: str) -> Profile:
        """Returns the profile with the mock's address in the headers of providers, for a gateway that is told there."""
        headers = {
            provider: {name: value.replace("{mock}", mock_url) for name, value in one.items()}
            for provider, one in self.headers.items()
        }
        return replace(self, headers=headers)

    def model_name(self, provider: str, model: str) -> str | None:
        """Returns the gateway's name of a provider's model; None where it does not reach it."""
        names = self.models.get(provider, {})
        name = names.get(model, names.get(ANY_MODEL))
        return None if name is None else name.replace("{model}", model)

    def reason_not_offered(self, cell: Cell, story: Story, model: str) -> str | None:
        """Returns why the gateway need not serve a cell; None where it offers to."""
        if cell.frontend not in self.frontends:
            return f"the profile has no frontend {cell.frontend}"
        if self.model_name(cell.provider, model) is None:
            return f"the profile has no model {model} of {cell.provider}"
        return next((each.why for each in self.cannot if each.covers(cell, story)), None)
