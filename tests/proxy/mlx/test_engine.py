"""The engine on the shipped model: one thread that batches, stops, cancels, refuses, survives and ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from proxy.errors import ClientError, RequestError, UpstreamError
from proxy.ir import Delta, Failure, Request, Sampling, Start, Text, Thinking, ToolChoice, fold

from .voice import WEATHER, asks, voice


def text_of(blocks: Any) -> str:
    return "".join(block.text for block in blocks if isinstance(block, Text))


async def test_a_stream_folds_to_the_reply() -> None:
    async with voice() as local:
        request = asks("Count to 5.")
        reply = await local.reply(request)
        events = [event async for event in local.events(request)]
        assert isinstance(events[0], Start)
        assert sum(isinstance(event, Delta) for event in events) > 1, "it comes as it is decoded"
        folded = fold(events)
        assert not isinstance(folded, Failure)
        assert (folded.blocks, folded.stop) == (reply.blocks, reply.stop) == ((Text("1, 2, 3, 4, 5"),), "end")


STOPS: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    "its own end": ({}, "1, 2, 3, 4, 5, 6", "end", None),
    "a stop": ({"stop": ("4",)}, "1, 2, 3, ", "stop_sequence", "4"),
    "a stop over several tokens": ({"stop": (", 5,",)}, "1, 2, 3, 4", "stop_sequence", ", 5,"),
    "the first of two": ({"stop": ("5", "3")}, "1, 2, ", "stop_sequence", "3"),
    "one that never comes": ({"stop": ("7",)}, "1, 2, 3, 4, 5, 6", "end", None),
    "the bound": ({"max_tokens": 4}, "1, 2", "length", None),
}


@pytest.mark.parametrize(("keys", "text", "stop", "matched"), STOPS.values(), ids=list(STOPS))
async def test_why_it_stops(keys: dict[str, Any], text: str, stop: str, matched: str | None) -> None:
    async with voice() as local:
        reply = await local.reply(asks("Count to 6.", **keys))
        assert (text_of(reply.blocks), reply.stop, reply.matched) == (text, stop, matched)
        assert reply.usage is not None
        assert reply.usage.output is not None
        assert reply.usage.output <= keys.get("max_tokens", 100)


async def test_many_at_once_say_what_each_says_alone() -> None:
    async with voice(batch=4) as local:
        requests = [asks(f"Count to {most}.") for most in range(2, 12)]
        alone = [await local.reply(request) for request in requests]
        together = await asyncio.gather(*[local.reply(request) for request in requests])
        assert [reply.blocks for reply in together] == [reply.blocks for reply in alone]


async def test_a_prompt_that_was_read_before_is_counted_as_cached() -> None:
    async with voice() as local:
        first, again = [await local.reply(asks("Count to 3.")) for _ in range(2)]
        assert first.usage is not None
        assert again.usage is not None
        assert (first.usage.cache_read, again.usage.input) == (0, 1)
        assert first.usage.prompt == again.usage.prompt
        assert first.blocks == again.blocks


async def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    async with voice(cache_mb=0) as local:
        for _ in range(2):
            reply = await local.reply(asks("Count to 3."))
            assert reply.usage is not None
            assert reply.usage.cache_read == 0


async def test_a_seed_repeats_and_another_does_not() -> None:
    async with voice() as local:

        async def drawn(seed: int | None) -> str:
            sampling = Sampling(temperature=3.0, seed=seed, top_p=0.99, top_k=300)
            return text_of((await local.reply(asks("Tell me a tale.", sampling=sampling, max_tokens=30))).blocks)

        one, *others = await asyncio.gather(drawn(7), drawn(8), drawn(None), drawn(2**64 + 9))
        assert await drawn(7) == one
        assert len({one, *others}) == 4


GREEDY = [Sampling(temperature=0.0), Sampling(temperature=5.0, top_k=1), Sampling(temperature=5.0, top_p=0.0)]


@pytest.mark.parametrize("sampling", GREEDY, ids=["temperature 0", "top_k 1", "top_p 0"])
async def test_greedy_ways(sampling: Sampling) -> None:
    async with voice() as local:
        reply = await local.reply(asks("Count to 5.", sampling=sampling))
        assert text_of(reply.blocks) == "1, 2, 3, 4, 5"


async def test_a_penalty_keeps_it_from_repeating() -> None:
    async with voice() as local:
        sampling = Sampling(temperature=0.0, presence_penalty=2.0, frequency_penalty=2.0)
        plain, penalised = [
            await local.reply(asks("Say: fish fish fish fish fish fish", sampling=each))
            for each in (Sampling(temperature=0.0), sampling)
        ]
        assert text_of(penalised.blocks).count("fish") < text_of(plain.blocks).count("fish")


async def test_thinking_goes_where_thinking_goes() -> None:
    async with voice() as local:
        reply = await local.reply(asks("Count to 3.", reasoning=Thinking(enabled=True)))
        assert [type(block).__name__ for block in reply.blocks] == ["Reasoning", "Text"]
        assert text_of(reply.blocks) == "1, 2, 3"
        assert reply.usage is not None
        assert reply.usage.reasoning is not None
        assert 0 < reply.usage.reasoning < (reply.usage.output or 0)


async def test_who_leaves_makes_room() -> None:
    async with voice(batch=1) as local:
        endless = Sampling(temperature=3.0, seed=1)
        left = local.events(asks("Count to 20.", sampling=endless, max_tokens=1500, stop=("never said",)))
        async for event in left:
            if isinstance(event, Delta):
                break
        await left.aclose()
        assert text_of((await local.reply(asks("Count to 2."))).blocks) == "1, 2"
        assert local.door.busy == 0


# ---- what it refuses -------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Request, str, str]] = {
    "no tokens asked": (asks("Hi", max_tokens=0), "bad_request", "max_tokens: must be at least 1"),
    "a negative bound": (asks("Hi", max_tokens=-3), "bad_request", "max_tokens"),
    "a prompt that is too long": (asks("x y " * 3000), "context_length", "tokens; this model's context has 2048"),
    "a negative temperature": (asks("Hi", sampling=Sampling(temperature=-1)), "bad_request", "temperature"),
    "a top_p above 1": (asks("Hi", sampling=Sampling(top_p=1.5)), "bad_request", "top_p"),
    "a penalty out of bounds": (asks("Hi", sampling=Sampling(presence_penalty=9)), "bad_request", "presence_penalty"),
    "a tool that there is not": (
        asks("Hi", tools=(WEATHER,), tool_choice=ToolChoice("named", ("clock",))),
        "bad_request",
        "'clock', which is none of the tools",
    ),
}


@pytest.mark.parametrize(("request_", "kind", "what"), REFUSED.values(), ids=list(REFUSED))
async def test_bad_input_is_the_clients_fault_and_harms_nobody(request_: Request, kind: str, what: str) -> None:
    async with voice() as local:
        with pytest.raises(ClientError, match=what) as caught:
            await local.reply(request_)
        assert (caught.value.failure.kind, caught.value.failure.status) == (kind, 400)
        assert text_of((await local.reply(asks("Count to 2."))).blocks) == "1, 2"


async def test_a_role_that_the_template_does_not_know_is_refused_in_its_words() -> None:
    async with voice() as local:
        sent = local.door.encode(asks("Hi"), local.door.target("m"))
        sent.payload["messages"][0]["role"] = "narrator"
        with pytest.raises(ClientError, match="knows no role narrator"):
            await local.door.reply(sent, b"", {}, local.new_id)


async def test_the_context_bounds_an_answer_without_a_bound() -> None:
    async with voice(context=24) as local:
        reply = await local.reply(asks("Count to 20.", max_tokens=None))
        assert reply.usage is not None
        assert ((reply.usage.prompt or 0) + (reply.usage.output or 0), reply.stop) == (24, "length")


async def test_a_full_queue_is_503_with_a_time() -> None:
    async with voice(batch=1, queue=2) as local:
        many = [asyncio.ensure_future(local.reply(asks("Count to 20."))) for _ in range(8)]
        done = await asyncio.gather(*many, return_exceptions=True)
        refused = [each.failure for each in done if isinstance(each, RequestError)]
        assert refused
        assert {(each.kind, each.status, each.retry_after) for each in refused} == {("overloaded", 503, 1.0)}
        assert len(refused) + sum(not isinstance(each, BaseException) for each in done) == 8


# ---- what it survives ------------------------------------------------------------------------------------------------


class Shaky:
    """The real runtime, of which one thing fails as often as is said."""

    def __init__(self, real: Any, fails: dict[str, int]) -> None:
        self._real = real
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        if self._fails.get(name, 0) > 0:
            self._fails[name] -= 1
            raise RuntimeError(f"{name} broke")
        return getattr(self._real, name)

    def generator(self) -> Any:
        real, fails = self._real.generator(), self._fails
        step = real.next

        def next_() -> Any:
            if fails.get("next", 0) > 0:
                fails["next"] -= 1
                raise RuntimeError("a step broke")
            return step()

        real.next = next_
        return real


def shaky(fails: dict[str, int]) -> Any:
    """Loads the shipped model behind these faults, which a test may add to as it goes."""

    def load(model: Any, bounds: Any) -> Any:
        from proxy.backends.mlx.door import _load

        if fails.get("load", 0) > 0:
            fails["load"] -= 1
            raise RuntimeError("no such weights")
        return Shaky(_load(model, bounds), fails)

    return load


@pytest.mark.parametrize("part", ["next", "tokens", "insert"])
async def test_a_fault_of_ours_fails_who_met_it_and_nobody_after(part: str) -> None:
    async with voice(load=shaky({part: 1})) as local:
        with pytest.raises(UpstreamError) as caught:
            await local.reply(asks("Count to 3."))
        assert caught.value.failure.kind == "upstream_error"
        assert text_of((await local.reply(asks("Count to 3."))).blocks) == "1, 2, 3"


async def test_a_step_that_fails_after_the_first_word_ends_the_stream_with_a_failure() -> None:
    fails: dict[str, int] = {}
    async with voice(load=shaky(fails)) as local:
        events = []
        async for event in local.events(asks("Count to 20.")):
            events.append(event)
            if isinstance(event, Delta):
                fails.setdefault("next", 1)
        assert any(isinstance(event, Delta) for event in events)
        assert isinstance(events[-1], Failure)
        assert events[-1].kind == "upstream_error"
        assert text_of((await local.reply(asks("Count to 3."))).blocks) == "1, 2, 3"


async def test_a_model_that_cannot_be_loaded_is_tried_again_at_the_next_request() -> None:
    async with voice(load=shaky({"load": 1})) as local:
        with pytest.raises(UpstreamError, match="cannot be loaded") as caught:
            await local.reply(asks("Count to 3."))
        assert caught.value.failure.kind == "upstream_unreachable"
        assert text_of((await local.reply(asks("Count to 3."))).blocks) == "1, 2, 3"


async def test_a_thread_that_says_nothing_is_a_timeout() -> None:
    holds = threading.Event()

    def load(model: Any, bounds: Any) -> Any:
        holds.wait(10)
        raise RuntimeError("too late")

    async with voice(load=load, first_s=0.05) as local:
        with pytest.raises(UpstreamError) as caught:
            await local.reply(asks("Hi"))
        assert caught.value.failure.kind == "upstream_timeout"
        holds.set()


async def test_closing_fails_what_waits_and_ends_the_thread() -> None:
    async with voice(batch=1) as local:
        await local.reply(asks("Hello!"))
        waiting = [asyncio.ensure_future(local.reply(asks("Count to 20."))) for _ in range(3)]
        await asyncio.sleep(0)
        await local.door.close()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        kinds = {each.failure.kind for each in done if isinstance(each, RequestError)}
        assert kinds <= {"draining"}
        assert not any(thread.name.startswith("mlx") for thread in threading.enumerate())
        with pytest.raises(UpstreamError, match="shutting down"):
            await local.reply(asks("Hi"))
        await local.door.close()


ENDS = """
import asyncio
from tests.proxy.mlx.voice import asks, voice
async def main():
    async with voice() as local:
        await asyncio.gather(*[local.reply(asks("Count to 9.")) for _ in range(4)])
asyncio.run(main())
print("whole")
"""


def test_the_interpreter_ends_well_afterwards() -> None:
    """Without the thread's own last calls it aborts at exit, after all the work was done."""
    ran = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=120)  # noqa: S603
    assert (ran.returncode, ran.stdout) == (0, "whole\n"), ran.stderr
