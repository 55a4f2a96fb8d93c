"""One exchange through a whole proxy: the client's answer, and the requests that a scripted upstream received.

The proxy is used by its config and by HTTP alone; the upstream plays literal frames, such as the complaints report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.proxy.proxy_fixture import Answer, config, one, stage
from tests.proxy.sample_messages import JSON, ask, data, dumps, path, reply, stream_kind
from tests.proxy.scripted_upstream import chunked, http, upstream


@dataclass
class Exchange:
    """An answer, the request bodies that the upstream received, the headers of the last one, and the access record."""

    answer: Answer
    sent: list[JSON]
    headers: dict[str, str]
    record: JSON

    @property
    def body(self) -> JSON:
        """Returns the answer as one object."""
        value = json.loads(self.answer.body)
        assert isinstance(value, dict)
        return value

    @property
    def frames(self) -> list[tuple[str | None, JSON]]:
        """Returns the answer's SSE or NDJSON frames, each with its event line, without sentinels and comments."""
        found = []
        for frame in self.answer.body.decode().split("\n\n" if b"data:" in self.answer.body else "\n"):
            lines = dict(line.split(": ", 1) for line in frame.splitlines() if line[:6] in ("event:", "data: "))
            text = lines.get("data", frame.strip())
            if text.startswith("{"):
                found.append((lines.get("event"), json.loads(text)))
        return found

    @property
    def events(self) -> list[JSON]:
        """Returns the objects of a streamed answer."""
        return [event for _, event in self.frames]

    @property
    def upstream(self) -> JSON:
        """Returns the one request body that the upstream received."""
        (body,) = self.sent
        return body

    @property
    def losses(self) -> list[str]:
        """Returns the features that the loss header declares."""
        return [feature for feature in self.answer.headers.get("x-crosswire-loss", "").split(",") if feature]


