"""The answers of an Ollama server, in its wire habits; it knows the scene, not the socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ...frames import JSON, NDJSON, dump
from ...speech import Cut, Garble, Pause, SayCall, SayError, SayRefusal, SayText, SayThink, Usage, in_sequence
from ..contract import CREATED, Failure, Provider, Scene, Spoken, Step, failure, spoken_error
from .words import STOPS

# A habit of older servers, as provider files name it.
NO_IDS = "no_call_ids"  # calls carry no ids

ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""What the server's encoder escapes. https://pkg.go.dev/encoding/json#HTMLEscape"""

HEADERS = {"content-type": "application/json; charset=utf-8"}


def say(scene: Scene) -> Spoken:
    """A unary body, or the lines of a stream and the faults between them."""
    if scene.stream:
        return Spoken(200, {}, tuple(_stream(scene)), NDJSON)
    faults = tuple(item for item in scene.items if isinstance(item, Pause | Cut | Garble))
    return Spoken(200, HEADERS, (*faults, _dump(_body(scene)).encode()), JSON)


def say_error(error: Failure, provider: Provider) -> Spoken:
    """An error before any content."""
    spoken = spoken_error(error, {"error": error.message})
    return Spoken(spoken.status, HEADERS | spoken.headers, spoken.steps, spoken.framing)


def _dump(value: Any) -> str:
    return dump(value).translate(ESCAPES)


# ---- unary -----------------------------------------------------------------------------------------------------------


def _body(scene: Scene) -> dict[str, Any]:
    text: list[str] = []
    thinking: list[str] = []
    calls: list[dict[str, Any]] = []
    for item in in_sequence(scene.items):
        match item:
            case SayText(deltas) | SayRefusal(deltas):
                text.extend(deltas)
            case SayThink(deltas) if _thinks(scene):
                thinking.extend(deltas)
            case SayCall() as call:
                calls.append(_call(scene, call, len(calls)))
            case _:
                pass
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text)}
    if thinking:
        message["thinking"] = "".join(thinking)
    if calls:
        message["tool_calls"] = calls
    return {"model": scene.model, "created_at": _time(0), "message": message} | _ending(scene)


def _thinks(scene: Scene) -> bool:
    """A model that can think does so unless told not to. https://docs.ollama.com/capabilities/thinking"""
    return scene.body.get("think") is not False


def _call(scene: Scene, call: SayCall, index: int) -> dict[str, Any]:
    """`arguments` is an object; a call without arguments has an empty one."""
    arguments = json.loads("".join(call.fragments) or "{}")
    function = {"index": index, "name": call.name, "arguments": arguments}
    return {"function": function} if NO_IDS in scene.provider.habits else {"id": call.id, "function": function}


def _time(line: int) -> str:
    made = datetime.fromtimestamp(CREATED, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    # Trailing zeros of a fraction are not written.
    return f"{made}.{line * 12000 + 352639:06d}".rstrip("0") + "Z"


def _ending(scene: Scene) -> dict[str, Any]:
    prompt, output = _counts(scene.usage)
    return {
        "done": True,
        "done_reason": STOPS[scene.stop.reason],
        "total_duration": 142639084 + output * 5000000,
        "load_duration": 44742834,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": 38787583,
        "eval_count": output,
        "eval_duration": output * 4900000,
    }


def _counts(usage: Usage) -> tuple[int, int]:
    """There is no word for a cache here: the prompt is counted whole; `eval_count` holds the thinking too.

    https://docs.ollama.com/api/usage
    """
    return (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0), usage.output or 0


# ---- streaming -------------------------------------------------------------------------------------------------------


def _stream(scene: Scene) -> Iterator[Step]:
    sent = calls = 0

    def line(message: dict[str, Any], more: dict[str, Any]) -> bytes:
        nonlocal sent
        sent += 1
        head = {"model": scene.model, "created_at": _time(sent)}
        return f"{_dump(head | {'message': {'role': 'assistant', 'content': ''} | message} | more)}\n".encode()

    for item in in_sequence(scene.items):
        match item:
            case SayText(deltas) | SayRefusal(deltas):
                for text in deltas:
                    yield line({"content": text}, {"done": False})
            case SayThink(deltas):
                for text in deltas if _thinks(scene) else ():
                    yield line({"thinking": text}, {"done": False})
            case SayCall() as call:
                # A call comes whole, in a line of its own.
                yield line({"tool_calls": [_call(scene, call, calls)]}, {"done": False})
                calls += 1
            case SayError():
                yield f"{_dump({'error': failure(item).message})}\n".encode()
                return
            case Pause() | Cut() | Garble():
                yield item
            case _:
                pass
    yield line({}, _ending(scene))
