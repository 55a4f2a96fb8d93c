"""What a client asked against what reached the provider; each difference has a word.

It knows the mock's nouns and the ledger's words as strings. It shares no code with the proxy: it is the referee.
"""

from __future__ import annotations

from typing import Any

from mockserver.dialects.contract import Dialect, Understood
from mockserver.speech import Call, Think

from ..naming import as_offered, names_of, wrong_names
from ..seals import DUMMIES, of_turns, rides, sent_wrongly
from .blocks import of_kind
from .difference import WRONG, Difference
from .tools import choice_differences, format_differences, tool_differences, unhinted
from .turns import turn_differences

EXTRA_WORDS: dict[str, str] = {
    "n": "n",
    "candidateCount": "n",
    "logprobs": "logprobs",
    "responseLogprobs": "logprobs",
    "top_logprobs": "logprobs",
    "logit_bias": "logprobs",
    "user": "user",
    "safety_identifier": "user",
    "metadata": "metadata",
    "name": "name",
    "service_tier": "service_tier",
    "store": "store",
    "prediction": "prediction",
    "cache_control": "cache_control",
    "prompt_cache_key": "cache_control",
    "inference_geo": "service_tier",
    "num_ctx": "load_options",
    "min_p": "sampler",
    "repeat_penalty": "penalties",
    "safetySettings": "safety_settings",
    "verbosity": "verbosity",
    "display": "reasoning",
    "summary": "reasoning",
    "tools": "hosted_tools",
    "web_search_options": "hosted_tools",
    "googleSearch": "hosted_tools",
    "urlContext": "hosted_tools",
    "codeExecution": "hosted_tools",
    "namespace": "tool_namespace",
    "content": "hosted_output",
    "input": "hosted_output",
    "tool_choice": "allowed_tools",
    "allowedFunctionNames": "allowed_tools",
    "citations": "citations",
    "annotations": "citations",
}
"""A field that only one dialect has, by its last name, and the word that its loss must have; others: unknown_field."""

NOTHING: dict[str, tuple[Any, ...]] = {
    "usage": ({"include": True},),
    "service_tier": ("default", "auto"),
    "modalities": (["text"],),
    "partMetadata": ({"redacted": True},),  # what came with a foreign seal, and goes back with it
}
"""Fields of one dialect that ask for what is done anyway; an empty value asks for nothing under any name."""

OTHER_NAMES: dict[str, str] = {
    "display": "includeThoughts",
    "summary": "includeThoughts",
    "tool_choice": "allowedFunctionNames",
    "allowedFunctionNames": "tool_choice",
    "citations": "annotations",
}
"""Fields without a noun that another dialect has under another name."""

