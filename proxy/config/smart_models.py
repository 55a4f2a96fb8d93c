"""Reads the keys `llm_…` and `nearai` (custom providers and the smart model `auto`), and resolves smart models.

The cheap and the primary target are resolved separately through the same providers, so that neither gets the other's
address.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import yaml
from msgspec.structs import replace

from ..providers import Provider, find
from ..routing import BackendConfig, RouteTarget, SmartModel
from .backends import BACKEND_NAME, read_provider
from .provider import ProtocolSpec, backend_from_provider
from .routes import SmartModelSpec
from .settings import read_name
from .yaml_reader import ConfigReader, child_path, did_you_mean, quote_safely

log = logging.getLogger("crosswire")

MODEL_NAME = "auto"
"""Name of the smart model that the `llm_…` keys define."""

NEARAI = "nearai"

FIELDS_BY_KEY = {
    "llm_backend": "primary_backend",
    "llm_model": "primary_model",
    "llm_cheap_backend": "cheap_backend",
    "llm_cheap_model": "cheap_model",
}
"""Key to the field of SmartModelSpec that it sets."""

SMART_MODEL_KEYS = (*FIELDS_BY_KEY, "llm_custom_providers", NEARAI)
"""All keys that this module reads."""

VARIABLES_LOCATION = "llm_cheap_model"
"""Location of a smart model that only the `llm_…` keys define."""


def read_smart_models(
    reader: ConfigReader, found: Mapping[str, yaml.Node], from_file: Sequence[SmartModelSpec]
) -> tuple[SmartModelSpec, ...]:
    """Adds the smart model of the `llm_…` keys to those of the file; an entry `smart.auto` is completed by the keys."""
    text = {key: read_name(reader, found[key], key) for key in FIELDS_BY_KEY if key in found}
    given = {part: text[key] for key, part in FIELDS_BY_KEY.items() if text.get(key) is not None}
    if not given:
        return tuple(from_file)
    if all(spec.name != MODEL_NAME for spec in from_file):
        return (*from_file, replace(SmartModelSpec(name=MODEL_NAME, location=VARIABLES_LOCATION), **given))
    return tuple(_fill_targets(spec, given) if spec.name == MODEL_NAME else spec for spec in from_file)


def _fill_targets(spec: SmartModelSpec, given: Mapping[str, str | None]) -> SmartModelSpec:
    """Fills the targets that the entry does not name from the keys; a target that it names is left as it is."""
    missing = [part for part in ("cheap", "primary") if not _has_target(spec, part)]
    return replace(spec, **{name: value for name, value in given.items() if name.partition("_")[0] in missing})


def _has_target(spec: SmartModelSpec, part: str) -> bool:
    return getattr(spec, f"{part}_backend") is not None or getattr(spec, f"{part}_model") is not None


def read_custom_providers(
    reader: ConfigReader, found: Mapping[str, yaml.Node], protocols: Mapping[str, ProtocolSpec]
) -> tuple[Provider, ...]:
    """Reads the providers that the config defines; they replace built-in ones of the same name."""
    providers = []
    if "llm_custom_providers" in found:
        path = "llm_custom_providers"
        for name, node in reader.mapping(found[path], path, None).items():
            if not BACKEND_NAME.fullmatch(name):  # it becomes a backend's name and is sent in headers
                what = "is not a valid provider name; use letters, digits, '.', '_' and '-'"
                reader.complain(reader.key_lines[path, name], child_path(path, name), what)
            empty = Provider(name=name, protocol="", base_url=None, needs_key=False)
            providers.append(read_provider(reader, node, child_path(path, name), empty, protocols))
    if NEARAI in found and (known := find(NEARAI)) is not None:
        providers.append(read_provider(reader, found[NEARAI], NEARAI, known, protocols))
    return tuple(providers)


class Resolver:
    """Finds the backend of a name, and makes the provider's backend if there is none; it is added to `backends`."""

    def __init__(
        self,
        reader: ConfigReader,
        backends: Sequence[BackendConfig],
        providers: Mapping[str, Provider],
        protocols: Mapping[str, ProtocolSpec],
    ) -> None:
        self._reader = reader
        self._providers = providers
        self._protocols = protocols
        self.backends = list(backends)

    def find(self, name: str) -> BackendConfig | None:
        """Returns the backend of this name, else of the provider with this name or alias; None if there is neither."""
        provider = self._providers.get(name.lower())
        names = (name.lower(),) if provider is None else (name.lower(), provider.name.lower())
        for candidate in names:
            for backend in self.backends:
                if backend.name.lower() == candidate:
                    return backend
        if provider is None:
            return None
        for backend in self.backends:
            if backend.provider == provider.name:
                return backend
        if provider.address(self._reader.env)[0] is None:
            return None
        self.backends.append(backend_from_provider(self._reader, provider, self._protocols))
        return self.backends[-1]

    def target(self, text: str, model: str | None) -> RouteTarget | None:
        """Returns the target for `provider` or `provider/model`; `model` beats the one in the name."""
        backend, rest = self.find(text), ""
        if backend is None:
            name, _, rest = text.partition("/")
            backend = self.find(name) if rest else None
        return None if backend is None else RouteTarget(backend.name, model or rest or backend.default_model)

    def did_you_mean(self, name: str) -> str:
        """Returns a hint for an unknown name."""
        near = did_you_mean(name, [*(backend.name for backend in self.backends), *self._providers])
        return near if near.startswith("did") else "name a backend, a provider, or one of llm_custom_providers"


