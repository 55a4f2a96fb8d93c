"""Prices, costs and budgets, with a clock of the tests' own."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.proxy.costs.budget import SECONDS, Budget, CalendarCounter, period_of
from crosswire.proxy.costs.price import NANO, Price, PriceTable, Rates, dollars
from crosswire.proxy.costs.price_list import shipped_prices
from crosswire.proxy.ir import Usage
from crosswire.proxy.limits.state import Denied, MemoryState, limit_of

from ..limits.test_limits import Clock, reserve

SONNET = Price(match="m", rates=Rates(3, 15, cache_read=0.3, cache_write=3.75))
LONG = Price(match="m", rates=Rates(1, 10), long_from=1000, long=Rates(2, 20))


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# ---- prices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (SONNET, Usage(input=1_000_000), 3 * NANO),
        (SONNET, Usage(output=1_000_000), 15 * NANO),
        (SONNET, Usage(input=1, output=1, cache_read=10, cache_write=100), 3000 + 15000 + 3000 + 375_000),
        (SONNET, Usage(output=10, reasoning=4), 150_000),
        (Price(match="m", rates=Rates(0, 10, reasoning=2)), Usage(output=10, reasoning=4), 68_000),
        (Price(match="m", rates=Rates(2, 0)), Usage(cache_read=5, cache_write=5), 20_000),
        (LONG, Usage(input=1000, output=1), 1_010_000),
        (LONG, Usage(input=901, cache_read=100, output=1), 2_022_000),
        (SONNET, Usage(), 0),
        (Price(match="m", rates=Rates(0, 0), image=0.04), Usage(), 0),
    ],
)
def test_costs(price: Price, usage: Usage, cost: int) -> None:
    assert price.cost(usage) == cost


def test_images_of_an_answer_cost_too() -> None:
    assert Price(match="m", rates=Rates(0, 0), image=0.04).cost(Usage(), images=3) == 120_000_000


def test_the_first_price_that_fits_counts() -> None:
    own = Price(match="gpt-5", rates=Rates(1, 1))
    hosted = Price(match="llama*", provider="groq", rates=Rates(2, 2))
    table = PriceTable((own, hosted, *shipped_prices()))
    assert table.price("openai", "gpt-5") is own
    assert table.price("openrouter", "openai/gpt-5") is own
    assert table.price("groq", "llama-3") is hosted
    assert table.price("elsewhere", "llama-3") is None
    assert table.price("openai", "no-such-model") is None
    assert table.price("openai", "no-such-model") is None, "what is not known is remembered too"


@pytest.mark.parametrize(
    ("model", "input_", "output"),
    [
        ("gpt-5-mini-2025-08-07", 0.25, 2),
        ("gpt-5", 1.25, 10),
        ("gpt-5.4-mini", 0.75, 4.5),
        ("gpt-6.2-sol", 2, 10),
        ("claude-sonnet-4-5-20250929", 3, 15),
        ("claude-opus-4-20250514", 15, 75),
        ("claude-opus-4-6", 5, 25),
        ("gemini-2.5-flash-lite", 0.1, 0.4),
        ("gemini-2.5-flash", 0.3, 2.5),
        ("o3-mini", 1.1, 4.4),
        ("o3-2025-04-16", 2, 8),
        ("o3-deep-research-2025-06-26", 10, 40),
        ("gpt-4o-2024-05-13", 5, 15),
        ("gpt-4o-2024-11-20", 2.5, 10),
        ("gpt-5.1-codex-mini", 0.25, 2),
        ("gpt-5.1-codex-max", 1.25, 10),
        ("gpt-5.6-sol", 5, 30),
        ("gpt-5-codex", 1.25, 10),
        ("gemini-3.5-flash-lite", 0.3, 2.5),
        ("gemini-2.5-flash-preview-09-2025", 0.3, 2.5),
        ("gemini-2.0-flash-001", 0.1, 0.4),
    ],
)
def test_shipped_prices(model: str, input_: float, output: float) -> None:
    found = PriceTable(shipped_prices()).price("any", model)
    assert found is not None
    assert (found.rates.input, found.rates.output) == (input_, output)


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o-audio-preview", "gpt-4o-mini-tts", "gpt-4o-transcribe", "gpt-4o-realtime-preview"),
        *("gpt-5-search-api", "gemini-2.0-flash-lite", "gemini-2.5-flash-preview-tts", "gemini-2.5-pro-preview-tts"),
        *("gemini-2.5-flash-native-audio-preview-09-2025", "gemini-3-pro-image-preview"),
    ],
)
def test_a_model_of_another_price_is_in_no_pattern(model: str) -> None:
    assert PriceTable(shipped_prices()).price("any", model) is None


def test_every_shipped_price_has_its_source_and_is_reached() -> None:
    prices = shipped_prices()
    table = PriceTable(prices)
    for price in prices:
        assert price.source.startswith("https://")
        datetime.fromisoformat(price.date)
        sample = price.match.replace("[5-8]", "6").replace("*", "")
        assert table.price("any", sample) is price, f"{price.match} stands behind a pattern that takes its names"


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0.00"), (1, "0.000000001"), (NANO, "1.00"), (1_250_000_000, "1.25"), (125_000, "0.000125")]
)
def test_dollars(nano: int, text: str) -> None:
    assert dollars(nano) == text


# ---- budgets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per", "zone", "now", "start", "end"),
    [
        ("day", "UTC", "2026-11-30T12:00Z", "2026-11-30T00:00Z", "2026-12-01T00:00Z"),
        ("day", "Europe/Berlin", "2026-11-30T23:30Z", "2026-11-30T23:00Z", "2026-12-01T23:00Z"),
        # the day on which clocks go forward has 23 hours, that on which they go back 25
        ("day", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("day", "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        ("week", "UTC", "2026-11-29T12:00Z", "2026-11-23T00:00Z", "2026-11-30T00:00Z"),
        ("month", "UTC", "2026-12-31T23:59Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("month", "America/New_York", "2028-02-29T12:00Z", "2028-02-01T05:00Z", "2028-03-01T05:00Z"),
    ],
)
def test_periods_follow_the_clocks_of_their_zone(per: str, zone: str, now: str, start: str, end: str) -> None:
    assert period_of(per, zone, moment(now)) == (moment(start), moment(end))  # type: ignore[arg-type]


BUDGETS = st.builds(
    Budget,
    limit=st.integers(0, 100),
    per=st.sampled_from(["day", "week", "month"]),
    rolling=st.booleans(),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]),
)
SPENDING = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 3600.0, 30_000.0, 86_400.0, 500_000.0]), st.integers(0, 40), st.integers(0, 60)
    ),
    max_size=40,
)
"""Seconds that pass, what a request is estimated to cost, and what it costs."""


@given(BUDGETS, SPENDING, st.floats(1.7e9, 1.9e9))
@settings(max_examples=300, deadline=None)
def test_never_overspent_by_more_than_what_is_under_way(
    budget: Budget, steps: list[tuple[float, int, int]], begins: float
) -> None:
    clock = Clock(begins)
    state, limit = MemoryState(clock, clock), limit_of("ada", "money", budget)
    spent: list[tuple[float, int]] = []
    for passed, estimate, actual in steps:
        clock.now += passed
        since = budget.began(clock.now)
        before = sum(cost for when, cost in spent if when >= since)
        reserved = reserve(state, [(limit, estimate)])
        if isinstance(reserved, Denied):
            late = since - (SECONDS[budget.per] / 1000 + 1 if budget.rolling else 0)
            assert sum(cost for when, cost in spent if when >= late) + estimate > budget.limit
            continue
        assert before + estimate <= budget.limit
        state.settle(reserved, {"money": actual})
        spent.append((clock.now, actual))


def test_a_calendar_budget_is_whole_again_at_the_turn() -> None:
    clock = Clock(moment("2026-11-30T23:00Z"))
    counter = CalendarCounter("day", "UTC", clock)
    entry = counter.add(10)
    assert (counter.wait(1, 10), counter.wait(11, 10), counter.whole_in()) == (3600, inf, 3600)
    clock.now += 3600
    assert counter.used() == 0
    counter.settle(entry, 10, 500)
    assert counter.used() == 0, "what a request of yesterday cost belongs to yesterday"


def test_what_was_spent_before_a_start_counts() -> None:
    clock = Clock(moment("2026-11-30T12:00Z"))
    for rolling in (True, False):
        counter = Budget(100, "day", rolling).counter(clock, clock)
        counter.add_at(5, clock.now - 100)
        counter.add_at(7, clock.now - 40_000)
        assert counter.used() == 12
    calendar = Budget(100, "day").counter(clock, clock)
    calendar.add_at(5, moment("2026-11-29T23:59Z"))
    assert calendar.used() == 0
    assert Budget(1, "month").began(clock.now) == datetime(2026, 11, 1, tzinfo=UTC).timestamp()
