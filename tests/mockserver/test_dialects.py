"""The laws of every dialect: what a client asks is read, what a server says is heard, and nobody complains."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mock_stage import converse, scenarios

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Auth, Provider, Scene, Understood, counted, joined, meant
from mockserver.faults import early
from mockserver.frames import CONTENT_TYPES
from mockserver.scenario import Exchange, Story, split
from mockserver.speech import (
    SAMPLING,
    Ask,
    Call,
    Document,
    Image,
    Interleave,
    Item,
    Result,
    SayCall,
    SayImage,
    SayRefusal,
    SayStop,
    SayText,
    Text,
    Turn,
    Usage,
    calls_of,
    coarse,
)

PROVIDERS = list(scenarios().providers.values())

HABITS_THAT_BREAK_RULES = {"reasoning", "usage_with_choice"}
"""Hosts with these say more than the protocol allows; their clients may complain."""

WITHOUT_KINDS = ("ollama",)
"""Dialects whose error inside a stream is a mere sentence."""


def plays(story: Story, provider: Provider) -> bool:
    """Whether a client of the provider's own dialect can play the story with it."""
    able = set(story.needs) <= set(provider.capabilities) and story.proxy is None
    return able and story.is_between(provider.protocol, provider.protocol)


CASES = [
    pytest.param(story, provider, stream, id=f"{provider.name}-{story.name}-{'stream' if stream else 'unary'}")
    for story in scenarios().stories.values()
    for provider in PROVIDERS
    for stream in (False, True)
    if story.only in (None, "stream" if stream else "unary")
    if plays(story, provider)
]


def words(exchange: Exchange, story: Story, provider: Provider, step: int) -> tuple[Item, ...]:
    said = provider.replies.get(story.name) if step == 0 else None
    return said or exchange.said_by(provider.name) or ()


