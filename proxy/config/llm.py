"""The keys `llm_…` and `nearai`: providers of one's own, and a virtual model of a cheap and a primary target.

The two targets are resolved each by itself, through the same registry, so that neither ever has the other's address.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import yaml
from msgspec.structs import replace

from ..registry import Row, find
from ..routing import Backend, Smart, Target
from .backend import NAME_OF_BACKEND, read_provider
from .nodes import Reader, meant, shown, under
from .provider import Speech, made
from .rules import Wish
from .settings import plain

log = logging.getLogger("crosswire")

NAME = "auto"
"""What the virtual model of these keys is called."""

NEARAI = "nearai"

PARTS = {
    "llm_backend": "primary_backend",
    "llm_model": "primary_model",
    "llm_cheap_backend": "cheap_backend",
    "llm_cheap_model": "cheap_model",
}
"""The keys of the virtual model, and what of it each says."""

LLM = (*PARTS, "llm_custom_providers", NEARAI)
"""The keys that this module reads."""

UNWRITTEN = "llm_cheap_model"
"""The place of a smart model that no file has, only these keys."""


def read_wishes(reader: Reader, found: Mapping[str, yaml.Node], written: Sequence[Wish]) -> tuple[Wish, ...]:
    """The file's smart models, and the one of these keys, which say what an entry `smart.auto` leaves out."""
    said = {key: plain(reader, found[key], key) for key in PARTS if key in found}
    given = {part: said[key] for key, part in PARTS.items() if said.get(key) is not None}
    if not given:
        return tuple(written)
    if all(wish.name != NAME for wish in written):
        return (*written, replace(Wish(name=NAME, place=UNWRITTEN), **given))
    return tuple(_filled(wish, given) if wish.name == NAME else wish for wish in written)


def _filled(wish: Wish, given: Mapping[str, str | None]) -> Wish:
    """A target that the entry names keeps its own model; one that it leaves out is wholly the keys'."""
    left = [part for part in ("cheap", "primary") if not _names(wish, part)]
    return replace(wish, **{name: value for name, value in given.items() if name.partition("_")[0] in left})


def _names(wish: Wish, part: str) -> bool:
    return getattr(wish, f"{part}_backend") is not None or getattr(wish, f"{part}_model") is not None


def read_rows(reader: Reader, found: Mapping[str, yaml.Node], protocols: Mapping[str, Speech]) -> tuple[Row, ...]:
    """The providers that the config writes itself; they beat the built-in ones."""
    rows = []
    if "llm_custom_providers" in found:
        path = "llm_custom_providers"
        for name, node in reader.mapping(found[path], path, None).items():
            if not NAME_OF_BACKEND.fullmatch(name):  # it will be a backend's, and stand in headers
                what = "is no name for a provider; use letters, digits, '.', '_' and '-'"
                reader.complain(reader.keys[path, name], under(path, name), what)
            empty = Row(name=name, protocol="", base_url=None, needs_key=False)
            rows.append(read_provider(reader, node, under(path, name), empty, protocols))
    if NEARAI in found and (known := find(NEARAI)) is not None:
        rows.append(read_provider(reader, found[NEARAI], NEARAI, known, protocols))
    return tuple(rows)


class Resolver:
    """Finds the backend of a provider's name, and makes it where there is none; what was made is among `backends`."""

    def __init__(
        self, reader: Reader, backends: Sequence[Backend], rows: Mapping[str, Row], protocols: Mapping[str, Speech]
    ) -> None:
        self._reader = reader
        self._rows = rows
        self._protocols = protocols
        self.backends = list(backends)

    def find(self, name: str) -> Backend | None:
        """The backend of this name, else of the provider of this name or alias; None where nobody knows it."""
        row = self._rows.get(name.lower())
        names = (name.lower(),) if row is None else (name.lower(), row.name.lower())
        for own in names:
            for backend in self.backends:
                if backend.name.lower() == own:
                    return backend
        if row is None:
            return None
        for backend in self.backends:
            if backend.provider == row.name:
                return backend
        if row.address(self._reader.env)[0] is None:
            return None
        self.backends.append(made(self._reader, row, self._protocols))
        return self.backends[-1]

    def target(self, said: str, model: str | None) -> Target | None:
        """The target that `provider` or `provider/model` means; `model` beats the name's."""
        backend, rest = self.find(said), ""
        if backend is None:
            name, _, rest = said.partition("/")
            backend = self.find(name) if rest else None
        return None if backend is None else Target(backend.name, model or rest or backend.default_model)

    def meant(self, name: str) -> str:
        """What to do about a name that nobody knows."""
        near = meant(name, [*(backend.name for backend in self.backends), *self._rows])
        return near if near.startswith("did") else "name a backend, a provider, or one of llm_custom_providers"


