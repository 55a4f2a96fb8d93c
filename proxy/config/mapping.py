"""The store's mappings as routes of the plan, each naming its row where something is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..routing import Route, Target
from ..store.snapshot import Mapping as Stored
from .llm import Resolver
from .nodes import Reader, shown


def stored_routes(reader: Reader, mappings: Iterable[Stored], resolver: Resolver) -> tuple[Route, ...]:
    """The routes of these mappings; a backend may be a provider's name, which has its backend then."""
    return tuple(_route(reader, mapping, resolver) for mapping in mappings)


def _route(reader: Reader, mapping: Stored, resolver: Resolver) -> Route:
    place = f"store: mapping {mapping.id}"
    targets = []
    for entry in ({"backend": mapping.backend}, *mapping.fallback):
        name, model = (entry, None) if isinstance(entry, str) else (_text(entry, "backend"), _text(entry, "model"))
        # a disabled one waits for its backend
        backend = resolver.find(name) if name and mapping.enabled else None
        if backend is None and mapping.enabled:
            what = f"no backend and no provider is called {shown(name or '')}; {resolver.meant(name or '')}"
            reader.complaints.append((0, f"{place}: {what}"))
        targets.append(Target(name or "" if backend is None else backend.name, model))
    return Route(
        match=mapping.match,
        targets=tuple(targets),
        model=mapping.model,
        priority=mapping.priority,
        enabled=mapping.enabled,
        place=place,
    )


def _text(entry: object, key: str) -> str | None:
    """A key of a fallback's entry; None where it has none, or what stands there is no text."""
    value = entry.get(key) if isinstance(entry, Mapping) else None
    return value if isinstance(value, str) else None
