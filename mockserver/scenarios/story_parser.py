"""Parses a story file into a Story."""

from __future__ import annotations

from typing import Any

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse as parse_path
from msgspec.structs import replace

from ..protocols.names import NAMES
from .model import (
    STOPS,
    AllowedTools,
    Ask,
    Audio,
    Block,
    Document,
    Grammar,
    Image,
    Item,
    NamedTool,
    Refusal,
    ResponseFormat,
    SayCall,
    SayRefusal,
    SayText,
    SayThink,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    calls_of,
)
from .route_parser import check_consistency, read_decide, read_proxy
from .say_parser import ERROR_KINDS, ItemReader, read_item, read_items
from .story import CAPABILITIES, EVERY_BACKEND, FRAME, WHOLE, Exchange, Hear, HearError, Raw, Story, Wire
from .yaml_reader import (
    Mistake,
    OneKey,
    YamlDocument,
    YamlMapping,
    anything,
    boolean,
    integer,
    list_of,
    mapping,
    mapping_of,
    number,
    one_of,
    string,
    string_list,
    takes,
)

SAYS: dict[str, Any] = {"anyOf": [{"required": ["say"]}, {"required": ["raw"]}]}
"""The keys of which an exchange has at least one, as a JSON Schema says it."""

TOOL_CHOICES = ("auto", "none", "required")
"""Tool choices that are written as one word."""


def read_story(name: str, file: str, source: str) -> tuple[Story | None, list[Mistake]]:
    """Parses the text of a story file; returns the story (None if it has mistakes) and the mistakes."""
    doc = YamlDocument(file, source)
    if doc.value is None:
        return None, doc.mistakes
    story = story_keys(YamlMapping(doc, doc.value, "$"), name, file)
    if not doc.mistakes:
        check_consistency(doc, story)
    return (None if doc.mistakes else story), doc.mistakes


def story_keys(top: YamlMapping, name: str = "", file: str = "") -> Story:
    """Reads the keys of a story file."""
    doc = top.doc
    why, origin = top.require("why", string, ""), top.require("source", string, "")
    needs = top.require("needs", list_of(one_of(*CAPABILITIES)), ())
    first = _exchange_keys(top)
    more = top.take("then", list_of(_exchange), ())
    story = Story(
        name=name,
        why=why,
        source=origin,
        needs=needs,
        exchanges=_link_results(doc, (first, *more)),
        only=top.take("only", one_of("stream", "unary"), None),
        clients=top.take("clients", list_of(one_of(*NAMES)), ()),
        servers=top.take("servers", list_of(one_of(*NAMES)), ()),
        across=top.take("across", boolean, False),
        refused=top.take("refused", list_of(string), ()),
        models=top.take("models", mapping_of(string), {}),
        wire=top.take("wire", _wire, Wire()),
        proxy=top.take("proxy", read_proxy, None),
        file=file,
        lines=doc.lines,
    )
    top.close()
    if not _has_opening_text(story):
        doc.complain("$.ask", "no user text: the first user text identifies the requests of a story")
    return story


def _has_opening_text(story: Story) -> bool:
    ask = story.exchanges[0].ask
    blocks = [block for turn in ask.turns if turn.role == "user" for block in turn.blocks]
    return any(isinstance(block, Text) and block.text.strip() for block in (*blocks, *ask.user))


@takes(**SAYS)
def _exchange(doc: YamlDocument, value: Any, path: str) -> Exchange:
    keys = YamlMapping(doc, value, path)
    found = _exchange_keys(keys)
    keys.close()
    return found


def _exchange_keys(keys: YamlMapping) -> Exchange:
    ask = keys.require("ask", _ask, Ask())
    raw: dict[str, Raw] = keys.take("raw", _by_protocol(_raw), {})
    if "say" not in keys.remaining and set(raw) != set(NAMES):
        keys.doc.complain(keys.path, "`say` is missing, and `raw` does not cover every protocol")
    return Exchange(
        ask=ask,
        say=keys.take("say", _say, {}),
        expect=keys.take("expect", mapping_of(_expect), {}),
        hear=keys.take("hear", _hear, Hear()),
        raw=raw,
        by=keys.take("by", string, None),
        decide=keys.take("decide", read_decide, None),
    )


