"""The older forms of the chat, Ollama's generate and OpenAI's completions, to every backend."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeAlias

import pytest

from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.openai_chat.completions_encoder import logprobs_out

from ..proxy_fixture import Answer, Stage, config, one, stage
from ..sample_messages import TEXT, data, dumps, error_text, reply, stream, stream_kind
from ..scripted_upstream import LAST, Upstream, chunk, chunked, head, http, upstream

JSON: TypeAlias = dict[str, Any]

NOWHERE = "http://127.0.0.1:1"

GENERATE, COMPLETIONS = "/api/generate", "/v1/completions"

SHAPES = {GENERATE: "ollama", COMPLETIONS: "openai-chat"}
"""The path of each dialect, and its protocol, which an error has the shape of."""

OTHERS = [name for name in PROTOCOLS if name != "ollama"]
"""Protocols of backends to which generate is converted."""

paths = pytest.mark.parametrize("path", SHAPES)
backends = pytest.mark.parametrize("backend", OTHERS)
streams = pytest.mark.parametrize("streamed", [False, True])


def script(backend: str, *, streamed: bool) -> Any:
    """An upstream's answer of TEXT."""
    return chunked(stream(backend), stream_kind(backend)) if streamed else [http(dumps(reply(backend)))]


def objects(answer: Answer) -> list[JSON]:
    """The objects of a whole body or of a stream."""
    lines = (line.removeprefix("data:").strip() for line in answer.body.decode().splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


def text_in(path: str, parts: list[JSON]) -> str:
    """The text as this dialect's client puts it together."""
    if path == GENERATE:
        return "".join(part["response"] for part in parts)
    return "".join(choice["text"] for part in parts for choice in part["choices"] if choice["index"] == 0)


# ---- to every backend ------------------------------------------------------------------------------------------------


@paths
@backends
@streams
async def test_a_prompt_is_answered_with_its_text(path: str, backend: str, streamed: bool) -> None:
    body = {"model": "m", "prompt": "Say hello.", "stream": streamed, "stream_options": {"include_usage": True}}
    if not streamed or path == GENERATE:
        del body["stream_options"]
    async with upstream(script(backend, streamed=streamed)) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(path, body)
        record = await it.record(answer)
    assert (answer.status, answer.whole) == (200, True), answer
    parts = objects(answer)
    assert text_in(path, parts) == TEXT
    assert "Say hello." in up.requests[0].body.decode()
    if path == GENERATE:
        assert [part["done"] for part in parts] == [False] * (len(parts) - 1) + [True]
        last = parts[-1]
        assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("stop", 3, 2)
        assert all("message" not in part for part in parts)
    else:
        assert {part["object"] for part in parts} == {"text_completion"}
        assert [choice["finish_reason"] for part in parts for choice in part["choices"]][-1] == "stop"
        assert parts[-1]["usage"].items() >= {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}.items()
        assert answer.body.endswith(b"data: [DONE]\n\n") == streamed
    assert (record["what"], record["outcome"], record["usage"]["output"]) == ("chat", "answered", 2)


async def test_what_a_generate_request_says_reaches_a_chat() -> None:
    pixel = "iVBORw0KGgoAAAA="
    body = {
        "model": "m",
        "prompt": "What is it?",
        "system": "Be brief.",
        "images": [pixel],
        "format": {"type": "object", "properties": {"a": {"type": "string"}}},
        "options": {"temperature": 0.5, "seed": 7, "num_predict": 9, "stop": ["x"]},
        "stream": False,
    }
    async with (
        upstream(script("openai-chat", streamed=False)) as up,
        stage(config(one("openai-chat", up.url))) as it,
    ):
        answer = await it.ask(GENERATE, body)
    assert answer.status == 200, answer
    sent = json.loads(up.requests[0].body)
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}"}},
            ],
        },
    ]
    assert sent["response_format"]["json_schema"]["schema"]["properties"] == {"a": {"type": "string"}}
    assert (sent["temperature"], sent["seed"], sent["max_completion_tokens"], sent["stop"]) == (0.5, 7, 9, ["x"])


