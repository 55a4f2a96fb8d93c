"""The stories as the SDKs' tests read them: what is asked, and what a user of any SDK must hear. It knows no SDK."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from drivers.driver import Answer, Ask, Output, Settings

from mockserver.scenario import Exchange, Scenarios, load
from mockserver.speech import Item, SayStop, SayText, calls_of, text_of

SCENARIOS: Scenarios = load(Path(__file__).parents[2] / "scenarios")

# ---- what a story asks, in the SDKs' nouns ---------------------------------------------------------------------------


def settings_of(story: str, provider: str, *, stream: bool) -> Settings:
    """What stands for the whole story, asked of this provider."""
    ask = SCENARIOS.stories[story].exchanges[0].ask
    return Settings(
        model=next(iter(SCENARIOS.providers[provider].models)),
        stream=stream,
        system=ask.system[0] if ask.system else None,
        tools=tuple(tool.name for tool in ask.tools),
        max_tokens=ask.max_tokens,
    )


def ask_of(exchange: Exchange) -> Ask:
    if exchange.ask.results:
        return Ask(outputs=tuple(Output(result.text, result.error) for result in exchange.ask.results))
    return Ask(text_of(exchange.ask.user))


def words_of(exchanges: Iterable[Exchange]) -> set[str]:
    """Which of the things that may get lost these exchanges are about."""
    asks = [exchange.ask for exchange in exchanges]
    strict = {"tool_strict"} if any(ask.tools for ask in asks) else set()
    return strict | ({"tool_error"} if any(result.error for ask in asks for result in ask.results) else set())


# ---- what a story says -----------------------------------------------------------------------------------------------


def said_by(story: str, exchange: Exchange, provider: str) -> tuple[Item, ...]:
    said = SCENARIOS.providers[provider].replies.get(story) or exchange.said_by(provider)
    assert said is not None
    return tuple(said)


def told(answer: Answer) -> tuple[str, list[tuple[str, object]]]:
    return answer.text, [(call.name, call.arguments) for call in answer.calls]


def told_by(said: Iterable[Item]) -> tuple[str, list[tuple[str, object]]]:
    said = tuple(said)
    text = "".join("".join(item.deltas) for item in said if isinstance(item, SayText))
    return text, [(call.name, json.loads("".join(call.fragments) or "{}")) for call in calls_of(said)]


def stop_of(said: tuple[Item, ...]) -> str:
    named = [item.reason for item in said if isinstance(item, SayStop)]
    return named[0] if named else "tool" if calls_of(said) else "end"