def _link_results(doc: YamlDocument, exchanges: tuple[Exchange, ...]) -> tuple[Exchange, ...]:
    """Adds to each tool result the index and the name of its call in the previous reply."""
    linked = [exchanges[0]]
    if exchanges[0].ask.results:
        doc.complain("$.ask.results", "the first exchange has no previous reply; write a history in `turns`")
    for at, exchange in enumerate(exchanges[1:]):
        results = []
        for result in exchange.ask.results:
            matching = [
                (index, call.name)
                for items in exchanges[at].say.values()
                for index, call in enumerate(calls_of(items))
                if call.id == result.id
            ]
            if not matching:
                doc.complain(
                    f"$.then[{at}].ask.results.{result.id}", "unknown call id: the previous reply has no such call"
                )
                continue
            results.append(replace(result, at=matching[0][0], name=matching[0][1]))
        called = {call.id for items in exchanges[at].say.values() for call in calls_of(items)}
        missing = called - {result.id for result in exchange.ask.results}
        if missing and exchange.ask.results:
            doc.complain(f"$.then[{at}].ask.results", f"no result for {', '.join(sorted(missing))}")
        linked.append(replace(exchange, ask=replace(exchange.ask, results=tuple(results))))
    return tuple(linked)


def _by_protocol(read: Any) -> Any:
    return mapping_of(read, *NAMES)


# ---- ask -------------------------------------------------------------------------------------------------------------


@takes(anyOf=[{"required": [key]} for key in ("user", "turns", "results")])
def _ask(doc: YamlDocument, value: Any, path: str) -> Ask:
    keys = YamlMapping(doc, value, path)
    ask = Ask(
        system=keys.take("system", string_list, ()),
        turns=keys.take("turns", list_of(_turn), ()),
        user=keys.take("user", _parts, ()),
        results=keys.take("results", _results, ()),
        tools=keys.take("tools", list_of(_tool), ()),
        tool_choice=keys.take("tool_choice", _tool_choice, None),
        parallel=keys.take("parallel", boolean, None),
        temperature=keys.take("temperature", number, None),
        top_p=keys.take("top_p", number, None),
        top_k=keys.take("top_k", integer, None),
        presence_penalty=keys.take("presence_penalty", number, None),
        frequency_penalty=keys.take("frequency_penalty", number, None),
        seed=keys.take("seed", integer, None),
        max_tokens=keys.take("max_tokens", integer, None),
        stop=keys.take("stop", string_list, ()),
        reasoning=keys.take("reasoning", _reasoning, None),
        format=keys.take("format", _format, None),
        model=keys.take("model", string, None),
        also=keys.take("also", _by_protocol(mapping), {}),
        headers=keys.take("headers", mapping_of(string), {}),
    )
    keys.close()
    if not (ask.user or ask.results or ask.turns):
        doc.complain(path, "the request is empty; add `user`, `turns` or `results`")
    names = [tool.name for tool in ask.tools]
    match ask.tool_choice:
        case NamedTool(name):
            wanted: tuple[str, ...] = (name,)
        case AllowedTools(wanted):
            pass
        case _:
            wanted = ()
    for name in wanted:
        if name not in names:
            doc.complain(f"{path}.tool_choice", f"unknown tool {name!r}")
    return ask


@takes(string)
def _text_part(doc: YamlDocument, value: Any, path: str) -> Block:
    return Text(string(doc, value, path))


def _image(doc: YamlDocument, value: Any, path: str) -> Block:
    keys = YamlMapping(doc, value, path)
    mime, data = keys.take("mime", string, None), keys.take("base64", string, None)
    image = Image(mime, data, keys.take("url", string, None))
    keys.close()
    return image


def _document(doc: YamlDocument, value: Any, path: str) -> Block:
    keys = YamlMapping(doc, value, path)
    document = Document(*(keys.take(key, string, None) for key in ("mime", "base64", "url", "text", "name")))
    keys.close()
    return document


def _audio(doc: YamlDocument, value: Any, path: str) -> Block:
    keys = YamlMapping(doc, value, path)
    audio = Audio(keys.take("mime", string, None), keys.take("base64", string, None))
    keys.close()
    return audio


_part: OneKey[Block] = OneKey({"text": _text_part, "image": _image, "document": _document, "audio": _audio}, Text(""))
"""Reads a part of a user's turn or of a tool result."""


