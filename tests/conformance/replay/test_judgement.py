"""Each judgement of the replay catches a protocol with the fault that it is about, and a correct one passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from msgspec.structs import replace

from crosswire.conformance.replay.runner import replay_recording
from crosswire.proxy.ir import Citation, Loss, Reasoning, Reply, Request, Text, ToolCall, Turn
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import NewId, Protocol, ReplyContext, UpstreamRequest, UpstreamTarget

from .recorded_exchanges import ANTHROPIC, CHAT, MESSAGE, TOOL, reasons, recorded, swap

Fault: TypeAlias = Callable[[Protocol], dict[str, Any]]


# ---- the recordings --------------------------------------------------------------------------------------------------

THOUGHT: dict[str, Any] = {"type": "thinking", "thinking": "First this.\n\nThen that.", "signature": "c2lnbmVk"}
CALL: dict[str, Any] = MESSAGE["content"][0]
CITE: dict[str, Any] = {
    "type": "web_search_result_location",
    "url": "https://weather.example/oslo",
    "title": "Oslo",
    "encrypted_index": "aW5kZXg=",
    "cited_text": "Snow until noon.",
}
THINKS: dict[str, Any] = {
    **ANTHROPIC["request"],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "max_tokens": 4000,
}

SEEDED = {**CHAT, "request": {**CHAT["request"], "seed": 7}}
STRICT = {
    **CHAT,
    "request": {
        **CHAT["request"],
        "tools": [
            {"type": "function", "function": {"name": name, "parameters": TOOL}} for name in ("weather", "forecast")
        ],
    },
}
TWO_SYSTEM_TEXTS = {
    **CHAT,
    "request": {
        **CHAT["request"],
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "system", "content": "Be kind"},
            {"role": "user", "content": "Weather in Oslo?"},
        ],
    },
}
RESULT_OF_TWO_TEXTS = {
    **ANTHROPIC,
    "request": {
        **ANTHROPIC["request"],
        "messages": [
            {"role": "user", "content": "Weather in Oslo?"},
            {"role": "assistant", "content": [CALL]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": CALL["id"],
                        "content": [{"type": "text", "text": "minus four"}, {"type": "text", "text": "light snow"}],
                    }
                ],
            },
        ],
    },
}
PICTURE = {
    **CHAT,
    "request": {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}],
            }
        ],
    },
}
THINKING = {
    **ANTHROPIC,
    "request": THINKS,
    "response": {**MESSAGE, "content": [THOUGHT, {"type": "text", "text": "A moment."}, CALL]},
}
CITED = {
    **ANTHROPIC,
    "response": {
        **MESSAGE,
        "content": [{"type": "text", "text": "It snows.", "citations": [CITE]}],
        "stop_reason": "end_turn",
    },
}
ODD_USAGE = {
    **CHAT,
    "response": {
        **CHAT["response"],
        "usage": {
            "prompt_tokens": 23,
            "completion_tokens": 110,
            "total_tokens": 133,
            "completion_tokens_details": {"reasoning_tokens": 96},
        },
    },
}

ADDS_A_TOOL = {
    **ANTHROPIC,
    "request": {
        **ANTHROPIC["request"],
        "messages": [
            {"role": "user", "content": "Weather in Oslo?"},
            {
                "role": "system",
                "content": [{"type": "tool_addition", "tool": {"type": "tool_reference", "name": "forecast"}}],
            },
        ],
    },
}
RUNS_A_TOOL = {
    **ANTHROPIC,
    "request": {**ANTHROPIC["request"], "tools": [{"type": "bash_20250124", "name": "bash"}], "tool_choice": None},
}
SEARCHES = {
    **ANTHROPIC,
    "request": {
        **ANTHROPIC["request"],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": None}],
        "tool_choice": None,
    },
    "response": {
        **MESSAGE,
        "content": [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "oslo weather"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {"type": "text", "text": "It snows."},
        ],
        "stop_reason": "end_turn",
    },
}
BEGINS_WITH_A_CALL = {
    **CHAT,
    "request": {
        "model": "m",
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "minus four"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}],
    },
}
WARM = {**CHAT, "request": {**CHAT["request"], "temperature": 0.5}}
TWO_TEXTS = {
    **CITED,
    "response": {
        **CITED["response"],
        "content": [{"type": "text", "text": "It snows."}, {"type": "text", "text": "It is cold."}],
    },
}


# ---- the faults ------------------------------------------------------------------------------------------------------


def with_request(change: Callable[[Request], Request]) -> Fault:
    """Returns a fault that encodes another request than was decoded."""

    def fault(protocol: Protocol) -> dict[str, Any]:
        def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
            return protocol.encode_request(change(request), target)

        return {"encode_request": encode_request}

    return fault


def with_sent(change: Callable[[UpstreamRequest], UpstreamRequest]) -> Fault:
    """Returns a fault that sends or declares otherwise than was encoded."""

    def fault(protocol: Protocol) -> dict[str, Any]:
        def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
            return change(protocol.encode_request(request, target))

        return {"encode_request": encode_request}

    return fault


def with_reply(change: Callable[[Reply], Reply], *losses: Loss) -> Fault:
    """Returns a fault that encodes another reply than was decoded, and declares these losses."""

    def fault(protocol: Protocol) -> dict[str, Any]:
        def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
            body, found = protocol.encode_reply(change(reply), context)
            return body, [*found, *losses]

        return {"encode_reply": encode_reply}

    return fault


def with_decoded(change: Callable[[Reply], Reply]) -> Fault:
    """Returns a fault that decodes another reply than was sent."""

    def fault(protocol: Protocol) -> dict[str, Any]:
        def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
            return change(protocol.decode_reply(body, sent, new_id))

        return {"decode_reply": decode_reply}

    return fault


def moved_losses(sent: UpstreamRequest) -> UpstreamRequest:
    return replace(sent, losses=tuple(replace(loss, path="sampling.top_k") for loss in sent.losses))


def strict_at_the_wrong_tool(sent: UpstreamRequest) -> UpstreamRequest:
    tools = [{**tool, "strict": True} if tool["name"] == "forecast" else tool for tool in sent.payload["tools"]]
    loss = Loss("tools[0].strict", "tool_strict", "dropped")
    return replace(sent, payload={**sent.payload, "tools": tools}, losses=(*sent.losses, loss))


def choice_without_tools(sent: UpstreamRequest) -> UpstreamRequest:
    payload = {key: value for key, value in sent.payload.items() if key != "tools"}
    return replace(sent, payload={**payload, "tool_choice": "auto"})


def old_limit_for_one_model(sent: UpstreamRequest) -> UpstreamRequest:
    payload = dict(sent.payload)
    if sent.target.model == "o3":
        payload["max_tokens"] = payload.pop("max_completion_tokens")
    return replace(sent, payload=payload)


def refused_without_need(sent: UpstreamRequest) -> UpstreamRequest:
    return replace(sent, losses=(*sent.losses, Loss("turns[1].blocks[0]", "image", "dropped")))


def one_system_text(request: Request) -> Request:
    texts = [
        block for turn in request.turns if turn.role == "system" for block in turn.blocks if isinstance(block, Text)
    ]
    rest = tuple(turn for turn in request.turns if turn.role != "system")
    return replace(request, turns=(Turn("system", (Text("".join(text.text for text in texts)),)), *rest))


def without_turns(*roles: str) -> Callable[[UpstreamRequest], UpstreamRequest]:
    """Returns a change that drops the messages of these roles."""

    def change(sent: UpstreamRequest) -> UpstreamRequest:
        messages = [message for message in sent.payload["messages"] if message["role"] not in roles]
        return replace(sent, payload={**sent.payload, "messages": messages})

    return change


def without_inputs(sent: UpstreamRequest) -> UpstreamRequest:
    bare = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object", "properties": {}}}}
    return replace(sent, payload={**sent.payload, "tools": [bare]})


def with_words_first(sent: UpstreamRequest) -> UpstreamRequest:
    contents = [{"role": "user", "parts": [{"text": "Go on."}]}, *sent.payload["contents"][1:]]
    return replace(sent, payload={**sent.payload, "contents": contents})


def called_empty(sent: UpstreamRequest) -> UpstreamRequest:
    loss = Loss("turns[0]", "empty_turn", "dropped")
    return replace(sent, losses=(*sent.losses, loss, Loss("turns", "content", "dropped")))


def without_temperature(sent: UpstreamRequest) -> UpstreamRequest:
    return replace(sent, payload={key: value for key, value in sent.payload.items() if key != "temperature"})


def one_result_text(sent: UpstreamRequest) -> UpstreamRequest:
    items = [
        {**item, "output": "minus fourlight snow"} if item.get("type") == "function_call_output" else item
        for item in sent.payload["input"]
    ]
    return replace(sent, payload={**sent.payload, "input": items})


def changed(kind: type, **fields: Any) -> Callable[[Reply], Reply]:
    """Returns a change of every block of a kind."""

    def change(reply: Reply) -> Reply:
        return replace(reply, blocks=tuple(replace(b, **fields) if isinstance(b, kind) else b for b in reply.blocks))

    return change


def stripped_thinking(reply: Reply) -> Reply:
    return replace(
        reply,
        blocks=tuple(
            replace(block, text=block.text.replace("\n\n", " ")) if isinstance(block, Reasoning) else block
            for block in reply.blocks
        ),
    )


def another_signature(reply: Reply) -> Reply:
    return replace(
        reply,
        blocks=tuple(
            replace(block, signature=block.signature and replace(block.signature, value="b3RoZXI="))
            if isinstance(block, Reasoning)
            else block
            for block in reply.blocks
        ),
    )


def calls_first(reply: Reply) -> Reply:
    return replace(reply, blocks=tuple(sorted(reply.blocks, key=lambda block: not isinstance(block, ToolCall))))


QUOTE_LOSS = Loss("blocks[0].citations[0].text", "citations", "dropped")
DOCUMENT_LOSS = Loss("blocks[0]", "document", "dropped")

LIES: list[tuple[str, dict[str, Any], str, Fault, str, str]] = [
    (
        "declares a loss at another place",
        SEEDED,
        "anthropic",
        with_sent(moved_losses),
        "anthropic",
        "request: sampling.seed (seed)",
    ),
    (
        "declares the loss of another tool",
        STRICT,
        "anthropic",
        with_sent(strict_at_the_wrong_tool),
        "anthropic",
        "request: tools.forecast.strict (tool_strict)",
    ),
    (
        "sends what the vendor refuses",
        ANTHROPIC,
        "openai-chat",
        with_sent(choice_without_tools),
        "openai-chat",
        "request: the vendor refuses it",
    ),
    (
        "sends what the vendor refuses for one model",
        ANTHROPIC,
        "openai-chat",
        with_sent(old_limit_for_one_model),
        "openai-chat",
        "request to o3: the vendor refuses it",
    ),
    (
        "refuses what it could send",
        CHAT,
        "gemini",
        with_sent(refused_without_need),
        "gemini",
        "request: refused for image at turns[1].blocks[0], though nothing is lost there",
    ),
    (
        "refuses by a capability what it could send",
        PICTURE,
        "gemini",
        lambda protocol: {"capabilities": protocol.capabilities - {"vision"}},
        "gemini",
        "request: refused for the capability vision, though nothing is lost there",
    ),
    (
        "runs two system texts together",
        TWO_SYSTEM_TEXTS,
        "anthropic",
        with_request(one_system_text),
        "anthropic",
        "request: turns[0].text (joint)",
    ),
    (
        "runs two texts of a result together",
        RESULT_OF_TWO_TEXTS,
        "openai-responses",
        with_sent(one_result_text),
        "openai-responses",
        "request: turns[3].results[0].text (joint)",
    ),
    (
        "declares a loss that the server does not allow",
        CHAT,
        "gemini",
        with_reply(lambda reply: reply, DOCUMENT_LOSS),
        "gemini",
        "reply: the server sends an error in its place: cannot be told without a loss: document",
    ),
    (
        "does not tell that a tool was added",
        ADDS_A_TOOL,
        "openai-chat",
        with_sent(without_turns("system")),
        "openai-chat",
        "request: $.messages[1].content[0] (hosted_output)",
    ),
    (
        "plays a client's own tool without its inputs",
        RUNS_A_TOOL,
        "openai-chat",
        with_sent(without_inputs),
        "openai-chat",
        "request: tools (wrong)",
    ),
    (
        "does not tell what was searched",
        SEARCHES,
        "openai-responses",
        with_reply(lambda reply: replace(reply, blocks=reply.blocks[2:])),
        "openai-responses",
        "reply: opaque blocks without a declared loss: server_tool_use",
    ),
    (
        "makes up a user's words before a call",
        BEGINS_WITH_A_CALL,
        "gemini",
        with_sent(with_words_first),
        "gemini",
        "request: turns (wrong)",
    ),
    (
        "calls a message empty that is not",
        CHAT,
        "gemini",
        with_sent(called_empty),
        "gemini",
        "request: refused for empty_turn at turns[0], though nothing is lost there",
    ),
    (
        "drops a temperature that is not the default",
        WARM,
        "openai-chat",
        with_sent(without_temperature),
        "openai-chat",
        "request: sampling.temperature",
    ),
    (
        "drops a word between two texts",
        TWO_TEXTS,
        "openai-chat",
        with_reply(lambda reply: replace(reply, blocks=(Text("It snows. is cold."),))),
        "openai-chat",
        "reply: text (wrong)",
    ),
    (
        "changes the blanks of thinking",
        THINKING,
        "gemini",
        with_reply(stripped_thinking),
        "gemini",
        "reply: reply.thinking (whitespace)",
    ),
    (
        "returns another signature",
        THINKING,
        "openai-responses",
        with_reply(another_signature),
        "openai-responses",
        "reply: signatures",
    ),
    (
        "changes the order of blocks",
        THINKING,
        "openai-responses",
        with_reply(calls_first),
        "openai-responses",
        "reply: reply (order)",
    ),
    (
        "drops a citation and declares its quote",
        CITED,
        "gemini",
        with_reply(changed(Text, citations=()), QUOTE_LOSS),
        "gemini",
        "reply: citations[0] (citations)",
    ),
    (
        "makes up a citation",
        CITED,
        "openai-responses",
        with_reply(changed(Text, citations=(Citation("https://made.up.example", "Made up", None, 0, 2),))),
        "openai-responses",
        "reply: citations (wrong)",
    ),
    (
        "counts reasoning twice on both sides",
        ODD_USAGE,
        "openai-chat",
        with_decoded(lambda reply: replace(reply, usage=reply.usage and replace(reply.usage, output=206))),
        "anthropic",
        "reply: usage.output: sent prompt 23, output 110",
    ),
]


@pytest.mark.parametrize(("exchange", "target"), [(row[1], row[4]) for row in LIES], ids=[row[0] for row in LIES])
def test_without_the_fault_nothing_is_found(tmp_path: Path, exchange: dict[str, Any], target: str) -> None:
    verdict = replay_recording(recorded(tmp_path, f"{exchange['protocol']}/case", exchange))
    assert verdict.undecoded is None
    assert reasons(verdict).get(target, ()) == ()


@pytest.mark.parametrize(
    ("exchange", "faulty", "fault", "target", "reason"), [row[1:] for row in LIES], ids=[row[0] for row in LIES]
)
def test_the_fault_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exchange: dict[str, Any],
    faulty: str,
    fault: Fault,
    target: str,
    reason: str,
) -> None:
    swap(monkeypatch, faulty, **fault(PROTOCOLS[faulty]))
    found = reasons(replay_recording(recorded(tmp_path, f"{exchange['protocol']}/case", exchange)))
    assert any(text.startswith(reason) for text in found.get(target, ())), found