def resolve(reader: Reader, wish: Wish, resolver: Resolver) -> Smart | None:
    """A smart model with its targets looked up; None, and it is said why, where there is not enough to it.

    Five cases. The cheap backend is set and another than the primary: its own provider, address and key. It is set and
    the same, also by an alias, or not set: the primary's with the cheap model. It is unknown: the primary alone, and a
    note says so in every decision. It is NEAR AI in any spelling: the provider of the block `nearai`.
    """
    say = _Say(reader, wish)
    if wish.cheap_backend is None and wish.cheap_model is None:
        say("cheap", "is missing; give it a backend, a model or both")
        return None
    if wish.primary_backend is None:
        say("primary", "is missing; give it a backend and a model")
        return None
    primary = resolver.target(wish.primary_backend, wish.primary_model)
    if primary is None:
        what = f"no backend and no provider is called {shown(wish.primary_backend)}"
        say("primary_backend", f"{what}; {resolver.meant(wish.primary_backend)}")
        return None
    if primary.model is None:
        say("primary_backend", f"{shown(wish.primary_backend)} names no model; {say.how('primary_model')}")
        return None
    notes: tuple[str, ...] = ()
    if wish.cheap_backend is None:
        cheap: Target | None = Target(primary.backend, wish.cheap_model)
    else:
        cheap = resolver.target(wish.cheap_backend, wish.cheap_model)
    if cheap is None:
        notes = (f"the cheap provider {shown(str(wish.cheap_backend))} is unknown; the primary serves alone",)
        say.warn("cheap_backend", f"{notes[0]}; {resolver.meant(str(wish.cheap_backend))}")
        cheap = primary
    if cheap.model is None:
        say("cheap_backend", f"{shown(str(wish.cheap_backend))} names no model; {say.how('cheap_model')}")
        return None
    if cheap.backend != primary.backend:
        log.debug("Creating cross-backend cheap provider %s beside the primary %s", cheap.backend, primary.backend)
    return Smart(
        name=wish.name,
        cheap=cheap,
        primary=primary,
        weights=wish.weights,
        thresholds=wish.thresholds,
        cascade=wish.cascade,
        notes=notes,
        place=wish.place,
    )


class _Say:
    """What is wrong with a smart model: a mistake where the file has it, a warning where only the `llm_…` keys do.

    Other programs read the same variables, so that theirs alone must not keep this one from starting.
    """

    def __init__(self, reader: Reader, wish: Wish) -> None:
        self._reader = reader
        self._wish = wish

    def __call__(self, part: str, what: str) -> None:
        if self._wish.line:
            self._reader.complain(self._wish.line, f"smart.{self._wish.name}.{part.replace('_', '.')}", what)
        elif part != "cheap":
            self.warn(part, what)

    def warn(self, part: str, what: str) -> None:
        if self._wish.line:
            self._reader.warnings.append(f"{self._wish.place}.{part.replace('_', '.')}: {what}")
            return
        key = next((key for key, name in PARTS.items() if name == part), "llm_backend")
        line = self._reader.keys.get(("", key))
        here = f"{self._reader.file}:{line}" if line else self._reader.file
        self._reader.warnings.append(f"{self._reader.origins.get(key, here)}: {key}: {what}")

    def how(self, part: str) -> str:
        """How to give what is missing."""
        if self._wish.line:
            return f"give it a {part.partition('_')[2]}"
        return f"set {next(key for key, name in PARTS.items() if name == part)}, or write PROVIDER/MODEL"
