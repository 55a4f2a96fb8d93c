"""Round trips of every protocol: the server parses client requests, the client parses replies without complaints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.client.conversation import expected_request
from crosswire.conformance.comparison.turns import merge_turns
from crosswire.mockserver.faults import error_before_content
from crosswire.mockserver.framing import CONTENT_TYPES
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.protocols.reply_context import ReplyContext, estimate_usage
from crosswire.mockserver.scenarios.model import (
    SAMPLING,
    Ask,
    Document,
    Image,
    Interleave,
    Item,
    SayCall,
    SayImage,
    SayRefusal,
    SayStop,
    SayText,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    calls_of,
    coarse_kind,
)
from crosswire.mockserver.scenarios.provider import Auth, Provider
from crosswire.mockserver.scenarios.story import Exchange, Story, split_items
from tests.mockserver.in_process_mock import below_base, converse, scenarios

PROVIDERS = list(scenarios().providers.values())

HABITS_THAT_BREAK_RULES = {"reasoning", "usage_with_choice"}
"""Habits with fields that the protocol does not have; a client may complain of them."""

WITHOUT_KINDS = ("ollama",)
"""Protocols whose error inside a stream has no kind."""


SAMPLED = ("text-sampling", "text-top-p", "text-sampling-unreasoned", "text-top-p-unreasoned")

REFUSED_BY_THE_MODEL: dict[tuple[str, str], tuple[str, ...]] = {
    ("anthropic", "thinking-not-adaptive"): (
        *(
            "reasoning-effort-newest",
            "reasoning-effort",
            "reasoning-interleaved",
            "reasoning-redacted",
        ),
        *(
            "reasoning-provider-changed-call",
            "reasoning-provider-changed",
            "reasoning-signed-empty",
            "reasoning-signed",
        ),
        "text-usage-details",
    ),
    ("openai", "effort-of-another-model"): ("reasoning-off",),
    ("openai", "parameter-while-reasoning"): (
        *("text-fields-of-chat", "text-penalties", "text-stop-sequence", "stream-late-stop"),
        *("text-logprobs", "text-logprobs-alone"),
    ),
    ("openai", "sampling-while-reasoning"): SAMPLED,
    ("openai-responses", "effort-of-another-model"): ("reasoning-off",),
    ("openai-responses", "logprobs-while-reasoning"): (
        *("text-fields-of-responses", "text-logprobs", "text-logprobs-alone"),
    ),
    ("openai-responses", "sampling-while-reasoning"): SAMPLED,
    ("gemini", "search-and-functions"): ("tools-hosted",),
}
"""Provider and rule -> stories that the provider's default model refuses as a client of its protocol says them.

They are for a proxy to mend, which knows the model.
"""


def applies(story: Story, provider: Provider) -> bool:
    """Returns whether a story applies to a provider and a client of the same protocol."""
    able = set(story.needs) <= set(provider.capabilities) and story.proxy is None
    return able and story.is_between(provider.protocol, provider.protocol)


CASES = [
    pytest.param(story, provider, stream, id=f"{provider.name}-{story.name}-{'stream' if stream else 'unary'}")
    for story in scenarios().stories.values()
    for provider in PROVIDERS
    for stream in (False, True)
    if story.only in (None, "stream" if stream else "unary")
    if applies(story, provider)
]


def reply_items(exchange: Exchange, story: Story, provider: Provider, step: int) -> tuple[Item, ...]:
    """Returns the items with which a provider replies."""
    own = provider.replies.get(story.name) if step == 0 else None
    return own or exchange.items_for(provider.name) or ()


def parse_arguments(text: str) -> Any:
    """Returns arguments as a JSON value, or unchanged if they are not JSON."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def usage_counts(usage: Usage | None) -> tuple[int, ...]:
    """Returns the counts that every protocol has."""
    assert usage is not None
    return tuple(getattr(usage, name) or 0 for name in ("input", "output", "cache_read"))


def rule_that_refuses(story: Story, provider: Provider) -> str | None:
    """Returns the rule by which a provider refuses a story's first request, as a client of its protocol says it."""
    asked = [(story.exchanges[0].ask, None)]
    request = CLIENTS[provider.protocol].build_request(
        asked, model=provider.default_model or "", stream=False, key=provider.auth.key
    )
    body = json.loads(request.bytes())
    found = MOCK_PROTOCOLS[provider.protocol].refusal(below_base(provider, request), request.headers, body, provider)
    return None if found is None else found.rule.id