def resolve(reader: ConfigReader, spec: SmartModelSpec, resolver: Resolver) -> SmartModel | None:
    """Resolves the targets of a smart model; returns None, with an error or warning, if it is incomplete.

    The cheap target is one of these:
    - the cheap backend is another than the primary: that provider, with its own address and key;
    - it is the same, also by an alias, or not set: the primary backend with the cheap model;
    - it is unknown: the primary target, with a note in every decision;
    - it is NEAR AI in any spelling: the provider of the key `nearai`.
    """
    errors = _SpecErrors(reader, spec)
    if spec.cheap_backend is None and spec.cheap_model is None:
        errors("cheap", "is missing; give it a backend, a model or both")
        return None
    if spec.primary_backend is None:
        errors("primary", "is missing; give it a backend and a model")
        return None
    primary = resolver.target(spec.primary_backend, spec.primary_model)
    if primary is None:
        what = f"no backend and no provider is called {quote_safely(spec.primary_backend)}"
        errors("primary_backend", f"{what}; {resolver.did_you_mean(spec.primary_backend)}")
        return None
    if primary.model is None:
        errors("primary_backend", f"{quote_safely(spec.primary_backend)} names no model; {errors.fix('primary_model')}")
        return None
    notes: tuple[str, ...] = ()
    if spec.cheap_backend is None:
        cheap: RouteTarget | None = RouteTarget(primary.backend, spec.cheap_model)
    else:
        cheap = resolver.target(spec.cheap_backend, spec.cheap_model)
    if cheap is None:
        notes = (f"the cheap provider {quote_safely(str(spec.cheap_backend))} is unknown; the primary serves alone",)
        errors.warn("cheap_backend", f"{notes[0]}; {resolver.did_you_mean(str(spec.cheap_backend))}")
        cheap = primary
    if cheap.model is None:
        errors("cheap_backend", f"{quote_safely(str(spec.cheap_backend))} names no model; {errors.fix('cheap_model')}")
        return None
    if cheap.backend != primary.backend:
        log.debug("Creating cross-backend cheap provider %s beside the primary %s", cheap.backend, primary.backend)
    return SmartModel(
        name=spec.name,
        cheap=cheap,
        primary=primary,
        weights=spec.weights,
        thresholds=spec.thresholds,
        cascade=spec.cascade,
        notes=notes,
        location=spec.location,
    )


class _SpecErrors:
    """Reports errors of a smart model: errors if the file defines it, warnings if only the `llm_…` keys do.

    Other programs read the same environment variables, so a value meant for them must not prevent a start.
    """

    def __init__(self, reader: ConfigReader, spec: SmartModelSpec) -> None:
        self._reader = reader
        self._spec = spec

    def __call__(self, part: str, what: str) -> None:
        if self._spec.line:
            self._reader.complain(self._spec.line, f"smart.{self._spec.name}.{part.replace('_', '.')}", what)
        elif part != "cheap":
            self.warn(part, what)

    def warn(self, part: str, what: str) -> None:
        if self._spec.line:
            self._reader.warnings.append(f"{self._spec.location}.{part.replace('_', '.')}: {what}")
            return
        key = next((key for key, name in FIELDS_BY_KEY.items() if name == part), "llm_backend")
        line = self._reader.key_lines.get(("", key))
        here = f"{self._reader.file}:{line}" if line else self._reader.file
        self._reader.warnings.append(f"{self._reader.origins.get(key, here)}: {key}: {what}")

    def fix(self, part: str) -> str:
        """Returns a hint on how to set the missing part."""
        if self._spec.line:
            return f"give it a {part.partition('_')[2]}"
        return f"set {next(key for key, name in FIELDS_BY_KEY.items() if name == part)}, or write PROVIDER/MODEL"
