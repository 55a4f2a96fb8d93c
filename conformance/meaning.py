"""What was said on one side and what arrived on the other, compared in neutral terms; each difference has a word.

It knows the mock's nouns and the ledger's words as strings. It shares no code with the proxy: it is the referee.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from mockserver.dialects.contract import Dialect, Heard, HeardError, Understood, joined
from mockserver.speech import (
    Allowed,
    Audio,
    Block,
    Call,
    Document,
    Format,
    Image,
    Named,
    Refuse,
    Result,
    Text,
    Think,
    Tool,
    Turn,
    Usage,
    Video,
)

from .naming import INPUT, Names, as_known, as_offered, fits, names_of, wrong_names
from .schemas import as_open, plain_schema
from .seals import CARRIERS, DUMMIES, of_turns, sealed, sent_wrongly, told_wrongly

WRONG = "wrong"
"""The word of a difference that no loss can excuse."""

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

ID_LIMIT = 40
"""Characters that every provider takes in the id of a call."""

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


Media: TypeAlias = Image | Document | Audio | Video

MEDIA: dict[type[Media], str] = {Image: "image", Document: "document", Audio: "audio", Video: "video"}
"""What is neither text nor thought, and the word of its loss."""

URL_SAFE = str.maketrans("-_", "+/")
"""The alphabet of base64 that Google takes beside the standard one, as the standard one."""


class Difference(Struct, frozen=True):
    """Something said that arrived otherwise: the word that may excuse it, where, and both sides."""

    word: str
    path: str
    said: Any
    arrived: Any

    def __str__(self) -> str:
        return f"{self.path} ({self.word}): said {_short(self.said)}, arrived {_short(self.arrived)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


# ---- requests --------------------------------------------------------------------------------------------------------


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
    found += _turn_differences(said, _unhinted(said, arrived), back, ids=ids, places=places)
    found += _seal_differences(said, front, arrived, back, provider)
    differ(WRONG, "stream", said.stream, arrived.stream)
    if said.tool_choice == "none" and not arrived.tools:
        pass  # without tools nothing can be called: where a wire has no choice, this says `none` exactly
    else:
        # a choice among tools that are not all called by name has no noun: elsewhere only the named ones are offered
        some = any(EXTRA_WORDS.get(_last(path)) == "allowed_tools" for path in said.extra)
        tools = _tool_differences(said, arrived)
        found += [Difference("allowed_tools", d.path, d.said, d.arrived) for d in tools] if some else tools
        if not some:
            found += _choice_differences(said, arrived)
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
    found += _format_differences(said.format, arrived.format)
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
    given = [[b.seal for blocks in side for b in _kind(blocks, Think, Call) if b.seal] for side in (one, other)]
    if provider is None:
        same = len(given[0]) == len(given[1])
        return [] if same else [Difference("signature", "seals", *given)]
    wrong, away = sent_wrongly(
        of_turns(one, rides=_rides(front, back)), of_turns(other), provider, bare=front.name == back.name
    )
    found = [Difference(WRONG, "seals", what, None) for what in wrong]
    stand_in = [seal for seal in given[1] if seal in DUMMIES and seal not in given[0]]
    if away or stand_in:
        found.append(Difference("signature", "seals", away, stand_in))
    return found


def _rides(front: Dialect, back: Dialect) -> bool:
    return front.name in CARRIERS and front.name != back.name


def back_requires_max_tokens(back: Dialect) -> bool:
    """Whether this protocol's requests must bound the answer, so that a proxy has to set what the client left open."""
    return back.name == "anthropic"


def _last(path: str) -> str:
    return path.rpartition(".")[2].partition("[")[0]


def added(said: Understood, arrived: Understood) -> dict[str, Any]:
    """Fields that reached the provider though the client never said them."""
    return {path: value for path, value in arrived.extra.items() if said.extra.get(path) != value}