@takes(string, list_of(_part))
def _parts(doc: YamlDocument, value: Any, path: str) -> tuple[Block, ...]:
    return (Text(value),) if isinstance(value, str) else list_of(_part)(doc, value, path)


@takes(*map(ItemReader, ("text", "think", "redacted", "refusal", "call", "custom")))
def _history_block(doc: YamlDocument, value: Any, path: str) -> Block:
    """Reads a block of an assistant turn in a literal history."""
    match read_item(doc, value, path):
        case SayText(deltas):
            return Text("".join(deltas))
        case SayThink(deltas):
            return Thinking("".join(deltas))
        case SayRefusal(deltas):
            return Refusal("".join(deltas))
        case SayCall(id, name, fragments, _, kind, namespace):
            empty = "" if kind == "custom" else "{}"
            return ToolCall(id, name, "".join(fragments) or empty, kind=kind, namespace=namespace)
        case _:
            doc.complain(path, "an assistant turn of a history may only contain text, think, refusal and call")
            return Text("")


def _error_parts(doc: YamlDocument, value: Any, path: str) -> tuple[Block, ...]:
    keys = YamlMapping(doc, value, path)
    parts = keys.require("error", _parts, ())
    keys.close()
    return parts


@takes(_error_parts, _parts)
def _result(doc: YamlDocument, value: Any, path: str) -> tuple[tuple[Block, ...], bool]:
    """Reads the parts of a result, and whether it is an error."""
    error = isinstance(value, dict)
    return (_error_parts if error else _parts)(doc, value, path), error


@takes(mapping_of(_result))
def _results(doc: YamlDocument, value: Any, path: str) -> tuple[ToolResult, ...]:
    found = mapping_of(_result)(doc, value, path)
    return tuple(ToolResult(id, parts, error=error) for id, (parts, error) in found.items())


@takes(_parts)
def _user_turn(doc: YamlDocument, value: Any, path: str) -> Turn:
    return Turn("user", _parts(doc, value, path))


@takes(_parts)
def _system_turn(doc: YamlDocument, value: Any, path: str) -> Turn:
    return Turn("system", _parts(doc, value, path))


@takes(string, list_of(_history_block))
def _assistant_turn(doc: YamlDocument, value: Any, path: str) -> Turn:
    blocks = (Text(value),) if isinstance(value, str) else list_of(_history_block)(doc, value, path)
    return Turn("assistant", blocks)


@takes(_results)
def _results_turn(doc: YamlDocument, value: Any, path: str) -> Turn:
    return Turn("user", _results(doc, value, path))


_turn: OneKey[Turn] = OneKey(
    {"user": _user_turn, "assistant": _assistant_turn, "system": _system_turn, "results": _results_turn},
    Turn("user", ()),
)
"""Reads a turn of a literal history."""


def _tool(doc: YamlDocument, value: Any, path: str) -> Tool:
    """Reads a function, or with `custom: true` or `grammar` a custom tool, which takes free text."""
    keys = YamlMapping(doc, value, path)
    grammar = keys.take("grammar", _grammar, None)
    custom = keys.take("custom", boolean, grammar is not None)
    tool = Tool(
        keys.require("name", string, ""),
        keys.take("description", string, None),
        None if custom else keys.take("parameters", mapping, None),
        None if custom else keys.take("strict", boolean, None),
        "custom" if custom else "function",
        keys.take("namespace", string, None),
        grammar,
        keys.take("among", boolean, False),
    )
    keys.close()
    return tool


def _grammar(doc: YamlDocument, value: Any, path: str) -> Grammar:
    keys = YamlMapping(doc, value, path)
    grammar = Grammar(keys.require("syntax", one_of("lark", "regex"), "lark"), keys.require("definition", string, ""))
    keys.close()
    return grammar


def _allowed_tools(doc: YamlDocument, value: Any, path: str) -> ToolChoice:
    keys = YamlMapping(doc, value, path)
    allowed = keys.require("allowed", string_list, ())
    chosen = AllowedTools(allowed, keys.take("mode", one_of("auto", "required"), "auto"))
    keys.close()
    return chosen


def _named_tool(doc: YamlDocument, value: Any, path: str) -> ToolChoice:
    keys = YamlMapping(doc, value, path)
    chosen = NamedTool(keys.require("name", string, ""))
    keys.close()
    return chosen


