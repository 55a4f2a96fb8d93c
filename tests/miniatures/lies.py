"""The lies: one function each, and the table of them by name. It knows no referee."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from conformance.bench import Answer
from mockserver.dialects.contract import Failure
from mockserver.speech import SayCall, SayStop, SayText, Usage

from .doors import HONEST, Asked, Lie, Scene, Tell
from .retold import Told, failed, hear, retold, said, told

OTHER_SHAPE = {
    "openai-chat": "anthropic",
    "openai-responses": "gemini",
    "anthropic": "openai-chat",
    "gemini": "ollama",
    "ollama": "openai-chat",
}
"""Whose shape of error a client is given in the place of its own."""

ONE_MORE_FIELD: dict[str, dict[str, Any]] = {
    "openai-chat": {"prompt_cache_key": "pier-7"},
    "openai-responses": {"prompt_cache_key": "pier-7"},
    "anthropic": {"inference_geo": "us"},
    "gemini": {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
    "ollama": {"keep_alive": "5m"},
}
"""A field that each provider takes, and that no client said."""

USAGE_KEYS = ("usage", "usageMetadata", "prompt_eval_count", "eval_count")

# ---- the answer, said again ------------------------------------------------------------------------------------------


def drop_call(what: Told) -> Told:
    """The last call is gone."""
    gone = what.calls[-1:]
    return replace(what, items=tuple(item for item in what.items if item not in gone))


def swap_ids(what: Told) -> Told:
    """The first two calls have each other's id."""
    ids = [call.id for call in what.calls]
    if len(ids) < 2:
        return what
    other = {ids[0]: ids[1], ids[1]: ids[0]}
    return _each_call(what, lambda call: replace(call, id=other.get(call.id, call.id)))


def merge_calls(what: Told) -> Told:
    """All calls are one, with the arguments of all."""
    if len(what.calls) < 2:
        return what
    arguments: dict[str, Any] = {}
    for call in what.calls:
        arguments |= {f"{key}{'' if key not in arguments else len(arguments)}": v for key, v in _of(call).items()}
    one = replace(what.calls[0], fragments=(json.dumps(arguments),))
    return replace(what, items=(*(item for item in what.items if not isinstance(item, SayCall)), one))


def one_character(what: Told) -> Told:
    """One letter of a call's arguments is another."""
    return _each_call(what, lambda call: replace(call, fragments=("".join(call.fragments).replace("o", "0", 1),)))


def rename_call(what: Told) -> Told:
    """A call names a tool that is nearly the right one."""
    return _each_call(what, lambda call: replace(call, name=call.name + "s"))


def calls_first(what: Told) -> Told:
    """The calls come before the words that introduced them."""
    return replace(what, items=(*what.calls, *(item for item in what.items if not isinstance(item, SayCall))))


def invent_stop(what: Told) -> Told:
    """An answer that ran out of tokens ends as if it were whole."""
    return replace(what, stop=SayStop("end"))


def miscount(what: Told) -> Told:
    """One token more was used."""
    return replace(what, usage=replace(what.usage, output=(what.usage.output or 0) + 1))


def count_twice(what: Told) -> Told:
    """What was read from a cache is counted as input once more."""
    usage = what.usage
    return replace(what, usage=replace(usage, input=(usage.input or 0) + (usage.cache_read or 0)))


def forget_sources(what: Told) -> Told:
    """The text is there, and nothing of where it is from; what is heard again keeps its words alone."""
    return what


def lose_words(what: Told) -> Told:
    """The last letter of the text is gone."""
    texts = tuple(SayText(("".join(item.deltas)[:-1],)) if isinstance(item, SayText) else item for item in what.items)
    return replace(what, items=texts)


def _each_call(what: Told, change: Callable[[SayCall], SayCall]) -> Told:
    return replace(what, items=tuple(change(item) if isinstance(item, SayCall) else item for item in what.items))


def _of(call: SayCall) -> dict[str, Any]:
    value: dict[str, Any] = json.loads("".join(call.fragments) or "{}")
    return value


