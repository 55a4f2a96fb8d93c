"""The check of a cheap model's answer before it is passed on in a cascade."""

from __future__ import annotations

import pytest

from crosswire.proxy.gateway.answer_quality import HEDGES, unsure
from crosswire.proxy.ir import Block, Refusal, Reply, StopReason, Text, ToolCall


def answer(*blocks: Block, stop: StopReason = "end") -> Reply:
    return Reply(protocol="ollama", id=None, model=None, blocks=blocks, stop=stop)


GOOD: dict[str, Reply] = {
    "words": answer(Text("It is four.")),
    "a call": answer(ToolCall("1", "f", '{"a":1}'), stop="tool"),
    "a call without arguments": answer(ToolCall("1", "f"), stop="tool"),
    "a custom call": answer(ToolCall("1", "patch", "*** Begin", "custom"), stop="tool"),
    "a hedge beside a call": answer(Text("I'm not sure, let me look."), ToolCall("1", "f", "{}"), stop="tool"),
    "words of doubt inside an answer": answer(Text("He wrote: I don't know. That was in 1920.")),
    "cut by the client's own limit": answer(Text("One, two"), stop="length"),
    "a name that begins like a hedge": answer(Text("I'm unable-bodied, said nobody.")),
}

BAD: dict[str, tuple[Reply, str]] = {
    "nothing": (answer(), "it is empty"),
    "white space": (answer(Text(" \n")), "it is empty"),
    "a refusal": (answer(Refusal("No.")), "it refused"),
    "a filter": (answer(Text("Half"), stop="filter"), "it refused"),
    "broken arguments": (answer(ToolCall("1", "f", '{"a":')), "the arguments of its call of 'f' are no JSON object"),
    "arguments that are no object": (answer(ToolCall("1", "f", "[1]")), "the arguments of its call of 'f' are no JSON"),
    "a hedge after an apology": (answer(Text("Sorry, but I don't know that.")), "it says that it does not know"),
    "a curly apostrophe": (answer(Text("I\u2019m not sure.")), "it says that it does not know"),
    "a hedge over two blocks": (answer(Text("I do "), Text("not know.")), "it says that it does not know"),
    **{hedge: (answer(Text(f"{hedge.capitalize()} …")), "it says that it does not know") for hedge in HEDGES},
}


@pytest.mark.parametrize("reply", GOOD.values(), ids=GOOD)
def test_good_enough(reply: Reply) -> None:
    assert unsure(reply) is None


@pytest.mark.parametrize(("reply", "why"), BAD.values(), ids=BAD)
def test_not_the_last_word(reply: Reply, why: str) -> None:
    assert (unsure(reply) or "").startswith(why)
