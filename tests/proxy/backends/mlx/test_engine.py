"""The engine with the bundled model: batching, stop reasons, cancellation, refusals, failures, shutdown."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from crosswire.proxy.errors import ClientError, RequestError, UpstreamError
from crosswire.proxy.ir import (
    BlockDelta,
    Failure,
    ReasoningConfig,
    ReplyStart,
    Request,
    Sampling,
    Text,
    ToolChoice,
    fold,
)

from .local_model import WEATHER, local_model, make_request, mlx_threads


def text_of(blocks: Any) -> str:
    return "".join(block.text for block in blocks if isinstance(block, Text))


async def test_a_stream_folds_to_the_reply() -> None:
    async with local_model() as local:
        request = make_request("Count to 5.")
        reply = await local.reply(request)
        events = [event async for event in local.events(request)]
        assert isinstance(events[0], ReplyStart)
        assert sum(isinstance(event, BlockDelta) for event in events) > 1, "the reply must be streamed"
        folded = fold(events)
        assert not isinstance(folded, Failure)
        assert (folded.blocks, folded.stop) == (reply.blocks, reply.stop) == ((Text("1, 2, 3, 4, 5"),), "end")


STOPS: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    "the end token": ({}, "1, 2, 3, 4, 5, 6", "end", None),
    "a stop": ({"stop": ("4",)}, "1, 2, 3, ", "stop_sequence", "4"),
    "a stop over several tokens": ({"stop": (", 5,",)}, "1, 2, 3, 4", "stop_sequence", ", 5,"),
    "the first of two": ({"stop": ("5", "3")}, "1, 2, ", "stop_sequence", "3"),
    "a stop that never occurs": ({"stop": ("7",)}, "1, 2, 3, 4, 5, 6", "end", None),
    "max_tokens": ({"max_tokens": 4}, "1, 2", "length", None),
}


@pytest.mark.parametrize(("keys", "text", "stop", "matched"), STOPS.values(), ids=list(STOPS))
async def test_stop_reasons(keys: dict[str, Any], text: str, stop: str, matched: str | None) -> None:
    async with local_model() as local:
        reply = await local.reply(make_request("Count to 6.", **keys))
        assert (text_of(reply.blocks), reply.stop, reply.matched) == (text, stop, matched)
        assert reply.usage is not None
        assert reply.usage.output is not None
        assert reply.usage.output <= keys.get("max_tokens", 100)


async def test_a_batch_gives_the_same_replies_as_single_requests() -> None:
    async with local_model(batch=4) as local:
        requests = [make_request(f"Count to {most}.") for most in range(2, 12)]
        alone = [await local.reply(request) for request in requests]
        together = await asyncio.gather(*[local.reply(request) for request in requests])
        assert [reply.blocks for reply in together] == [reply.blocks for reply in alone]


async def test_a_repeated_prompt_is_counted_as_cached() -> None:
    async with local_model() as local:
        first, again = [await local.reply(make_request("Count to 3.")) for _ in range(2)]
        assert first.usage is not None
        assert again.usage is not None
        assert (first.usage.cache_read, again.usage.input) == (0, 1)
        assert first.usage.prompt == again.usage.prompt
        assert first.blocks == again.blocks


async def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    async with local_model(cache_mb=0) as local:
        for _ in range(2):
            reply = await local.reply(make_request("Count to 3."))
            assert reply.usage is not None
            assert reply.usage.cache_read == 0


async def test_a_seed_repeats_and_another_does_not() -> None:
    async with local_model() as local:

        async def drawn(seed: int | None) -> str:
            sampling = Sampling(temperature=3.0, seed=seed, top_p=0.99, top_k=300)
            reply = await local.reply(make_request("Tell me a tale.", sampling=sampling, max_tokens=30))
            return text_of(reply.blocks)

        one, *others = await asyncio.gather(drawn(7), drawn(8), drawn(None), drawn(2**64 + 9))
        assert await drawn(7) == one
        assert len({one, *others}) == 4


GREEDY = [Sampling(temperature=0.0), Sampling(temperature=5.0, top_k=1), Sampling(temperature=5.0, top_p=0.0)]


@pytest.mark.parametrize("sampling", GREEDY, ids=["temperature 0", "top_k 1", "top_p 0"])
async def test_greedy_sampling(sampling: Sampling) -> None:
    async with local_model() as local:
        reply = await local.reply(make_request("Count to 5.", sampling=sampling))
        assert text_of(reply.blocks) == "1, 2, 3, 4, 5"


async def test_a_penalty_reduces_repetition() -> None:
    async with local_model() as local:
        sampling = Sampling(temperature=0.0, presence_penalty=2.0, frequency_penalty=2.0)
        plain, penalised = [
            await local.reply(make_request("Say: fish fish fish fish fish fish", sampling=each))
            for each in (Sampling(temperature=0.0), sampling)
        ]
        assert text_of(penalised.blocks).count("fish") < text_of(plain.blocks).count("fish")


async def test_thinking_becomes_a_reasoning_block() -> None:
    async with local_model() as local:
        reply = await local.reply(make_request("Count to 3.", reasoning=ReasoningConfig(enabled=True)))
        assert [type(block).__name__ for block in reply.blocks] == ["Reasoning", "Text"]
        assert text_of(reply.blocks) == "1, 2, 3"
        assert reply.usage is not None
        assert reply.usage.reasoning is not None
        assert 0 < reply.usage.reasoning < (reply.usage.output or 0)


async def test_a_cancelled_request_frees_its_place_in_the_batch() -> None:
    async with local_model(batch=1) as local:
        endless = Sampling(temperature=3.0, seed=1)
        left = local.events(make_request("Count to 20.", sampling=endless, max_tokens=1500, stop=("never said",)))
        async for event in left:
            if isinstance(event, BlockDelta):
                break
        await left.aclose()
        assert text_of((await local.reply(make_request("Count to 2."))).blocks) == "1, 2"
        assert local.backend.busy == 0


# ---- refusals --------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Request, str, str]] = {
    "max_tokens 0": (make_request("Hi", max_tokens=0), "bad_request", "max_tokens: must be at least 1"),
    "a negative max_tokens": (make_request("Hi", max_tokens=-3), "bad_request", "max_tokens"),
    "a prompt that is too long": (
        make_request("x y " * 3000),
        "context_length",
        "tokens; this model's context has 2048",
    ),
    "a negative temperature": (make_request("Hi", sampling=Sampling(temperature=-1)), "bad_request", "temperature"),
    "a top_p above 1": (make_request("Hi", sampling=Sampling(top_p=1.5)), "bad_request", "top_p"),
    "a penalty out of bounds": (
        make_request("Hi", sampling=Sampling(presence_penalty=9)),
        "bad_request",
        "presence_penalty",
    ),
    "an unknown tool": (
        make_request("Hi", tools=(WEATHER,), tool_choice=ToolChoice("named", ("clock",))),
        "bad_request",
        "'clock', which is none of the tools",
    ),
}


@pytest.mark.parametrize(("request_", "kind", "what"), REFUSED.values(), ids=list(REFUSED))
async def test_bad_input_is_a_client_error_and_affects_no_other_request(
    request_: Request, kind: str, what: str
) -> None:
    async with local_model() as local:
        with pytest.raises(ClientError, match=what) as caught:
            await local.reply(request_)
        assert (caught.value.failure.kind, caught.value.failure.status) == (kind, 400)
        assert text_of((await local.reply(make_request("Count to 2."))).blocks) == "1, 2"


async def test_a_role_that_the_template_refuses_is_a_client_error() -> None:
    async with local_model() as local:
        sent = local.backend.encode(make_request("Hi"), local.backend.target("m"))
        sent.payload["messages"][0]["role"] = "narrator"
        with pytest.raises(ClientError, match="knows no role narrator"):
            await local.backend.reply(sent, b"", {}, local.new_id)


async def test_the_context_bounds_an_answer_without_max_tokens() -> None:
    async with local_model(context=24) as local:
        reply = await local.reply(make_request("Count to 20.", max_tokens=None))
        assert reply.usage is not None
        assert ((reply.usage.prompt or 0) + (reply.usage.output or 0), reply.stop) == (24, "length")


async def test_a_full_queue_is_503_with_retry_after() -> None:
    async with local_model(batch=1, queue=2) as local:
        many = [asyncio.ensure_future(local.reply(make_request("Count to 20."))) for _ in range(8)]
        done = await asyncio.gather(*many, return_exceptions=True)
        refused = [each.failure for each in done if isinstance(each, RequestError)]
        assert refused
        assert {(each.kind, each.status, each.retry_after) for each in refused} == {("overloaded", 503, 1.0)}
        assert len(refused) + sum(not isinstance(each, BaseException) for each in done) == 8


# ---- failures --------------------------------------------------------------------------------------------------------


class FaultyRuntime:
    """The real runtime, some of whose methods fail the given number of times."""

    def __init__(self, runtime: Any, fails: dict[str, int]) -> None:
        self._real = runtime
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        if self._fails.get(name, 0) > 0:
            self._fails[name] -= 1
            raise RuntimeError(f"{name} broke")
        return getattr(self._real, name)

    def generator(self) -> Any:
        runtime, fails = self._real.generator(), self._fails
        step = runtime.next

        def next_() -> Any:
            if fails.get("next", 0) > 0:
                fails["next"] -= 1
                raise RuntimeError("a step broke")
            return step()

        runtime.next = next_
        return runtime


def faulty_runtime(fails: dict[str, int]) -> Any:
    """Returns a loader of the bundled model with these faults, to which a test may add while it runs."""

    def load(model: Any, bounds: Any) -> Any:
        from crosswire.proxy.backends.mlx.backend import load_runtime

        if fails.get("load", 0) > 0:
            fails["load"] -= 1
            raise RuntimeError("no such weights")
        return FaultyRuntime(load_runtime(model, bounds), fails)

    return load


@pytest.mark.parametrize("part", ["next", "tokens", "insert"])
async def test_an_internal_error_fails_only_the_current_requests(part: str) -> None:
    async with local_model(load=faulty_runtime({part: 1})) as local:
        with pytest.raises(UpstreamError) as caught:
            await local.reply(make_request("Count to 3."))
        assert caught.value.failure.kind == "upstream_error"
        assert text_of((await local.reply(make_request("Count to 3."))).blocks) == "1, 2, 3"


async def test_a_step_that_fails_after_the_first_token_ends_the_stream_with_a_failure() -> None:
    fails: dict[str, int] = {}
    async with local_model(load=faulty_runtime(fails)) as local:
        events = []
        async for event in local.events(make_request("Count to 20.")):
            events.append(event)
            if isinstance(event, BlockDelta):
                fails.setdefault("next", 1)
        assert any(isinstance(event, BlockDelta) for event in events)
        assert isinstance(events[-1], Failure)
        assert events[-1].kind == "upstream_error"
        assert text_of((await local.reply(make_request("Count to 3."))).blocks) == "1, 2, 3"


async def test_a_model_that_cannot_be_loaded_is_tried_again_at_the_next_request() -> None:
    async with local_model(load=faulty_runtime({"load": 1})) as local:
        with pytest.raises(UpstreamError, match="cannot be loaded") as caught:
            await local.reply(make_request("Count to 3."))
        assert caught.value.failure.kind == "upstream_unreachable"
        assert text_of((await local.reply(make_request("Count to 3."))).blocks) == "1, 2, 3"


async def test_no_output_in_time_is_a_timeout() -> None:
    holds = threading.Event()

    def load(model: Any, bounds: Any) -> Any:
        holds.wait(10)
        raise RuntimeError("too late")

    async with local_model(load=load, first_s=0.05) as local:
        with pytest.raises(UpstreamError) as caught:
            await local.reply(make_request("Hi"))
        assert caught.value.failure.kind == "upstream_timeout"
        holds.set()


async def test_closing_fails_waiting_requests_and_ends_the_thread() -> None:
    before = mlx_threads()
    async with local_model(batch=1) as local:
        await local.reply(make_request("Hello!"))
        waiting = [asyncio.ensure_future(local.reply(make_request("Count to 20."))) for _ in range(3)]
        await asyncio.sleep(0)
        await local.backend.close()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        kinds = {each.failure.kind for each in done if isinstance(each, RequestError)}
        assert kinds <= {"draining"}
        assert not mlx_threads() - before
        with pytest.raises(UpstreamError, match="shutting down"):
            await local.reply(make_request("Hi"))
        await local.backend.close()


PROGRAM = """
import asyncio
from tests.proxy.backends.mlx.local_model import make_request, local_model
async def main():
    async with local_model() as local:
        await asyncio.gather(*[local.reply(make_request("Count to 9.")) for _ in range(4)])
asyncio.run(main())
print("done")
"""


def test_the_interpreter_exits_cleanly() -> None:
    """Without `Runtime.shut_down` the interpreter would abort at exit."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)  # noqa: S603
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr
