"""The plan: the backends, and every rule that says which of them a model's name leads to.

All that a decision looks up is built once a plan, and what contradicts itself is refused at that time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import force_setattr

from ..errors import ConfigError
from .decision import Decision
from .pattern import Patterns, head, is_pattern, literals, slots, wildcards


class Backend(Struct, frozen=True, kw_only=True):
    """One place that requests may go to.

    `models` maps the client's name to the upstream's. `provider` mints the signatures and is the backend's own name
    where nothing else is said. `max_tokens` is for a dialect that requires a bound, when the client set none. `betas`
    are the flags of `anthropic-beta` that it takes, as shell patterns; None means all. A `reserved` one serves only
    where a rule names it. `spare_keys` are tried where `api_key` is refused; one that `needs_key` and has none serves
    nobody. `folder` is a local model's; empty is the model that is shipped.
    """

    name: str
    protocol: str
    base_url: str
    provider: str = ""
    api_key: str | None = None
    models: Mapping[str, str] = {}
    default_model: str | None = None
    capabilities: frozenset[str] = frozenset(("text",))
    capabilities_from: Literal["auto", "explicit"] = "auto"
    priority: int = 0
    quirks: frozenset[str] = frozenset()
    limits: Mapping[str, float] = {}
    max_tokens: int | None = None
    relay: Literal["auto", "never"] = "auto"
    strict: bool = False
    headers: Mapping[str, str] = {}
    betas: tuple[str, ...] | None = None
    spare_keys: tuple[str, ...] = ()
    needs_key: bool = False
    reserved: bool = False
    folder: str = ""

    def __post_init__(self) -> None:
        if not self.provider:
            force_setattr(self, "provider", self.name)

    @property
    def keyless(self) -> str | None:
        """Why it cannot be asked for want of a key, or None where it can."""
        return f"No credentials configured for {self.provider}" if self.needs_key and self.api_key is None else None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The fields as they may be shown: neither the keys nor the values of headers, which may be keys too."""
        shown = {field: getattr(self, field) for field in self.__struct_fields__}
        shown["api_key"] = None if self.api_key is None else "…"
        shown["spare_keys"] = tuple("…" for _ in self.spare_keys)
        shown["headers"] = dict.fromkeys(self.headers, "…")
        return list(shown.items())

    def __repr__(self) -> str:
        return f"Backend({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"


class Family(Struct, frozen=True):
    """Model names of this shell pattern, case-sensitive, belong to this backend."""

    pattern: str
    backend: str


class Target(Struct, frozen=True):
    """One place of a chain: a backend, and what the model is called for it, or None for the rule's own name."""

    backend: str
    model: str | None = None


class Route(Struct, frozen=True, kw_only=True):
    """A mapping: names that `match`, a name or a shell pattern, go to the first target, and fall back to the others.

    `model` is what the targets that name none are asked for, in place of the client's name; `{1}` in a name is the
    text that the first wildcard caught. `place` is where it was written, for complaints.
    """

    match: str
    targets: tuple[Target, ...]
    model: str | None = None
    priority: int = 0
    enabled: bool = True
    place: str = "routes"

    @property
    def called(self) -> tuple[str, ...]:
        """Every upstream's name in it."""
        return tuple(name for name in (self.model, *(target.model for target in self.targets)) if name is not None)


class NamedMode(Struct, frozen=True, kw_only=True):
    """A mode that clients choose by name: what its `models` mean, and the backend of every name without a rule.

    A meaning is a name as a client could give it, such as `openrouter/auto`: its own prefix or mapping beats `backend`.
    """

    name: str
    backend: str | None = None
    models: Mapping[str, str] = {}
    place: str = "modes"


class Smart(Struct, frozen=True, kw_only=True):
    """A virtual model: an easy request goes to `cheap`, any other to `primary`, each a target with its own backend.

    `weights` and `thresholds` override single entries of the score's tables. With `cascade` a poor or failed answer of
    `cheap` goes on to `primary`. `notes` are warnings that every decision by it repeats.
    """

    name: str
    cheap: Target
    primary: Target
    weights: Mapping[str, float] = {}
    thresholds: Mapping[str, float] = {}
    cascade: bool = False
    notes: tuple[str, ...] = ()
    place: str = "smart"