def argued(text: str) -> Any:
    """Arguments as a value; text that is no JSON stays text."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def plain(usage: Usage | None) -> tuple[int, ...]:
    assert usage is not None
    return tuple(getattr(usage, name) or 0 for name in ("input", "output", "cache_read"))


@pytest.mark.parametrize(("story", "provider", "stream"), CASES)
def test_a_client_hears_what_its_provider_says(story: Story, provider: Provider, stream: bool) -> None:
    dialect = DIALECTS[provider.protocol]
    for step, (_, heard) in enumerate(converse(story, provider, stream=stream)):
        exchange = story.exchanges[step]
        items, stop, usage = split(words(exchange, story, provider, step))
        if not HABITS_THAT_BREAK_RULES & set(provider.habits) and provider.protocol not in exchange.raw:
            broken = [call for call in calls_of(items) if argued("".join(call.fragments)) == "".join(call.fragments)]
            assert len(heard.complaints) == len([call for call in broken if call.kind == "function"])
        first = early(items, stream)
        if exchange.hear.calls is not None:
            told = [{"name": call.name, "arguments": argued(call.arguments)} for call in heard.calls]
            assert told == list(exchange.hear.calls)
            continue
        if first is not None or provider.protocol in exchange.raw:
            assert heard.error is not None
            due = exchange.hear.error.kind if exchange.hear.error is not None else None
            assert heard.error.kind == coarse(first[0].kind if first else due or "internal")
            continue
        refused = "".join("".join(item.deltas) for item in items if isinstance(item, SayRefusal))
        spoken = "".join("".join(item.deltas) for item in items if isinstance(item, SayText))
        # who has no slot for a refusal says it like any other text
        assert (heard.text, heard.refusal) in ((spoken, refused), (spoken + refused, ""))
        if exchange.hear.error is not None:
            assert heard.error is not None
            kinds = ["cut", coarse(exchange.hear.error.kind or "")]
            if provider.protocol in WITHOUT_KINDS:
                kinds.append("internal")
            assert heard.error.kind in kinds
            assert heard.text == exchange.hear.after
            continue
        assert heard.error is None
        calls = calls_of(items)
        assert [call.name for call in heard.calls] == [call.name for call in calls]
        assert [argued(call.arguments) for call in heard.calls] == [argued("".join(call.fragments)) for call in calls]
        if dialect.call_ids:
            assert [call.id for call in heard.calls] == [call.id for call in calls]
        reason = "content_filter" if refused and provider.protocol == "anthropic" else stop.reason
        assert heard.stop == dialect.blurs.get(reason, reason)
        assert heard.model == provider.default_model
        if usage is not None:
            # what a dialect does not tell apart it counts among the other tokens of the prompt
            untold = [
                getattr(usage, name) or 0 for name in ("cache_read", "cache_write") if name not in dialect.details
            ]
            read = usage.cache_read if "cache_read" in dialect.details else None
            assert plain(heard.usage) == plain(Usage((usage.input or 0) + sum(untold), usage.output, read))
        said = [(cite.url, cite.title, "".join(i.deltas)) for i in items if isinstance(i, SayText) for cite in i.cites]
        assert [(cite.url, cite.title, cite.stretch) for cite in heard.cites] == said
        pictures = [(item.mime, item.data) for item in items if isinstance(item, SayImage)]
        assert [(block.mime, block.data) for block in heard.blocks if isinstance(block, Image)] == pictures


LOST: dict[str, tuple[str, ...]] = {
    "openai-chat": ("top_k",),
    "openai-responses": ("top_k", "seed", "presence_penalty", "frequency_penalty"),
    "anthropic": ("seed", "presence_penalty", "frequency_penalty"),
    "gemini": (),
    "ollama": ("tool_choice",),
}
"""What a dialect has no words for."""


def comparable(understood: Understood, protocol: str) -> dict[str, Any]:
    """What every dialect can say of a text-and-tools request, ids and error marks left to tests of their own."""
    return {
        "model": understood.model,
        "stream": understood.stream,
        "system": understood.system,
        "turns": [
            (turn.role, [_block(block) for block in _lifted(turn, protocol)]) for turn in joined(understood.turns)
        ],
        "tools": sorted(
            (str(tool.full), tool.description, tool.parameters, tool.kind, tool.grammar) for tool in understood.tools
        ),
        "sampling": {k: v for k, v in understood.sampling.items() if k in SAMPLING and k not in LOST[protocol]},
        # A choice that is not made is `auto`, and some dialects must write it where they forbid parallel calls.
        "tool_choice": None if "tool_choice" in LOST[protocol] else understood.tool_choice or "auto",
    }


TEXT_RESULTS = ("openai-chat",)
"""Dialects whose results hold only text; pictures and documents stand right behind them."""


def _lifted(turn: Turn, protocol: str) -> list[Any]:
    if not DIALECTS[protocol].places:
        text = "".join(block.text for block in turn.blocks if isinstance(block, Text))
        return [text, *(block for block in turn.blocks if not isinstance(block, Text))]
    if protocol not in TEXT_RESULTS:
        return list(turn.blocks)
    results = [block for block in turn.blocks if isinstance(block, Result)]
    media = [inner for result in results for inner in result.blocks if not isinstance(inner, Text)]
    return [*results, *media, *(block for block in turn.blocks if not isinstance(block, Result))]


def _block(block: Any) -> Any:
    match block:
        case Call(_, name, arguments, _, kind, namespace):
            return namespace, name, kind, argued(arguments)
        case Result():
            return "result", block.text
        case Image() | Document():
            return type(block), block.data, block.url
        case _:
            return block


ASKED = [
    pytest.param(story, provider, False, id=f"{provider.name}-{story.name}")
    for story in scenarios().stories.values()
    for provider in PROVIDERS
    if story.only != "stream" and plays(story, provider)
    if not any(exchange.ask.also for exchange in story.exchanges)
]


@pytest.mark.parametrize(("story", "provider", "stream"), ASKED)
def test_a_server_reads_what_its_client_asks(story: Story, provider: Provider, stream: bool) -> None:
    dialect = DIALECTS[provider.protocol]
    history = converse(story, provider, stream=stream)
    conversation = [*history[:-1], (history[-1][0], None)]
    model = provider.default_model or ""
    asked = dialect.ask(conversation, model=model, stream=stream, key="k")
    understood = dialect.read(asked.path, asked.headers, asked.body)
    assert comparable(understood, dialect.name) == comparable(
        meant(conversation, model=model, stream=stream), dialect.name
    )
    # what a client says of a group of tools, and of the sources of an earlier answer, has no noun
    assert [path for path in understood.extra if not path.endswith((".namespace", ".citations", ".annotations"))] == []


@pytest.mark.parametrize("name", DIALECTS)
def test_what_has_no_noun_is_reported_and_not_refused(name: str) -> None:
    story = scenarios().stories["text-unknown-field"]
    dialect = DIALECTS[name]
    asked = dialect.ask([(story.exchanges[0].ask, None)], model="m", stream=False)
    understood = dialect.read(asked.path, asked.headers, asked.body)
    assert list(understood.extra), "the field that only this dialect has must be listed"


# ---- laws over made-up answers ---------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NAME = st.text("abcdefghij_", min_size=1, max_size=8)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Item, ...]:
    """Text, then calls, some of them interleaved; every string may hold anything that UTF-8 can."""
    items: list[Item] = []
    deltas = tuple(draw(st.lists(TEXT, max_size=4)))
    if deltas:
        items.append(SayText(deltas))
    calls = []
    for at in range(draw(st.integers(0, 3))):
        arguments = json.dumps(draw(st.dictionaries(NAME, TEXT | st.integers(-9, 9), max_size=3)), ensure_ascii=False)
        middle = draw(st.integers(0, len(arguments)))
        fragments = tuple(piece for piece in (arguments[:middle], arguments[middle:]) if piece)
        calls.append(SayCall(f"call_{at}", draw(NAME), fragments))
    if len(calls) > 1 and draw(st.booleans()):
        items.append(Interleave(tuple(calls)))
    else:
        items.extend(calls)
    return tuple(items)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(items=answers(), stream=st.booleans())
def test_whatever_is_said_is_heard(name: str, items: tuple[Item, ...], stream: bool) -> None:
    dialect = DIALECTS[name]
    provider = Provider(name="p", protocol=name, auth=Auth("authorization", "k"))
    asked = dialect.ask([(Ask(user=(Text("hi"),)), None)], model="m", stream=stream, key="k")
    calls = calls_of(items)
    scene = Scene(
        provider=provider,
        story="law",
        step=0,
        model="m",
        stream=stream,
        items=items,
        stop=SayStop("tool" if calls else "end"),
        usage=counted(8, items),
        path=asked.path,
        headers=asked.headers,
        body=asked.body,
    )
    spoken = dialect.say(scene)
    heard = dialect.hear(
        spoken.status, {"content-type": CONTENT_TYPES[spoken.framing]}, spoken.body, stream=stream, asked=asked
    )
    assert heard.complaints == ()
    assert heard.error is None
    assert heard.text == "".join("".join(item.deltas) for item in items if isinstance(item, SayText))
    assert [(call.name, json.loads(call.arguments)) for call in heard.calls] == [
        (call.name, json.loads("".join(call.fragments))) for call in calls
    ]
    assert plain(heard.usage) == plain(scene.usage)
    # What was heard goes back as history, and is read as it was said.
    if heard.blocks:
        history = [(Ask(user=(Text("hi"),)), heard), (Ask(user=(Text("on"),)), None)]
        again = dialect.ask(history, model="m", stream=stream, key="k")
        turns = joined(dialect.read(again.path, again.headers, again.body).turns)
        assert [turn.role for turn in turns] == ["user", "assistant", "user"]
        assert Turn("assistant", tuple(b for b in turns[1].blocks if isinstance(b, Text))) == Turn(
            "assistant", tuple(b for b in heard.blocks if isinstance(b, Text))
        )