async def test_what_a_completions_request_says_reaches_a_chat() -> None:
    said = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["x", "y"], "user": "u", "presence_penalty": 1.0}
    body = {"model": "m", "prompt": ["Say"], "max_tokens": 9, "n": 2, "best_of": 2, "logprobs": 3, **said}
    choices = [
        {
            "index": i,
            "message": {"role": "assistant", "content": text},
            "finish_reason": finish,
            "logprobs": {
                "content": [{"token": text, "logprob": -1.5, "top_logprobs": [{"token": "b", "logprob": -2}]}]
            },
        }
        for i, (text, finish) in enumerate((("a", "stop"), ("b", "length")))
    ]
    made = reply("openai-chat") | {"choices": choices}
    async with upstream([http(dumps(made))]) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(COMPLETIONS, body)
    assert (answer.status, answer.headers.get("x-crosswire-loss")) == (200, None), answer
    sent = json.loads(up.requests[0].body)
    assert up.requests[0].target.endswith("/chat/completions")
    assert sent["messages"] == [{"role": "user", "content": "Say"}]
    assert {key: sent[key] for key in said} == said
    assert (sent["n"], sent["logprobs"], sent["top_logprobs"]) == (2, True, 3)
    assert sent["max_completion_tokens"] == 9
    found = json.loads(answer.body)["choices"]
    assert [(each["text"], each["index"], each["finish_reason"]) for each in found] == [
        ("a", 0, "stop"),
        ("b", 1, "length"),
    ]
    assert found[0]["logprobs"] == {
        "tokens": ["a"],
        "token_logprobs": [-1.5],
        "top_logprobs": [{"b": -2}],
        "text_offset": [0],
    }


async def test_further_choices_of_a_stream_come_with_its_end() -> None:
    def piece(index: int, text: str, finish: str | None = None) -> bytes:
        delta = {"content": text} if text else {}
        return data({"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

    frames = [
        piece(0, "a"),
        piece(1, "b"),
        piece(1, "c"),
        piece(1, "", "length"),
        piece(0, "", "stop"),
        data(b"[DONE]"),
    ]
    async with upstream(chunked(frames)) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(COMPLETIONS, {"model": "m", "prompt": "x", "n": 2, "stream": True})
    texts = {0: "", 1: ""}
    for part in objects(answer):
        for choice in part["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == {0: "a", 1: "bc"}


@streams
async def test_the_prompt_is_repeated_where_a_client_wants_that(streamed: bool) -> None:
    body = {"model": "m", "prompt": "Say: ", "echo": True, "stream": streamed}
    async with upstream(script("anthropic", streamed=streamed)) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask(COMPLETIONS, body)
    assert text_in(COMPLETIONS, objects(answer)) == f"Say: {TEXT}"
    assert answer.headers.get("x-crosswire-loss") is None
    assert "echo" not in json.loads(up.requests[0].body)


@streams
async def test_thinking_has_no_place_in_a_completion(streamed: bool) -> None:
    thought = reply("openai-chat")
    thought["choices"][0]["message"]["reasoning_content"] = "Hm."
    frames = stream("openai-chat")
    frames.insert(1, data({"id": "c", "choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]}))
    answers = chunked(frames) if streamed else [http(dumps(thought))]
    async with upstream(answers) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(COMPLETIONS, {"model": "m", "prompt": "x", "stream": streamed})
        record = await it.record(answer)
    assert text_in(COMPLETIONS, objects(answer)) == TEXT
    assert [loss["feature"] for loss in record["losses"]] == ["reasoning_text"]


async def test_thinking_has_its_place_in_a_generated_text() -> None:
    frames = stream("openai-chat")
    frames.insert(1, data({"id": "c", "choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]}))
    async with upstream(chunked(frames)) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(GENERATE, {"model": "m", "prompt": "x"})
        record = await it.record(answer)
    assert [part["thinking"] for part in objects(answer) if "thinking" in part] == ["Hm."]
    assert text_in(GENERATE, objects(answer)) == TEXT
    assert record["losses"] == []


LOGPROBS: list[tuple[Any, int, Any]] = [
    (None, 0, None),
    ({"content": None}, 0, None),
    (
        {"content": [{"token": "a", "logprob": -1}, {"token": "bc", "logprob": -2, "top_logprobs": []}, 5]},
        4,
        {"tokens": ["a", "bc"], "token_logprobs": [-1, -2], "top_logprobs": [None, None], "text_offset": [4, 5]},
    ),
]


@pytest.mark.parametrize(("found", "offset", "wanted"), LOGPROBS)
def test_probabilities_of_tokens_as_four_lists(found: Any, offset: int, wanted: Any) -> None:
    assert logprobs_out(found, offset) == wanted


# ---- what no chat can do ---------------------------------------------------------------------------------------------

IMPOSSIBLE: list[tuple[str, JSON, str, str]] = [
    # path, further fields, the feature, the field in the message
    (GENERATE, {"suffix": "return x"}, "fill_in", "suffix"),
    (GENERATE, {"raw": True}, "raw_prompt", "raw"),
    (GENERATE, {"template": "{{ .Prompt }}"}, "raw_prompt", "template"),
    (GENERATE, {"context": [1, 2, 3]}, "token_input", "context"),
    (COMPLETIONS, {"suffix": "return x"}, "fill_in", "suffix"),
    (COMPLETIONS, {"prompt": ["a", "b"]}, "several_prompts", "prompt"),
    (COMPLETIONS, {"prompt": [1, 2, 3]}, "token_input", "prompt_tokens"),
    (COMPLETIONS, {"prompt": [[1, 2], [3]]}, "several_prompts", "prompt"),
]


@pytest.mark.parametrize("backend", [*PROTOCOLS])
@pytest.mark.parametrize(("path", "more", "feature", "field"), IMPOSSIBLE)
async def test_what_no_chat_can_do_is_refused(path: str, more: JSON, feature: str, field: str, backend: str) -> None:
    """Even where the backend's protocol is the client's, once it may not be asked at the dialect's own address."""
    async with stage(config(one(backend, NOWHERE, relay="never"))) as it:
        answer = await it.ask(path, {"model": "m", "prompt": "x", **more})
    assert answer.status == 400, answer
    message = error_text(SHAPES[path], 400, answer.body)
    assert feature in message
    assert field in message


HARMLESS: list[tuple[str, JSON]] = [
    (GENERATE, {"suffix": "", "raw": False, "template": "", "context": []}),
    (GENERATE, {"suffix": None, "raw": None, "template": None, "context": None, "images": None, "system": None}),
    (COMPLETIONS, {"suffix": "", "echo": False, "best_of": 1, "n": 1, "logprobs": None}),
    (COMPLETIONS, {"suffix": None, "echo": None, "best_of": None, "n": None, "stop": None, "prompt": ["x"]}),
]


@pytest.mark.parametrize(("path", "more"), HARMLESS)
async def test_what_says_nothing_is_no_loss(path: str, more: JSON) -> None:
    async with upstream(script("anthropic", streamed=False)) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask(path, {"model": "m", "prompt": "x", "stream": False, **more}, {"x-crosswire-strict": "1"})
    assert answer.status == 200, answer


async def test_a_choice_among_more_answers_is_a_declared_loss() -> None:
    body = {"model": "m", "prompt": "x", "best_of": 5}
    async with upstream(script("openai-chat", streamed=False)) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(COMPLETIONS, body)
    assert (answer.status, answer.headers["x-crosswire-loss"]) == (200, "n")
    assert "best_of" not in json.loads(up.requests[0].body)


BAD: list[tuple[str, JSON, str]] = [
    (GENERATE, {"prompt": 5}, "prompt"),
    (GENERATE, {"system": ["x"]}, "system"),
    (GENERATE, {"images": "x"}, "images"),
    (GENERATE, {"images": ["x", 5]}, "images[1]"),
    (GENERATE, {"raw": "yes"}, "raw"),
    (GENERATE, {"context": "x"}, "context"),
    (GENERATE, {"options": []}, "options"),
    (GENERATE, {"options": {"seed": "x"}}, "options.seed"),
    (GENERATE, {"model": None}, "model"),
    (GENERATE, {"format": 5}, "format"),
    (COMPLETIONS, {"prompt": None}, "prompt"),
    (COMPLETIONS, {"prompt": []}, "prompt"),
    (COMPLETIONS, {"prompt": ["x", None]}, "prompt[1]"),
    (COMPLETIONS, {"prompt": {"text": "x"}}, "prompt"),
    (COMPLETIONS, {"prompt": [[]]}, "prompt[0]"),
    (COMPLETIONS, {"logprobs": True}, "logprobs"),
    (COMPLETIONS, {"logprobs": 21}, "logprobs"),
    (COMPLETIONS, {"echo": "yes"}, "echo"),
    (COMPLETIONS, {"suffix": 5}, "suffix"),
    (COMPLETIONS, {"best_of": "x"}, "best_of"),
    (COMPLETIONS, {"model": 5}, "model"),
    (COMPLETIONS, {"stop": 5}, "stop"),
]


@pytest.mark.parametrize(("path", "more", "place"), BAD)
async def test_a_bad_field_is_named(path: str, more: JSON, place: str) -> None:
    async with stage(config(one("openai-chat", NOWHERE))) as it:
        answer = await it.ask(path, {"model": "m", "prompt": "x", **more})
    assert answer.status == 400, answer
    assert f"Invalid request: {place}: " in error_text(SHAPES[path], 400, answer.body)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "-"])
async def test_ollamas_examples_send_no_json_type(kind: str) -> None:
    """ "curl http://localhost:11434/api/generate -d '{": https://docs.ollama.com/api/generate"""
    async with upstream(script("anthropic", streamed=False)) as up, stage(config(one("anthropic", up.url))) as it:
        body = dumps({"model": "m", "prompt": "x", "stream": False})
        answer = await it.ask(GENERATE, body, {"content-type": kind})
        pulled = await it.ask("/api/pull", dumps({"model": "m"}), {"content-type": kind})
    assert (answer.status, pulled.status) == (200, 200)


# ---- to backends that have the address -------------------------------------------------------------------------------


def generated(model: str, text: str, *, done: bool = False) -> bytes:
    last = {"done_reason": "stop", "context": [1, 2], "prompt_eval_count": 3, "eval_count": 2} if done else {}
    return dumps({"model": model, "created_at": "2026-01-01T00:00:00Z", "response": text, "done": done, **last})


def completed(model: str, text: str, finish: str | None = None, **more: Any) -> bytes:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
    return dumps(
        {"id": "cmpl-9", "object": "text_completion", "created": 1, "model": model, "choices": [choice], **more}
    )


USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}

NATIVE: dict[str, tuple[JSON, JSON, str, bytes, list[bytes]]] = {
    # the backend's settings, a request that only it can take, its path, and its whole and streamed answer
    GENERATE: (
        {"protocol": "ollama"},
        {"prompt": "a", "suffix": "b", "raw": True, "context": [1], "template": "t"},
        "/api/generate",
        generated("real", "Hello.", done=True),
        [
            line + b"\n"
            for line in (generated("real", "Hel"), generated("real", "lo."), generated("real", "", done=True))
        ],
    ),
    COMPLETIONS: (
        {"protocol": "openai-chat", "quirks": ["completions"]},
        {"prompt": [[1, 2], [3]], "suffix": "b", "best_of": 4, "echo": True},
        "/completions",
        completed("real", "Hello.", "stop", **USAGE),
        [
            data(completed("real", "Hel")),
            data(completed("real", "lo.")),
            data(completed("real", "", "stop", **USAGE)),
            data(b"[DONE]"),
        ],
    ),
}


def native(path: str, url: str) -> JSON:
    return {"b": {**NATIVE[path][0], "base_url": url, "models": {"m": "real"}}}


@paths
@streams
async def test_a_backend_that_has_the_address_gets_the_request_as_it_is(path: str, streamed: bool) -> None:
    _, fields, address, whole, frames = NATIVE[path]
    kind = stream_kind(SHAPES[path])
    answers = chunked(frames, kind) if streamed else [http(whole)]
    async with upstream(answers) as up, stage(config(native(path, up.url))) as it:
        answer = await it.ask(path, {"model": "m", "stream": streamed, **fields})
        record = await it.record(answer)
    assert answer.status == 200, answer
    assert up.requests[0].target == address
    assert json.loads(up.requests[0].body) == {"model": "real", "stream": streamed, **fields}
    parts = objects(answer)
    assert {part["model"] for part in parts} == {"m"}
    assert text_in(path, parts) == "Hello."
    assert record["attempts"][0]["relayed"]
    assert (record["outcome"], record["usage"]["input"], record["usage"]["output"]) == ("answered", 3, 2)


@paths
@pytest.mark.parametrize("broken", ["cut", "chat", "error"])
async def test_a_broken_answer_from_that_address_is_a_failure(path: str, broken: str) -> None:
    protocol = SHAPES[path]
    whole = {
        "cut": b'{"model": "re',
        "chat": dumps(reply(protocol)),
        "error": dumps({"error": {"message": "no", "type": "server_error"} if path == COMPLETIONS else "no"}),
    }[broken]
    async with upstream([http(whole)]) as up, stage(config(native(path, up.url))) as it:
        answer = await it.ask(path, {"model": "m", "prompt": "x", "stream": False})
    assert answer.status == 502, answer
    error_text(protocol, 502, answer.body)


@paths
async def test_a_stream_from_that_address_that_is_cut_off_never_looks_whole(path: str) -> None:
    frames = NATIVE[path][4][:2]
    script_ = [head(stream_kind(SHAPES[path])), *(chunk(frame) for frame in frames), LAST]
    async with upstream(script_) as up, stage(config(native(path, up.url))) as it:
        answer = await it.ask(path, {"model": "m", "prompt": "x", "stream": True})
    assert (answer.status, answer.whole) == (200, False)
    assert "error" in objects(answer)[-1]


async def test_a_chat_backend_without_the_address_is_asked_as_a_chat() -> None:
    async with upstream(script("openai-chat", streamed=False)) as up, stage(config(one("openai-chat", up.url))) as it:
        await it.ask(COMPLETIONS, {"model": "m", "prompt": "x"})
    assert up.requests[0].target == "/chat/completions"


# ---- loading a model -------------------------------------------------------------------------------------------------

LOADS: list[tuple[str, JSON, str]] = [
    (GENERATE, {}, "load"),
    (GENERATE, {"prompt": ""}, "load"),
    (GENERATE, {"prompt": "", "system": "Be brief.", "keep_alive": "5m"}, "load"),
    (GENERATE, {"keep_alive": 0}, "unload"),
    (GENERATE, {"keep_alive": "0s"}, "unload"),
    (GENERATE, {"keep_alive": "10m"}, "load"),
    (GENERATE, {"keep_alive": -1}, "load"),
    ("/api/chat", {"messages": []}, "load"),
    ("/api/chat", {"messages": [], "keep_alive": 0}, "unload"),
]


@streams
@pytest.mark.parametrize(("path", "more", "reason"), LOADS)
async def test_a_request_without_a_prompt_loads_the_model(path: str, more: JSON, reason: str, streamed: bool) -> None:
    async with stage(config(one("openai-chat", NOWHERE))) as it:
        answer = await it.ask(path, {"model": "m", "stream": streamed, **more})
        record = await it.record(answer)
    assert (answer.status, answer.whole) == (200, True), answer
    (said,) = objects(answer)
    assert (said["model"], said["done"], said["done_reason"]) == ("m", True, reason)
    assert said["response" if path == GENERATE else "message"] in ("", {"role": "assistant", "content": ""})
    assert (record["outcome"], record["attempts"], record["losses"]) == ("answered", [], [])


async def test_a_model_that_nobody_serves_is_not_loaded() -> None:
    async with stage(config({"b": {"protocol": "openai-chat", "base_url": NOWHERE, "models": ["a"]}})) as it:
        answer = await it.ask(GENERATE, {"model": "m"})
    assert answer.status == 404
    error_text("ollama", 404, answer.body)


async def test_an_ollama_server_loads_the_model_itself() -> None:
    loaded = dumps({"model": "m", "created_at": "x", "response": "", "done": True, "done_reason": "load"})
    async with upstream([http(loaded)]) as up, stage(config(one("ollama", up.url))) as it:
        answer = await it.ask(GENERATE, {"model": "m", "stream": False})
    assert (answer.body, up.requests[0].target) == (loaded, "/api/generate")


# ---- a conversation in its context -----------------------------------------------------------------------------------


@streams
@pytest.mark.parametrize("backend", ["anthropic", "ollama"])
async def test_a_context_goes_on_with_any_backend(backend: str, streamed: bool) -> None:
    """Also with an Ollama server, once another backend has begun."""
    first, second = script("anthropic", streamed=streamed), script(backend, streamed=streamed)
    async with upstream(first) as one_up, upstream(second) as other_up:
        both = {
            "a": {"protocol": "anthropic", "base_url": one_up.url, "models": ["a"]},
            "b": {"protocol": backend, "base_url": other_up.url, "models": ["b"]},
        }
        async with stage(config(both)) as it:
            begun = await it.ask(
                GENERATE, {"model": "a", "prompt": "Göd dag.", "system": "Be brief.", "stream": streamed}
            )
            context = objects(begun)[-1]["context"]
            answer = await it.ask(GENERATE, {"model": "b", "prompt": "Go on.", "context": context, "stream": streamed})
    assert all(type(number) is int and number >= 0 for number in context)
    assert (answer.status, text_in(GENERATE, objects(answer))) == (200, TEXT)
    sent = json.loads(other_up.requests[0].body)
    texts = [message["content"] for message in sent["messages"] if message["role"] != "system"]
    assert texts == ["Göd dag.", TEXT, "Go on."]
    assert "context" not in sent
    assert "Be brief." in other_up.requests[0].body.decode()


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: [*c, 1], lambda c: [*c[:2], -1, *c[3:]], lambda c: [*c[:3]]]
)
async def test_a_context_that_was_changed_is_refused(change: Any) -> None:
    async with upstream(script("anthropic", streamed=False)) as up, stage(config(one("anthropic", up.url))) as it:
        begun = await it.ask(GENERATE, {"model": "m", "prompt": "Hello.", "stream": False})
        body = {"model": "m", "prompt": "x", "context": change(objects(begun)[0]["context"])}
        answer = await it.ask(GENERATE, body)
    assert answer.status == 400
    assert "Invalid request: context: " in error_text("ollama", 400, answer.body)


@pytest.mark.parametrize("more", [{"images": ["iVBORw0KGgo="]}, {"prompt": "x" * 100_000}])
async def test_what_a_context_cannot_hold_has_none(more: JSON) -> None:
    async with upstream(script("anthropic", streamed=False)) as up, stage(config(one("anthropic", up.url))) as it:
        answer = await it.ask(GENERATE, {"model": "m", "prompt": "x", "stream": False, **more})
    assert answer.status == 200
    assert "context" not in objects(answer)[0]


# ---- like any chat ---------------------------------------------------------------------------------------------------


@paths
async def test_another_backend_answers_where_one_fails(path: str) -> None:
    async with upstream([http(b"{}", "500 Oops")]) as bad, upstream(script("anthropic", streamed=False)) as good:
        both = {
            "bad": {"protocol": "openai-chat", "base_url": bad.url},
            "good": {"protocol": "anthropic", "base_url": good.url},
        }
        async with stage(config(both)) as it:
            answer = await it.ask(path, {"model": "m", "prompt": "x", "stream": False})
            record = await it.record(answer)
    assert (answer.status, text_in(path, objects(answer))) == (200, TEXT)
    assert [attempt["backend"] for attempt in record["attempts"]] == ["bad", "good"]


async def pinged(it: Stage, up: Upstream, path: str, release: asyncio.Event) -> Answer:
    asking = asyncio.ensure_future(it.ask(path, {"model": "m", "prompt": "x", "stream": True}))
    await up.heard.wait()
    await asyncio.sleep(0.2)
    release.set()
    return await asking


@paths
async def test_a_silent_stream_is_kept_open(path: str) -> None:
    release = asyncio.Event()
    frames = stream("anthropic")
    held = [head(), *(chunk(frame) for frame in frames[:1]), release, *(chunk(frame) for frame in frames[1:]), LAST]
    async with upstream(held) as up, stage(config(one("anthropic", up.url), keepalive_s=0.05)) as it:
        answer = await pinged(it, up, path, release)
    parts = objects(answer)
    assert text_in(path, parts) == TEXT
    assert answer.body.count(b": ping" if path == COMPLETIONS else b'"model":""') >= 1


@paths
@pytest.mark.parametrize(
    ("method", "body", "headers", "status"),
    [
        ("GET", None, {}, 405),
        ("POST", b"{", {}, 400),
        ("POST", b"[]", {}, 400),
        ("POST", b'{"model":"m","prompt":"x"}', {"content-type": "text/plain"}, 415),
        ("POST", b'{"model":"m","prompt":"x"}', {"content-encoding": "nope"}, 415),
        ("POST", b"[" * 500 + b"]" * 500, {}, 400),
        ("POST", b" " * 5000, {}, 413),
    ],
)
async def test_errors_of_http_have_the_clients_shape(
    path: str, method: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    async with stage(config(one("openai-chat", NOWHERE), body_limit="4096")) as it:
        answer = await it.ask(path, body, headers, method=method)
    assert answer.status == status, answer
    error_text(SHAPES[path], status, answer.body)
    if status == 405:
        assert "POST" in answer.headers["allow"]