@pytest.mark.parametrize(("story", "provider", "stream"), CASES)
def test_client_parses_the_reply_of_every_story(story: Story, provider: Provider, stream: bool) -> None:
    refusing = [
        rule
        for (name, rule), stories in REFUSED_BY_THE_MODEL.items()
        if name == provider.name and story.name in stories
    ]
    for step, (_, reply) in enumerate(converse(story, provider, stream=stream)):
        exchange = story.exchanges[step]
        if refusing:
            assert [rule_that_refuses(story, provider)] == refusing
            assert reply.error is not None
            return
        items, stop, usage = split_items(reply_items(exchange, story, provider, step))
        if not HABITS_THAT_BREAK_RULES & set(provider.habits) and provider.protocol not in exchange.raw:
            broken = [
                call for call in calls_of(items) if parse_arguments("".join(call.fragments)) == "".join(call.fragments)
            ]
            assert len(reply.complaints) == len([call for call in broken if call.kind == "function"])
        first = error_before_content(items, stream)
        if exchange.hear.calls is not None:
            received_calls = [{"name": call.name, "arguments": parse_arguments(call.arguments)} for call in reply.calls]
            assert received_calls == list(exchange.hear.calls)
            continue
        if first is not None or provider.protocol in exchange.raw:
            assert reply.error is not None
            expected_kind = exchange.hear.error.kind if exchange.hear.error is not None else None
            assert reply.error.kind == coarse_kind(first[0].kind if first else expected_kind or "internal")
            continue
        refused = "".join("".join(item.deltas) for item in items if isinstance(item, SayRefusal))
        rendered = "".join("".join(item.deltas) for item in items if isinstance(item, SayText))
        # protocols without a refusal field send it as text
        assert (reply.text, reply.refusal) in ((rendered, refused), (rendered + refused, ""))
        if exchange.hear.error is not None:
            assert reply.error is not None
            kinds = ["cut", coarse_kind(exchange.hear.error.kind or "")]
            if provider.protocol in WITHOUT_KINDS:
                kinds.append("internal")
            assert reply.error.kind in kinds
            assert reply.text == exchange.hear.after
            continue
        assert reply.error is None
        calls = calls_of(items)
        assert [call.name for call in reply.calls] == [call.name for call in calls]
        assert [parse_arguments(call.arguments) for call in reply.calls] == [
            parse_arguments("".join(call.fragments)) for call in calls
        ]
        if CLIENTS[provider.protocol].call_ids:
            assert [call.id for call in reply.calls] == [call.id for call in calls]
        reason = "content_filter" if refused and provider.protocol == "anthropic" else stop.reason
        assert reply.stop == CLIENTS[provider.protocol].merged_stops.get(reason, reason)
        assert reply.model == provider.default_model
        if usage is not None:
            # counts that a protocol does not have are part of its input tokens
            missing_counts = [
                getattr(usage, name) or 0
                for name in ("cache_read", "cache_write")
                if name not in CLIENTS[provider.protocol].usage_details
            ]
            read = usage.cache_read if "cache_read" in CLIENTS[provider.protocol].usage_details else None
            assert usage_counts(reply.usage) == usage_counts(
                Usage((usage.input or 0) + sum(missing_counts), usage.output, read)
            )
        sent_cites = [
            (cite.url, cite.title, "".join(i.deltas)) for i in items if isinstance(i, SayText) for cite in i.cites
        ]
        assert [(cite.url, cite.title, cite.span) for cite in reply.cites] == sent_cites
        images = [(item.mime, item.data) for item in items if isinstance(item, SayImage)]
        assert [(block.mime, block.data) for block in reply.blocks if isinstance(block, Image)] == images


UNSUPPORTED: dict[str, tuple[str, ...]] = {
    "openai-chat": ("top_k",),
    "openai-responses": ("top_k", "seed", "presence_penalty", "frequency_penalty"),
    "anthropic": ("seed", "presence_penalty", "frequency_penalty"),
    "gemini": (),
    "ollama": ("tool_choice",),
}
"""Protocol -> neutral fields that it cannot express."""


def comparable(parsed: ParsedRequest, protocol: str) -> dict[str, Any]:
    """Returns the parts of a request that every protocol can express; ids and error marks have tests of their own."""
    return {
        "model": parsed.model,
        "stream": parsed.stream,
        "system": parsed.system,
        "turns": [
            (turn.role, [_comparable_block(block) for block in _comparable_blocks(turn, protocol)])
            for turn in merge_turns(parsed.turns)
        ],
        "tools": sorted(
            (str(tool.full_name), tool.description, tool.parameters, tool.kind, tool.grammar) for tool in parsed.tools
        ),
        "sampling": {k: v for k, v in parsed.sampling.items() if k in SAMPLING and k not in UNSUPPORTED[protocol]},
        # A missing choice is `auto`, which some protocols must write to forbid parallel calls.
        "tool_choice": None if "tool_choice" in UNSUPPORTED[protocol] else parsed.tool_choice or "auto",
    }


TEXT_RESULTS = ("openai-chat",)
"""Protocols whose results contain only text; images and documents follow them."""