def cached_only_in_unary(scene: Scene, answer: Answer) -> Answer:
    """A stream does not say how many of its input tokens came from a cache; the total is right.

    Where they were none, no cell for itself can tell this from a provider that does not count them.
    """
    if not scene.cell.stream:
        return answer

    def without(what: Told) -> Told:
        usage = what.usage
        return replace(what, usage=Usage((usage.input or 0) + (usage.cache_read or 0), usage.output))

    return retold(without)(scene, answer)


# ---- the answer's bytes ----------------------------------------------------------------------------------------------


def lose_usage(scene: Scene, answer: Answer) -> Answer:
    """Nothing is said of the tokens."""

    def cut(value: Any) -> Any:
        match value:
            case dict():
                return {key: cut(inner) for key, inner in value.items() if key not in USAGE_KEYS}
            case list():
                return [cut(inner) for inner in value]
            case _:
                return value

    def line(found: re.Match[bytes]) -> bytes:
        return found[1] + json.dumps(cut(json.loads(found[2])), ensure_ascii=False).encode()

    return replace(answer, body=re.sub(rb"^((?:data: *)?)(\{.*\})[ \r]*$", line, answer.body, flags=re.MULTILINE))


def wrong_model_in_body(scene: Scene, answer: Answer) -> Answer:
    """The body names a model that nobody asked for."""
    model = hear(scene, answer).model or ""
    return replace(answer, body=answer.body.replace(f'"{model}"'.encode(), b'"some-other-model"'))


