"""The answers of a Responses provider, in its wire habits; it knows the scene, not the socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ...frames import SSE, dump, sse
from ...speech import (
    Cite,
    Cut,
    Garble,
    Pause,
    SayCall,
    SayError,
    SayRefusal,
    SayText,
    SayThink,
    Usage,
    in_sequence,
)
from ..contract import CREATED, Failure, Provider, Scene, Spoken, Step, failure, seal, spoken_error, token
from ..strict import compatible, strict
from .words import ERRORS, FAILED, SEALS, STOPS

Said = SayText | SayRefusal | SayThink | SayCall

UNFINISHED = ".."
"""What the seal of a thought that has only begun ends with: "The `encrypted_content` in `response.output_item.added`
may be incomplete." https://github.com/openai/openai-openapi (ReasoningItem)
"""


def say(scene: Scene) -> Spoken:
    """A unary body, or the events of a stream and the faults between them."""
    headers = {"x-request-id": f"req_{token(scene, 'request', 32)}", "openai-version": "2020-10-01"}
    if scene.stream:
        return Spoken(200, headers, tuple(_stream(scene)), SSE)
    faults = tuple(item for item in scene.items if isinstance(item, Pause | Cut | Garble))
    output = [item for _, item in _output(scene)]
    return Spoken(200, headers, (*faults, dump(_finished(scene, output)).encode()))


def say_error(error: Failure, provider: Provider) -> Spoken:
    """An error before any content."""
    return spoken_error(error, {"error": _error(error)})


def count(body: dict[str, Any]) -> dict[str, Any]:
    """https://platform.openai.com/docs/api-reference/responses/input-tokens"""
    asked = {key: body.get(key) for key in ("instructions", "input", "tools") if body.get(key)}
    return {"object": "response.input_tokens", "input_tokens": len(json.dumps(asked)) // 4 + 8}


def _error(error: Failure) -> dict[str, Any]:
    kind, code = ERRORS[error.kind]
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code or code}


# ---- the response object ---------------------------------------------------------------------------------------------


