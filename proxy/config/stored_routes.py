"""Converts the store's mappings to routes of the plan; errors name the mapping's id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..routing import Route, RouteTarget
from ..store.snapshot import StoredRoute
from .smart_models import Resolver
from .yaml_reader import ConfigReader, quote_safely


def stored_routes(reader: ConfigReader, mappings: Iterable[StoredRoute], resolver: Resolver) -> tuple[Route, ...]:
    """Returns the routes of these mappings; a backend may be given by its provider, and is then made if needed."""
    return tuple(_route(reader, mapping, resolver) for mapping in mappings)


def _route(reader: ConfigReader, mapping: StoredRoute, resolver: Resolver) -> Route:
    location = f"store: mapping {mapping.id}"
    targets = []
    for entry in ({"backend": mapping.backend}, *mapping.fallback):
        name, model = (entry, None) if isinstance(entry, str) else (_text(entry, "backend"), _text(entry, "model"))
        # a disabled mapping may name a backend that does not exist yet
        backend = resolver.find(name) if name and mapping.enabled else None
        if backend is None and mapping.enabled:
            what = (
                f"no backend and no provider is called {quote_safely(name or '')}; {resolver.did_you_mean(name or '')}"
            )
            reader.complaints.append((0, f"{location}: {what}"))
        targets.append(RouteTarget(name or "" if backend is None else backend.name, model))
    return Route(
        match=mapping.match,
        targets=tuple(targets),
        model=mapping.model,
        priority=mapping.priority,
        enabled=mapping.enabled,
        location=location,
    )


def _text(entry: object, key: str) -> str | None:
    """Returns the text at a key of a fallback entry; None where it is absent or no text."""
    value = entry.get(key) if isinstance(entry, Mapping) else None
    return value if isinstance(value, str) else None