def half_a_frame(scene: Scene, answer: Answer) -> Answer:
    """The stream's last frame goes out by half, and the stream ends in order."""
    whole = answer.body.rstrip()
    return replace(answer, body=whole[: -len(whole.rpartition(b"\n")[2]) // 2])


def half_a_frame_then_the_error(scene: Scene, answer: Answer) -> Answer:
    """Of the frame that was cut upstream the half that came goes out, before the error in band."""
    framing = b"\n" if scene.cell.frontend == "ollama" else b"\r\n\r\n" if b"\r\n\r\n" in answer.body else b"\n\n"
    frames = answer.body.split(framing)
    last = max(at for at, frame in enumerate(frames) if frame.strip())
    half = frames[last - 1][: len(frames[last - 1]) // 2]
    return replace(answer, body=framing.join([*frames[:last], half + frames[last], *frames[last + 1 :]]))


def one_byte(scene: Scene, answer: Answer) -> Answer:
    """A blank more in the JSON, which means nothing."""
    return replace(answer, body=answer.body.replace(b'":', b'": ', 1))


def break_off(scene: Scene, answer: Answer) -> Answer:
    """The whole answer, and then the connection breaks."""
    return replace(answer, broken=True)


# ---- errors ----------------------------------------------------------------------------------------------------------


def end_cleanly(scene: Scene, answer: Answer) -> Answer:
    """What came of a broken stream is made a whole answer, with a stop and usage."""
    return said(scene, replace(told(hear(scene, answer)), stop=SayStop("end")), answer.headers)


def close_in_order(scene: Scene, answer: Answer) -> Answer:
    """The error is told in band, and then the connection closes as if all were well."""
    return replace(answer, broken=False)


def other_shape(scene: Scene, answer: Answer) -> Answer:
    """The error has the shape of another protocol."""
    error = hear(scene, answer).error
    kind, message = (error.kind, error.message) if error else ("internal", "")
    return failed(scene, OTHER_SHAPE[scene.cell.frontend], Failure(answer.status, kind, message), answer.headers)


def other_words_before(scene: Scene, answer: Answer) -> Answer:
    """What was heard before a stream broke is not what was said."""
    return replace(answer, body=answer.body.replace(b"So far", b"So bad"))


def other_status(scene: Scene, answer: Answer) -> Answer:
    """The body tells the right error under another status."""
    return replace(answer, status=418)


def our_key_is_your_fault(scene: Scene, answer: Answer) -> Answer:
    """That the provider refused the proxy's key is told as if it were the client's."""
    return failed(scene, scene.cell.frontend, Failure(401, "authentication", "that key is wrong"), answer.headers)


def show_key(scene: Scene, answer: Answer) -> Answer:
    """The provider's own words, with the key that it refused."""
    key = f"Incorrect API key provided: {scene.key}."
    return failed(scene, scene.cell.frontend, Failure(502, "internal", key), answer.headers)


def fail_after_all(scene: Scene, answer: Answer) -> Answer:
    """The provider answered, and the client hears that it did not."""
    return failed(scene, scene.cell.frontend, Failure(502, "internal", "no answer"), answer.headers)


def own_words(scene: Scene, answer: Answer) -> Answer:
    """What the provider said of the mistake is put in the miniature's own words."""
    return failed(scene, scene.cell.frontend, Failure(400, "bad_request", "Something was wrong."), answer.headers)


def swallow_error(scene: Scene, answer: Answer) -> Answer:
    """Where the provider failed an apology comes as if the model had said it."""
    sorry = Told((SayText(("Sorry, not now.",)),), SayStop("end"), Usage(1, 4))
    return said(scene, sorry, answer.headers)


def swallow_retry_after(scene: Scene, answer: Answer) -> Answer:
    """When to come back is not told."""
    return _without_header(answer, "retry-after")


# ---- headers and the record ------------------------------------------------------------------------------------------


def hide_loss(scene: Scene, answer: Answer) -> Answer:
    """The header says nothing of a loss."""
    return _without_header(answer, "x-crosswire-loss")


def declared(word: str) -> Tell:
    """The header declares one loss more."""

    def tell(scene: Scene, answer: Answer) -> Answer:
        losses = [answer.headers.get("x-crosswire-loss"), word]
        return _with_header(answer, "x-crosswire-loss", ",".join(filter(None, losses)))

    return tell


def recorded(word: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """And so does the record."""
    loss = {"path": "$", "feature": word, "how": "dropped"}
    return lambda record: record | {"losses": [*record["losses"], loss]}


def one_attempt_more(record: dict[str, Any]) -> dict[str, Any]:
    """The record tells of a try that nobody made."""
    return record | {"attempts": [*record["attempts"], *record["attempts"][-1:]]}


def no_relay(record: dict[str, Any]) -> dict[str, Any]:
    """The record says that what was relayed was converted."""
    return record | {"attempts": [attempt | {"relayed": False} for attempt in record["attempts"]]}


def _with_header(answer: Answer, name: str, value: str) -> Answer:
    return replace(answer, headers={**answer.headers, name: value})


def _without_header(answer: Answer, name: str) -> Answer:
    return replace(answer, headers={key: value for key, value in answer.headers.items() if key != name})


# ---- the way up ------------------------------------------------------------------------------------------------------


def drop_system(scene: Scene, asked: Asked) -> Asked:
    """The system prompt stays behind."""
    body = asked.json()
    for key in ("system", "instructions", "systemInstruction", "system_instruction"):
        body.pop(key, None)
    for key in ("messages", "input"):
        if isinstance(body.get(key), list):
            body[key] = [item for item in body[key] if item.get("role") not in ("system", "developer")]
    return asked.with_json(body)


def system_in_parts(scene: Scene, asked: Asked) -> Asked:
    """The system prompt comes in a form that means the same, and that the story does not want."""
    body = asked.json()
    return asked.with_json(body | {"system": [{"type": "text", "text": body["system"]}]})


def drop_turn(scene: Scene, asked: Asked) -> Asked:
    """The first two messages of the history stay behind."""
    body = asked.json()
    for key in ("messages", "input", "contents"):
        if isinstance(body.get(key), list):
            spoken = [item for item in body[key] if item.get("role") not in ("system", "developer")]
            body[key] = [item for item in body[key] if item not in spoken[:2]]
    return asked.with_json(body)


def drop_result(scene: Scene, asked: Asked) -> Asked:
    """The last tool result stays behind."""
    body = asked.json()
    within: list[Any] = next(body[key] for key in ("messages", "input", "contents") if key in body)
    parts = {"anthropic": "content", "gemini": "parts"}.get(scene.protocol)
    if parts is not None and isinstance(within[-1].get(parts), list):
        within = within[-1][parts]
    results = [at for at, item in enumerate(within) if _is_result(item)]
    if results:
        del within[results[-1]]
    return asked.with_json(body)


def _is_result(item: dict[str, Any]) -> bool:
    kind = item.get("type") or item.get("role")
    return kind in ("tool", "tool_result", "function_call_output") or "functionResponse" in item


def swap_results(scene: Scene, asked: Asked) -> Asked:
    """The first two tool results have each other's words."""
    first, second = b"18 and clouds", b"22 and mist"  # of the story tools-parallel
    return replace(asked, body=asked.body.replace(first, b"\0").replace(second, first).replace(b"\0", second))


def drop_tool(scene: Scene, asked: Asked) -> Asked:
    """One of the tools is not offered."""
    body = asked.json()
    tools = body.get("tools") or []
    (tools[0]["functionDeclarations"] if scene.protocol == "gemini" else tools).pop()
    return asked.with_json(body)


def loosen_schema(scene: Scene, asked: Asked) -> Asked:
    """A parameter that a tool requires is no longer required."""
    return replace(asked, body=re.sub(rb'"required": *\["city"\]', b'"required":[]', asked.body))


def drop_seed(scene: Scene, asked: Asked) -> Asked:
    """A seed stays behind, though the provider has a place for it."""
    body = asked.json()
    for place in (body, body.get("generationConfig", {}), body.get("options", {})):
        place.pop("seed", None)
    return asked.with_json(body)


def one_byte_up(scene: Scene, asked: Asked) -> Asked:
    """A blank more in the JSON of the request."""
    return replace(asked, body=asked.body.replace(b'":', b'": ', 1))


def another_letter(scene: Scene, asked: Asked) -> Asked:
    """One letter of a call in the history is another."""
    head, name, tail = asked.body.rpartition(b"Porto")
    return replace(asked, body=head + b"Portu" + tail) if b"Porto" in head and name else asked


def one_more_field(scene: Scene, asked: Asked) -> Asked:
    """A field is there that the client never said."""
    return asked.with_json(asked.json() | ONE_MORE_FIELD[scene.protocol])


def own_temperature(scene: Scene, asked: Asked) -> Asked:
    """A temperature is there that the client never said."""
    body = asked.json()
    place = {"gemini": "generationConfig", "ollama": "options"}.get(scene.protocol)
    (body if place is None else body.setdefault(place, {}))["temperature"] = 0.25
    return asked.with_json(body)


def forward_key_in_header(scene: Scene, asked: Asked) -> Asked:
    """The client's credential goes along, under another name."""
    return replace(asked, headers={**asked.headers, "x-client-authorization": _key(scene.client)})


def pass_flag_on(scene: Scene, asked: Asked) -> Asked:
    """A flag of the client's own protocol goes along to another's provider."""
    return replace(asked, headers={**asked.headers, "anthropic-beta": "extended-cache-ttl-2025-04-11"})


def forget_flag(scene: Scene, asked: Asked) -> Asked:
    """A flag of the client's own protocol does not reach the provider that it is for."""
    return replace(asked, headers={name: value for name, value in asked.headers.items() if name != "anthropic-beta"})


def forward_key_in_query(scene: Scene, asked: Asked) -> Asked:
    """The client's credential goes along in the address."""
    joint = "&" if "?" in asked.path else "?"
    return replace(asked, path=f"{asked.path}{joint}client={_key(scene.client)}")


def _key(client: Asked) -> str:
    names = ("authorization", "x-api-key", "x-goog-api-key")
    return next(client.headers[name] for name in names if name in client.headers).removeprefix("Bearer ")


# ---- without asking anybody ------------------------------------------------------------------------------------------


def from_memory(scene: Scene) -> Answer:
    """The right answer to the story `text`, and nobody was asked."""
    what = Told((SayText(("Hello! How can I help you today?",)),), SayStop("end"), Usage(10, 9))
    return said(scene, what, {"x-request-id": "req_memory"})


def refuse(scene: Scene) -> Answer:
    """An error in the client's shape, for a request that any provider takes."""
    return failed(scene, scene.cell.frontend, Failure(400, "bad_request", "This cannot be said."), {})


def refuse_in_another_shape(scene: Scene) -> Answer:
    """The same, and not even in the client's shape."""
    return failed(scene, OTHER_SHAPE[scene.cell.frontend], Failure(400, "bad_request", "This cannot be said."), {})


# ---- the table -------------------------------------------------------------------------------------------------------

LIES: dict[str, Lie] = {
    "honest": HONEST,
    "honest, in other words": Lie(down=retold(lambda what: what)),
    # calls
    "drops a call": Lie(down=retold(drop_call)),
    "swaps the ids of two calls": Lie(down=retold(swap_ids)),
    "merges parallel calls": Lie(down=retold(merge_calls)),
    "changes a letter of the arguments": Lie(down=retold(one_character)),
    "calls another tool": Lie(down=retold(rename_call)),
    "puts calls before text": Lie(down=retold(calls_first)),
    # words, stops, tokens
    "forgets the sources": Lie(down=retold(forget_sources)),
    "loses a letter": Lie(down=retold(lose_words)),
    "invents a stop": Lie(down=retold(invent_stop)),
    "loses usage": Lie(down=lose_usage),
    "miscounts": Lie(down=retold(miscount)),
    "counts the cache twice": Lie(down=retold(count_twice)),
    "says in a stream less than in a body": Lie(down=cached_only_in_unary),
    # who served
    "names another backend": Lie(down=lambda s, a: _with_header(a, "x-crosswire-backend", "another")),
    "records another backend": Lie(record=lambda record: record | {"backend_used": "another"}),
    "records another model": Lie(record=lambda record: record | {"model_used": "another"}),
    "names another model": Lie(down=lambda s, a: _with_header(a, "x-crosswire-model", "another")),
    "names another model in the body": Lie(down=wrong_model_in_body),
    "records nothing": Lie(record=lambda record: None),
    "asks twice": Lie(twice=True),
    "answers from memory": Lie(canned=from_memory),
    "refuses": Lie(canned=refuse),
    "refuses in another shape": Lie(canned=refuse_in_another_shape),
    "records an attempt too many": Lie(record=one_attempt_more),
    # losses
    "hides a loss": Lie(down=hide_loss, record=lambda record: record | {"losses": []}),
    "hides a loss in the header": Lie(down=hide_loss),
    "declares a loss that did not happen": Lie(down=declared("logprobs"), record=recorded("logprobs")),
    "declares a loss in the header alone": Lie(down=declared("logprobs")),
    "loses more than it must, and says so": Lie(up=drop_seed, down=declared("seed"), record=recorded("seed")),
    # errors and broken streams
    "ends a cut stream cleanly": Lie(down=end_cleanly),
    "closes in order after an error": Lie(down=close_in_order),
    "relays half a frame": Lie(down=half_a_frame),
    "relays half a frame before the error": Lie(down=half_a_frame_then_the_error),
    "breaks off a whole answer": Lie(down=break_off),
    "has other words before the error": Lie(down=other_words_before),
    "answers in another shape of error": Lie(down=other_shape),
    "answers with another status": Lie(down=other_status),
    "blames the client for the proxy's key": Lie(down=our_key_is_your_fault),
    "shows its own key": Lie(down=show_key),
    "fails where the provider answered": Lie(down=fail_after_all),
    "has its own words for the provider's": Lie(down=own_words),
    "swallows an error": Lie(down=swallow_error),
    "swallows retry-after": Lie(down=swallow_retry_after),
    # the way up
    "drops the system prompt": Lie(up=drop_system),
    "says the system prompt in parts": Lie(up=system_in_parts),
    "forgets the history": Lie(up=drop_turn),
    "drops a tool result": Lie(up=drop_result),
    "swaps two tool results": Lie(up=swap_results),
    "offers one tool less": Lie(up=drop_tool),
    "loosens a schema": Lie(up=loosen_schema),
    "changes a letter of a call in the history": Lie(up=another_letter),
    "adds a field": Lie(up=one_more_field),
    "sets a temperature": Lie(up=own_temperature),
    "passes a flag on to a stranger": Lie(up=pass_flag_on),
    "forgets a flag": Lie(up=forget_flag),
    "forwards the client's key in a header": Lie(up=forward_key_in_header),
    "forwards the client's key in the address": Lie(up=forward_key_in_query),
    # what only a law sees
    "changes a byte that means nothing": Lie(down=one_byte),
    "says that it converts where it relays": Lie(record=no_relay),
    "changes a byte of the request": Lie(up=one_byte_up),
}