def _turn_differences(
    said: Understood, arrived: Understood, back: Dialect, *, ids: bool, places: bool
) -> list[Difference]:
    one, other = _flat(said), _flat(arrived)
    found: list[Difference] = []
    paired = _flat(replace(said, turns=_paired(said.turns)))
    if _tally(one) != _tally(other) == _tally(paired):
        found.append(Difference("orphan", "turns", _tally(one), _tally(other)))
        one = paired
    roles_other = [turn.role for turn in other]
    kept = _flat(replace(said, turns=tuple(turn for turn in said.turns if not _is_mute(turn))))
    if [turn.role for turn in one] != roles_other == [turn.role for turn in kept]:
        mute = [block for turn in said.turns if _is_mute(turn) for block in turn.blocks]
        found += [Difference(word, "turns", mute, None) for word in dict.fromkeys(map(_mute_word, mute))]
        one = kept
    roles_one = [turn.role for turn in one]
    if roles_one != roles_other:
        word = "role" if "system" in roles_one and roles_other.count("system") < roles_one.count("system") else WRONG
        found.append(Difference(word, "turns", roles_one, roles_other))
        one_text = [_texts(turn.blocks) for turn in one]
        other_text = [_texts(turn.blocks) for turn in other]
        if not _same_text(SEAM.join(one_text), SEAM.join(other_text)):
            found.append(Difference(WRONG, "turns", one_text, other_text))
        return found
    for t, (a, b) in enumerate(zip(one, other, strict=True)):
        found += _block_differences(a.blocks, b.blocks, f"turns[{t}]", back, ids=ids)
        if places:
            found += _place_differences(a.blocks, b.blocks, f"turns[{t}]")
    return found


def places_differ(one: Understood, other: Understood) -> bool:
    """Whether text and media stand in another order somewhere."""
    pairs = zip(_flat(one), _flat(other), strict=False)
    return any(_place_differences(a.blocks, b.blocks, "") for a, b in pairs)


def _place_differences(said: tuple[Block, ...], arrived: tuple[Block, ...], path: str) -> list[Difference]:
    """Text and media out of their order; media that are missing, or came out of a result, have words of their own."""
    kinds = [[type(block).__name__ for block in _kind(side, Text, Image, Document, Audio)] for side in (said, arrived)]
    media = [sorted(kind for kind in side if kind != "Text") for side in kinds]
    if media[0] != media[1] or kinds[0] == kinds[1]:
        return []
    return [Difference(WRONG, f"{path}.order", *kinds)]


def _is_mute(turn: Turn) -> bool:
    """Whether a turn is nothing but media or thinking, so that it goes when these are lost."""
    return all(isinstance(block, (*MEDIA, Think)) for block in turn.blocks)


def _mute_word(block: Block) -> str:
    if isinstance(block, Think):
        return "reasoning_text" if block.text else "signature"
    return next(word for kind, word in MEDIA.items() if isinstance(block, kind))


