"""The scenarios: who is played and what happens, read from a folder; it knows no wire and no socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from .dialects.contract import Auth, Provider
from .lines import Mistake
from .speech import (
    Ask,
    Call,
    Item,
    Result,
    SayStop,
    SayUsage,
    Text,
    Usage,
    calls_of,
)

__all__ = [
    "Auth",
    "Decide",
    "Exchange",
    "Hear",
    "HearError",
    "Provider",
    "Raw",
    "Scenarios",
    "Story",
    "Wire",
    "load",
    "opening",
]

CAPABILITIES = (
    *("text", "tools", "tools.parallel", "vision", "documents", "audio"),
    *("reasoning", "reasoning.signed", "json_object", "json_schema", "embeddings"),
)
"""The words of `needs` and `capabilities`."""

STRICT = "x-crosswire-strict"
"""The header by which a client asks for an error in place of any loss."""

OWN = "own"
"""What stands in a story for the key that a backend takes."""

EVERYONE = "*"
"""The key of a `say` that holds for every backend."""


class Wire(Struct, frozen=True):
    """How an answer is framed: bytes a write (None: a frame a write), line ends, comments between SSE frames."""

    write: int | None = None
    newline: str = "lf"
    comments: bool = False


class HearError(Struct, frozen=True):
    """`says` is what the error must say to a client of each dialect, in its code or its message."""

    status: int | None = None
    kind: str | None = None
    says: dict[str, str] = {}


class Hear(Struct, frozen=True):
    """What the client must hear where `say` does not imply it; `after` is the text heard before the error."""

    error: HearError | None = None
    headers: dict[str, str] = {}
    after: str | None = None
    stop: str | None = None
    text: str | None = None
    calls: tuple[dict[str, Any], ...] | None = None


class Raw(Struct, frozen=True):
    """A literal reply: `body` (JSON or text), or `frames` (text as it stands, JSON in the dialect's framing)."""

    status: int = 200
    headers: dict[str, str] = {}
    body: Any = None
    frames: tuple[Any, ...] | None = None


class Decide(Struct, frozen=True):
    """What a proxy must decide, and what must come of it.

    `tried` is who is asked, one after the other, each a backend and what the model is called there; the last one
    answers, unless an error is to be heard. `tier` is a smart model's; `because` and each of `notes` are words of the
    decision's own.
    """

    mode: str
    tried: tuple[tuple[str, str], ...]
    tier: str | None = None
    because: str | None = None
    notes: tuple[str, ...] = ()


class Exchange(Struct, frozen=True):
    """One ask and its answer; `say` is by backend's or provider's name, or under `EVERYONE`.

    `by` is the provider that is asked here whoever the others are: the client changes its model in mid-conversation.
    """

    ask: Ask
    say: dict[str, tuple[Item, ...]] = {}
    expect: dict[str, dict[str, Any]] = {}
    hear: Hear = Hear()
    raw: dict[str, Raw] = {}
    by: str | None = None
    decide: Decide | None = None

    def said_by(self, *names: str) -> tuple[Item, ...] | None:
        """What is said by the first of these names that the story gives words to, None when it gives none."""
        return next((self.say[name] for name in (*names, EVERYONE) if name in self.say), None)


class Story(Struct, frozen=True):
    """What happens, whoever the provider is. `lines` is the line of every path of its file.

    `clients` are the dialects that have words for what is asked, `servers` those that have words for what is said; no
    names are all of them. `across` is a story between unlike dialects only: a client's own provider refuses it, or the
    client would have to be one that nobody has. `refused` are words of the proxy's ledger for what is brought here that
    not every provider has a place for, so that the request must end before it gets there. `models` names the model
    that a provider is asked for here, where it is not its first. `proxy` is the config of a proxy of the story's own,
    whose backends name the providers that play them.
    """

    name: str
    why: str
    source: str
    needs: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    only: str | None = None
    clients: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    across: bool = False
    refused: tuple[str, ...] = ()
    models: dict[str, str] = {}
    wire: Wire = Wire()
    proxy: dict[str, Any] | None = None
    file: str = ""
    lines: dict[str, int] = {}

    @property
    def backends(self) -> dict[str, str]:
        """Whom the story's own proxy may ask, by their names there: the provider that plays each."""
        config = self.proxy or {}
        entries = {**config.get("backends", {}), **config.get("llm_custom_providers", {})}
        entries |= {"nearai": config["nearai"]} if "nearai" in config else {}
        return {name: entry["provider"] for name, entry in entries.items()}

    def keys(self, backend: str, own: str) -> tuple[str, ...]:
        """By which keys the story's proxy asks a backend, one after the other; `own` is the one that it takes."""
        given = (self.proxy or {}).get("backends", {}).get(backend, {}).get("api_key", (OWN,))
        return tuple(own if key == OWN else key for key in given)

    @property
    def is_strict(self) -> bool:
        """Whether a loss is to be an error here instead; `refused` then names the losses that some pair would have."""
        return any(exchange.ask.headers.get(STRICT) == "1" for exchange in self.exchanges)

    def is_between(self, client: str, server: str) -> bool:
        """Whether the story can happen between a client and a provider of these dialects."""
        said = (not self.clients or client in self.clients) and (not self.servers or server in self.servers)
        return said and not (self.across and client == server)


class Scenarios(Struct, frozen=True):
    """A folder of scenarios; with any `mistakes` it is not fit to be played."""

    providers: dict[str, Provider]
    stories: dict[str, Story]
    mistakes: tuple[Mistake, ...] = ()


# ---- what follows from a story ---------------------------------------------------------------------------------------


def new_words(ask: Ask) -> tuple[str, ...]:
    """The texts that an exchange brings into the history: of its turns, its user and its results.

    A result that nobody asked for is not among them: a gateway may leave it out for a provider that refuses it.
    """
    turns = [block for turn in ask.turns for block in turn.blocks]
    texts = [block.text for block in (*turns, *ask.user) if isinstance(block, Text)]
    results = [block.text for result in answers(ask) for block in result.blocks if isinstance(block, Text)]
    return tuple(word for word in (*texts, *results) if word)


def answers(ask: Ask) -> tuple[Result, ...]:
    """The results that an exchange brings, each to a call of its own history or of the answer before."""
    turns = [block for turn in ask.turns for block in turn.blocks]
    called = {block.id for block in turns if isinstance(block, Call)}
    return (*(block for block in turns if isinstance(block, Result) and block.id in called), *ask.results)


def opening(story: Story) -> str:
    """The first user text, by which a request is known to belong to the story."""
    ask = story.exchanges[0].ask
    blocks = [block for turn in ask.turns if turn.role == "user" for block in turn.blocks]
    return next((block.text for block in (*blocks, *ask.user) if isinstance(block, Text)), "")


def asked_length(story: Story, step: int) -> int:
    """Characters asked up to and with a step: what the mock counts input tokens from."""
    asks = [exchange.ask for exchange in story.exchanges[: step + 1]]
    settings = len("".join(asks[0].system)) + sum(
        len(tool.name) + len(json.dumps(tool.parameters)) for tool in asks[0].tools
    )
    return settings + sum(len(word) for ask in asks for word in new_words(ask))


def split(items: tuple[Item, ...]) -> tuple[tuple[Item, ...], SayStop, Usage | None]:
    """Content and faults in their order, the stop reason (told or implied), and the usage if it was told."""
    rest = tuple(item for item in items if not isinstance(item, SayStop | SayUsage))
    implied = SayStop("tool" if calls_of(items) else "end")
    stop = next((item for item in items if isinstance(item, SayStop)), implied)
    return rest, stop, next((item.usage for item in items if isinstance(item, SayUsage)), None)


# ---- the folder ------------------------------------------------------------------------------------------------------


def load(folder: Path | str) -> Scenarios:
    """Read `providers/*.yaml` and `stories/*.yaml`; every mistake is in the result, none is raised.

    Raises FileNotFoundError when there is no such folder.
    """
    from .providerfile import read_provider
    from .storyfile import read_story

    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; give the one that holds providers/ and stories/")
    mistakes: list[Mistake] = []
    providers: dict[str, Provider] = {}
    stories: dict[str, Story] = {}
    for file in sorted((root / "stories").glob("*.yaml")):
        story, found = read_story(file.stem, str(file), _text(file, mistakes))
        mistakes.extend(found)
        if story is not None:
            stories[file.stem] = story
    for file in sorted((root / "providers").glob("*.yaml")):
        provider, found = read_provider(file.stem, str(file), _text(file, mistakes))
        mistakes.extend(found)
        if provider is not None:
            providers[file.stem] = provider
    mistakes.extend(across(providers, stories, {file.stem for file in (root / "stories").glob("*.yaml")}))
    for kind, there in (("providers", providers), ("stories", stories)):
        if not there and not mistakes:
            mistakes.append(Mistake(str(root / kind), 1, f"no {kind}: the folder holds no *.yaml"))
    return Scenarios(providers, stories, tuple(sorted(mistakes)))


def _text(file: Path, mistakes: list[Mistake]) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as problem:
        mistakes.append(Mistake(str(file), 1, f"not UTF-8: {problem.reason} at byte {problem.start}"))
        return "{}"


def across(providers: dict[str, Provider], stories: dict[str, Story], files: set[str]) -> Iterator[Mistake]:
    """Mistakes that only show when files are seen together; `files` names the stories that did not load too."""
    pairs = [(story, opening(story)) for story in stories.values()]
    for story, words in pairs:
        for other, others in pairs:
            if story.name != other.name and words and words in others:
                yield Mistake(
                    story.file,
                    story.lines.get("$.ask.user", story.lines.get("$.ask", 1)),
                    f"the opening words {words!r} occur in those of {other.name} ({others!r}); no request could tell "
                    "them apart: change one",
                )
    for story in stories.values():
        asked = (*story.models, *(exchange.by for exchange in story.exchanges if exchange.by is not None))
        for stranger in (name for name in asked if name not in providers):
            yield Mistake(story.file, 1, f"there is no provider {stranger}; there are {', '.join(providers)}")
        for backend, name in story.backends.items():
            if name not in providers:
                line = next((at for path, at in story.lines.items() if path.endswith(f".{backend}.provider")), 1)
                yield Mistake(story.file, line, f"there is no provider {name}; there are {', '.join(providers)}")
    owners: dict[str, str] = {}
    for provider in providers.values():
        for model in provider.models:
            if model in owners:
                yield Mistake(provider.file, 1, f"model {model} is also the provider {owners[model]}'s; rename one")
            owners.setdefault(model, provider.name)
        for story in stories.values():
            wanted = story.models.get(provider.name)
            if wanted is not None and wanted not in provider.models:
                yield Mistake(story.file, story.lines.get("$.models", 1), f"{provider.name} has no model {wanted}")
        for name in provider.replies:
            if name not in files:
                yield Mistake(provider.file, 1, f"replies.{name}: there is no such story")