def _response(scene: Scene, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that was asked is repeated, with the service's defaults where nothing was.

    https://platform.openai.com/docs/api-reference/responses/object
    """
    asked = scene.body
    reasoning = asked.get("reasoning") or {}
    text = asked.get("text") or {}
    return {
        "id": f"resp_{token(scene, 'id', 50)}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "completed_at": CREATED + 2 if status == "completed" else None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "max_tool_calls": asked.get("max_tool_calls"),
        "model": scene.model,
        "moderation": None,
        "output": output,
        "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": asked.get("prompt_cache_key"),
        "prompt_cache_retention": None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": asked.get("safety_identifier"),
        "service_tier": "auto" if status == "in_progress" else "default",
        "store": asked.get("store") is not False,
        "temperature": 1.0 if asked.get("temperature") is None else asked["temperature"],
        "text": {"format": _format(text.get("format")), "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": asked.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in _tools(asked)],
        "top_logprobs": asked.get("top_logprobs") or 0,
        "top_p": 1.0 if asked.get("top_p") is None else asked["top_p"],
        "truncation": asked.get("truncation") or "disabled",
        "usage": None,
        "user": asked.get("user"),
        "metadata": asked.get("metadata") or {},
    }


def _finished(scene: Scene, output: list[dict[str, Any]]) -> dict[str, Any]:
    reason = STOPS[scene.stop.reason]
    response = _response(scene, "completed" if reason is None else "incomplete", output)
    if reason is not None:
        response["incomplete_details"] = {"reason": reason}
    response["usage"] = _usage(scene.usage)
    return response


def _format(asked: dict[str, Any] | None) -> dict[str, Any]:
    if asked is None or asked.get("type") != "json_schema":
        return asked or {"type": "text"}
    return {"type": "json_schema", "description": None, "strict": False} | asked


def _tools(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tools beside the input, then those that arrived inside it."""
    yield from asked.get("tools") or []
    for item in asked["input"] if isinstance(asked.get("input"), list) else ():
        if item.get("type") == "additional_tools":
            yield from item["tools"]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function whose `strict` was left out comes back strict, its schema closed, where that is possible."""
    if tool.get("type") != "function":
        return tool
    whole = {"type": "function", "description": None, "name": None, "parameters": None} | tool
    if tool.get("strict") is None:
        whole["strict"] = compatible(tool.get("parameters"))
        if whole["strict"]:
            whole["parameters"] = strict(tool.get("parameters"))
    return whole


def _usage(usage: Usage) -> dict[str, Any]:
    """`cached_tokens`, `cache_write_tokens` and `reasoning_tokens` are parts of the totals here.

    https://platform.openai.com/docs/api-reference/responses/object
    """
    read, write = usage.cache_read or 0, usage.cache_write or 0
    into, out = (usage.input or 0) + read + write, usage.output or 0
    return {
        "input_tokens": into,
        "input_tokens_details": {"cache_write_tokens": write, "cached_tokens": read},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": into + out,
    }


# ---- items -----------------------------------------------------------------------------------------------------------


def _output(scene: Scene) -> Iterator[tuple[Said, dict[str, Any]]]:
    """What is said and its finished item; an item is cut short by a length when it is the last."""
    said = [item for item in in_sequence(scene.items) if isinstance(item, SayText | SayRefusal | SayThink | SayCall)]
    # A signature on a call or on a text has no place on this wire: only reasoning items are sealed.
    seals = 0
    for at, item in enumerate(said):
        cut = STOPS[scene.stop.reason] is not None and at == len(said) - 1
        status = "incomplete" if cut else "completed"
        match item:
            case SayText(deltas, cites=cites):
                text = "".join(deltas)
                yield item, _message(scene, at, status, {"type": "output_text"} | _text(text, cites))
            case SayRefusal(deltas):
                yield item, _message(scene, at, status, {"type": "refusal", "refusal": "".join(deltas)})
            case SayThink(_, sealed):
                yield item, _reasoning(scene, at, item, seal(scene, seals) if sealed else None)
                seals += sealed
            case SayCall(id, name, fragments, sealed, kind, namespace):
                of = {"call_id": id, "name": name} | ({"namespace": namespace} if namespace else {})
                number = token(scene, f"item{at}", 50)
                if kind == "custom":
                    call = {"id": f"ctc_{number}", "type": "custom_tool_call", "status": status}
                    yield item, call | {"input": "".join(fragments)} | of
                else:
                    call = {"id": f"fc_{number}", "type": "function_call", "status": status}
                    yield item, call | {"arguments": "".join(fragments) or "{}"} | of
                seals += sealed


def _message(scene: Scene, at: int, status: str, part: dict[str, Any]) -> dict[str, Any]:
    id = f"msg_{token(scene, f'item{at}', 50)}"
    return {"id": id, "type": "message", "status": status, "content": [part], "role": "assistant"}


def _text(text: str, cites: tuple[Cite, ...]) -> dict[str, Any]:
    """Offsets of a source count the characters of its part.

    https://platform.openai.com/docs/guides/tools-web-search#output-and-citations
    """
    span = {"type": "url_citation", "start_index": 0, "end_index": len(text)}
    annotations = [span | {"title": cite.title or "", "url": cite.url} for cite in cites]
    return {"annotations": annotations, "logprobs": [], "text": text}


def _reasoning(scene: Scene, at: int, think: SayThink, sealed: str | None) -> dict[str, Any]:
    """Thinking is shown as a summary when that is asked for, and sealed when that is.

    https://platform.openai.com/docs/guides/reasoning#reasoning-summaries
    """
    shown = (scene.body.get("reasoning") or {}).get("summary") is not None and think.deltas
    item: dict[str, Any] = {"id": f"rs_{token(scene, f'item{at}', 50)}", "type": "reasoning", "content": []}
    if sealed is not None and SEALS in (scene.body.get("include") or []):
        item["encrypted_content"] = sealed
    item["summary"] = [{"type": "summary_text", "text": "".join(think.deltas)}] if shown else []
    return item


# ---- streaming -------------------------------------------------------------------------------------------------------


Rung = tuple[str, dict[str, Any]]
"""An event's type and fields; its number and its padding come when it goes out."""


class _Ladder:
    """Numbers the events and pads the deltas."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        # "Stream obfuscation adds random characters to an `obfuscation` field on streaming delta events"
        # https://platform.openai.com/docs/api-reference/responses/create
        options = scene.body.get("stream_options") or {}
        self.padded = options.get("include_obfuscation") is not False
        self.number = 0

    def out(self, *rungs: Rung) -> Iterator[bytes]:
        for kind, fields in rungs:
            event: dict[str, Any] = {"type": kind} | fields
            # Deltas of a refusal come without padding.
            if self.padded and kind.endswith(".delta") and kind != "response.refusal.delta":
                event["obfuscation"] = token(self.scene, f"pad{self.number}", 16 - len(fields["delta"]) % 16)
            event["sequence_number"] = self.number
            self.number += 1
            yield sse(event, kind)


def _stream(scene: Scene) -> Iterator[Step]:
    ladder = _Ladder(scene)
    finished = iter(tuple(_output(scene)))
    output: list[dict[str, Any]] = []
    # The rungs that close an item wait for what comes next, so that a fault behind it finds it open.
    closing: tuple[Rung, ...] = ()
    begun = {"response": _response(scene, "in_progress", [])}
    yield from ladder.out(("response.created", begun), ("response.in_progress", begun))
    for item in in_sequence(scene.items):
        match item:
            case Pause() | Cut() | Garble():
                yield item
            case SayError():
                yield from ladder.out(*_failing(scene, failure(item), output[:-1]))
                return
            case SayText() | SayRefusal() | SayThink() | SayCall():
                yield from ladder.out(*closing)
                said, whole = next(finished)
                opening, closing = _rungs(said, whole, len(output))
                yield from ladder.out(*opening)
                output.append(whole)
            case _:
                pass
    response = _finished(scene, output)
    yield from ladder.out(*closing, (f"response.{response['status']}", {"response": response}))


def _failing(scene: Scene, error: Failure, output: list[dict[str, Any]]) -> Iterator[Rung]:
    """The service says it twice: as an `error` event, and as the end of the response.

    https://github.com/openai/codex/issues/43337
    """
    told = _error(error)
    yield "error", {"error": told}
    response = _response(scene, "failed", output)
    response["error"] = {"code": FAILED.get(error.kind) or told["code"] or "server_error", "message": error.message}
    yield "response.failed", {"response": response}


def _rungs(said: Said, whole: dict[str, Any], index: int) -> tuple[tuple[Rung, ...], tuple[Rung, ...]]:
    """The rungs of one item, and apart from them those that close it."""
    of: dict[str, Any] = {"item_id": whole["id"], "output_index": index}
    head: list[Rung] = [("response.output_item.added", {"item": _begun(whole), "output_index": index})]
    tail: list[Rung] = []
    match said:
        case SayText(deltas):
            of, part = {"content_index": 0} | of, whole["content"][0]
            spoken = of | {"logprobs": []}
            head.append(("response.content_part.added", of | {"part": part | {"text": "", "annotations": []}}))
            head.extend(("response.output_text.delta", {"delta": text} | spoken) for text in deltas)
            for n, annotation in enumerate(part["annotations"]):
                noted = {"annotation_index": n, "annotation": annotation}
                head.append(("response.output_text.annotation.added", of | noted))
            tail.append(("response.output_text.done", spoken | {"text": part["text"]}))
            tail.append(("response.content_part.done", of | {"part": part}))
        case SayRefusal(deltas):
            of, part = {"content_index": 0} | of, whole["content"][0]
            head.append(("response.content_part.added", of | {"part": part | {"refusal": ""}}))
            head.extend(("response.refusal.delta", {"delta": text} | of) for text in deltas)
            tail.append(("response.refusal.done", of | {"refusal": part["refusal"]}))
            tail.append(("response.content_part.done", of | {"part": part}))
        case SayThink(deltas) if whole["summary"]:
            of, part = of | {"summary_index": 0}, whole["summary"][0]
            head.append(("response.reasoning_summary_part.added", of | {"part": part | {"text": ""}}))
            head.extend(("response.reasoning_summary_text.delta", {"delta": text} | of) for text in deltas)
            tail.append(("response.reasoning_summary_text.done", of | {"text": part["text"]}))
            tail.append(("response.reasoning_summary_part.done", of | {"part": part}))
        case SayCall(kind="custom", fragments=fragments):
            head.extend(("response.custom_tool_call_input.delta", {"delta": text} | of) for text in fragments)
            tail.append(("response.custom_tool_call_input.done", {"input": whole["input"]} | of))
        case SayCall(_, _, fragments):
            pieces = fragments if any(fragments) else ("{}",)
            head.extend(("response.function_call_arguments.delta", {"delta": text} | of) for text in pieces)
            tail.append(("response.function_call_arguments.done", {"arguments": whole["arguments"]} | of))
        case _:
            pass
    tail.append(("response.output_item.done", {"item": whole, "output_index": index}))
    return tuple(head), tuple(tail)


def _begun(whole: dict[str, Any]) -> dict[str, Any]:
    """The item as it is when it has only been added."""
    empty = {"status": "in_progress", "content": [], "summary": [], "arguments": "", "input": ""}
    begun = {key: empty.get(key, value) for key, value in whole.items()}
    if "encrypted_content" in begun:
        begun["encrypted_content"] += UNFINISHED
    return begun