class Plan(Struct, frozen=True, dict=True):
    """All backends in the order of the file, and the rules.

    `families` are tried in their order, after all else that names models. `last_resort` is a backend's name, and so is
    `unmapped`, where models without a rule go; None leaves them to the backends' capabilities. `prefixes` binds a word
    before a name's first slash to a backend, or to None where it is no prefix; `providers` gives the providers' names
    by every alias in lower case, `keys` the variable of each provider's key, `vendors` the provider whose models'
    names begin with that word. `mode` is the mode of requests that choose none; `pins` whether clients may name a
    backend; `unlisted` are shell patterns of names that lists of models leave out; `places` where single keys were
    written, for complaints.

    Raises ConfigError where rules contradict each other, can never be reached, or name what is not there.
    """

    backends: tuple[Backend, ...]
    families: tuple[Family, ...] = ()
    last_resort: str | None = None
    routes: tuple[Route, ...] = ()
    prefixes: Mapping[str, str | None] = {}
    providers: Mapping[str, str] = {}
    keys: Mapping[str, str] = {}
    vendors: Mapping[str, str] = {}
    modes: Mapping[str, NamedMode] = {}
    mode: str | None = None
    smart: tuple[Smart, ...] = ()
    unmapped: str | None = None
    pins: bool = True
    unlisted: tuple[str, ...] = ()
    places: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        complaints = [*self._wrong_names(), *self._wrong_models(), *self._wrong_routes(), *self._hidden()]
        if complaints:
            raise ConfigError(list(dict.fromkeys(complaints)))

    # ---- what is looked up -------------------------------------------------------------------------------------------

    @cached_property
    def by_name(self) -> dict[str, Backend]:
        return {backend.name: backend for backend in self.backends}

    @cached_property
    def ordered(self) -> tuple[Backend, ...]:
        """Higher priority first, ties by file order."""
        return tuple(sorted(self.backends, key=lambda backend: -backend.priority))

    @cached_property
    def by_model(self) -> dict[str, Backend]:
        """Every name that a `models` has, and whose it is; where several have it, a route decides."""
        return {model: backend for backend in reversed(self.backends) for model in backend.models}

    @cached_property
    def sorted_routes(self) -> tuple[Route, ...]:
        """The enabled routes: higher priority first, then the narrower, then as they were written."""
        enabled = [route for route in self.routes if route.enabled]
        return tuple(sorted(enabled, key=lambda route: (-route.priority, -literals(route.match))))

    @cached_property
    def by_exact(self) -> dict[str, Route]:
        """The enabled routes of one name."""
        return {route.match: route for route in reversed(self.sorted_routes) if not is_pattern(route.match)}

    @cached_property
    def by_pattern(self) -> tuple[Route, ...]:
        """The enabled routes of many names, in the order in which they are tried."""
        return tuple(route for route in self.sorted_routes if is_pattern(route.match))

    @cached_property
    def patterns(self) -> Patterns:
        return Patterns([route.match for route in self.by_pattern])

    @cached_property
    def vendor_routes(self) -> tuple[Route, ...]:
        """The patterns that spell a slash, so that who wrote them meant names with a prefix."""
        return tuple(route for route in self.by_pattern if "/" in route.match)

    @cached_property
    def vendor_patterns(self) -> Patterns:
        return Patterns([route.match for route in self.vendor_routes])

    @cached_property
    def family_patterns(self) -> tuple[tuple[Patterns, Family], ...]:
        return tuple((Patterns([family.pattern]), family) for family in self.families)

    @cached_property
    def family_names(self) -> frozenset[str]:
        """The families of one name, which is never split."""
        return frozenset(family.pattern for family in self.families if not is_pattern(family.pattern))

    @cached_property
    def with_families(self) -> frozenset[str]:
        """The backends that take only the names of their families."""
        return frozenset(family.backend for family in self.families)

    @cached_property
    def splits(self) -> dict[str, str]:
        """The words before a slash that name a backend, and that backend; in lower case, and a backend's name as it is.

        What the config binds comes before a backend's own name, that before its provider's.
        """
        bound = {word.lower(): name for word, name in self.prefixes.items()}
        found: dict[str, str] = {word: name for word, name in bound.items() if name is not None}
        for backend in self.backends if self.pins else ():
            if backend.name.lower() not in bound:
                found.setdefault(backend.name.lower(), backend.name)
                found[backend.name] = backend.name
        for backend in self.ordered:
            provider = self.providers.get(backend.provider.lower())
            for alias, name in self.providers.items():
                if name == provider and alias not in bound:
                    found.setdefault(alias, backend.name)
        return found

    @cached_property
    def whole(self) -> frozenset[str]:
        """The words before a slash that are no prefixes here, in lower case."""
        return frozenset(word.lower() for word, name in self.prefixes.items() if name is None)

    @cached_property
    def by_smart(self) -> dict[str, Smart]:
        return {smart.name: smart for smart in self.smart}

    @cached_property
    def smart_names(self) -> frozenset[str]:
        """The names for which a decision looks at the request's shape: the smart models', and aliases that mean one."""
        aliases = {
            alias for mode in self.modes.values() for alias, name in mode.models.items() if name in self.by_smart
        }
        return frozenset((*self.by_smart, *aliases))

    @cached_property
    def named(self) -> frozenset[str]:
        """Every single name that a rule has: of `models`, of routes, of smart models."""
        return frozenset((*self.by_model, *self.by_exact, *self.by_smart))

    @cached_property
    def ready(self) -> dict[str, tuple[frozenset[str], tuple[str, ...], Decision]]:
        """By a single name the decision that each request gets whose needs all of its backends meet.

        Filled by `decide`, for it depends on nothing else of the request: so the most frequent case costs a look-up.
        """
        return {}

    def split(self, model: str) -> tuple[str, str] | None:
        """The prefix of this name as the plan knows it, and the rest; None where the name has none."""
        word, slash, rest = model.partition("/")
        if not slash or not rest:
            return None
        known = word if word in self.splits else word.lower()
        return (known, rest) if known in self.splits else None

    def absent(self, model: str) -> str | None:
        """The provider that this name's prefix means and that no backend is of."""
        word, slash, rest = model.partition("/")
        word = word.lower()
        if not slash or not rest or word in self.splits or word in self.whole:
            return None
        return self.providers.get(word)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, but should be read."""
        first: dict[str, Route] = {}
        said = []
        for route in self.sorted_routes:
            if route.match in first:
                place = first[route.match].place
                said.append(f"{route.place}: {route.match!r} serves only once {place}, of higher priority, is disabled")
            first.setdefault(route.match, route)
        return tuple(said)

    # ---- what contradicts itself -------------------------------------------------------------------------------------

    def _wrong_names(self) -> Iterator[str]:
        names: set[str] = set()
        for backend in self.backends:
            if backend.name in names:
                yield f"backends.{backend.name}: two backends have this name; rename one"
            names.add(backend.name)
        for family in self.families:
            if family.backend not in names:
                yield f"families: {family.pattern!r} belongs to {family.backend!r}, which is no backend"
        single = {"last_resort": self.last_resort, self._place("unmapped"): self.unmapped}
        single |= {self._place("prefixes", f".{word}"): name for word, name in self.prefixes.items()}
        for key, name in single.items():
            if name is not None and name not in names:
                yield f"{key}: {name!r} is no backend"
        if self.mode is not None and self.mode not in self.modes:
            yield f"{self._place('mode')}: {self.mode!r} is no mode"
        for place, target in self._targets():
            if target.backend not in names:
                yield f"{place}: {target.backend!r} is no backend"
        taken: dict[str, str] = {}
        for smart in self.smart:
            if smart.name in taken:
                yield f"{smart.place}: {taken[smart.name]} is called {smart.name!r} too; rename one"
            taken.setdefault(smart.name, smart.place)

    def _targets(self) -> Iterator[tuple[str, Target]]:
        """Every target that may be asked, and where it was written."""
        for route in self.routes:
            if route.enabled:
                yield from ((route.place, target) for target in route.targets)
        for mode in self.modes.values():
            if mode.backend is not None:
                yield mode.place, Target(mode.backend)
        for smart in self.smart:
            yield smart.place, smart.cheap
            yield smart.place, smart.primary

    def _wrong_models(self) -> Iterator[str]:
        """Names that two backends have, or a backend and a route that leaves it out."""
        owner: dict[str, str] = {}
        for backend in self.backends:
            for model in backend.models:
                route = self.by_exact.get(model)
                if route is not None:
                    if all(target.backend != backend.name for target in route.targets):
                        what = f"backends.{backend.name}.models names {model!r} too, and is not among its targets"
                        yield f"{route.place}: {what}; add it as a fallback, or keep one of them"
                elif model in owner:
                    first = f"backends.{owner[model]}"
                    yield f"backends.{backend.name}.models: {first} names {model!r} too; keep one of them"
                owner.setdefault(model, backend.name)

    def _wrong_routes(self) -> Iterator[str]:
        seen: dict[tuple[str, int], Route] = {}
        for route in self.routes:
            if not route.enabled:
                continue
            if not route.match or not route.targets:
                yield f"{route.place}: has no {'targets' if route.match else 'name'}; give it one, or disable it"
            first = seen.setdefault((route.match, route.priority), route)
            if first is not route:
                what = f"{route.match!r} is matched by {first.place} with the same priority"
                yield f"{route.place}: {what}; keep one of them, disable one, or give one another priority"
            count = wildcards(route.match)
            for number in (number for name in route.called for number in slots(name) if number > count):
                what = f"{{{number}}} stands for no wildcard: {route.match!r} has {count or 'none'}"
                yield f"{route.place}: {what}; use up to {{{count}}}" if count else f"{route.place}: {what}; remove it"

    def _hidden(self) -> Iterator[str]:
        """Rules that no request reaches, because another comes before them."""
        for index, first in self.patterns.hidden().items():
            route, other = self.by_pattern[index], self.by_pattern[first]
            what = f"{route.match!r} is never reached: {other.place} takes all of its names by {other.match!r}"
            yield f"{route.place}: {what}; give it a higher priority, or disable one"
        for route in self.by_pattern:
            word, slash, _ = head(route.match).partition("/")
            if slash and self.split(f"{word}/-") is not None:
                what = f"{route.match!r} is never reached: the prefix {word!r} names a backend"
                yield f"{route.place}: {what}; set prefixes: {{{word}: false}} to keep such names whole"
        virtual = [(smart.place, smart.name) for smart in self.smart]
        virtual += [(mode.place, alias) for mode in self.modes.values() for alias in mode.models]
        for place, name in virtual:
            if (taker := self._taker(name)) is not None:
                yield f"{place}: {name!r} is never reached: {taker} takes it first; rename one"
        for mode in self.modes.values():
            for alias, name in mode.models.items():
                if mode.backend is None and self.unmapped is None and not self._leads(name):
                    what = f"{alias!r} means {name!r}, which leads to no backend"
                    yield f"{mode.place}: {what}; write it as backend/model, or give the mode a backend"
        everything = next((route for route in self.by_pattern if not route.match.strip("*")), None)
        if everything is not None:
            rest = {self._place("unmapped"): self.unmapped} | {mode.place: mode.backend for mode in self.modes.values()}
            for place in (place for place, backend in rest.items() if backend is not None):
                what = f"is never reached: {everything.place} takes every name by {everything.match!r}"
                yield f"{place}: {what}; remove one of them"

    def _place(self, key: str, rest: str = "") -> str:
        where = self.places.get(key)
        return f"{key}{rest}" if where is None else f"{where}: {key}{rest}"

    def _leads(self, name: str) -> bool:
        """Whether a rule names a backend for this name."""
        return (
            self._taker(name) is not None
            or name in self.by_smart
            or any(patterns.first(name) is not None for patterns, _ in self.family_patterns)
        )

    def _taker(self, name: str) -> str | None:
        """What takes this name before any virtual model."""
        if name in self.by_exact:
            return self.by_exact[name].place
        if name in self.by_model:
            return f"backends.{self.by_model[name].name}.models"
        if (split := self.split(name)) is not None:
            return f"the prefix {split[0]!r}"
        index = self.patterns.first(name)
        return None if index is None else self.by_pattern[index].place
