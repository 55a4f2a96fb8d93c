"""The plan: all backends and routing rules, with the lookup tables that decisions use.

The tables are built once per plan; contradictory rules are rejected when the plan is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from ..balance.strategy import Strategy
from ..errors import ConfigError
from ..limits.bounds import NO_LIMITS, LimitSet
from ..providers import SpokenProtocol
from ..traits import Trait
from .alias_table import AliasTable
from .decision import Decision
from .patterns import Patterns, is_pattern, literal_length, literal_prefix, placeholders, wildcard_count
from .route import Route, RouteTarget

QUEUE_S = 5.0
"""Seconds that a request waits in a backend's queue, where the config says no others."""


class BackendConfig(Struct, frozen=True, kw_only=True):
    """Configuration of one backend.

    `models` maps client names to upstream names. `provider` is the issuer of its signatures, by default the backend's
    name. `max_tokens` is used where the protocol requires a limit and the client set none. `betas` are the accepted
    flags of `anthropic-beta`, as shell patterns; None means all. A `reserved` backend serves only if a rule names it.
    `host` is the provider whose rows of the table of traits apply, empty for none; `traits` are the config's own.
    `spare_keys` are tried when `api_key` is rejected; a backend that `needs_key` and has none cannot serve. `folder` is
    that of a local model, empty for the bundled one; `load` is when it is loaded. `max_in_flight` is the most that it
    gets at the same time; beyond it `queue` requests may wait, each for `queue_s`. `rates` are its limits of requests
    and tokens.
    `proxy` is the URL of an HTTP proxy on the way to it, which may hold a password; the files are of certificates.
    `speaks` are the protocols that it has beside `protocol`; `capabilities` are those of all of them together. A
    `bearer` gets its key in the header Authorization, whatever its protocol's own is. `key_strategy` chooses among
    several keys, by `key_weights` where there are any.
    """

    name: str
    protocol: str
    base_url: str
    speaks: tuple[SpokenProtocol, ...] = ()
    bearer: bool = False
    provider: str = ""
    api_key: str | None = None
    models: Mapping[str, str] = {}
    default_model: str | None = None
    capabilities: frozenset[str] = frozenset(("text",))
    capabilities_from: Literal["auto", "explicit"] = "auto"
    priority: int = 0
    quirks: frozenset[str] = frozenset()
    host: str = ""
    traits: tuple[Trait, ...] = ()
    limits: Mapping[str, float] = {}
    max_tokens: int | None = None
    max_in_flight: int | None = None
    queue: int = 0
    queue_s: float = QUEUE_S
    rates: LimitSet = NO_LIMITS
    relay: Literal["auto", "never"] = "auto"
    cache: Literal["agents", "auto", "off"] = "agents"
    strict: bool = False
    headers: Mapping[str, str] = {}
    betas: tuple[str, ...] | None = None
    spare_keys: tuple[str, ...] = ()
    key_strategy: Strategy = "order"
    key_weights: tuple[float, ...] = ()
    needs_key: bool = False
    reserved: bool = False
    folder: str = ""
    load: Literal["lazy", "start"] = "lazy"
    proxy: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    local: bool = False

    def __post_init__(self) -> None:
        if not self.provider:
            force_setattr(self, "provider", self.name)

    @property
    def missing_key(self) -> str | None:
        """Returns an error text if the backend cannot serve for lack of a key, else None."""
        return f"No credentials configured for {self.provider}" if self.needs_key and self.api_key is None else None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Returns the fields with the keys masked, and the values of headers, which may be keys too."""
        shown = {field: getattr(self, field) for field in self.__struct_fields__}
        shown["api_key"] = None if self.api_key is None else "…"
        shown["spare_keys"] = tuple("…" for _ in self.spare_keys)
        shown["proxy"] = None if self.proxy is None else "…"
        shown["headers"] = dict.fromkeys(self.headers, "…")
        return list(shown.items())

    def __repr__(self) -> str:
        return f"BackendConfig({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"


class NameFamily(Struct, frozen=True):
    """Assigns the model names that match a shell pattern, case-sensitive, to a backend."""

    pattern: str
    backend: str


class NamedMode(Struct, frozen=True, kw_only=True):
    """A mode that clients select by name: aliases in `models`, and the backend of every name without a rule.

    An alias stands for a name that a client could send, such as `openrouter/auto`: that name's rule beats `backend`.
    """

    name: str
    backend: str | None = None
    models: Mapping[str, str] = {}
    location: str = "modes"


class SmartModel(Struct, frozen=True, kw_only=True):
    """A virtual model: easy requests go to `cheap`, all others to `primary`.

    `weights` and `thresholds` override single entries of the score's tables. With `cascade`, a poor or failed reply of
    `cheap` is replaced by one of `primary`. `notes` are warnings that are added to every decision.
    """

    name: str
    cheap: RouteTarget
    primary: RouteTarget
    weights: Mapping[str, float] = {}
    thresholds: Mapping[str, float] = {}
    cascade: bool = False
    notes: tuple[str, ...] = ()
    location: str = "smart"


KeptDecision: TypeAlias = tuple[frozenset[str], frozenset[str], Decision]
"""Capabilities that all backends of a decision have, the names of those backends, and the decision."""


class Plan(Struct, frozen=True, dict=True):
    """All backends in the order of the config, and the routing rules.

    `families` are tried in order, after every other rule that names models. `last_resort` and `unmapped` are
    backend names; models without a rule go to `unmapped`, or by capability if it is None, unless the plan
    `refuses_unmapped`. `prefixes` binds a word before the first slash of a name to a backend, or to None if it is no
    prefix. `providers` maps aliases in lower case to provider names, `key_variables` providers to the variable of their
    key, `vendors` first words of model names to the provider that resells them. `aliases` maps names and shell patterns
    of names to the name that each stands for, unless a rule has exactly the name. `mode` is the default mode; `pins` is
    whether clients may name a backend; `unlisted` are shell patterns of names that model lists omit; `offered` are the
    models that backends themselves list, by backend; `locations` are the positions of keys in the config, for messages.

    Raises ConfigError where rules contradict each other, can never apply, or name unknown backends.
    """

    backends: tuple[BackendConfig, ...]
    families: tuple[NameFamily, ...] = ()
    last_resort: str | None = None
    routes: tuple[Route, ...] = ()
    prefixes: Mapping[str, str | None] = {}
    providers: Mapping[str, str] = {}
    key_variables: Mapping[str, str] = {}
    vendors: Mapping[str, str] = {}
    modes: Mapping[str, NamedMode] = {}
    mode: str | None = None
    smart: tuple[SmartModel, ...] = ()
    unmapped: str | None = None
    refuses_unmapped: bool = False
    pins: bool = True
    unlisted: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}
    offered: Mapping[str, tuple[str, ...]] = {}
    locations: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        complaints = [*self._name_errors(), *self._model_errors(), *self._route_errors(), *self._unreachable_rules()]
        if complaints:
            raise ConfigError(list(dict.fromkeys(complaints)))

    # ---- lookup tables -----------------------------------------------------------------------------------------------

    @cached_property
    def by_name(self) -> dict[str, BackendConfig]:
        return {backend.name: backend for backend in self.backends}

    @cached_property
    def ordered(self) -> tuple[BackendConfig, ...]:
        """The backends by descending priority, ties in config order."""
        return tuple(sorted(self.backends, key=lambda backend: -backend.priority))

    @cached_property
    def by_model(self) -> dict[str, BackendConfig]:
        """Model name to the backend whose `models` have it; where several have it, a route decides."""
        return {model: backend for backend in reversed(self.backends) for model in backend.models}

    @cached_property
    def sorted_routes(self) -> tuple[Route, ...]:
        """The enabled routes by descending priority, then the more specific first, then in config order."""
        enabled = [route for route in self.routes if route.enabled]
        return tuple(sorted(enabled, key=lambda route: (-route.priority, -literal_length(route.match))))

    @cached_property
    def by_exact(self) -> dict[str, Route]:
        """Model name to the enabled route that matches exactly it."""
        return {route.match: route for route in reversed(self.sorted_routes) if not is_pattern(route.match)}

    @cached_property
    def by_pattern(self) -> tuple[Route, ...]:
        """The enabled routes with a pattern, in matching order."""
        return tuple(route for route in self.sorted_routes if is_pattern(route.match))

    @cached_property
    def patterns(self) -> Patterns:
        return Patterns([route.match for route in self.by_pattern])

    @cached_property
    def vendor_routes(self) -> tuple[Route, ...]:
        """The routes whose pattern has a literal slash, and so is meant for names with a prefix."""
        return tuple(route for route in self.by_pattern if "/" in route.match)

    @cached_property
    def vendor_patterns(self) -> Patterns:
        return Patterns([route.match for route in self.vendor_routes])

    @cached_property
    def family_patterns(self) -> tuple[tuple[Patterns, NameFamily], ...]:
        return tuple((Patterns([family.pattern]), family) for family in self.families)

    @cached_property
    def family_names(self) -> frozenset[str]:
        """The families without a wildcard; such a name is not split at its slash."""
        return frozenset(family.pattern for family in self.families if not is_pattern(family.pattern))

    @cached_property
    def family_backends(self) -> frozenset[str]:
        """The backends that have families, and serve only names that match them."""
        return frozenset(family.backend for family in self.families)

    @cached_property
    def prefix_backends(self) -> dict[str, str]:
        """Prefix to backend; prefixes are in lower case, backend names also as written.

        A prefix of the config beats a backend's name, which beats its provider's names.
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
    def unsplit_prefixes(self) -> frozenset[str]:
        """Words, in lower case, that the config declares to be no prefix."""
        return frozenset(word.lower() for word, name in self.prefixes.items() if name is None)

    @cached_property
    def smart_by_name(self) -> dict[str, SmartModel]:
        return {smart.name: smart for smart in self.smart}

    @cached_property
    def smart_names(self) -> frozenset[str]:
        """Names whose decision needs the request's features: smart models, and aliases of them."""
        aliases = {
            alias for mode in self.modes.values() for alias, name in mode.models.items() if name in self.smart_by_name
        }
        return frozenset((*self.smart_by_name, *aliases))

    @cached_property
    def exact_names(self) -> frozenset[str]:
        """Every name without a wildcard that a rule has: in `models`, of routes, of smart models."""
        return frozenset((*self.by_model, *self.by_exact, *self.smart_by_name))

    @cached_property
    def alias_table(self) -> AliasTable:
        """The aliases, with the names that are never taken for one."""
        return AliasTable(self.aliases, self.exact_names)

    @cached_property
    def decision_cache(self) -> dict[str, KeptDecision]:
        """Exact model name to the capabilities that all of its backends have, those backends, and the decision.

        Filled by `decide`. The decision holds for every request that needs only these capabilities while none of the
        backends is excluded, so that the most frequent case is a dict lookup.
        """
        return {}

    @cached_property
    def unmapped_cache(self) -> dict[str, KeptDecision]:
        """The same for names without a rule, as long as the client chooses no mode. Filled by `decide`, and bounded."""
        return {}

    def split_prefix(self, model: str) -> tuple[str, str] | None:
        """Splits a name into a key of `prefix_backends` and the rest; returns None where it has no such prefix."""
        word, slash, rest = model.partition("/")
        if not slash or not rest:
            return None
        prefix = word if word in self.prefix_backends else word.lower()
        return (prefix, rest) if prefix in self.prefix_backends else None

    def missing_provider(self, model: str) -> str | None:
        """Returns the provider that this name's prefix stands for if no backend has it as provider, else None."""
        word, slash, rest = model.partition("/")
        word = word.lower()
        if not slash or not rest or word in self.prefix_backends or word in self.unsplit_prefixes:
            return None
        return self.providers.get(word)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about valid but suspicious rules."""
        first: dict[str, Route] = {}
        found = []
        for route in self.sorted_routes:
            if route.match in first:
                place = first[route.match].location
                found.append(
                    f"{route.location}: {route.match!r} serves only once {place}, of higher priority, is disabled"
                )
            first.setdefault(route.match, route)
        wild = self.alias_table.wild
        for route in self.by_pattern:
            if (above := Patterns([*wild, route.match]).shadowed().get(len(wild))) is not None:
                what = f"{route.match!r} is never reached: the alias {wild[above]!r} takes all of its names"
                found.append(f"{route.location}: {what}; remove one of them")
        return tuple(found)

    # ---- validation --------------------------------------------------------------------------------------------------

    def _name_errors(self) -> Iterator[str]:
        names: set[str] = set()
        for backend in self.backends:
            if backend.name in names:
                yield f"backends.{backend.name}: two backends have this name; rename one"
            names.add(backend.name)
        for family in self.families:
            if family.backend not in names:
                yield f"families: {family.pattern!r} belongs to {family.backend!r}, which is not a backend"
        single = {"last_resort": self.last_resort, self._location("unmapped"): self.unmapped}
        single |= {self._location("prefixes", f".{word}"): name for word, name in self.prefixes.items()}
        for key, name in single.items():
            if name is not None and name not in names:
                yield f"{key}: unknown backend {name!r}"
        if self.mode is not None and self.mode not in self.modes:
            yield f"{self._location('mode')}: unknown mode {self.mode!r}"
        for place, target in self._targets():
            if target.backend not in names:
                yield f"{place}: unknown backend {target.backend!r}"
        taken: dict[str, str] = {}
        for smart in self.smart:
            if smart.name in taken:
                yield f"{smart.location}: {taken[smart.name]} is called {smart.name!r} too; rename one"
            taken.setdefault(smart.name, smart.location)

    def _targets(self) -> Iterator[tuple[str, RouteTarget]]:
        """Yields every target of an enabled rule with the rule's location."""
        for route in self.routes:
            if route.enabled:
                yield from ((route.location, target) for target in route.targets)
        for mode in self.modes.values():
            if mode.backend is not None:
                yield mode.location, RouteTarget(mode.backend)
        for smart in self.smart:
            yield smart.location, smart.cheap
            yield smart.location, smart.primary

    def _model_errors(self) -> Iterator[str]:
        """Yields names that two backends have, or a backend and a route that does not target it."""
        owners: dict[str, str] = {}
        for backend in self.backends:
            for model in backend.models:
                route = self.by_exact.get(model)
                if route is not None:
                    if all(target.backend != backend.name for target in route.targets):
                        what = f"backends.{backend.name}.models names {model!r} too, and is not among its targets"
                        yield f"{route.location}: {what}; add it as a fallback, or keep one of them"
                elif model in owners:
                    first = f"backends.{owners[model]}"
                    yield f"backends.{backend.name}.models: {first} names {model!r} too; keep one of them"
                owners.setdefault(model, backend.name)

    def _route_errors(self) -> Iterator[str]:
        seen: dict[tuple[str, int], Route] = {}
        for route in self.routes:
            if not route.enabled:
                continue
            if not route.match or not route.targets:
                yield f"{route.location}: has no {'targets' if route.match else 'name'}; give it one, or disable it"
            first = seen.setdefault((route.match, route.priority), route)
            if first is not route:
                what = f"{route.match!r} is matched by {first.location} with the same priority"
                yield f"{route.location}: {what}; keep one of them, disable one, or give one another priority"
            count = wildcard_count(route.match)
            for number in (number for name in route.upstream_models for number in placeholders(name) if number > count):
                what = f"{{{number}}} refers to no wildcard: {route.match!r} has {count or 'none'}"
                yield (
                    f"{route.location}: {what}; use up to {{{count}}}"
                    if count
                    else f"{route.location}: {what}; remove it"
                )

    def _unreachable_rules(self) -> Iterator[str]:
        """Yields rules that can never apply because an earlier one always does."""
        for index, first in self.patterns.shadowed().items():
            route, other = self.by_pattern[index], self.by_pattern[first]
            what = f"{route.match!r} is never reached: {other.location} takes all of its names by {other.match!r}"
            yield f"{route.location}: {what}; give it a higher priority, or disable one"
        for route in self.by_pattern:
            word, slash, _ = literal_prefix(route.match).partition("/")
            if slash and self.split_prefix(f"{word}/-") is not None:
                what = f"{route.match!r} is never reached: the prefix {word!r} names a backend"
                yield f"{route.location}: {what}; set prefixes: {{{word}: false}} to keep such names whole"
        virtual = [(smart.location, smart.name) for smart in self.smart]
        virtual += [(self._location("aliases"), name) for name in self.aliases if not is_pattern(name)]
        virtual += [(mode.location, alias) for mode in self.modes.values() for alias in mode.models]
        for place, name in virtual:
            if (earlier := self._earlier_rule(name)) is not None:
                yield f"{place}: {name!r} is never reached: {earlier} takes it first; rename one"
        for mode in self.modes.values():
            for alias, name in mode.models.items():
                if mode.backend is None and self.unmapped is None and not self._has_rule(name):
                    what = f"{alias!r} means {name!r}, which leads to no backend"
                    yield f"{mode.location}: {what}; write it as backend/model, or give the mode a backend"
        everything = next((route for route in self.by_pattern if not route.match.strip("*")), None)
        if everything is not None:
            rest = {self._location("unmapped"): self.unmapped} | {
                mode.location: mode.backend for mode in self.modes.values()
            }
            for place in (place for place, backend in rest.items() if backend is not None):
                what = f"is never reached: {everything.location} takes every name by {everything.match!r}"
                yield f"{place}: {what}; remove one of them"

    def _location(self, key: str, rest: str = "") -> str:
        where = self.locations.get(key)
        return f"{key}{rest}" if where is None else f"{where}: {key}{rest}"

    def _has_rule(self, name: str) -> bool:
        """Returns true if a rule names a backend for this name."""
        return (
            self._earlier_rule(name) is not None
            or name in self.smart_by_name
            or any(patterns.first_match(name) is not None for patterns, _ in self.family_patterns)
        )

    def _earlier_rule(self, name: str) -> str | None:
        """Returns a description of the rule that matches this name before smart models and aliases, if there is one."""
        if name in self.by_exact:
            return self.by_exact[name].location
        if name in self.by_model:
            return f"backends.{self.by_model[name].name}.models"
        if (split := self.split_prefix(name)) is not None:
            return f"the prefix {split[0]!r}"
        index = self.patterns.first_match(name)
        return None if index is None else self.by_pattern[index].location
