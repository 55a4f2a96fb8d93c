"""Routes: from a model's name or pattern to targets, in order or balanced."""

from __future__ import annotations

from msgspec import Struct

from ..balance.strategy import Balance


class RouteTarget(Struct, frozen=True):
    """One target of a rule: a backend, the upstream model, None for the rule's model, and its weight among equals."""

    backend: str
    model: str | None = None
    weight: float = 1.0


class Route(Struct, frozen=True, kw_only=True):
    """A route: names that `match`, a name or a shell pattern, go to the first target and fail over to the others.

    `model` is the upstream model of targets without one, instead of the client's name; `{1}` in a model is the text
    that the first wildcard captured. `location` is the position in the config, for error messages. By `balance` the
    first `equals` targets change places for each request; None where all keep the config's order.
    """

    match: str
    targets: tuple[RouteTarget, ...]
    model: str | None = None
    priority: int = 0
    enabled: bool = True
    location: str = "routes"
    balance: Balance | None = None
    equals: int = 0

    @property
    def upstream_models(self) -> tuple[str, ...]:
        """Returns every upstream model that the route names."""
        return tuple(name for name in (self.model, *(target.model for target in self.targets)) if name is not None)