def _comparable_blocks(turn: Turn, protocol: str) -> list[Any]:
    if not CLIENTS[protocol].keeps_order:
        text = "".join(block.text for block in turn.blocks if isinstance(block, Text))
        return [text, *(block for block in turn.blocks if not isinstance(block, Text))]
    if protocol not in TEXT_RESULTS:
        return list(turn.blocks)
    results = [block for block in turn.blocks if isinstance(block, ToolResult)]
    media = [inner for result in results for inner in result.blocks if not isinstance(inner, Text)]
    return [*results, *media, *(block for block in turn.blocks if not isinstance(block, ToolResult))]


def _comparable_block(block: Any) -> Any:
    match block:
        case ToolCall(_, name, arguments, _, kind, namespace):
            return namespace, name, kind, parse_arguments(arguments)
        case ToolResult():
            return "result", block.text
        case Image() | Document():
            return type(block), block.data, block.url
        case _:
            return block


REQUEST_CASES = [
    pytest.param(story, provider, False, id=f"{provider.name}-{story.name}")
    for story in scenarios().stories.values()
    for provider in PROVIDERS
    if story.only != "stream" and applies(story, provider)
    if not any(exchange.ask.also for exchange in story.exchanges)
]


@pytest.mark.parametrize(("story", "provider", "stream"), REQUEST_CASES)
def test_server_parses_the_request_of_every_story(story: Story, provider: Provider, stream: bool) -> None:
    protocol = MOCK_PROTOCOLS[provider.protocol]
    history = converse(story, provider, stream=stream)
    conversation = [*history[:-1], (history[-1][0], None)]
    model = provider.default_model or ""
    http_request = CLIENTS[provider.protocol].build_request(conversation, model=model, stream=stream, key="k")
    parsed = protocol.parse_request(http_request.path, http_request.headers, http_request.body)
    assert comparable(parsed, protocol.name) == comparable(
        expected_request(conversation, model=model, stream=stream), protocol.name
    )
    # the description of a namespace and the citations of an earlier reply have no neutral counterpart
    assert [path for path in parsed.extra if not path.endswith((".namespace", ".citations", ".annotations"))] == []


@pytest.mark.parametrize("name", MOCK_PROTOCOLS)
def test_field_without_a_neutral_counterpart_goes_to_extra(name: str) -> None:
    story = scenarios().stories["text-unknown-field"]
    protocol = MOCK_PROTOCOLS[name]
    http_request = CLIENTS[name].build_request([(story.exchanges[0].ask, None)], model="m", stream=False)
    parsed = protocol.parse_request(http_request.path, http_request.headers, http_request.body)
    assert list(parsed.extra), "the field that only this protocol has must be in `extra`"


# ---- generated replies -----------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NAME = st.text("abcdefghij_", min_size=1, max_size=8)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Item, ...]:
    """Generates text and then calls, some of them interleaved, with any UTF-8 strings."""
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


@pytest.mark.parametrize("name", MOCK_PROTOCOLS)
@settings(max_examples=60, deadline=None)
@given(items=answers(), stream=st.booleans())
def test_generated_reply_round_trip(name: str, items: tuple[Item, ...], stream: bool) -> None:
    protocol = MOCK_PROTOCOLS[name]
    provider = Provider(name="p", protocol=name, auth=Auth("authorization", "k"))
    http_request = CLIENTS[name].build_request([(Ask(user=(Text("hi"),)), None)], model="m", stream=stream, key="k")
    calls = calls_of(items)
    context = ReplyContext(
        provider=provider,
        story="generated",
        step=0,
        model="m",
        stream=stream,
        items=items,
        stop=SayStop("tool" if calls else "end"),
        usage=estimate_usage(8, items),
        path=http_request.path,
        headers=http_request.headers,
        body=http_request.body,
    )
    rendered = protocol.render_reply(context)
    reply = CLIENTS[name].parse_reply(
        rendered.status,
        {"content-type": CONTENT_TYPES[rendered.framing]},
        rendered.body,
        stream=stream,
        request=http_request,
    )
    assert reply.complaints == ()
    assert reply.error is None
    assert reply.text == "".join("".join(item.deltas) for item in items if isinstance(item, SayText))
    assert [(call.name, json.loads(call.arguments)) for call in reply.calls] == [
        (call.name, json.loads("".join(call.fragments))) for call in calls
    ]
    assert usage_counts(reply.usage) == usage_counts(context.usage)
    # The parsed reply is sent back as history, and parsed again to the same blocks.
    if reply.blocks:
        history = [(Ask(user=(Text("hi"),)), reply), (Ask(user=(Text("on"),)), None)]
        again = CLIENTS[name].build_request(history, model="m", stream=stream, key="k")
        turns = merge_turns(protocol.parse_request(again.path, again.headers, again.body).turns)
        assert [turn.role for turn in turns] == ["user", "assistant", "user"]
        assert Turn("assistant", tuple(b for b in turns[1].blocks if isinstance(b, Text))) == Turn(
            "assistant", tuple(b for b in reply.blocks if isinstance(b, Text))
        )
