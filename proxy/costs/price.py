"""Prices of models, and the cost of what a request used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

from msgspec import Struct

from ..ir import Usage

NANO = 1_000_000_000
"""Billionths of a dollar in a dollar: the unit of every sum, so that sums are exact."""

PER_TOKEN = NANO / 1_000_000
"""Billionths of a dollar a token, of a price that is in dollars per million tokens."""

MOST_NAMES = 10_000
"""Models whose price is remembered; their names may come from clients."""


class Rates(Struct, frozen=True):
    """Dollars per million tokens. What is None costs what the whole does: a cached token as an input token, a
    reasoning token as an output token."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None


class Price(Struct, frozen=True, kw_only=True):
    """The price of the models whose names `match` this pattern, at this `provider` or at any.

    Beyond a prompt of `long_from` tokens the whole request costs `long`. `image` is in dollars for each image of an
    answer. `source` and `date` say where and when the price was read.
    """

    match: str
    rates: Rates
    provider: str | None = None
    long_from: int | None = None
    long: Rates | None = None
    image: float = 0.0
    source: str = ""
    date: str = ""

    def cost(self, usage: Usage, images: int = 0) -> int:
        """The cost of this usage in billionths of a dollar."""
        rates = self.rates
        cache_read, cache_write = usage.cache_read or 0, usage.cache_write or 0
        fresh, output, reasoning = usage.input or 0, usage.output or 0, usage.reasoning or 0
        if self.long is not None and fresh + cache_read + cache_write > (self.long_from or 0):
            rates = self.long
        total = fresh * rates.input + output * rates.output
        if cache_read:
            total += cache_read * (rates.input if rates.cache_read is None else rates.cache_read)
        if cache_write:
            total += cache_write * (rates.input if rates.cache_write is None else rates.cache_write)
        if reasoning and rates.reasoning is not None:
            total += min(reasoning, output) * (rates.reasoning - rates.output)
        return round(total * PER_TOKEN + images * self.image * NANO)


FREE = Price(match="*", rates=Rates(0.0, 0.0), source="a model on a machine of one's own")


class PriceTable:
    """Prices in their order of precedence, and those that were looked up."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self.prices = tuple(prices)
        self._patterns = [(re.compile(translate(price.match)), price) for price in self.prices]
        self._found: dict[tuple[str, str], Price | None] = {}

    def price_at(self, provider: str, model: str, *, local: bool) -> Price | None:
        """The price of a model at a backend; one that runs on machines of one's own is free, where no row says more."""
        return self.price(provider, model) or (FREE if local else None)

    def price(self, provider: str, model: str) -> Price | None:
        """The first price that fits this model of this provider; a vendor before a slash is left out where none does.

        None where the price is not known.
        """
        key = provider, model
        if key in self._found:
            return self._found[key]
        found = self._search(provider, model)
        if found is None and "/" in model:
            found = self._search(provider, model.rpartition("/")[2])
        if len(self._found) < MOST_NAMES:
            self._found[key] = found
        return found

    def _search(self, provider: str, model: str) -> Price | None:
        for pattern, price in self._patterns:
            if (price.provider is None or price.provider == provider) and pattern.match(model):
                return price
        return None


def dollars(nano: int) -> str:
    """A sum for people and headers, with as many digits as it has, and at least two."""
    whole, rest = divmod(abs(nano), NANO)
    digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{digits}"
