"""Converts stories to the drivers' types: the turns to send, and the content that every SDK must return."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios
from crosswire.mockserver.scenarios.model import Item, SayStop, SayText, calls_of, text_of
from crosswire.mockserver.scenarios.story import Exchange

from .drivers.driver import Answer, Settings, ToolOutput, UserTurn

SCENARIOS: Scenarios = load_scenarios(Path(__file__).parents[2] / "scenarios")

# ---- requests of a story ---------------------------------------------------------------------------------------------


def settings_of(story: str, provider: str, *, stream: bool) -> Settings:
    """Returns the settings of a whole story for this provider."""
    ask = SCENARIOS.stories[story].exchanges[0].ask
    return Settings(
        model=next(iter(SCENARIOS.providers[provider].models)),
        stream=stream,
        system=ask.system[0] if ask.system else None,
        tools=tuple(tool.name for tool in ask.tools),
        max_tokens=ask.max_tokens,
    )


def user_turn_of(exchange: Exchange) -> UserTurn:
    if exchange.ask.results:
        return UserTurn(outputs=tuple(ToolOutput(result.text, result.error) for result in exchange.ask.results))
    return UserTurn(text_of(exchange.ask.user))


def loss_features_of(exchanges: Iterable[Exchange]) -> set[str]:
    """Returns the features of these exchanges that some provider lacks."""
    asks = [exchange.ask for exchange in exchanges]
    strict = {"tool_strict"} if any(ask.tools for ask in asks) else set()
    return strict | ({"tool_error"} if any(result.error for ask in asks for result in ask.results) else set())


# ---- expected answers ------------------------------------------------------------------------------------------------


def reply_of(story: str, exchange: Exchange, provider: str) -> tuple[Item, ...]:
    reply = SCENARIOS.providers[provider].replies.get(story) or exchange.items_for(provider)
    assert reply is not None
    return tuple(reply)


def content_of(answer: Answer) -> tuple[str, list[tuple[str, object]]]:
    return answer.text, [(call.name, call.arguments) for call in answer.calls]


def expected_content(items: Iterable[Item]) -> tuple[str, list[tuple[str, object]]]:
    items = tuple(items)
    text = "".join("".join(item.deltas) for item in items if isinstance(item, SayText))
    return text, [(call.name, json.loads("".join(call.fragments) or "{}")) for call in calls_of(items)]


def stop_of(items: tuple[Item, ...]) -> str:
    reasons = [item.reason for item in items if isinstance(item, SayStop)]
    return reasons[0] if reasons else "tool" if calls_of(items) else "end"