SAMPLING_DEFAULTS: dict[str, float] = {"top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""Sampling that is as good as none."""

THINKS_WHEN_TOLD = ("anthropic", "openai-chat")
"""Who may not think at all unless told how much."""

NAMES_FORMATS = ("openai-chat", "openai-responses")
"""Who gives a format a name, and says whether it is strict."""

SHOWS_UNASKED = ("anthropic", "ollama")
"""Who shows what was thought whether or not anybody asks to see it."""

THINKING: dict[Any, Any] = {True: "auto", -1: "auto", False: "none"}
"""Equal words for thinking: as the model likes, and not at all, which a budget of 0 is too."""


def request_differences(
    said: Understood, front: Dialect, arrived: Understood, back: Dialect, provider: str | None = None
) -> list[Difference]:
    """What a client said against what reached the provider, each as its own dialect's reader understood it.

    With the provider's name it is told which seals are its own; without it they are only counted.
    """
    found: list[Difference] = []

    def differ(word: str, path: str, one: Any, other: Any) -> None:
        if one != other:
            found.append(Difference(word, path, one, other))

    names = names_of(said, arrived)
    for what in wrong_names(names, said.tools, back):
        found.append(Difference(WRONG, "tools", what, None))
    said = as_offered(said, names)
    ids, places = front.call_ids and back.call_ids, front.places and back.places
    plain = unhinted(said, arrived)
    if plain is not arrived and arrived.format is not None:
        found.append(Difference("json_object", "system", said.system, arrived.system))
    found += turn_differences(said, plain, back, ids=ids, places=places)
    found += _seal_differences(said, front, arrived, back, provider)
    differ(WRONG, "stream", said.stream, arrived.stream)
    if said.tool_choice == "none" and not arrived.tools:
        pass  # without tools nothing can be called: where a wire has no choice, this says `none` exactly
    else:
        # a choice among tools that are not all called by name has no noun: elsewhere only the named ones are offered
        some = any(EXTRA_WORDS.get(_last(path)) == "allowed_tools" for path in said.extra)
        tools = tool_differences(said, arrived)
        found += [Difference("allowed_tools", d.path, d.said, d.arrived) for d in tools] if some else tools
        if not some:
            found += choice_differences(said, arrived)
    differ("parallel_tool_calls", "parallel", said.parallel is not False, arrived.parallel is not False)
    for name in dict.fromkeys((*said.sampling, *arrived.sampling)):
        word = "penalties" if name.endswith("_penalty") else name
        default = SAMPLING_DEFAULTS.get(name, 1 if name == "temperature" and back.name == "anthropic" else None)
        differ(word, f"sampling.{name}", said.sampling.get(name, default), arrived.sampling.get(name, default))
    if said.max_tokens is not None or not back_requires_max_tokens(back):
        differ("max_tokens", "max_tokens", said.max_tokens, arrived.max_tokens)
    differ("stop", "stop", said.stop, arrived.stop)
    thinks = THINKING.get(said.reasoning, said.reasoning), THINKING.get(arrived.reasoning, arrived.reasoning)
    # thinking on, however much of it; all but some think as they like when nobody says how much
    if thinks[0] != "auto" or thinks[1] == "none" or (thinks[1] is None and back.name in THINKS_WHEN_TOLD):
        differ("reasoning", "reasoning", *thinks)
    if said.shown and not arrived.shown and back.name not in SHOWS_UNASKED:
        found.append(Difference("reasoning", "reasoning.shown", said.shown, arrived.shown))
    differ("user", "user", said.user, arrived.user)
    found += format_differences(said.format, arrived.format)
    if said.format is not None and arrived.format is not None and back.name in NAMES_FORMATS:
        # where a format is always binding nobody says that it is, and none has a name
        named = front.name in NAMES_FORMATS
        differ(WRONG, "format.strict", named and bool(said.format.strict), bool(arrived.format.strict))
        differ(WRONG, "format.name", said.format.name if named else arrived.format.name, arrived.format.name)
    same = front.name == back.name
    fields = {_last(path): value for path, value in arrived.extra.items()}
    for path, value in said.extra.items():
        hosted = EXTRA_WORDS.get(_last(path)) == "hosted_tools"  # whose name alone says it
        if (value in ("", [], {}) and not hosted) or value in NOTHING.get(_last(path), ()):
            continue
        # between two dialects a field of the same name, or of its other name, is the same thing in other words
        name, other = _last(path), OTHER_NAMES.get(_last(path))
        alike = other in fields or (name in fields and (hosted or fields[name] == value or isinstance(value, dict)))
        if not (arrived.extra.get(path) == value if same else alike):
            word = EXTRA_WORDS.get(_last(path), "unknown_field")
            found.append(Difference(word, path, value, None))
    return found


def _seal_differences(
    said: Understood, front: Dialect, arrived: Understood, back: Dialect, provider: str | None
) -> list[Difference]:
    one, other = ([turn.blocks for turn in side.turns] for side in (said, arrived))
    given = [[b.seal for blocks in side for b in of_kind(blocks, Think, Call) if b.seal] for side in (one, other)]
    if provider is None:
        same = len(given[0]) == len(given[1])
        return [] if same else [Difference("signature", "seals", *given)]
    wrong, away = sent_wrongly(
        of_turns(one, rides=rides(front, back)), of_turns(other), provider, bare=front.name == back.name
    )
    found = [Difference(WRONG, "seals", what, None) for what in wrong]
    stand_in = [seal for seal in given[1] if seal in DUMMIES and seal not in given[0]]
    if away or stand_in:
        found.append(Difference("signature", "seals", away, stand_in))
    return found


def back_requires_max_tokens(back: Dialect) -> bool:
    """Whether this protocol's requests must bound the answer, so that a proxy has to set what the client left open."""
    return back.name == "anthropic"


def _last(path: str) -> str:
    return path.rpartition(".")[2].partition("[")[0]


def added(said: Understood, arrived: Understood, *, same: bool) -> dict[str, Any]:
    """Fields that reached the provider though the client never said them, in its own words or in other ones."""
    if same:
        return {path: value for path, value in arrived.extra.items() if said.extra.get(path) != value}
    told = [(_last(path), value) for path, value in said.extra.items()]
    names = {OTHER_NAMES.get(_last(path)) for path in said.extra}
    return {
        path: value
        for path, value in arrived.extra.items()
        if (_last(path), value) not in told and _last(path) not in names
    }