@takes(one_of(*TOOL_CHOICES), _named_tool, _allowed_tools)
def _tool_choice(doc: YamlDocument, value: Any, path: str) -> ToolChoice:
    if isinstance(value, dict):
        return (_allowed_tools if "allowed" in value else _named_tool)(doc, value, path)
    return one_of(*TOOL_CHOICES)(doc, value, path)


@takes(integer, string)
def _reasoning(doc: YamlDocument, value: Any, path: str) -> str | int:
    return integer(doc, value, path) if isinstance(value, int) else string(doc, value, path)


def _json_schema(doc: YamlDocument, value: Any, path: str) -> ResponseFormat:
    keys = YamlMapping(doc, value, path)
    found = ResponseFormat(
        keys.require("schema", mapping, {}), keys.take("name", string, "answer"), keys.take("strict", boolean, None)
    )
    keys.close()
    return found


@takes(one_of("json"), _json_schema)
def _format(doc: YamlDocument, value: Any, path: str) -> ResponseFormat:
    if isinstance(value, str):
        one_of("json")(doc, value, path)
        return ResponseFormat()
    return _json_schema(doc, value, path)


# ---- say -------------------------------------------------------------------------------------------------------------


@takes(mapping_of(read_items), read_items)
def _say(doc: YamlDocument, value: Any, path: str) -> dict[str, tuple[Item, ...]]:
    if isinstance(value, dict):
        return mapping_of(read_items)(doc, value, path)
    return {EVERY_BACKEND: read_items(doc, value, path)}


# ---- expect, hear, raw, wire -----------------------------------------------------------------------------------------


@takes(mapping)
def _expect(doc: YamlDocument, value: Any, path: str) -> dict[str, Any]:
    found = mapping(doc, value, path)
    for expression in found:
        try:
            parse_path(expression)
        except JSONPathError as problem:
            doc.complain(f"{path}.{expression}", f"invalid JSONPath: {problem}")
    return found


def _hear(doc: YamlDocument, value: Any, path: str) -> Hear:
    keys = YamlMapping(doc, value, path)
    hear = Hear(
        error=keys.take("error", _hear_error, None),
        headers=keys.take("headers", mapping_of(string), {}),
        after=keys.take("after", string, None),
        stop=keys.take("stop", one_of(*STOPS), None),
        text=keys.take("text", string, None),
        calls=keys.take("calls", list_of(mapping), None),
    )
    keys.close()
    return hear


def _hear_error(doc: YamlDocument, value: Any, path: str) -> HearError:
    keys = YamlMapping(doc, value, path)
    error = HearError(
        keys.take("status", integer, None),
        keys.take("kind", one_of(*ERROR_KINDS), None),
        keys.take("says", _error_texts, {}),
    )
    keys.close()
    return error


@takes(string, mapping_of(string, *NAMES))
def _error_texts(doc: YamlDocument, value: Any, path: str) -> dict[str, str]:
    """Reads texts that an error must contain: one for every client, or one for each protocol."""
    return dict.fromkeys(NAMES, value) if isinstance(value, str) else dict(_by_protocol(string)(doc, value, path))


def _raw(doc: YamlDocument, value: Any, path: str) -> Raw:
    keys = YamlMapping(doc, value, path)
    raw = Raw(
        keys.take("status", integer, 200),
        keys.take("headers", mapping_of(string), {}),
        keys.take("body", anything, None),
        keys.take("frames", list_of(anything), None),
    )
    keys.close()
    return raw


def _wire(doc: YamlDocument, value: Any, path: str) -> Wire:
    keys = YamlMapping(doc, value, path)
    wire = Wire(
        keys.take("write", _write_size, FRAME),
        keys.take("newline", one_of("lf", "crlf"), "lf"),
        keys.take("comments", boolean, False),
    )
    keys.close()
    return wire


@takes(integer, minimum=1)
def _bytes(doc: YamlDocument, value: Any, path: str) -> int:
    size = integer(doc, value, path)
    if size < 1:
        doc.complain(path, f"expected at least 1 byte per write, `{WHOLE}` or `{FRAME}`")
    return size


@takes(one_of(WHOLE, FRAME), _bytes)
def _write_size(doc: YamlDocument, value: Any, path: str) -> int | str:
    if value in (WHOLE, FRAME):
        return str(value)
    return _bytes(doc, value, path)