def _paired(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns without calls that nobody answers and results that nobody asked for."""
    flat = joined(turns)
    out = []
    for t, turn in enumerate(flat):
        before, after = (flat[at].blocks if 0 <= at < len(flat) else () for at in (t - 1, t + 1))
        called = {block.id for block in before if isinstance(block, Call)}
        answered = {block.id for block in after if isinstance(block, Result)}
        kept = tuple(
            block
            for block in turn.blocks
            if not (isinstance(block, Call) and block.id not in answered)
            and not (isinstance(block, Result) and block.id not in called)
        )
        out.append(Turn(turn.role, kept))
    return tuple(turn for turn in out if turn.blocks)


def _tally(turns: Iterable[Turn]) -> tuple[int, int]:
    """How many calls there are, and how many results."""
    blocks = [block for turn in turns for block in turn.blocks]
    return len(_kind(blocks, Call)), len(_kind(blocks, Result))


def _flat(understood: Understood) -> tuple[Turn, ...]:
    """System texts and turns as one list, neighbours of one role as one turn, neighbouring texts as one text."""
    system = tuple(Turn("system", (Text(text),)) for text in understood.system)
    spoken = (Turn(turn.role, _merged(turn.blocks)) for turn in (*system, *understood.turns))
    return tuple(Turn(turn.role, _merged(turn.blocks)) for turn in joined(turn for turn in spoken if turn.blocks))


def _merged(blocks: Iterable[Block]) -> tuple[Block, ...]:
    out: list[Block] = []
    for block in blocks:
        if isinstance(block, Text) and out and isinstance(out[-1], Text):
            out[-1] = Text(out[-1].text + SEAM + block.text)
        elif not (isinstance(block, Text) and not block.text):
            out.append(block)
    return tuple(out)


SEAM = "\0"
"""Where one text ends and the next begins: a wire without parts of a message joins them, with or without line ends."""


def _texts(blocks: Iterable[Block]) -> str:
    return SEAM.join(block.text for block in blocks if isinstance(block, Text))


def _bare(thought: str) -> str:
    """Thinking without its blanks: it comes in parts, and each dialect sets them apart in its own way."""
    return "".join(thought.split())


def _same_text(said: str, arrived: str) -> bool:
    return any(said.replace(SEAM, joint) == arrived.replace(SEAM, joint) for joint in ("", "\n", "\n\n"))


def _kind(blocks: Iterable[Block], *kinds: type) -> list[Any]:
    return [block for block in blocks if isinstance(block, kinds)]


def _block_differences(
    said: tuple[Block, ...], arrived: tuple[Block, ...], path: str, back: Dialect, *, ids: bool
) -> list[Difference]:
    said, found = _plain(said, arrived, path)
    if not _same_text(_texts(said), _texts(arrived)):
        refused = "".join(block.text for block in said if isinstance(block, Refuse))
        word = "refusal" if refused and _same_text(SEAM.join((_texts(said), refused)), _texts(arrived)) else WRONG
        found.append(Difference(word, f"{path}.text", _texts(said), _texts(arrived)))
    thought = ["".join(block.text for block in _kind(side, Think)) for side in (said, arrived)]
    if _bare(thought[0]) != _bare(thought[1]):
        found.append(Difference("reasoning_text", f"{path}.thinking", *thought))
    for kind, word in MEDIA.items():
        one, other = _kind(said, kind), _kind(arrived, kind)
        # what a result cannot hold stands right behind the results, which has a word of its own
        inner = [b for side in (said, arrived) for result in _kind(side, Result) for b in _kind(result.blocks, kind)]
        if len(other) > len(one):
            one = [*inner, *one]
        if list(map(_media, one)) != list(map(_media, other)):
            found.append(Difference(word, f"{path}.{word}", one, other))
        found += _name_differences(one, other, f"{path}.{word}")
    like = back.call_ids_like if ids else None
    found += _call_differences(_kind(said, Call), _kind(arrived, Call), path, back, like=like)
    found += _result_differences(_kind(said, Result), _kind(arrived, Result), path, like=like)
    return found


def _name_differences(said: list[Any], arrived: list[Any], path: str) -> list[Difference]:
    """The names of documents; one that has none may be given one."""
    names = [[getattr(block, "name", None) for block in side] for side in (said, arrived)]
    pairs = zip(*names, strict=False)
    return [Difference("name", f"{path}.name", *names)] if any(one and one != other for one, other in pairs) else []


def _plain(
    said: tuple[Block, ...], arrived: tuple[Block, ...], path: str
) -> tuple[tuple[Block, ...], list[Difference]]:
    """What was said, with each document of plain text that did not arrive as one told as the text that it is.

    Such a text has no place for the document's name.
    """
    there = list(map(_media, _kind(arrived, Document)))
    told = [b for b in _kind(said, Document) if b.text is not None and _media(b) not in there]
    blocks = _merged(Text(b.text or "") if isinstance(b, Document) and b in told else b for b in said)
    names = [block.name for block in told if block.name]
    return blocks, [Difference("name", f"{path}.name", names, None)] if names else []


def _media(block: Media) -> tuple[str | None, ...]:
    """What a picture, document, sound or video is: its bytes tell its type, in either alphabet of base64."""
    if isinstance(block, Document) and block.text is not None:
        return (b64encode(block.text.encode()).decode().rstrip("="), None, None)
    data = block.data.translate(URL_SAFE).rstrip("=") if block.data is not None else None
    return (data, block.url or None, block.file if isinstance(block, Image | Document) else None)


def _call_differences(
    said: list[Call], arrived: list[Call], path: str, to: Dialect, *, like: str | None, known: bool = False
) -> list[Difference]:
    """`like` is the pattern of the ids that must stay as they are, None where the wire has no ids.

    `known` are names that the other side gave itself, so that none of them is forbidden.
    """

    def plain(call: Call, at: int) -> tuple[Any, ...]:
        first = said[at] if at < len(said) else call
        # a tool that is no longer on offer may have a name that the provider's dialect forbids
        name = call.name if known or fits(first.name, to) else None
        arguments = call.arguments if call.kind == "custom" else _json(call.arguments)
        return (call.id if _stays(first.id, like) else None, name, call.namespace, call.kind, arguments)

    one, other = [plain(call, at) for at, call in enumerate(said)], [plain(call, at) for at, call in enumerate(arrived)]
    if len(one) == len(other):
        one = [_played(call, there, to) for call, there in zip(one, other, strict=True)]
    if one == other:
        return []
    # arguments that are no object, where the wire wants one
    wrapped = [(*rest, value if isinstance(value, dict) else {INPUT: value}) for *rest, value in one]
    return [Difference("tool_arguments" if wrapped == other else WRONG, f"{path}.calls", one, other)]


def _played(call: tuple[Any, ...], there: tuple[Any, ...], to: Dialect) -> tuple[Any, ...]:
    """A call as it is said where there are no groups of tools, and none that take free text."""
    id_, name, namespace, kind, said = call
    if namespace is not None and not to.namespaces:
        name, namespace = name and f"{namespace}__{name}", None
    if kind == "custom" and there[3] == "function" and not to.custom_tools:
        kind, said = "function", {INPUT: said}
    return (id_, name, namespace, kind, said)


def _stays(id_: str, like: str | None) -> bool:
    """Whether an id must arrive as it is: one that was not said has to be made up, a forbidden one to be made anew."""
    return like is not None and bool(id_) and re.fullmatch(like, id_) is not None


def _json(arguments: str) -> Any:
    """Arguments as a value; no text is no arguments. Text that is no JSON stays text."""
    if not arguments.strip():
        return {}
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _result_differences(said: list[Result], arrived: list[Result], path: str, *, like: str | None) -> list[Difference]:
    if len(said) != len(arrived):
        return [Difference(WRONG, f"{path}.results", [r.id for r in said], [r.id for r in arrived])]
    found: list[Difference] = []
    for r, (one, other) in enumerate(zip(said, arrived, strict=True)):
        where = f"{path}.results[{r}]"
        if one.id != other.id and _stays(one.id, like):
            found.append(Difference(WRONG, f"{where}.id", one.id, other.id))
        if one.error != other.error:
            found.append(Difference("tool_error", f"{where}.error", one.error, other.error))
        blocks, named = _plain(one.blocks, other.blocks, where)
        found += named
        texts = _texts(blocks), _texts(other.blocks)
        told = _same_text(f"Error: {texts[0]}" if one.error and not other.error else texts[0], texts[1])
        # where a result is an object on the wire, a text that is one is told as one
        told = told or (texts[0].startswith("{") and _json(texts[0]) == _json(texts[1]))
        media = _kind(blocks, *MEDIA), _kind(other.blocks, *MEDIA)
        if list(map(_media, media[0])) != list(map(_media, media[1])):
            found.append(Difference("tool_result_media", f"{where}.media", *media))
            told = told or not texts[0]  # a result that was nothing but a picture must say something all the same
        else:
            found += _name_differences(*media, f"{where}.media")
        if not told:
            found.append(Difference(WRONG, f"{where}.text", *texts))
    return found


def _tool_differences(said: Understood, arrived: Understood) -> list[Difference]:
    names = [tool.full for tool in said.tools], [tool.full for tool in arrived.tools]
    found: list[Difference] = []
    offered = said.tools
    if names[0] != names[1]:
        # a choice may be approximated by offering the named tools alone
        match said.tool_choice:
            case Named(name) if names[1] == [(None, name)]:
                word, offered = "tool_choice", tuple(tool for tool in said.tools if tool.name == name)
            case Allowed(some) if names[1] == [full for full in names[0] if full[1] in some]:
                word, offered = "allowed_tools", tuple(tool for tool in said.tools if tool.name in some)
            case _:
                return [Difference(WRONG, "tools", *names)]
        found.append(Difference(word, "tools", *names))
    for one, other in zip(offered, arrived.tools, strict=True):
        path = f"tools.{one.name}"
        if (one.description or None) != (other.description or None):
            found.append(Difference(WRONG, f"{path}.description", one.description, other.description))
        if one.kind == "custom" and other.kind == "function" and _plays_custom(other):
            found.append(Difference("custom_tool", path, one, other))
            continue
        if (one.kind, one.grammar) != (other.kind, other.grammar):
            found.append(Difference(WRONG, path, one, other))
        if _schema(one.parameters) != _schema(other.parameters):
            found.append(Difference("json_schema", f"{path}.parameters", one.parameters, other.parameters))
        if bool(one.strict) != bool(other.strict):
            found.append(Difference("tool_strict", f"{path}.strict", one.strict, other.strict))
    return found


def _plays_custom(tool: Tool) -> bool:
    """Whether a function has one string and nothing else."""
    schema = _schema(tool.parameters)
    properties = schema["properties"]
    return bool(
        properties.keys() == {INPUT} and properties[INPUT].get("type") == "string" and schema.get("required") == [INPUT]
    )


def _choice_differences(said: Understood, arrived: Understood) -> list[Difference]:
    """`auto` is what every provider does unasked; what is offered alone, or is all there is, need not be named."""
    one, other = said.tool_choice or "auto", arrived.tool_choice or "auto"
    fewer = len(arrived.tools) < len(said.tools)
    every = isinstance(one, Allowed) and {tool.name for tool in said.tools} <= set(one.names)
    if isinstance(one, Allowed) and (fewer or every) and not isinstance(other, Allowed):
        one = one.mode
    return [] if one == other else [Difference("tool_choice", "tool_choice", one, other)]


def _schema(schema: dict[str, Any] | None) -> dict[str, Any]:
    """A schema of no parameters may be left out or spelled out."""
    whole: dict[str, Any] = plain_schema({"type": "object", "properties": {}} | (schema or {}))
    return whole


def _format_differences(said: Format | None, arrived: Format | None) -> list[Difference]:
    word = "json_schema" if said is not None and said.schema is not None else "json_object"
    if said is None or arrived is None:
        return [] if said is arrived else [Difference(word, "format", said, arrived)]
    found: list[Difference] = []
    one, other = plain_schema(said.schema), plain_schema(arrived.schema)
    if said.description and arrived.description != said.description:
        # where the format has no place for it, the schema has
        if one is not None and other is not None and other.get("description") == said.description:
            one = {**one, "description": said.description}
        else:
            found.append(Difference(word, "format.description", said.description, arrived.description))
    if one != as_open(one, other):
        found.append(Difference(word, "format", said, arrived))
    return found


def _unhinted(said: Understood, arrived: Understood) -> Understood:
    """What arrived without the last of its instructions, if that asks in words for the format that was lost."""
    asked = said.format
    if asked is None or arrived.format is not None or len(arrived.system) != len(said.system) + 1:
        return arrived
    hint = arrived.system[-1]
    schema = _json(hint[hint.find("{") :]) if "{" in hint else None
    asks = "JSON" in hint and (asked.schema is None or plain_schema(schema) == plain_schema(asked.schema))
    return replace(arrived, system=arrived.system[:-1]) if asks else arrived


# ---- answers ---------------------------------------------------------------------------------------------------------


def reply_differences(
    said: Heard,
    back: Dialect,
    arrived: Heard,
    front: Dialect,
    names: Names | None = None,
    tools: Iterable[Tool] = (),
    provider: str | None = None,
) -> list[Difference]:
    """What a provider said against what its client heard, each as its own dialect's strict client understood it.

    `names` is what the provider was told of the client's `tools`.
    """
    if names:
        said = as_known(said, names, tools)
    found = _error_differences(said.error, arrived.error)
    if said.error is not None:
        if not said.text.startswith(arrived.text):
            found.append(Difference(WRONG, "text before the error", said.text, arrived.text))
        return found
    texts = said.text, arrived.text
    if texts[0] != texts[1]:
        word = "refusal" if said.refusal and texts[1] == texts[0] + said.refusal else WRONG
        found.append(Difference(word, "text", *texts))
    elif said.refusal != arrived.refusal:
        found.append(Difference("refusal", "refusal", said.refusal, arrived.refusal))
    if _bare(said.thinking) != _bare(arrived.thinking):
        found.append(Difference("reasoning_text", "thinking", said.thinking, arrived.thinking))
    if len(said.seals) != len(arrived.seals):
        found.append(Difference("signature", "seals", said.seals, arrived.seals))
    if provider is not None:
        heard = sealed(arrived.blocks, rides=_rides(front, back))
        wrong = told_wrongly(sealed(said.blocks), heard, provider, bare=front.name == back.name)
        found += [Difference(WRONG, "seals", what, None) for what in wrong]
    like = rf".{{1,{ID_LIMIT}}}" if back.call_ids and front.call_ids else None
    found += _call_differences(list(said.calls), list(arrived.calls), "reply", front, like=like, known=True)
    order = _order(said.blocks), _order(arrived.blocks)
    if "text" in order[0] and "text" in order[1] and order[1].index("text") != order[0].index("text"):
        found.append(Difference(WRONG, "order of blocks", *order))
    # a stop sequence that the client's protocol cannot tell from an end is told, or lost, with what it matched
    told = said.stop == "stop_sequence" and front.blurs.get("stop_sequence") == arrived.stop
    # some providers say a plain end after a call that was forced; who calls has stopped to call
    stops = ["tool" if heard.stop == "end" and heard.calls else heard.stop for heard in (said, arrived)]
    if stops[0] != stops[1] and not told:
        found.append(Difference("stop_reason", "stop", said.stop, arrived.stop))
    if said.matched != arrived.matched:
        found.append(Difference("matched_stop", "matched", said.matched, arrived.matched))
    found += _usage_differences(said.usage, arrived.usage)
    return found


def _order(blocks: Iterable[Block]) -> list[str]:
    kinds = [type(block).__name__.lower() for block in blocks if isinstance(block, Text | Call)]
    return [kind for k, kind in enumerate(kinds) if k == 0 or kinds[k - 1] != kind]


def _usage_differences(said: Usage | None, arrived: Usage | None) -> list[Difference]:
    """Totals must agree; a detail of a kept total may be missing where the client's protocol has no place for it."""
    if said is None:
        return (
            []
            if arrived is None or not any((arrived.input, arrived.output))
            else [Difference(WRONG, "usage", said, arrived)]
        )
    if arrived is None:
        return [Difference(WRONG, "usage", said, arrived)]
    found: list[Difference] = []
    totals = _prompt(said), _prompt(arrived)
    if totals[0] is not None and totals[0] != totals[1]:
        found.append(Difference(WRONG, "usage.prompt", *totals))
    if said.output is not None and said.output != arrived.output:
        found.append(Difference(WRONG, "usage.output", said.output, arrived.output))
    for detail in ("cache_read", "cache_write", "reasoning"):
        one, other = getattr(said, detail), getattr(arrived, detail)
        if other is not None and (one or 0) != other:
            found.append(Difference(WRONG, f"usage.{detail}", one, other))
    return found


def _prompt(usage: Usage) -> int | None:
    if usage.input is None:
        return None
    return usage.input + (usage.cache_read or 0) + (usage.cache_write or 0)


def _error_differences(said: HeardError | None, arrived: HeardError | None) -> list[Difference]:
    if (said is None) != (arrived is None):
        return [Difference(WRONG, "error", said, arrived)]
    return []


def _unwrapped(arguments: str) -> Any:
    """Arguments as a value; a text that is no JSON may be streamed as it is and stand in an object in a body."""
    match _json(arguments):
        case {"input": str(text), **rest} if not rest and not isinstance(_json(text), dict):
            return text
        case value:
            return value


def same_reply(one: Heard, other: Heard) -> list[str]:
    """Where two answers to one client differ in meaning: what a stream folds to against the unary body."""
    out = []
    for name in ("text", "thinking", "refusal", "stop", "matched"):
        if getattr(one, name) != getattr(other, name):
            out.append(f"{name}: {_short(getattr(one, name))} against {_short(getattr(other, name))}")
    calls = [[(call.name, _unwrapped(call.arguments)) for call in heard.calls] for heard in (one, other)]
    if calls[0] != calls[1]:
        out.append(f"calls: {_short(calls[0])} against {_short(calls[1])}")
    seals = [sorted(sealed(heard.blocks)) for heard in (one, other)]
    if seals[0] != seals[1]:
        out.append(f"seals: {_short(seals[0])} against {_short(seals[1])}")
    if one.usage != other.usage:
        out.append(f"usage: {one.usage} against {other.usage}")
    if (one.error is None) != (other.error is None):
        out.append(f"error: {one.error} against {other.error}")
    return out