async def exchange(
    frontend: str,
    backend: str,
    script: JSON | Sequence[bytes] | bytes | None = None,
    body: JSON | None = None,
    *,
    raw: Sequence[object] | None = None,
    stream: bool = False,
    model: str = "m",
    headers: Mapping[str, str] | None = None,
    keys: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Exchange:
    """Sends `body` (or the smallest one) through a proxy with one backend that answers by `script`.

    A dict is the whole answer, bytes alone are a whole HTTP response, a list holds the frames of a stream; none is a
    short text, and `raw` an upstream's script instead. `keys` are the backend's, `settings` the config's.
    """
    steps: list[Any]
    match script:
        case _ if raw is not None:
            steps = list(raw)
        case None:
            steps = [http(dumps(reply(backend)))]
        case dict():
            steps = [http(dumps(script))]
        case bytes():
            steps = [script]
        case _:
            steps = list(chunked(script, stream_kind(backend)))
    small = ask(frontend, model, stream=stream)
    # a body that a test gives may leave out the model and the stream flag
    body = small if body is None else {key: small[key] for key in ("model", "stream") if key in small} | body
    if frontend == "anthropic":
        body = {"max_tokens": 64, **body}
    async with upstream(steps) as server, stage(config(one(backend, server.url, **(keys or {})), **settings)) as it:
        answer = await it.ask(path(frontend, model, stream=stream), body, headers)
        record = await it.record(answer)
    sent = [json.loads(received.body) for received in server.requests]
    return Exchange(answer, sent, server.requests[-1].headers if server.requests else {}, record)


# ---- what upstreams send ---------------------------------------------------------------------------------------------


def chat(*deltas: JSON, finish: str | None = "stop", usage: JSON | None = None) -> list[bytes]:
    """Returns a chat stream of these deltas; without a finish reason it has no end."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": "m"}
    frames = [data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
    if finish is None:
        return frames
    frames.append(data({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    if usage is not None:
        frames.append(data({**head, "choices": [], "usage": usage}))
    return [*frames, data(b"[DONE]")]


def call_delta(index: int, arguments: str = "", id: str | None = None, name: str | None = None) -> JSON:
    """Returns a chat delta with a piece of one tool call."""
    function = {"arguments": arguments} | ({"name": name} if name else {})
    head = {"id": id, "type": "function"} if id else {}
    return {"tool_calls": [{"index": index, **head, "function": function}]}


def chat_reply(message: JSON, finish: str = "stop", **more: Any) -> JSON:
    """Returns a chat completion of this message."""
    answer = reply("openai-chat")
    answer["choices"] = [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}]
    return answer | more


def anthropic_reply(*content: JSON, stop: str = "end_turn", **more: Any) -> JSON:
    """Returns an Anthropic message of these blocks."""
    return reply("anthropic") | {"content": list(content), "stop_reason": stop, **more}


def anthropic(
    *content: JSON, stop: str = "end_turn", usage: JSON | None = None, start: JSON | None = None
) -> list[bytes]:
    """Returns a stream of an Anthropic message of these blocks; `start` is the usage of its message_start."""
    message = anthropic_reply(stop="") | {"content": [], "stop_reason": None} | ({"usage": start} if start else {})
    events: list[JSON] = [{"type": "message_start", "message": message}]
    for at, block in enumerate(content):
        empty, deltas = _in_deltas(block)
        events.append({"type": "content_block_start", "index": at, "content_block": empty})
        events += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": at})
    end = {"stop_reason": stop, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": usage or {"output_tokens": 2}})
    events.append({"type": "message_stop"})
    return [data(event, event["type"]) for event in events]


def _in_deltas(block: JSON) -> tuple[JSON, list[JSON]]:
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case "tool_use":
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        case _:
            return block, []


def gemini(*chunks: JSON) -> list[bytes]:
    """Returns a Gemini stream of these chunks."""
    return [data({"modelVersion": "m", "responseId": "r1"} | chunk) for chunk in chunks]


def candidate(*parts: JSON, finish: str | None = None, **more: Any) -> JSON:
    """Returns a Gemini chunk, or a whole answer, of these parts."""
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "index": 0} | ({"finishReason": finish} if finish else {})]} | more


def responses(*events: JSON) -> list[bytes]:
    """Returns a Responses stream of these events, numbered."""
    return [data(event | {"sequence_number": n}, event["type"]) for n, event in enumerate(events)]


# ---- what clients receive --------------------------------------------------------------------------------------------


def message_blocks(events: Sequence[JSON]) -> list[JSON]:
    """Returns the blocks of an Anthropic stream and checks the protocol's order of events.

    Indices run 0..n-1; each block has one start, deltas of its own kind and one stop; never are two blocks open.
    """
    assert events[0]["type"] == "message_start"
    blocks: list[JSON] = []
    open_at: int | None = None
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert open_at is None, "two blocks are open"
                assert event["index"] == len(blocks)
                open_at = event["index"]
                blocks.append({**event["content_block"], "pieces": []})
            case "content_block_delta":
                assert event["index"] == open_at
                kind, block = event["delta"]["type"], blocks[-1]
                assert kind in DELTAS[block["type"]], f"{kind} in a block of {block['type']}"
                block["pieces"].append(event["delta"])
            case "content_block_stop":
                assert event["index"] == open_at
                open_at = None
            case "message_delta" | "message_stop":
                assert open_at is None, "a block was never closed"
    return [_whole(block) for block in blocks]


DELTAS = {
    "text": ("text_delta", "citations_delta"),
    "thinking": ("thinking_delta", "signature_delta"),
    "tool_use": ("input_json_delta",),
    "redacted_thinking": (),
}


def _whole(block: JSON) -> JSON:
    pieces = block.pop("pieces")
    match block["type"]:
        case "text":
            assert block["text"] == ""
            block["text"] = "".join(piece["text"] for piece in pieces)
        case "thinking":
            assert (block["thinking"], block["signature"]) == ("", "")
            block["thinking"] = "".join(piece.get("thinking", "") for piece in pieces)
            block["signature"] = "".join(piece.get("signature", "") for piece in pieces)
        case "tool_use":
            assert block["input"] == {}
            block["input"] = json.loads("".join(piece["partial_json"] for piece in pieces) or "{}")
    return block


def chat_calls(events: Sequence[JSON]) -> list[JSON]:
    """Returns the calls of a chat stream and checks that they are numbered in order, with id and name once."""
    calls: list[JSON] = []
    for event in events:
        for choice in event["choices"]:
            for piece in choice["delta"].get("tool_calls", ()):
                if piece["index"] == len(calls):
                    calls.append({"id": piece["id"], "name": piece["function"]["name"], "arguments": ""})
                else:
                    assert piece["index"] < len(calls)
                    assert "id" not in piece
                    assert "name" not in piece["function"]
                calls[piece["index"]]["arguments"] += piece["function"].get("arguments", "")
    return calls
