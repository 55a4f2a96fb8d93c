"""The supervisor's part of the usage: the rows of all workers, the clients of stored responses, and what was spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..config import Config
from ..costs.price import PriceTable
from ..costs.price_list import shipped_prices
from ..gateway.guard import Guard
from ..gateway.runtime import ReadUsage
from ..gateway.state_owners import StateOwners
from ..observability.usage_log import UsageLog
from ..state.interface import State
from .channel import Handler, Refusal


class Accounts:
    """The part of a proxy that a writer of usage needs, for all workers: it sets the ledger and reads the guard."""

    def __init__(self, serving: Callable[[], Config], state: State, clock: Callable[[], float]) -> None:
        self._serving = serving
        self.limits = state
        self._of: Config | None = None
        self._guard: Guard | None = None
        self.clock = clock
        self.owners = StateOwners()
        self.ledger: UsageLog | None = None
        self.read_usage: ReadUsage | None = None
        self.handlers: dict[str, Handler] = {
            "usage": self._take,
            "usage sums": self._sums,
            "responses": self._remember,
            "find response": self._find,
        }

    @property
    def config(self) -> Config:
        return self._serving()

    @property
    def guard(self) -> Guard | None:
        """The budgets of the config that serves; None where there are no clients."""
        config = self.config
        if config is not self._of:
            prices = PriceTable((*config.settings.prices, *shipped_prices()))
            self._of = config
            self._guard = None if config.clients is None else Guard(config, self.limits, prices, self.clock())
        return self._guard

    def begin(self) -> None:
        """The budgets of a new config count from now on; what was spent before is read from the ledger."""
        self._of = None
        _ = self.guard

    def _take(self, rows: Sequence[Sequence[Any]]) -> None:
        if self.ledger is None or not self.ledger.take([tuple(row) for row in rows]):
            raise Refusal("too many rows of usage wait to be written")

    async def _sums(self, by: Sequence[str], since: float) -> list[dict[str, Any]]:
        if self.read_usage is None:
            raise Refusal("store: no usage is kept")
        return await self.read_usage(by, since)

    def _remember(self, rows: Sequence[Sequence[Any]]) -> None:
        self.owners.new += [(id_, client, backend) for id_, client, backend in rows]

    async def _find(self, id_: str) -> tuple[str | None, str] | None:
        return None if self.owners.find is None else await self.owners.find(id_)
